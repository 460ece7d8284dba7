//! Which types of terminal the programs of a sandbox know.

use std::path::Path;

/// Where their descriptions are.
const PLACES: [&str; 5] = [
    "/etc/terminfo",
    "/lib/terminfo",
    "/usr/share/terminfo",
    "/usr/lib/terminfo",
    "/run/current-system/sw/share/terminfo",
];
/// What nearly every terminal understands.
const USUAL: &str = "xterm-256color";
/// What asks nothing of a terminal.
const PLAIN: &str = "dumb";

/// The type to tell programs of for a terminal of this type: itself, unless the sandbox has no
/// description of it.
pub(super) fn known(kind: &str) -> &str {
    choose(kind, |name| {
        let letter = &name[..1];
        let number = format!("{:x}", name.as_bytes()[0]);
        PLACES.iter().any(|place| {
            let place = Path::new(place);
            [letter, &number]
                .iter()
                .any(|sub| place.join(sub).join(name).exists())
        })
    })
}

fn choose(kind: &str, has: impl Fn(&str) -> bool) -> &str {
    let fair = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    let name = !kind.is_empty()
        && kind.len() <= 64
        && kind.starts_with(|c: char| c.is_ascii_alphanumeric())
        && kind.chars().all(fair);
    match kind {
        _ if !name => PLAIN,
        PLAIN => PLAIN,
        kind if has(kind) || !has(USUAL) => kind,
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let has = |name: &str| ["xterm-256color", "linux"].contains(&name);
        for (kind, chosen) in [
            ("linux", "linux"),
            ("xterm-kitty", "xterm-256color"),
            ("dumb", "dumb"),
            ("", "dumb"),
            ("../../etc", "dumb"),
            ("a/b", "dumb"),
            ("a\0b", "dumb"),
        ] {
            assert_eq!(choose(kind, has), chosen, "{kind}");
        }
        // Where there are no descriptions at all, the caller's word is as good as ours.
        assert_eq!(choose("xterm-kitty", |_| false), "xterm-kitty");
        assert_eq!(known(""), "dumb");
    }
}
