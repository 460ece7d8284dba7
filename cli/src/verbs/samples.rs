//! Answers of a daemon, for tests.

use forage_api::bus::{
    AuthOutcome, CredentialInfo, FailureInfo, LimitsInfo, MountInfo, NetworkInfo, SandboxInfo,
    TemplateInfo, TokenInfo, TokenReply,
};

pub(crate) fn running() -> SandboxInfo {
    SandboxInfo {
        id: "00000abc".into(),
        name: "s1".into(),
        owner: 1000,
        template: "claude".into(),
        state: "running".into(),
        repository: Some("/home/alice/repo".into()),
        workspace: "/home/alice/repo".into(),
        created_at: "2026-03-19T21:00:00Z".into(),
        uid_base: 0x7000_0000,
        credentials: vec![CredentialInfo {
            agent: "claude".into(),
            method: "oauth-token".into(),
            delivery: "env".into(),
            effect: "next-launch".into(),
            variable: "CLAUDE_CODE_OAUTH_TOKEN".into(),
            file: "/run/secrets/claude-oauth-token".into(),
            source: "token-store".into(),
            expires_at: Some("2027-03-19T21:00:00Z".into()),
            fingerprint: Some("1a2b3c4d".into()),
            generation: 1,
            stale: None,
            revoked: false,
        }],
        ..SandboxInfo::default()
    }
}

/// As `Get` answers.
pub(crate) fn detailed() -> SandboxInfo {
    let mount = |path: &str, what: &str, source: Option<&str>, writable| MountInfo {
        path: path.into(),
        what: what.into(),
        source: source.map(Into::into),
        writable,
    };
    SandboxInfo {
        started_at: Some("2026-03-20T17:58:30Z".into()),
        uptime: Some(10_890),
        system: Some("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system".into()),
        newer_system: Some("/nix/store/zyxwvsrqpnmlkjihgfdcba9876543210-nixos-system".into()),
        limits: Some(LimitsInfo {
            cpu_quota: Some(150),
            memory_max: Some(4 << 30),
            tasks_max: None,
        }),
        network: Some(NetworkInfo {
            mode: "full".into(),
            interface: Some("vf-00000abc".into()),
            addresses: vec!["10.99.0.2/30".into()],
            gateways: vec!["10.99.0.1".into()],
            resolvers: vec!["192.168.1.1".into()],
            warnings: vec!["the host has no IPv6".into()],
        }),
        mounts: Some(vec![
            mount("/", "root", None, true),
            mount("/workspace", "workspace", Some("/home/alice/repo"), true),
            mount("/run/secrets", "secrets", None, false),
        ]),
        last_failure: Some(FailureInfo {
            at: "2026-03-19T21:30:00Z".into(),
            message: "the sandbox did not become ready within 60 seconds".into(),
            hint: Some("see what it said: forage-ctl logs s1 --start".into()),
        }),
        ..running()
    }
}

pub(crate) fn unreadable() -> SandboxInfo {
    SandboxInfo {
        id: "00000def".into(),
        name: "s2".into(),
        owner: 0x7eee_eeee,
        template: String::new(),
        state: "unreadable".into(),
        repository: None,
        workspace: "/var/lib/firefly-forage/workspaces/00000def".into(),
        created_at: String::new(),
        uid_base: 0x7001_0000,
        credentials: vec![],
        failure: Some("its record is damaged".into()),
        hint: Some("repair or delete it".into()),
        ..SandboxInfo::default()
    }
}

pub(crate) fn templates() -> Vec<TemplateInfo> {
    let template = |name: &str, description: &str, agents: &[&str]| TemplateInfo {
        name: name.into(),
        description: description.into(),
        agents: agents.iter().map(|agent| (*agent).into()).collect(),
        network: "none".into(),
    };
    vec![
        template("claude", "Claude Code on a minimal Debian", &["claude"]),
        template("plain", "", &[]),
    ]
}

pub(crate) fn token() -> TokenInfo {
    TokenInfo {
        state: "valid".into(),
        source: "token-store".into(),
        created_at: Some("2026-03-19T21:00:00Z".into()),
        expires_at: Some("2027-03-19T21:00:00Z".into()),
        days_left: Some(364),
        login_expires_at: None,
        sandboxes: vec!["s1".into(), "s3".into()],
        others: 2,
        warnings: vec![],
    }
}

pub(crate) fn no_token() -> TokenInfo {
    TokenInfo {
        state: "missing".into(),
        source: "none".into(),
        created_at: None,
        expires_at: None,
        days_left: None,
        login_expires_at: None,
        sandboxes: vec![],
        others: 0,
        warnings: vec![],
    }
}

pub(crate) fn outcome() -> AuthOutcome {
    let sandbox = running();
    AuthOutcome {
        name: sandbox.name,
        state: sandbox.state,
        credentials: sandbox.credentials,
        stale: None,
        failure: None,
    }
}

pub(crate) fn stored() -> TokenReply {
    TokenReply {
        expires_at: Some("2027-03-19T21:00:00Z".into()),
        updated: vec!["s1".into(), "s3".into()],
        stale: vec![],
        others: 2,
        warnings: vec![],
    }
}

pub(crate) fn nothing_done() -> TokenReply {
    TokenReply {
        expires_at: None,
        updated: vec![],
        stale: vec![],
        others: 0,
        warnings: vec![],
    }
}
