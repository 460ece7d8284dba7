//! Hosts built in the testbed, and switching to them as NixOS does.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use forage_tests::nix;
use forage_tests::skip::{CanRun, skip};
use forage_tests::testbed::{Outcome, Testbed, repository};

use crate::support::{daemon, service};

/// Where the host has what it evaluates.
const SOURCES: &str = "/opt/forage";

/// The testbed, with everything in it that Nix evaluates; `None`, said and counted, without nixpkgs.
pub(super) fn testbed(test: &str) -> Result<Option<&'static Testbed>> {
    static FURNISHED: OnceLock<Result<(), String>> = OnceLock::new();
    let lib = match nix::lib() {
        Ok(lib) => lib,
        Err(why) => {
            skip(test, &why, CanRun::Elsewhere)?;
            return Ok(None);
        }
    };
    let testbed = Testbed::shared()?;
    let furnished =
        FURNISHED.get_or_init(|| furnish(testbed, &lib).map_err(|error| format!("{error:#}")));
    furnished.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok(Some(testbed))
}

fn furnish(testbed: &Testbed, lib: &str) -> Result<()> {
    let repository = repository();
    let ours = ["module.nix", "nix", "tests/nix", "daemon/data", "docs"];
    bring(testbed, &repository, &ours, SOURCES)?;
    bring(testbed, Path::new(lib), &["."], &format!("{SOURCES}/lib"))
}

/// Copies files into the host, below a directory.
fn bring(testbed: &Testbed, from: &Path, files: &[&str], to: &str) -> Result<()> {
    let packed = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0", "--directory"])
        .arg(from)
        .args(files)
        .output()
        .context("cannot run tar")?;
    ensure!(packed.status.success(), "cannot pack {}", from.display());
    testbed.run_ok("root", &["mkdir", "-p", to])?;
    let unpacked =
        testbed.run_with_input("root", &["tar", "--extract", "-C", to], &packed.stdout)?;
    ensure!(unpacked.ok(), "{}", unpacked.text());
    Ok(())
}

/// Has the host's Nix build one of the hosts.
pub(super) fn build(testbed: &Testbed, name: &str) -> Result<Outcome> {
    let first = testbed.run_ok("root", &["readlink", "/nix/var/nix/gcroots/testbed"])?;
    let (expression, lib) = (
        format!("{SOURCES}/tests/nix/chain"),
        format!("{SOURCES}/lib"),
    );
    testbed.run(
        "root",
        &[
            "nix-build",
            "--quiet",
            "--no-out-link",
            "--option",
            "substitute",
            "false",
            "--option",
            "sandbox",
            "false",
            &expression,
            "--attr",
            name,
            "--argstr",
            "lib",
            &lib,
            "--argstr",
            "first",
            first.trim(),
        ],
    )
}

/// A host that was built, kept from the garbage collector as a generation of NixOS is.
pub(super) struct Host {
    path: String,
    root: String,
}

impl Host {
    pub(super) fn build(testbed: &Testbed, name: &str) -> Result<Self> {
        let built = build(testbed, name)?;
        ensure!(built.ok(), "{name}: {}", built.text());
        let host = Self {
            path: built.stdout.trim().to_owned(),
            root: format!("/nix/var/nix/gcroots/host-{name}"),
        };
        testbed.run_ok("root", &["ln", "-sfn", &host.path, &host.root])?;
        Ok(host)
    }

    /// Deletes the generation; nothing may have switched to it last.
    pub(super) fn forget(self, testbed: &Testbed) -> Result<()> {
        testbed.run_ok("root", &["rm", &self.root])?;
        Ok(())
    }

    /// The configuration, as the daemon reads it.
    pub(super) fn config(&self, testbed: &Testbed) -> Result<String> {
        testbed.run_ok("root", &["cat", &format!("{}/config.toml", self.path)])
    }

    /// What its template `claude` is made from.
    pub(super) fn system(&self, testbed: &Testbed) -> Result<String> {
        let config: toml::Table = toml::from_str(&self.config(testbed)?)?;
        let system = config["templates"]["claude"]["system"].as_str();
        Ok(system.context("it has no system")?.to_owned())
    }

    /// Where its programs are.
    pub(super) fn package(&self, testbed: &Testbed) -> Result<String> {
        let link = format!("{}/package", self.path);
        let path = testbed.run_ok("root", &["readlink", "-f", &link])?;
        Ok(path.trim().to_owned())
    }

    /// Switches to it: links are turned, units are read again, and the daemon is started anew, or reads its
    /// configuration again where that alone has changed.
    pub(super) fn switch(&self, testbed: &Testbed) -> Result<()> {
        let before = testbed.run(
            "root",
            &["readlink", "/etc/systemd/system/firefly-forage.service"],
        )?;
        let script = r#"
          mkdir -p /etc/firefly-forage
          ln -sfn "$1/config.toml" /etc/firefly-forage/config.toml
          for unit in "$2"/lib/systemd/system/*; do ln -sfn "$unit" /etc/systemd/system/; done
          systemctl daemon-reload
        "#;
        let package = self.package(testbed)?;
        testbed.run_ok("root", &["sh", "-ec", script, "sh", &self.path, &package])?;
        if before.stdout.contains(&package) {
            daemon(testbed, "reload")
        } else {
            service(testbed, "restart", "firefly-forage.service")
        }
    }
}
