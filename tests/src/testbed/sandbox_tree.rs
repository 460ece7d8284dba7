//! The root of the sandboxes, for templates with `root = "/path"`: a small Debian with systemd, a
//! bus, git, the user `agent` and the real Claude Code.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::claude;
use super::tree::{Recipe, cached, inside, write};
use super::units;

const RECIPE: Recipe = Recipe {
    kind: "sandbox",
    version: 1,
    packages: &[
        "bash",
        "ca-certificates",
        "curl",
        "dbus",
        "git",
        "iproute2",
        "nftables",
        "procps",
        "systemd",
        "systemd-sysv",
        "tmux",
    ],
    masked: units::SANDBOX,
    extra: claude::VERSION,
};

/// The agent's uid and gid, as templates have it unless they say otherwise.
const AGENT: u32 = 1000;

const AGENT_USER: &str = "g agent 1000\nu agent 1000:1000 \"Agent\" /home/agent /bin/bash\n";

const JOURNAL: &str = "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n";

/// The sandbox tree, built when it is not there yet. Claude Code is fetched meanwhile.
pub(super) fn build() -> Result<PathBuf> {
    if RECIPE.place().is_dir() {
        return Ok(RECIPE.place());
    }
    thread::scope(|scope| {
        let fetching = scope.spawn(claude::fetch);
        cached(&RECIPE, |tree| {
            let client = fetching
                .join()
                .map_err(|_| anyhow!("fetching Claude Code broke off"))??;
            finish(tree, &client)
        })
    })
}

fn finish(tree: &Path, client: &Path) -> Result<()> {
    write(
        tree,
        "etc/systemd/journald.conf.d/sandbox.conf",
        JOURNAL.as_bytes(),
    )?;
    write(tree, "usr/lib/sysusers.d/agent.conf", AGENT_USER.as_bytes())?;
    inside(tree, &["systemd-sysusers"])?;
    for dir in ["home/agent", "workspace"] {
        let dir = tree.join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        chown(&dir, Some(AGENT), Some(AGENT))
            .with_context(|| format!("cannot give {} to the agent", dir.display()))?;
    }
    let place = tree.join("usr/local/bin/claude");
    fs::hard_link(client, &place).with_context(|| format!("cannot make {}", place.display()))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", place.display()))?;
    let version = inside(tree, &["/usr/local/bin/claude", "--version"])?;
    if !version.starts_with(claude::VERSION) {
        return Err(anyhow!(
            "claude --version says {version:?}, expected {}",
            claude::VERSION
        ));
    }
    Ok(())
}
