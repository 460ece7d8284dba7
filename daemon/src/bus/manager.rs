//! `org.firefly.Forage1.Manager`.

use std::future::Future;
use std::sync::Arc;

use forage_api::Failure;
use forage_api::bus::{
    CreateOptions, OwnerOptions, ProgressInfo, RemoveOptions, SandboxInfo, SandboxRow, StartReply,
    TemplateInfo,
};
use forage_api::ident::{SandboxName, TemplateName};
use tokio::sync::mpsc;
use zbus::interface;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::object_server::SignalEmitter;

use super::access::Method;
use super::gate::Gate;
use super::subscribers::{Subscribers, has_left};
use super::wire;
use crate::core::{Progress, SandboxSpec};

/// The interface for sandboxes.
pub(crate) struct Manager {
    gate: Arc<Gate>,
    subscribers: Arc<Subscribers>,
}

impl Manager {
    pub(super) const fn new(gate: Arc<Gate>, subscribers: Arc<Subscribers>) -> Self {
        Self { gate, subscribers }
    }
}

/// Sandboxes: create, start, stop, remove, look at and enter them.
#[interface(name = "org.firefly.Forage1.Manager")]
impl Manager {
    /// Creates a sandbox from a template and starts it. Replies when it is ready. Options: `owner`
    /// (s), the user to act for; `repository` (s), the directory to work on, an absolute path.
    #[zbus(out_args("reply"))]
    async fn create(
        &self,
        name: &str,
        template: &str,
        options: CreateOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<StartReply, Failure> {
        let caller = self.gate.enter(Method::Create, &header).await?;
        let name: SandboxName = name.parse()?;
        let template: TemplateName = template.parse()?;
        let repository = options.repository.map(wire::repository).transpose()?;
        let spec = SandboxSpec {
            owner: self.gate.owner(&caller, options.owner.as_deref()).await?,
            name: name.clone(),
            template,
            repository,
        };
        let (progress, steps) = Progress::channel();
        let work = self.gate.core().create(spec, progress);
        Ok(wire::started(
            relay(&name, &header, emitter, steps, work).await?,
        ))
    }

    /// Starts a stopped or failed sandbox. Replies when it is ready. Options: `owner` (s).
    #[zbus(out_args("reply"))]
    async fn start(
        &self,
        name: &str,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<StartReply, Failure> {
        let caller = self.gate.enter(Method::Start, &header).await?;
        let name: SandboxName = name.parse()?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        let (progress, steps) = Progress::channel();
        let work = self.gate.core().start(owner, name.clone(), progress);
        Ok(wire::started(
            relay(&name, &header, emitter, steps, work).await?,
        ))
    }

    /// Stops a running sandbox. Replies when everything of its run is gone. Options: `owner` (s).
    async fn stop(
        &self,
        name: &str,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Failure> {
        let caller = self.gate.enter(Method::Stop, &header).await?;
        let name: SandboxName = name.parse()?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        self.gate.core().stop(owner, name).await
    }

    /// Removes a sandbox, stopping it first if it runs. Options: `owner` (s); `deleteWorkspace` (b),
    /// whether the files in a workspace of the sandbox's own are deleted with it.
    async fn remove(
        &self,
        name: &str,
        options: RemoveOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<(), Failure> {
        let caller = self.gate.enter(Method::Remove, &header).await?;
        let name: SandboxName = name.parse()?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        let delete_workspace = options.delete_workspace.unwrap_or(false);
        let (progress, steps) = Progress::channel();
        let work = self
            .gate
            .core()
            .remove(owner, name.clone(), delete_workspace, progress);
        relay(&name, &header, emitter, steps, work).await
    }

    /// Opens a conversation with a running sandbox's shim: one end of a stream socket. Options:
    /// `owner` (s).
    #[zbus(out_args("socket"))]
    async fn exec(
        &self,
        name: &str,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd, Failure> {
        let caller = self.gate.enter(Method::Exec, &header).await?;
        let name: SandboxName = name.parse()?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(self.gate.core().exec(owner, name).await?.into())
    }

    /// Describes one sandbox. Options: `owner` (s).
    #[zbus(out_args("sandbox"))]
    async fn get(
        &self,
        name: &str,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<SandboxInfo, Failure> {
        let caller = self.gate.enter(Method::Get, &header).await?;
        let name: SandboxName = name.parse()?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(wire::sandbox(self.gate.core().get(owner, name).await?))
    }

    /// Describes the caller's sandboxes: id, name, owner's uid, template, state, repository, time of
    /// creation, first uid, and what few have. Options: `owner` (s); root without it sees all.
    #[zbus(out_args("sandboxes"))]
    async fn list(
        &self,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<SandboxRow>, Failure> {
        let caller = self.gate.enter(Method::List, &header).await?;
        let owner = self.gate.listed(&caller, options.owner.as_deref()).await?;
        let sandboxes = self.gate.core().list(owner).await?;
        let infos = sandboxes.into_iter().map(wire::sandbox);
        Ok(infos.map(SandboxRow::from).collect())
    }

    /// Opens the start-up and console logs of a sandbox's last runs: descriptors to read, the oldest
    /// first. Options: `owner` (s).
    #[zbus(out_args("files"))]
    async fn logs(
        &self,
        name: &str,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<zbus::OwnedFd>, Failure> {
        let caller = self.gate.enter(Method::Logs, &header).await?;
        let name: SandboxName = name.parse()?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        let files = self.gate.core().logs(owner, name).await?;
        Ok(files.into_iter().map(Into::into).collect())
    }

    /// Describes the templates.
    #[zbus(out_args("templates"))]
    async fn templates(
        &self,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<TemplateInfo>, Failure> {
        let _caller = self.gate.enter(Method::Templates, &header).await?;
        let config = self.gate.core().config().await?;
        Ok(config
            .templates
            .iter()
            .map(|(name, one)| wire::template(name, one))
            .collect())
    }

    /// Asks for `SandboxChanged` signals about the caller's sandboxes until it leaves the bus; root is
    /// told of all.
    async fn subscribe(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<(), Failure> {
        let caller = self.gate.enter(Method::Subscribe, &header).await?;
        let whose = self.gate.listed(&caller, None).await?;
        let has_left = has_left(connection, &caller.name);
        self.subscribers
            .subscribe(&caller.name, (caller.uid, whose), has_left)
            .await
    }

    /// The daemon's version.
    #[zbus(out_args("version"))]
    async fn version(&self, #[zbus(header)] header: Header<'_>) -> Result<String, Failure> {
        let _caller = self.gate.enter(Method::Version, &header).await?;
        Ok(env!("CARGO_PKG_VERSION").into())
    }

    /// What a long call is doing; to its caller alone.
    #[zbus(signal)]
    async fn progress(emitter: &SignalEmitter<'_>, progress: ProgressInfo) -> zbus::Result<()>;

    /// A sandbox is in another state, or something else has changed that `List` tells of it; to
    /// connections of its owner that subscribed. `state` is empty once it is removed.
    #[zbus(signal)]
    pub(super) async fn sandbox_changed(
        emitter: &SignalEmitter<'_>,
        name: &str,
        state: &str,
    ) -> zbus::Result<()>;
}

/// Tells the caller of a long call each step, all of them before its end.
async fn relay<T>(
    name: &SandboxName,
    header: &Header<'_>,
    emitter: SignalEmitter<'_>,
    mut steps: mpsc::Receiver<String>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let sender = header.sender().map(|sender| BusName::from(sender.clone()));
    let emitter = sender.map(|sender| emitter.set_destination(sender));
    let tell = async |step: String| {
        let name = name.to_string();
        if let Some(emitter) = &emitter {
            // A caller who has left is no reason to stop.
            let _told = Manager::progress(emitter, ProgressInfo { name, step }).await;
        }
    };
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => tell(step).await,
            outcome = &mut work => {
                while let Ok(step) = steps.try_recv() {
                    tell(step).await;
                }
                return outcome;
            }
        }
    }
}
