//! Rotations that meet something else: other rotations, readers, starts, and deaths.

mod deaths;
mod readers;
mod revocations;
mod starts;
mod stores;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, ctl_ok};

/// Whose tokens these are, but for those of the starts.
const USER: &str = "frank";
/// The token where a variable is made from it.
const TOKEN: &str = "/run/secrets/claude-oauth-token";
/// The token as Claude Code reads it by itself.
const CREDENTIALS: &str = "/run/secrets/claude-credentials/.credentials.json";

/// frank's token store: one of these tests at a time.
fn tokens() -> MutexGuard<'static, ()> {
    static TOKENS: Mutex<()> = Mutex::new(());
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines of a person's shell. `store LETTER` stores a token of this letter.
fn shell_of(testbed: &Testbed, user: &str, line: &str) -> Result<String> {
    let script = format!("store() {{ {STORE} }}\n{line}");
    testbed.run_ok(user, &["bash", "-c", &script])
}

/// Lines of shell that are frank's.
fn shell(testbed: &Testbed, line: &str) -> Result<String> {
    shell_of(testbed, USER, line)
}

const STORE: &str = "local l; printf -v l '%095d' 0; \
    printf %s \"sk-ant-oat01-${l//0/$1}\" | forage-ctl claude token store - >/dev/null;";

/// Which letter a person's store has its token of.
fn stored(testbed: &Testbed, user: &str) -> Result<char> {
    let line = "exec grep -o 'oat01-[^\"]*' /var/lib/firefly-forage/tokens/$0/claude-oauth.json";
    let uid = testbed.run_ok(user, &["id", "-u"])?;
    letter(&testbed.run_ok("root", &["sh", "-c", line, uid.trim()])?)
}

/// Which letter the one whole token of a text is made of.
fn letter(text: &str) -> Result<char> {
    let (_, rest) = text.split_once("oat01-").unwrap_or_default();
    let letters = rest.chars().take_while(char::is_ascii_alphanumeric);
    let letters: Vec<char> = letters.collect();
    let first = letters.first().copied().unwrap_or_default();
    ensure!(
        letters.len() == 95 && letters.iter().all(|letter| *letter == first),
        "no whole token, but {} letters",
        letters.len()
    );
    Ok(first)
}

impl Sandbox {
    /// Which letter its token is made of, in whichever file it is.
    fn letter(&self) -> Result<char> {
        letter(&self.sh(&format!("cat {CREDENTIALS} 2>/dev/null || cat {TOKEN}"))?)
    }

    /// What `status` says of the generation of its first credential.
    fn generation(&self) -> Result<u64> {
        let generation = self.status()?["credentials"][0]["generation"].as_u64();
        Ok(generation.unwrap_or_default())
    }

    /// It comes to have the token that is stored.
    fn converges(&self, testbed: &Testbed) -> Result<()> {
        let stored = stored(testbed, USER)?;
        wait_for("the stored token", Duration::from_secs(20), || {
            Ok((self.letter()? == stored).then_some(()))
        })
    }
}

fn forget(testbed: &Testbed) -> Result<()> {
    ctl_ok(testbed, USER, &["claude", "token", "remove"])?;
    Ok(())
}
