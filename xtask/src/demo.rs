//! `cargo xtask demo`: the main job on a real systemd host.

mod live;

use std::process::ExitCode;

use anyhow::{Result, bail};
use forage_tests::testbed::{Options, Testbed};

use crate::story::Story;

const TOKEN_FILE: &str = "/run/secrets/claude-oauth-token";

/// Runs the story; an error is the step that did not do what it says.
pub(crate) fn run() -> Result<ExitCode> {
    let testbed = Testbed::boot(&Options::named("demo"))?;
    let mut story = Story::new(&testbed);
    testbed.surround()?;
    host(&mut story)?;
    let before = testbed.inventory()?;
    let first = token('a');
    let second = token('b');
    credentials(&mut story, &testbed, &first)?;
    sandbox(&mut story)?;
    logged_in(&mut story, &first)?;
    rotation(&mut story, &testbed, &second)?;
    secret_file(&mut story)?;
    from_the_store(&mut story)?;
    network(&mut story, &second)?;
    live::live(&mut story, &testbed, &second)?;
    story.step("alice ends the sandbox", "alice", "forage-ctl down s1")?;
    story.step("and none is left", "alice", "forage-ctl ps")?;
    story.say("Nothing is left behind: no unit, machine, mount, interface, process or secret");
    let left = left_behind(&testbed.inventory()?.since(&before).to_string());
    if !left.is_empty() {
        bail!("left behind:\n{left}");
    }
    story.close();
    Ok(ExitCode::SUCCESS)
}

fn host(story: &mut Story<'_>) -> Result<()> {
    story
        .step(
            "A real systemd host has booted",
            "root",
            "systemctl is-system-running; systemctl --version | head -n 1",
        )?
        .shows(&["running"])?;
    story
        .step(
            "foraged runs",
            "root",
            "systemctl status --no-pager --lines=0 firefly-forage.service",
        )?
        .shows(&["active (running)"])?;
    story
        .step(
            "and owns its name on the system bus",
            "alice",
            "busctl --no-pager status org.firefly.Forage1 | grep -E '^(PID|Comm|UniqueName|EUID)='",
        )?
        .shows(&["foraged"])?;
    story
        .step("Templates there are", "alice", "forage-ctl templates")?
        .shows(&["claude"])
}

/// How alice hands a token over: a file of hers stands for what `claude setup-token` printed.
const STORE: &str = "forage-ctl claude token store - < ~/token";

fn credentials(story: &mut Story<'_>, testbed: &Testbed, token: &str) -> Result<()> {
    testbed.write_file("/home/alice/token", "alice", "0600", token.as_bytes())?;
    story.step("alice hands over her Claude token", "alice", STORE)?;
    story.step(
        "It is kept, with its expiry",
        "alice",
        "forage-ctl claude token status",
    )?;
    story.step(
        "alice has a repository",
        "alice",
        "git init --quiet ~/repo && echo hello > ~/repo/README && ls ~/repo",
    )?;
    Ok(())
}

fn sandbox(story: &mut Story<'_>) -> Result<()> {
    story.step(
        "She starts a sandbox for it",
        "alice",
        "forage-ctl up s1 -t claude --repo ~/repo",
    )?;
    story
        .step("It runs", "alice", "forage-ctl ps")?
        .shows(&["s1", "claude"])?;
    let map = story.step(
        "in a user namespace of its own",
        "alice",
        "forage-ctl exec s1 -- cat /proc/self/uid_map",
    )?;
    let fields: Vec<&str> = map.text.split_whitespace().collect();
    if fields.len() != 3 || fields[0] != "0" || fields[1] == "0" || fields[2] != "65536" {
        bail!("this is no user namespace of its own");
    }
    story
        .step(
            "The agent works as an unprivileged user",
            "alice",
            "forage-ctl exec s1 -- id -un",
        )?
        .is("agent")?;
    let line = "forage-ctl exec s1 -- sh -c 'cat /workspace/README; echo done > /workspace/by-agent' && ls -l ~/repo/by-agent";
    story
        .step(
            "It sees the repository, and what it makes is alice's",
            "alice",
            line,
        )?
        .shows(&["hello", "alice alice"])?;
    story.refused(
        "mallory is not let in",
        "mallory",
        "forage-ctl exec s1 -- true",
    )?;
    Ok(())
}

fn logged_in(story: &mut Story<'_>, token: &str) -> Result<()> {
    let list = format!("forage-ctl exec s1 -- stat -c '%A %U %n' {TOKEN_FILE}");
    story
        .step(
            "The credential is a file only the agent can read",
            "alice",
            &list,
        )?
        .shows(&["-r-------- agent"])?;
    let line = "forage-ctl exec s1 -- printenv CLAUDE_CODE_OAUTH_TOKEN";
    story
        .step("and the variable Claude Code reads", "alice", line)?
        .is(token)?;
    let line = "forage-ctl exec s1 -- claude auth status";
    story
        .step("The real Claude Code is logged in", "alice", line)?
        .shows(&["\"loggedIn\": true", "oauth_token"])
}

