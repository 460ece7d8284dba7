//! Store paths that are not systems, and those that lead out of the store.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{Config, system};
use crate::support::{Sandbox, alone, ctl};

/// Makes a store path by hand, as Nix would not; `line` furnishes it as `$1`.
fn make(testbed: &Testbed, name: &str, line: &str) -> Result<String> {
    let path = format!("/nix/store/00000000000000000000000000000000-{name}");
    let script = format!("mkdir -p \"$1\"; {line}");
    testbed.run_ok("root", &["sh", "-ec", &script, "sh", &path])?;
    Ok(path)
}

#[test]
fn what_leads_out_of_the_store_or_nowhere() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = Config::borrow(testbed)?;
    for (name, line, expected) in [
        ("shadow", "ln -s /etc/shadow $1/init", "leads to /etc"),
        ("up", "ln -s ../../../etc/shadow $1/init", "leads to /etc"),
        ("var", "ln -s /nix/var/nix $1/init", "leads to /nix/var"),
        ("top", "ln -s / $1/init", "is not an executable file"),
        (
            "store",
            "ln -s /nix/store $1/init",
            "is not an executable file",
        ),
        ("proc", "ln -s /proc/self/exe $1/init", "leads to /proc"),
        ("loop", "ln -s init $1/init", "one link too many"),
        (
            "gone",
            "ln -s /nix/store/none/init $1/init",
            "has no init: /nix/store/none does not exist",
        ),
        ("empty", "true", "init does not exist"),
        ("dir", "mkdir $1/init", "is not an executable file"),
        ("plain", "touch $1/init", "is not an executable file"),
        (
            "pipe",
            "mkfifo -m 0755 $1/init",
            "is not an executable file",
        ),
        ("link", "rmdir $1; ln -s /etc $1", "leads to /etc"),
        ("file", "rmdir $1; touch $1", "is not a directory"),
    ] {
        let path = make(testbed, name, line)?;
        config.add("bad", &format!("system = {path:?}"))?;
        let before = testbed.inventory()?;
        let refused = ctl(testbed, "bob", &["up", "bad", "-t", "bad"])?;
        testbed.run_ok("root", &["rm", "-rf", &path])?;
        let text = refused.text();
        ensure!(
            refused.code() == 1 && text.contains(expected) && text.contains("template bad"),
            "{name}: {} {text}",
            refused.code()
        );
        let left = testbed.inventory()?.since(&before);
        ensure!(left.is_empty(), "{name} left behind:\n{left}");
    }
    Ok(())
}

#[test]
fn an_init_in_another_store_path_is_started() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = Config::borrow(testbed)?;
    let first = system(testbed)?;
    let far = make(
        testbed,
        "a+b_c.d=e?-1",
        &format!("ln -s {first}/init $1/init"),
    )?;
    let near = make(
        testbed,
        "near",
        &format!("ln -s ../{}/init $1/init", &far["/nix/store/".len()..]),
    )?;
    config.add("chain", &format!("system = {near:?}"))?;
    let sandbox = Sandbox::up(testbed, "bob", "chain", "chain", &[])?;
    ensure!(sandbox.exec_ok(&["systemctl", "is-system-running"])? == "running");
    sandbox.down()?;
    testbed.run_ok("root", &["rm", "-rf", &near, &far])?;
    Ok(())
}

#[test]
fn an_activation_that_fails_says_so() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = Config::borrow(testbed)?;
    let first = system(testbed)?;
    let furnish = format!(
        "head -n 1 {first}/init > $1/init; \
         printf 'echo no such user; exit 3\\n' >> $1/init; chmod 0555 $1/init"
    );
    let path = make(testbed, "fails", &furnish)?;
    config.add("fails", &format!("system = {path:?}"))?;
    let before = testbed.inventory()?;
    let cursor = testbed.journal_cursor()?;
    let up = ctl(testbed, "bob", &["up", "fails", "-t", "fails"])?;
    ensure!(up.code() == 8, "{} {}", up.code(), up.text());
    let after = format!("--after-cursor={cursor}");
    let told = testbed.journal(&[&after, "FORAGE_EVENT=console"])?;
    let said = |entry: &serde_json::Value| entry["MESSAGE"] == "console: no such user";
    ensure!(told.iter().any(said), "{told:?}");
    let sandbox = Sandbox::adopt(testbed, "bob", "fails")?;
    ensure!(sandbox.field("state")? == "failed");
    sandbox.down()?;
    testbed.run_ok("root", &["rm", "-rf", &path])?;
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "left behind:\n{left}");
    Ok(())
}
