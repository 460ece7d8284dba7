//! Colour, where it is wanted: on a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` says
//! otherwise; elsewhere only with `CLICOLOR_FORCE`.

use std::io::IsTerminal as _;

/// Puts colour on text, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// What fits the stream, by whether it is a terminal and by the environment.
    pub fn of(terminal: bool) -> Self {
        let variable = |name: &str| std::env::var_os(name)?.into_string().ok();
        Self {
            on: wanted(terminal, variable),
        }
    }

    /// What fits standard output.
    pub fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// No colour.
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// Colour.
    pub const fn coloured() -> Self {
        Self { on: true }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Less important text.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What went wrong.
    pub fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// What is well.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What needs attention.
    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
}

fn wanted(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    terminal && set("CLICOLOR").as_deref() != Some("0") && set("TERM").as_deref() != Some("dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_about_colour() {
        for (terminal, environment, colour) in [
            (true, &[][..], true),
            (false, &[], false),
            (true, &[("NO_COLOR", "1")], false),
            (true, &[("NO_COLOR", "")], true),
            (true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false),
            (true, &[("CLICOLOR", "0")], false),
            (true, &[("CLICOLOR", "1")], true),
            (false, &[("CLICOLOR_FORCE", "1")], true),
            (false, &[("CLICOLOR_FORCE", "0")], false),
            (true, &[("TERM", "dumb")], false),
        ] {
            let variable = |name: &str| {
                let found = environment.iter().find(|(key, _)| *key == name)?;
                Some(found.1.to_owned())
            };
            assert_eq!(
                wanted(terminal, variable),
                colour,
                "{terminal} {environment:?}"
            );
        }
    }
}