fn rotation(story: &mut Story<'_>, testbed: &Testbed, token: &str) -> Result<()> {
    testbed.write_file("/home/alice/token", "alice", "0600", token.as_bytes())?;
    story
        .step(
            "alice stores another token while the sandbox runs",
            "alice",
            STORE,
        )?
        .shows(&["s1"])?;
    let read = format!("forage-ctl exec s1 -- cat {TOKEN_FILE}");
    story
        .step("The running sandbox has it", "alice", &read)?
        .is(token)
}

fn secret_file(story: &mut Story<'_>) -> Result<()> {
    story.step(
        "Another template uses an API key from a secret file",
        "alice",
        "forage-ctl up s2 -t claude-key",
    )?;
    story
        .step(
            "It is at /run/secrets, for the agent alone",
            "alice",
            "forage-ctl exec s2 -- stat -c '%A %U %n' /run/secrets/anthropic",
        )?
        .shows(&["-r-------- agent"])?;
    story
        .step(
            "and Claude Code uses it",
            "alice",
            "forage-ctl exec s2 -- claude auth status",
        )?
        .shows(&["api_key", "ANTHROPIC_API_KEY"])?;
    story.step("alice ends this one", "alice", "forage-ctl down s2")?;
    Ok(())
}

fn from_the_store(story: &mut Story<'_>) -> Result<()> {
    let line = "forage-ctl up s3 -t store --repo ~/repo";
    story.step(
        "A template can be a system in the Nix store, as NixOS builds it",
        "alice",
        line,
    )?;
    let line = "forage-ctl exec s3 -- findmnt --noheadings --output FSTYPE,OPTIONS /nix/store";
    story
        .step(
            "It sees the store, read-only, in a root that is empty otherwise",
            "alice",
            line,
        )?
        .shows(&["ro,nosuid,nodev", "idmapped"])?;
    let line = "forage-ctl exec s3 -- claude auth status";
    story
        .step("and is logged in the same way", "alice", line)?
        .shows(&["\"loggedIn\": true", "oauth_token"])?;
    story
        .step(
            "While it runs, Nix's garbage collector keeps its system",
            "root",
            "nix-store --gc --quiet && nix-store --gc --print-roots | grep firefly-forage",
        )?
        .shows(&["/nix/var/nix/gcroots/firefly-forage/"])?;
    story.step("alice ends this one, too", "alice", "forage-ctl down s3")?;
    Ok(())
}

fn network(story: &mut Story<'_>, token: &str) -> Result<()> {
    story.step(
        "A template with a network; around the host there are a small internet and a LAN",
        "alice",
        "forage-ctl up s4 -t net",
    )?;
    story
        .step("It is the shim's work", "alice", "forage-ctl status s4")?
        .shows(&["full", "vf-", "198.51.100.10"])?;
    story
        .step(
            "Names are resolved, and the internet sees the host",
            "alice",
            "forage-ctl exec s4 -- curl --silent --ipv4 http://web.example/",
        )?
        .is("hello 203.0.113.2")?;
    let line = "forage-ctl exec s4 -- env ANTHROPIC_BASE_URL=http://web.example claude -p hi";
    story
        .step("The real Claude Code talks to an API there", "alice", line)?
        .is("hello from the API")?;
    story
        .step(
            "which saw alice's token",
            "root",
            "cut -f2 /tmp/internet/asked | tail -n 1",
        )?
        .is(&format!("Bearer {token}"))?;
    for (title, url) in [
        ("It does not reach the host", "http://203.0.113.2:9000/"),
        (
            "nor the data of a cloud's machines",
            "http://169.254.169.254/",
        ),
    ] {
        let line = format!("forage-ctl exec s4 -- curl --silent --show-error --max-time 3 {url}");
        story.refused(title, "alice", &line)?;
    }
    story
        .step(
            "but for the port its template opens",
            "alice",
            "forage-ctl exec s4 -- sh -c 'curl --silent http://$(cat /run/forage/net/gateway):8080/'",
        )?
        .is("from the host")?;
    story
        .step(
            "Flushing the host's firewall does not open it",
            "root",
            "nft flush ruleset; nft list tables",
        )?
        .shows(&["table netdev forage_", "table inet forage_"])?;
    story.step("alice ends this one", "alice", "forage-ctl down s4")?;
    Ok(())
}

/// A made-up token of the real shape.
fn token(letter: char) -> String {
    format!("sk-ant-oat01-{}", letter.to_string().repeat(95))
}

/// What a sandbox must not leave; the token alice stored stays hers.
fn left_behind(lines: &str) -> String {
    let own = |line: &&str| !line.starts_with("file /var/lib/firefly-forage/tokens");
    lines.lines().filter(own).collect::<Vec<_>>().join("\n")
}
