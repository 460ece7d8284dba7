//! Nix's garbage collector.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{Config, gc_root, system};
use crate::support::{Sandbox, alone, ctl};

/// A second system, built of the first one, that nothing keeps alive: `$1` is the first.
const BUILD: &str = r#"
nix-build --quiet --no-out-link --option substitute false --option sandbox false -E "
let
  first = builtins.storePath $1;
  shell = builtins.storePath $(nix-store --query --references "$1" | grep -e '-busybox$');
in
derivation {
  name = \"second-system\";
  system = builtins.currentSystem;
  builder = \"\${shell}/busybox\";
  args = [ \"sh\" \"-c\" \"\${shell}/busybox mkdir \$out; \${shell}/busybox ln -s \${first}/init \$out/init\" ];
}"
"#;

/// Collects everything nothing keeps alive.
fn collect(testbed: &Testbed) -> Result<()> {
    testbed.run_ok("root", &["nix-store", "--gc", "--quiet"])?;
    Ok(())
}

#[test]
fn a_running_system_is_kept_and_a_collected_one_refused() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = Config::borrow(testbed)?;
    let first = system(testbed)?;
    let second = testbed.run_ok("root", &["bash", "-c", BUILD, "bash", &first])?;
    let second = second.trim();
    config.add("second", &format!("system = {second:?}"))?;
    let sandbox = Sandbox::up(testbed, "bob", "kept", "second", &[])?;
    // A rebuild names another system by now.
    let status = sandbox.status()?;
    ensure!(status["system"] == second && status["newerSystem"].is_null());
    config.add("second", &format!("system = {first:?}"))?;
    let status = sandbox.status()?;
    ensure!(status["system"] == second && status["newerSystem"] == first.as_str());
    let told = ctl(testbed, "bob", &["status", "kept"])?.text();
    let wanted = format!("an older build; its template has {first}");
    ensure!(told.contains(&wanted), "{told}");
    collect(testbed)?;
    testbed.run_ok("root", &["test", "-x", &format!("{second}/init")])?;
    ensure!(sandbox.exec_ok(&["systemctl", "is-system-running"])? == "running");
    ensure!(sandbox.exec_ok(&["readlink", &format!("{second}/init")])? == format!("{first}/init"));
    sandbox.down()?;

    collect(testbed)?;
    ensure!(!testbed.run("root", &["test", "-e", second])?.ok());
    config.add("second", &format!("system = {second:?}"))?;
    let before = testbed.inventory()?;
    let refused = ctl(testbed, "bob", &["up", "gone", "-t", "second"])?;
    let text = refused.text();
    for wanted in ["template second", second, "does not exist", "nixos-rebuild"] {
        ensure!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
    ensure!(!refused.ok() && ctl(testbed, "bob", &["status", "gone"])?.code() == 3);
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "left behind:\n{left}");
    let roots = testbed.run_ok("root", &["ls", "/nix/var/nix/gcroots/firefly-forage"])?;
    ensure!(roots.is_empty(), "left behind: {roots}");
    Ok(())
}

#[test]
fn the_root_goes_also_when_the_shim_is_killed() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = crate::support::beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "killed-root", "store-key", &[])?;
    let cursor = testbed.journal_cursor()?;
    testbed.kill_unit(&sandbox.unit())?;
    let unit = sandbox.unit();
    let seconds = std::time::Duration::from_secs(20);
    testbed.journal_until(&cursor, &["_PID=1"], seconds, |entry| {
        entry["UNIT"] == unit.as_str()
            && entry["MESSAGE"]
                .as_str()
                .is_some_and(|text| text.contains("Failed with result"))
    })?;
    let root = gc_root(&sandbox);
    ensure!(!testbed.run("root", &["test", "-L", &root])?.ok());
    // What a host that lost its power leaves goes with the sandbox.
    testbed.run_ok("root", &["ln", "-s", "/nix/store/none", &root])?;
    sandbox.down()?;
    ensure!(!testbed.run("root", &["test", "-L", &root])?.ok());
    Ok(())
}
