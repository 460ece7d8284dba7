//! Rotations while many sandboxes start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use forage_tests::testbed::Testbed;

use super::{letter, shell_of, stored};
use crate::support::{Undo, beside_others, ctl_ok};

/// Whose sandboxes and tokens these are.
const USER: &str = "grace";
const MANY: usize = 50;

#[test]
fn sandboxes_that_start_meanwhile_have_the_newest_token() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    shell_of(testbed, USER, "store a")?;
    let names = format!("$(seq -f m%g {MANY})");
    let _undo = Undo::new(
        testbed,
        format!("forage-ctl down --owner {USER} --delete-workspace {names} 2>/dev/null; true"),
    );
    let started = AtomicBool::new(false);
    let stores = thread::scope(|scope| -> Result<u32> {
        let storing = scope.spawn(|| -> Result<u32> {
            let mut stores = 0;
            while !started.load(Ordering::Relaxed) {
                let letter = char::from(b'a' + u8::try_from(stores % 20)?);
                shell_of(testbed, USER, &format!("store {letter}"))?;
                stores += 1;
            }
            Ok(stores)
        });
        let up = format!(
            "for name in {names}; do forage-ctl up $name -t claude >/dev/null & all+=($!); done; \
             for one in ${{all[@]}}; do wait $one || exit; done"
        );
        let up = shell_of(testbed, USER, &up);
        started.store(true, Ordering::Relaxed);
        let stores = storing
            .join()
            .map_err(|_| anyhow!("the stores broke off"))?;
        up?;
        stores
    })?;
    ensure!(stores > 5, "only {stores} stores");
    let newest = stored(testbed, USER)?;
    let all = format!(
        "for name in {names}; do forage-ctl exec $name -- cat {}; echo; done",
        super::TOKEN
    );
    let all = shell_of(testbed, USER, &all)?;
    for (number, token) in all.lines().enumerate() {
        let seen = letter(token)?;
        ensure!(seen == newest, "m{}: {seen}, not {newest}", number + 1);
    }
    ensure!(all.lines().count() == MANY, "{all}");
    ctl_ok(testbed, USER, &["claude", "token", "remove"])?;
    Ok(())
}
