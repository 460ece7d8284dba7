//! Telling a story in commands: each is shown as a user would type it, with its real output, and
//! checked.

use std::time::Instant;

use anyhow::{Result, bail};
use forage_tests::testbed::Testbed;

/// What is told so far.
pub(crate) struct Story<'a> {
    testbed: &'a Testbed,
    began: Instant,
    steps: usize,
}

/// What a step printed, to be checked further.
pub(crate) struct Told {
    title: String,
    /// Both streams.
    pub(crate) text: String,
}

impl<'a> Story<'a> {
    pub(crate) fn new(testbed: &'a Testbed) -> Self {
        Self {
            testbed,
            began: Instant::now(),
            steps: 0,
        }
    }

    /// Runs a line of shell as `user`, which has to succeed.
    pub(crate) fn step(&mut self, title: &str, user: &str, line: &str) -> Result<Told> {
        let told = self.tell(title, user, line)?;
        Ok(told.0)
    }

    /// Runs a line of shell that has to fail.
    pub(crate) fn refused(&mut self, title: &str, user: &str, line: &str) -> Result<Told> {
        let (told, code) = self.attempt(title, user, line)?;
        if code == 0 {
            bail!("{title}: this should have been refused");
        }
        Ok(told)
    }

    /// Says something that is no command.
    pub(crate) fn say(&mut self, title: &str) {
        self.steps += 1;
        println!("\n{}. {title}", self.steps);
    }

    /// What somebody types into a program that runs.
    pub(crate) fn typed(&self, line: &str) {
        println!("   > {line}");
    }

    /// What that program says.
    pub(crate) fn shown(&self, line: &str) {
        println!("   {line}");
    }

    /// What is seen beside it.
    pub(crate) fn note(&self, line: &str) {
        println!("   ({line})");
    }

    /// How long it took.
    pub(crate) fn close(self) {
        let took = self.began.elapsed().as_secs_f64();
        println!(
            "\nAll {} steps did what they say, in {took:.1} s.",
            self.steps
        );
    }

    fn tell(&mut self, title: &str, user: &str, line: &str) -> Result<(Told, i32)> {
        let (told, code) = self.attempt(title, user, line)?;
        if code != 0 {
            bail!("{title}: `{line}` exited with {code}");
        }
        Ok((told, code))
    }

    fn attempt(&mut self, title: &str, user: &str, line: &str) -> Result<(Told, i32)> {
        self.say(title);
        let sign = if user == "root" { '#' } else { '$' };
        println!("   {user}{sign} {line}");
        let outcome = self
            .testbed
            .run(user, &["bash", "-o", "pipefail", "-c", line])?;
        let text = outcome.text();
        for line in text.lines() {
            println!("   {line}");
        }
        println!("   ({} ms)", outcome.took.as_millis());
        Ok((
            Told {
                title: title.to_owned(),
                text,
            },
            outcome.code(),
        ))
    }
}

impl Told {
    /// The output has to contain each of these.
    pub(crate) fn shows(&self, wanted: &[&str]) -> Result<()> {
        match wanted.iter().find(|text| !self.text.contains(**text)) {
            Some(text) => bail!("{}: the output does not show {text:?}", self.title),
            None => Ok(()),
        }
    }

    /// The output, without the white space around it, has to be this.
    pub(crate) fn is(&self, wanted: &str) -> Result<()> {
        if self.text.trim() != wanted {
            bail!("{}: the output is not {wanted:?}", self.title);
        }
        Ok(())
    }
}
