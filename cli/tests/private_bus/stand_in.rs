//! Answers for the daemon and the shim, with a command of the host in place of one in a sandbox.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use forage_api::bus::{
    AuthOutcome, AuthReply, CreateOptions, CredentialInfo, OwnerOptions, ProgressInfo,
    RemoveOptions, RevokeOptions, SandboxInfo, SandboxRow, StartReply, TemplateInfo, TokenInfo,
    TokenReply,
};
use forage_api::names::{BUS_NAME, OBJECT_PATH};
use forage_api::shim::exec::{Ending, FromShim};
use forage_api::shim::frame;
use forage_api::{ErrorKind, Failure};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;

struct Manager;
/// The offers go there; whether one that is to be taken later has been put off.
struct Tokens(mpsc::Sender<Offer>, AtomicBool);

/// What was offered as the login on the host: its bytes, and when it expires.
pub(crate) type Offer = (String, i64);

/// The stand-in, until it is dropped.
pub(crate) struct StandIn {
    offers: mpsc::Receiver<Offer>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// What was offered since this was last asked.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        self.offers.try_iter().collect()
    }

    /// The next offer, which is to come soon.
    pub(crate) fn next_offer(&self) -> Result<Offer> {
        let soon = Duration::from_secs(10);
        self.offers
            .recv_timeout(soon)
            .context("nothing was offered")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// A daemon that has the name but never answers, until it is dropped.
pub(crate) fn deaf(address: &str) -> Result<(tokio::runtime::Runtime, zbus::Connection)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Once it has the name, nothing drives it any more.
    let connection = runtime.block_on(
        zbus::connection::Builder::address(address)
            .name(BUS_NAME)
            .build(),
    )?;
    Ok((runtime, connection))
}

pub(crate) fn start(address: &str) -> Result<StandIn> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (offered, offers) = mpsc::channel();
    let connection = runtime.block_on(
        zbus::connection::Builder::address(address)
            .serve_at(OBJECT_PATH, Manager)
            .serve_at(OBJECT_PATH, Tokens(offered, AtomicBool::new(false)))
            .name(BUS_NAME)
            .build(),
    )?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let _stopped = runtime.block_on(stopped);
        drop(connection);
    });
    Ok(StandIn {
        offers,
        stop: Some(stop),
        thread: Some(thread),
    })
}

const TEMPLATES: &[&str] = &["claude", "plain"];

const SANDBOXES: [(&str, &str); 4] = [
    ("s1", "running"),
    ("s2", "running"),
    ("review-api", "stopped"),
    ("leaving", "stopping"),
];

fn found(name: &str) -> Result<SandboxInfo, Failure> {
    let (_, state) = SANDBOXES
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| {
            let message = format!("there is no sandbox {name}");
            Failure::new(ErrorKind::NoSuchSandbox, message)
        })?;
    Ok(SandboxInfo {
        state: state.into(),
        ..sandbox(name)
    })
}

fn sandbox(name: &str) -> SandboxInfo {
    SandboxInfo {
        id: "00000abc".into(),
        name: name.into(),
        owner: 1000,
        template: "claude".into(),
        state: "running".into(),
        repository: Some("/x".into()),
        workspace: "/x".into(),
        created_at: "2026-03-19T21:00:00Z".into(),
        uid_base: 0x7000_0000,
        credentials: vec![],
        ..SandboxInfo::default()
    }
}

