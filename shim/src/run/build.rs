//! From the credentials to a booting container.

use std::os::fd::AsFd as _;

use forage_api::Failure;
use forage_api::shim::control::Event;
use sd_notify::NotifyState;

use super::{Phase, Run};
use crate::admission::Admitted;
use crate::config_dir;
use crate::fail::start;
use crate::nspawn::Nspawn;
use crate::root::Places;
use crate::secrets::Wanted;
use crate::sys::time::Deadline;
use crate::{managed, profile, root, wrapper};

impl Run<'_> {
    /// Builds the sandbox and starts its container.
    pub(super) fn build(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let Some((base, workspace)) = self.opened.take() else {
            return Ok(());
        };
        let sandbox = self.sandbox;
        let deadline = Deadline::after(sandbox.start_timeout);
        self.enter(Phase::Booting(deadline));
        self.begin_step("root");
        let places = root::build(sandbox, &base)?;
        self.begin_step("workspace");
        root::add_workspace(sandbox, &places, &workspace)?;
        self.copy_configs(&places, deadline)?;
        profile::add(sandbox, &places)
            .map_err(|error| start("write the shells' profile", error))?;
        managed::add(sandbox, &places)?;
        self.begin_step("secrets");
        self.delivery.start(wanted)?;
        self.tell_event(Event::Credentials(self.delivery.delivered()));
        wrapper::write_all(&sandbox.template, &places.wrappers())
            .map_err(|error| start("write the agents' wrappers", error))?;
        if let Some(network) = &mut self.network {
            network.prepare(sandbox, &places)?;
        }
        self.begin_step("booting");
        if let Some(limits) = self.limits.take() {
            limits.finish()?;
        }
        self.container = Some(Nspawn::start(sandbox, &places)?);
        notify(&[NotifyState::Status(&status(sandbox, "booting"))]);
        Ok(())
    }
}

impl Run<'_> {
    fn copy_configs(&mut self, places: &Places, deadline: Deadline) -> Result<(), Failure> {
        let cancel = self.signals.as_fd();
        let copied = config_dir::copy(self.sandbox, places, &mut self.configs, deadline, cancel);
        self.note_configs(copied?);
        Ok(())
    }

    /// Hears what looks after the copies of configuration directories.
    pub(super) fn hear_configs(&mut self) {
        let lines = config_dir::changes(&mut self.configs);
        self.note_configs(lines);
    }

    pub(super) fn note_configs(&mut self, lines: Vec<String>) {
        for line in lines {
            tracing::info!(FORAGE_EVENT = "config-dir", "{line}");
            self.log.note(&line);
        }
    }
}

/// What `systemctl status` shows of a sandbox: whose it is, which the unit's name does not tell.
pub(super) fn status(sandbox: &Admitted, state: &str) -> String {
    let record = &sandbox.record;
    format!("{} of uid {}, {state}", record.name, record.owner)
}

/// Tells systemd; by hand there is none.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot tell systemd: {error}");
    }
}
