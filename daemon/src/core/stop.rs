//! Stopping a sandbox.

use std::time::Duration;

use forage_api::ident::SandboxName;
use forage_api::record::RecordName;
use forage_api::shim::control::Verb;
use forage_api::{ErrorKind, Failure, Secret, names};

use super::handle::{Core, note};
use super::sandbox::{Operation, Run};
use super::start::subject;
use super::state::not_running;

/// How long a shim may take to answer.
pub(super) const REPLY_WAIT: Duration = Duration::from_secs(5);
/// How much longer than the sandbox's services the clean-up may take.
const GRACE: Duration = Duration::from_secs(15);
/// How long systemd may take to stop a unit.
const UNIT_WAIT: Duration = Duration::from_secs(45);

impl Core {
    /// Stops a running sandbox. Done when everything of its run is gone.
    pub(crate) async fn stop(&self, owner: u32, name: SandboxName) -> Result<(), Failure> {
        let core = self.clone();
        self.operate(subject("stop", owner, &name), async move {
            let wanted = name.clone();
            let begun = core
                .ask(move |state| state.begin(owner, &wanted, Operation::Stop))
                .await?;
            let outcome = match begun.run {
                Some(run) => core.stop_run(&begun.record.record_name(), run).await,
                None => Err(not_running(&name)),
            };
            core.release(&begun.record);
            outcome
        })
        .await
    }

    /// Ends a run: through its shim, and where that does not answer through systemd.
    pub(super) async fn stop_run(&self, name: &RecordName, run: Run) -> Result<(), Failure> {
        let timeout = Duration::from_secs(self.config().await?.stop_timeout.into());
        if self.ask_to_stop(name, &run).await && ends_within(&run, timeout + GRACE).await {
            return Ok(());
        }
        note(name, "stop-by-systemd", "its shim does not stop it");
        self.ports().units.stop(name.id).await?;
        if ends_within(&run, UNIT_WAIT).await {
            return Ok(());
        }
        let message = format!("sandbox {} does not stop", name.name);
        Err(Failure::new(ErrorKind::Unavailable, message)
            .hint(format!("systemctl status {}", names::sandbox_unit(name.id))))
    }

    /// Asks the shim; tells whether the stop has begun.
    async fn ask_to_stop(&self, name: &RecordName, run: &Run) -> bool {
        let Some(shim) = &run.shim else {
            return false;
        };
        let Ok(reply) = shim.post(Verb::Stop, Secret::default(), None) else {
            return false;
        };
        // The conversation may end before the reply is read: then the run is ending too.
        tokio::select! {
            reply = reply.within(REPLY_WAIT) => match reply {
                Ok(()) => true,
                Err(failure) => {
                    note(name, "stop-refused", &failure.message);
                    ends_within(run, REPLY_WAIT).await
                }
            },
            () = run.ended() => true,
        }
    }
}

async fn ends_within(run: &Run, wait: Duration) -> bool {
    tokio::time::timeout(wait, run.ended()).await.is_ok()
}