#[zbus::interface(name = "org.firefly.Forage1.Manager")]
impl Manager {
    async fn create(
        &self,
        name: &str,
        template: &str,
        _options: CreateOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<StartReply, Failure> {
        match name {
            "s1" if template == "plain" => {
                let message = "there is a sandbox s1 already";
                return Err(Failure::new(ErrorKind::SandboxExists, message));
            }
            _ if !TEMPLATES.contains(&template) => {
                let message = format!("there is no template {template}");
                return Err(Failure::new(ErrorKind::NoSuchTemplate, message));
            }
            _ => {}
        }
        let caller = header.sender().map(|name| name.to_owned());
        let emitter = emitter.set_destination(caller.unwrap().into());
        let steps: &[&str] = match name {
            "broken" => &["root"],
            _ => &["root", "booting"],
        };
        // What concerns another sandbox is not shown.
        for (name, step) in steps
            .iter()
            .map(|step| (name, *step))
            .chain([("other", "x")])
        {
            let (name, step) = (name.into(), step.into());
            Self::progress(&emitter, ProgressInfo { name, step })
                .await
                .unwrap();
        }
        if name == "broken" {
            let failure = Failure::new(ErrorKind::SandboxFailed, "it did not boot");
            return Err(failure.hint("look inside"));
        }
        Ok(StartReply {
            sandbox: sandbox(name),
            warnings: vec!["it expires soon".into()],
            debug: vec!["using stored long-lived Claude OAuth token".into()],
        })
    }

    fn start(&self, name: &str, _options: OwnerOptions) -> Result<StartReply, Failure> {
        Ok(StartReply {
            sandbox: found(name)?,
            warnings: vec![],
            debug: vec![],
        })
    }

    fn stop(&self, name: &str, _options: OwnerOptions) -> Result<(), Failure> {
        match found(name)?.state.as_str() {
            "running" => Ok(()),
            "stopping" => Err(Failure::new(ErrorKind::Busy, "it is being stopped")),
            _ => Err(Failure::new(
                ErrorKind::SandboxNotRunning,
                "it does not run",
            )),
        }
    }

    fn remove(&self, name: &str, _options: RemoveOptions) -> Result<(), Failure> {
        match name {
            // Somebody else was faster.
            "s2" => Err(found("").unwrap_err()),
            name => found(name).map(drop),
        }
    }

    fn get(&self, name: &str, _options: OwnerOptions) -> Result<SandboxInfo, Failure> {
        found(name)
    }

    fn list(&self, _options: OwnerOptions) -> Vec<SandboxRow> {
        SANDBOXES
            .map(|(name, _)| found(name).unwrap().into())
            .into()
    }

    fn templates(&self) -> Vec<TemplateInfo> {
        let templates = TEMPLATES.iter().map(|name| TemplateInfo {
            name: (*name).into(),
            description: "for \x1b[31mtests".into(),
            agents: vec!["claude".into()],
            network: "none".into(),
        });
        templates.collect()
    }

    fn exec(&self, _name: &str, _options: OwnerOptions) -> zbus::OwnedFd {
        let (near, far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || run(&far).unwrap());
        std::os::fd::OwnedFd::from(near).into()
    }

    #[zbus(signal)]
    async fn progress(emitter: &SignalEmitter<'_>, progress: ProgressInfo) -> zbus::Result<()>;
}

fn credential() -> CredentialInfo {
    CredentialInfo {
        agent: "claude".into(),
        method: "oauth-token".into(),
        delivery: "env".into(),
        effect: "next-launch".into(),
        variable: "CLAUDE_CODE_OAUTH_TOKEN".into(),
        file: "/run/secrets/claude-oauth-token".into(),
        source: "token-store".into(),
        expires_at: None,
        fingerprint: Some("1a2b3c4d".into()),
        generation: 2,
        stale: None,
        revoked: false,
    }
}

/// What was done with a sandbox, or with all. One that is leaving cannot be reached.
fn outcomes(name: &str, then: Option<&str>) -> Result<AuthReply, Failure> {
    let all = match name {
        "" => SANDBOXES.map(|(name, _)| name).to_vec(),
        name => vec![name],
    };
    let mut sandboxes = Vec::new();
    for name in all {
        let sandbox = found(name)?;
        let runs = sandbox.state == "running";
        sandboxes.push(AuthOutcome {
            name: name.into(),
            state: match then {
                Some("freeze") if runs => "frozen".into(),
                _ => sandbox.state,
            },
            credentials: if runs { vec![credential()] } else { vec![] },
            stale: (name == "leaving").then(|| "its disk is full".into()),
            failure: (then == Some("stop") && runs).then(|| "it does not stop".into()),
        });
    }
    Ok(AuthReply {
        sandboxes,
        warnings: vec![],
        debug: vec!["using stored long-lived Claude OAuth token".into()],
    })
}

/// What sealed memory holds.
fn sealed(memory: &zbus::Fd<'_>) -> String {
    let seals = rustix::fs::fcntl_get_seals(memory.as_fd()).unwrap();
    assert!(seals.bits() & 0xF == 0xF);
    let memory = File::from(memory.as_fd().try_clone_to_owned().unwrap());
    let mut content = vec![0; usize::try_from(memory.metadata().unwrap().len()).unwrap()];
    memory.read_exact_at(&mut content, 0).unwrap();
    String::from_utf8(content).unwrap()
}

#[zbus::interface(name = "org.firefly.Forage1.Tokens")]
impl Tokens {
    fn store(&self, token: zbus::Fd<'_>, _options: OwnerOptions) -> TokenReply {
        TokenReply {
            expires_at: Some("2027-03-19T21:00:00Z".into()),
            updated: vec![format!("seen {} bytes", sealed(&token).len())],
            stale: vec![],
            others: 0,
            warnings: vec![],
        }
    }

    async fn offer_host_login(
        &self,
        token: zbus::Fd<'_>,
        expires_at_ms: i64,
        _options: OwnerOptions,
    ) -> Result<TokenReply, Failure> {
        let token = sealed(&token);
        let refused = token.ends_with("refused");
        let never = token.ends_with("never");
        let first = token.ends_with("later") && !self.1.swap(true, Ordering::Relaxed);
        self.0.send((token, expires_at_ms)).unwrap();
        if first {
            let message = "too much is under way";
            return Err(Failure::new(ErrorKind::LimitReached, message));
        }
        if never {
            std::future::pending::<()>().await;
        }
        if refused {
            let message = "it is no token that is known";
            return Err(Failure::new(ErrorKind::InvalidToken, message));
        }
        Ok(TokenReply {
            expires_at: None,
            updated: vec![],
            stale: vec![],
            others: 0,
            warnings: vec![],
        })
    }

    fn refresh(&self, name: &str, _options: OwnerOptions) -> Result<AuthReply, Failure> {
        outcomes(name, None)
    }

    fn revoke(&self, name: &str, options: RevokeOptions) -> Result<AuthReply, Failure> {
        outcomes(name, options.then.as_deref())
    }

    fn status(&self, _options: OwnerOptions) -> TokenInfo {
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
}

/// What the shim does, without the sandbox.
fn run(socket: &UnixStream) -> Result<()> {
    let frame = frame::receive(socket.as_fd(), &mut frame::Decoder::default())?;
    let frame = frame.context("the start")?;
    let words: Vec<String> = String::from_utf8(frame.raw.expose().to_vec())?
        .split_terminator('\0')
        .map(Into::into)
        .collect();
    let mut fds = frame.fds.into_iter().map(Stdio::from);
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .stdin(fds.next().context("stdin")?)
        .stdout(fds.next().context("stdout")?)
        .stderr(fds.next().context("stderr")?);
    let mut child = command.spawn()?;
    drop(command);
    frame::send(socket.as_fd(), &FromShim::Started, &[], &[])?;
    let status = child.wait()?;
    let ending = status.code().map_or_else(
        || Ending::Signalled(status.signal().unwrap_or_default()),
        |code| Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
    );
    frame::send(socket.as_fd(), &FromShim::Ended(ending), &[], &[])?;
    Ok(())
}
