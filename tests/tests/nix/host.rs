//! What a host is given by the module.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::evaluation::Evaluation;

#[test]
fn a_host_has_what_the_daemon_needs() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::a_host_has_what_the_daemon_needs")? else {
        return Ok(());
    };
    let host = evaluation.get("host")?;
    for (key, expected) in [
        ("members", json!(["alice", "bob"])),
        ("daemon", json!({"group": "foraged", "isSystemUser": true})),
        ("packages", json!([true, true, true, true])),
        ("polkit", json!(true)),
        ("restarts", json!([false, false])),
        ("daemonStops", json!(false)),
        ("daemonReloads", json!(true)),
        ("deniedInterfaces", json!(["vf-*"])),
        // Users of NixOS are of one kind, by their uid.
        (
            "agents",
            json!([
                {"isNormalUser": true, "isSystemUser": false, "useDefaultShell": true, "failing": []},
                {"isNormalUser": false, "isSystemUser": true, "useDefaultShell": true, "failing": []},
            ]),
        ),
        (
            "disabled",
            json!({"etc": [], "groups": [], "services": [], "users": []}),
        ),
    ] {
        ensure!(host[key] == expected, "{key}: {:#}", host[key]);
    }
    for unit in ["forage-sandbox@", "forage-remove@"] {
        let tools = host["tools"][unit].to_string();
        for tool in ["iproute2", "iptables", "nftables"] {
            ensure!(tools.contains(tool), "{unit} does not find {tool}: {tools}");
        }
    }
    Ok(())
}

#[test]
fn options_become_keys() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::options_become_keys")? else {
        return Ok(());
    };
    let settings = evaluation.get("host.settings")?;
    ensure!(settings["user"] == "alice" && settings["shareToken"] == true);
    ensure!(settings["maxSandboxesPerUser"] == 16);
    let built = &settings["templates"]["built"];
    ensure!(built["hostPorts"] == json!([8080, "udp/53"]), "{built:#}");
    let limits = json!({"cpuQuota": "150%", "memoryMax": "4G", "tasksMax": 512});
    ensure!(built["resourceLimits"] == limits, "{built:#}");
    ensure!(built["environment"] == json!({"EDITOR": "vi"}), "{built:#}");
    // What nobody said is left to the daemon.
    for key in ["description", "root", "init"] {
        ensure!(built.get(key).is_none(), "{built:#}");
    }
    let agent = &built["agents"]["claude"];
    ensure!(
        agent["command"]
            .as_str()
            .is_some_and(|path| path.ends_with("/bin/tmux")),
        "{agent:#}"
    );
    for key in ["secretName", "hostConfigDir", "hostConfigDirReadOnly"] {
        ensure!(agent.get(key).is_none(), "{agent:#}");
    }
    // A ready system is taken as it is; with an agent's package it keeps that from being collected.
    let templates = &settings["templates"];
    let ready = templates["ready"]["system"].as_str().unwrap_or_default();
    ensure!(ready.contains("-tmux-"), "{ready}");
    let beside = templates["ready-and-agent"]["system"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        beside.ends_with("-forage-sandbox-ready-and-agent"),
        "{beside}"
    );
    Ok(())
}
