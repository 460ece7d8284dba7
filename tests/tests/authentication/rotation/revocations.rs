//! Revocations while commands run and begin, and while tokens are stored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use forage_tests::testbed::Testbed;

use super::{CREDENTIALS, TOKEN, USER, forget, shell, tokens};
use crate::support::{Sandbox, beside_others, ctl_ok, store, token};

const ROUNDS: usize = 5;

/// Tells each time whether a new process is given the token.
const LOOK: &str = "printenv CLAUDE_CODE_OAUTH_TOKEN >/dev/null && echo has || echo none";

#[test]
fn a_revocation_holds_for_everything_that_begins_after_it() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let value = Sandbox::up(testbed, USER, "revoke-value", "claude", &[])?;
    let form = Sandbox::up(testbed, USER, "revoke-form", "live", &[])?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Others store meanwhile, and start commands that go on over the revocation.
        let storing = scope.spawn(|| -> Result<()> {
            for letter in ('b'..='y').cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                ensure!(store(testbed, USER, &token(letter))?.ok());
            }
            Ok(())
        });
        let beginning = scope.spawn(|| -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                // Whatever it has, it is let run to its end.
                ensure!(value.sh(&format!("{LOOK}; {LOOK}"))?.lines().count() == 2);
            }
            Ok(())
        });
        let met = (0..ROUNDS).try_for_each(|round| {
            let met = around(testbed, &value, &form);
            met.map_err(|error| error.context(format!("round {round}")))
        });
        over.store(true, Ordering::Relaxed);
        let broken = |_| anyhow!("a part broke off");
        storing.join().map_err(broken)??;
        beginning.join().map_err(broken)??;
        met
    })?;
    forget(testbed)
}

/// Once taken away and given again.
fn around(testbed: &Testbed, value: &Sandbox, form: &Sandbox) -> Result<()> {
    let names = [value.name.as_str(), form.name.as_str()];
    ctl_ok(testbed, USER, &[&["auth", "revoke"], &names[..]].concat())?;
    for _ in 0..3 {
        ensure!(value.sh(LOOK)? == "none", "a command was given the token");
        for (sandbox, file) in [(value, TOKEN), (form, CREDENTIALS)] {
            ensure!(
                !sandbox.exec(&["test", "-e", file])?.ok(),
                "{file} is there"
            );
        }
    }
    ctl_ok(testbed, USER, &[&["auth", "refresh"], &names[..]].concat())?;
    ensure!(value.sh(LOOK)? == "has", "it was not given again");
    for (sandbox, file) in [(value, TOKEN), (form, CREDENTIALS)] {
        ensure!(sandbox.exec(&["test", "-s", file])?.ok(), "no {file}");
    }
    Ok(())
}
