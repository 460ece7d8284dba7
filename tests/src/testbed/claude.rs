//! The real Claude Code, from its npm package.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::paths::cache;
use super::process::tool;

/// The version the testbed is pinned to.
pub(super) const VERSION: &str = "2.1.197";

/// Fetches the native binary, which `@anthropic-ai/claude-code` has in an optional package per
/// platform, and returns its path in the cache.
pub(super) fn fetch() -> Result<PathBuf> {
    let platform = match std::env::consts::ARCH {
        "x86_64" => "linux-x64",
        "aarch64" => "linux-arm64",
        other => bail!("there is no Claude Code for {other}"),
    };
    let dir = cache().join(format!("claude-{VERSION}"));
    let binary = dir.join("package/claude");
    if binary.is_file() {
        return Ok(binary);
    }
    let building = cache().join(format!("claude-{VERSION}.building"));
    if building.exists() {
        fs::remove_dir_all(&building)
            .with_context(|| format!("cannot clear {}", building.display()))?;
    }
    fs::create_dir_all(&building).with_context(|| format!("cannot make {}", building.display()))?;
    let package = format!("@anthropic-ai/claude-code-{platform}@{VERSION}");
    let packed = tool(
        Command::new("npm")
            .args(["pack", "--silent", &package])
            .current_dir(&building),
    )
    .with_context(|| format!("cannot fetch {package}: is the npm registry reachable?"))?;
    let archive = packed.lines().last().unwrap_or_default().trim();
    tool(
        Command::new("tar")
            .args(["-xzf", archive, "--no-same-owner", "package/claude"])
            .current_dir(&building),
    )?;
    fs::remove_file(building.join(archive)).context("cannot remove the fetched archive")?;
    fs::rename(&building, &dir)
        .with_context(|| format!("cannot move the client to {}", dir.display()))?;
    Ok(binary)
}
