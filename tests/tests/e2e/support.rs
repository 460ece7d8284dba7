//! What the end-to-end tests share: sandboxes that go away with their test, and who may disturb
//! whom.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::{Result, ensure};
use forage_tests::testbed::{Outcome, Testbed};

static HOST: RwLock<()> = RwLock::new(());

/// Held by a test that only uses sandboxes of its own.
pub(crate) fn beside_others() -> RwLockReadGuard<'static, ()> {
    HOST.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that changes what all sandboxes see: the daemon, the tokens, the configuration.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    HOST.write().unwrap_or_else(PoisonError::into_inner)
}

/// A token of the real shape, made of one letter.
pub(crate) fn token(letter: char) -> String {
    format!("sk-ant-oat01-{}", letter.to_string().repeat(95))
}

/// The daemon's unit.
pub(crate) const DAEMON: &str = "firefly-forage.service";

/// Has systemd `start`, `restart` or `stop` the daemon. Tests do so more often than the unit's
/// start limit allows.
pub(crate) fn daemon(testbed: &Testbed, verb: &str) -> Result<()> {
    service(testbed, verb, DAEMON)
}

/// Has systemd `start`, `restart` or `stop` a service, however often that was done before.
pub(crate) fn service(testbed: &Testbed, verb: &str, unit: &str) -> Result<()> {
    testbed.run("root", &["systemctl", "reset-failed", unit])?;
    testbed.run_ok("root", &["systemctl", verb, unit])?;
    Ok(())
}

/// Runs `forage-ctl`.
pub(crate) fn ctl(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<Outcome> {
    let mut argv = vec!["forage-ctl"];
    argv.extend(arguments);
    testbed.run(user, &argv)
}

/// Runs `forage-ctl`, which has to succeed, and gives its standard output.
pub(crate) fn ctl_ok(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<String> {
    let outcome = ctl(testbed, user, arguments)?;
    ensure!(
        outcome.ok(),
        "{user}: forage-ctl {} exited with {}:\n{}",
        arguments.join(" "),
        outcome.code(),
        outcome.text()
    );
    Ok(outcome.stdout)
}

/// Stores a token without showing it to anybody.
pub(crate) fn store(testbed: &Testbed, user: &str, token: &str) -> Result<Outcome> {
    let argv = ["forage-ctl", "claude", "token", "store", "-"];
    testbed.run_with_input(user, &argv, token.as_bytes())
}

/// A running sandbox; it is removed when the test ends, however it ends.
pub(crate) struct Sandbox {
    testbed: &'static Testbed,
    user: &'static str,
    pub(crate) name: String,
    pub(crate) id: String,
}

impl Sandbox {
    /// Starts one of a template; `more` are further arguments of `up`.
    pub(crate) fn up(
        testbed: &'static Testbed,
        user: &'static str,
        name: &str,
        template: &str,
        more: &[&str],
    ) -> Result<Self> {
        let mut arguments = vec!["up", name, "-t", template];
        arguments.extend(more);
        let up = ctl_ok(testbed, user, &arguments);
        // Whatever came of the start, what it left is removed.
        let sandbox = Self::adopt(testbed, user, name);
        up?;
        sandbox
    }

    /// Takes over a sandbox a test started by itself.
    pub(crate) fn adopt(testbed: &'static Testbed, user: &'static str, name: &str) -> Result<Self> {
        let mut sandbox = Self {
            testbed,
            user,
            name: name.to_owned(),
            id: String::new(),
        };
        sandbox.id = sandbox.field("id")?;
        Ok(sandbox)
    }

    /// Runs a command in it.
    pub(crate) fn exec(&self, command: &[&str]) -> Result<Outcome> {
        let mut arguments = vec!["exec", &self.name, "--"];
        arguments.extend(command);
        ctl(self.testbed, self.user, &arguments)
    }

    /// Runs a command in it that has to succeed, and gives its output without the last newline.
    pub(crate) fn exec_ok(&self, command: &[&str]) -> Result<String> {
        let outcome = self.exec(command)?;
        ensure!(
            outcome.ok(),
            "{command:?} exited with {}: {}",
            outcome.code(),
            outcome.text()
        );
        Ok(outcome.stdout.trim_end_matches('\n').to_owned())
    }

    /// A line of shell in it that has to succeed.
    pub(crate) fn sh(&self, line: &str) -> Result<String> {
        self.exec_ok(&["sh", "-c", line])
    }

    /// Runs a command as a service of it, which its own systemd starts.
    pub(crate) fn as_service(&self, user: &str, command: &[&str]) -> Result<Outcome> {
        let (machine, uid) = (format!("forage-{}", self.id), format!("--uid={user}"));
        let mut argv = vec!["systemd-run", "-M", &machine, &uid];
        argv.extend(["--wait", "--pipe", "--quiet"]);
        argv.extend(command);
        self.testbed.run("root", &argv)
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Result<serde_json::Value> {
        let text = ctl_ok(self.testbed, self.user, &["status", &self.name, "--json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// One text field of the status.
    pub(crate) fn field(&self, key: &str) -> Result<String> {
        let status = self.status()?;
        let field = status.get(key).and_then(serde_json::Value::as_str);
        Ok(field.unwrap_or_default().to_owned())
    }

    /// The unit that runs it.
    pub(crate) fn unit(&self) -> String {
        format!("forage-sandbox@{}.service", self.id)
    }

    /// Removes it.
    pub(crate) fn down(self) -> Result<String> {
        ctl_ok(self.testbed, self.user, &["down", &self.name])
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let gone = ctl(
            self.testbed,
            self.user,
            &["down", "--delete-workspace", &self.name],
        );
        if let Ok(outcome) = gone
            && !outcome.ok()
            && outcome.code() != 3
        {
            eprintln!("{} was not removed: {}", self.name, outcome.text());
        }
    }
}

/// The file behind the secret `anthropic`.
pub(crate) const SECRET: &str = "/etc/forage-secrets/anthropic";

/// Puts the secret's file back as it was, however the test ends.
pub(crate) struct SecretFile {
    testbed: &'static Testbed,
    /// What is in it.
    pub(crate) original: String,
}

impl SecretFile {
    /// Remembers what is in it now.
    pub(crate) fn borrow(testbed: &'static Testbed) -> Result<Self> {
        let original = testbed.run_ok("root", &["cat", SECRET])?;
        Ok(Self { testbed, original })
    }

    /// Puts it back.
    pub(crate) fn restore(&self) -> Result<()> {
        self.testbed.run_ok("root", &["rm", "-rf", SECRET])?;
        self.testbed
            .write_file(SECRET, "root", "0400", self.original.as_bytes())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            eprintln!("the secret's file was not put back: {error:#}");
        }
    }
}

/// Puts back what a test disturbed, however the test ends: a line of shell that root runs.
pub(crate) struct Undo {
    testbed: &'static Testbed,
    line: String,
}

impl Undo {
    /// Runs the line when this is dropped.
    pub(crate) fn new(testbed: &'static Testbed, line: impl Into<String>) -> Self {
        Self {
            testbed,
            line: line.into(),
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        match self.testbed.sh("root", &self.line) {
            Ok(outcome) if outcome.ok() => {}
            Ok(outcome) => eprintln!("not undone: {}: {}", self.line, outcome.text()),
            Err(error) => eprintln!("not undone: {}: {error:#}", self.line),
        }
    }
}
