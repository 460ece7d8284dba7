//! The steps of a long call with their times: a spinner on a terminal, plain lines elsewhere. All of
//! it goes to standard error.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{escape, moment};

/// Shows steps as they begin and end.
#[derive(Debug)]
pub struct Steps {
    begun: Instant,
    current: Option<(String, Instant)>,
    shown: bool,
    spinner: Option<ProgressBar>,
}

impl Steps {
    /// Begins; `what` stands beside the spinner until the first step is known. Where nothing is to
    /// be shown, only the time is taken.
    pub fn begin(what: &str, shown: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = shown && std::io::stderr().is_terminal() && !dumb;
        Self {
            begun: Instant::now(),
            current: None,
            shown,
            spinner: live.then(|| spinner(what)),
        }
    }

    /// What stands beside the spinner while several things go on at once.
    pub fn waiting_for(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(escape::text(what));
        }
    }

    /// Does something that writes to the terminal.
    pub fn aside<R>(&self, act: impl FnOnce() -> R) -> R {
        match &self.spinner {
            Some(spinner) => spinner.suspend(act),
            None => act(),
        }
    }

    /// The next step begins, so the one before has ended.
    pub fn step(&mut self, name: &str) {
        self.end_current(None);
        let name = escape::text(name);
        if let Some(spinner) = &self.spinner {
            spinner.set_message(name.clone());
        }
        self.current = Some((name, Instant::now()));
    }

    /// Everything is done; gives how long it took.
    pub fn done(mut self) -> Duration {
        self.end_current(None);
        self.begun.elapsed()
    }

    /// The current step failed.
    pub fn failed(mut self) {
        self.end_current(Some("failed after "));
    }

    fn end_current(&mut self, verdict: Option<&str>) {
        let Some((name, begun)) = self.current.take() else {
            return;
        };
        let line = step_line(&name, verdict.unwrap_or_default(), begun.elapsed());
        match &self.spinner {
            Some(spinner) => spinner.println(line.trim_end()),
            None if self.shown => super::note(&line),
            None => {}
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
        spinner.set_style(style);
    }
    spinner.set_message(escape::text(what));
    spinner.enable_steady_tick(Duration::from_millis(80));
    spinner
}

fn step_line(name: &str, verdict: &str, took: Duration) -> String {
    format!("  {name:<10}  {verdict}{:>7}\n", moment::took(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_steps() {
        let lines = [
            step_line("checking", "", Duration::from_micros(300)),
            step_line("root", "", Duration::from_millis(12)),
            step_line("booting", "", Duration::from_millis(870)),
            step_line("booting", "failed after ", Duration::from_secs(60)),
        ];
        insta::assert_snapshot!(lines.concat(), @r"
          checking     < 1 ms
          root          12 ms
          booting      0.87 s
          booting     failed after  60.0 s
        ");
    }

    #[test]
    fn steps_without_a_terminal_need_no_spinner() {
        let mut steps = Steps::begin("s1", true);
        steps.step("booting");
        assert_eq!(steps.current.as_ref().unwrap().0, "booting");
        assert!(steps.done() < Duration::from_secs(60));
    }
}
