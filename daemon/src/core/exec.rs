//! Opening a conversation between a caller and a sandbox's shim. The daemon makes the two ends, hands
//! them out and keeps neither, so that its own end does not cut what runs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use forage_api::ident::SandboxName;
use forage_api::shim::control::{RunState, Verb};
use forage_api::{ErrorKind, Failure, Secret};

use super::handle::Core;
use super::link::silent;
use super::start::subject;
use super::state::not_running;
use super::stop::REPLY_WAIT;

impl Core {
    /// Gives the caller's end.
    pub(crate) async fn exec(&self, owner: u32, name: SandboxName) -> Result<OwnedFd, Failure> {
        let core = self.clone();
        self.operate(subject("exec", owner, &name), async move {
            let shim = core
                .ask(move |state| {
                    let sandbox = state.find(owner, &name)?;
                    sandbox.readable()?;
                    let run = sandbox.run.as_ref().filter(|_| sandbox.busy.is_none());
                    // What is frozen says so itself.
                    let entered = [RunState::Running, RunState::Frozen];
                    run.filter(|run| entered.contains(&run.state))
                        .ok_or_else(|| not_running(&name))?
                        .shim
                        .clone()
                        .ok_or_else(silent)
                })
                .await?;
            let (callers, shims) = UnixStream::pair().map_err(|error| {
                Failure::new(
                    ErrorKind::Internal,
                    format!("cannot make a socket: {error}"),
                )
            })?;
            let reply = shim.post(Verb::Exec, Secret::default(), Some(shims.into()))?;
            reply.within(REPLY_WAIT).await?;
            Ok(callers.into())
        })
        .await
    }
}
