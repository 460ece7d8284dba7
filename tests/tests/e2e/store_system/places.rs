//! Stores that do not lie where one expects them.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{Config, system};
use crate::support::{Sandbox, alone, ctl};

/// Something mounted in the host until the test ends.
struct Mounted {
    testbed: &'static Testbed,
    place: &'static str,
}

impl Mounted {
    fn new(testbed: &'static Testbed, place: &'static str, script: &str) -> Result<Self> {
        testbed.run_ok("root", &["sh", "-ec", script])?;
        Ok(Self { testbed, place })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.testbed.run_ok("root", &["umount", "-l", self.place]) {
            eprintln!("{} was not unmounted: {error:#}", self.place);
        }
    }
}

#[test]
fn a_store_that_cannot_be_id_mapped() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let overlay = "mkdir -p /run/over && mount -t tmpfs over /run/over && cd /run/over && \
                   mkdir upper work && mount -t overlay -o lowerdir=/nix/store,upperdir=upper,workdir=work \
                   over /nix/store";
    let memory = Mounted {
        testbed,
        place: "/run/over",
    };
    let store = Mounted::new(testbed, "/nix/store", overlay)?;
    let sandbox = Sandbox::up(testbed, "bob", "unmapped", "store-key", &[])?;
    let seen = sandbox.exec_ok(&["findmnt", "-no", "FSTYPE,OPTIONS", "/nix/store"])?;
    ensure!(
        seen.starts_with("overlay ro,nosuid,nodev") && !seen.contains("idmapped"),
        "{seen}"
    );
    let owner = sandbox.exec_ok(&["stat", "-c", "%U", &system(testbed)?])?;
    ensure!(owner == "nobody", "{owner}");
    ensure!(sandbox.exec_ok(&["systemctl", "is-system-running"])? == "running");
    ensure!(
        sandbox
            .exec_ok(&["claude", "auth", "status"])?
            .contains("\"api_key\"")
    );
    let told = testbed.journal(&[&format!("FORAGE_ID={}", sandbox.id)])?;
    ensure!(
        told.iter()
            .any(|entry| entry["FORAGE_EVENT"] == "not-mapped")
    );
    sandbox.down()?;
    drop(store);
    drop(memory);
    Ok(())
}

#[test]
fn a_store_that_is_a_read_only_mount_of_its_own() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let bind = "mount --bind /nix/store /nix/store && mount -o remount,bind,ro /nix/store";
    let _store = Mounted::new(testbed, "/nix/store", bind)?;
    let sandbox = Sandbox::up(testbed, "bob", "own-mount", "store-key", &[])?;
    let owner = sandbox.exec_ok(&["stat", "-c", "%U", &system(testbed)?])?;
    ensure!(owner == "root", "{owner}");
    Ok(())
}

#[test]
fn a_host_without_a_store() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _nix = Mounted::new(testbed, "/nix", "mount -t tmpfs nothing /nix")?;
    let refused = ctl(testbed, "bob", &["up", "no-nix", "-t", "store-key"])?;
    let text = refused.text();
    ensure!(
        !refused.ok() && text.contains("/nix/store does not exist"),
        "{text}"
    );
    ensure!(testbed.run_ok("root", &["ls", "-A", "/nix"])?.is_empty());
    // A tree does without.
    Sandbox::up(testbed, "bob", "tree", "claude-key", &[])?.down()?;
    Ok(())
}

#[test]
fn a_small_root_is_full_when_it_is_full() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = Config::borrow(testbed)?;
    let system = system(testbed)?;
    config.add("small", &format!("system = {system:?}\nrootSize = \"1M\""))?;
    let before = testbed.inventory()?;
    let up = ctl(testbed, "bob", &["up", "small", "-t", "small"])?;
    ensure!(up.ok(), "{}", up.text());
    let sandbox = Sandbox::adopt(testbed, "bob", "small")?;
    let full = sandbox.exec(&["sh", "-c", "head -c 2000000 /dev/zero > /home/agent/large"])?;
    ensure!(full.text().contains("No space left"), "{}", full.text());
    sandbox.down()?;
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "left behind:\n{left}");
    Ok(())
}

#[test]
fn a_nix_that_belongs_to_a_user() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    // Where its owner may make links, root makes nothing.
    let theirs = "mount -t tmpfs -o mode=0755 theirs /nix/var/nix/gcroots && \
                  ln -s /etc /nix/var/nix/gcroots/firefly-forage && \
                  chown -h mallory /nix/var/nix/gcroots /nix/var/nix/gcroots/firefly-forage";
    let _roots = Mounted::new(testbed, "/nix/var/nix/gcroots", theirs)?;
    let sandbox = Sandbox::up(testbed, "bob", "theirs", "store-key", &[])?;
    let made = testbed.run("root", &["test", "-L", &format!("/etc/{}", sandbox.id)])?;
    ensure!(!made.ok());
    let told = testbed.journal(&[&format!("FORAGE_ID={}", sandbox.id)])?;
    ensure!(told.iter().any(|entry| entry["FORAGE_EVENT"] == "not-kept"));
    sandbox.down()?;
    Ok(())
}
