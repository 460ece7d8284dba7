//! The host in memory as the core's ports.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use forage_api::ident::SandboxId;
use forage_api::record::{RecordName, SandboxRecord};
use forage_api::shim::control::{Hello, RunState, VERSION};
use forage_api::shim::report::{Outcome, Report};
use forage_api::{ErrorKind, Failure};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::FakeHost;
use super::world::{Hung, Inner, Script, planned};
use crate::core::ports::*;
use crate::core::{Link, Shim, silent};

#[async_trait]
impl Records for FakeHost {
    async fn load(&self) -> Result<Vec<LoadedRecord>, Failure> {
        Ok(Vec::new())
    }

    async fn write(&self, record: &SandboxRecord) -> Result<(), Failure> {
        self.disk(Hung::Records).await;
        self.with(|inner| inner.log.push(format!("write {:?}", record.phase)));
        self.stored()?;
        self.with(|inner| inner.records.insert(record.id, record.clone()));
        Ok(())
    }

    async fn delete(&self, name: &RecordName) -> Result<(), Failure> {
        self.with(|inner| inner.log.push("delete".into()));
        self.stored()?;
        self.with(|inner| inner.records.remove(&name.id));
        Ok(())
    }
}

#[async_trait]
impl TokenFiles for FakeHost {
    async fn read(&self, place: TokenPlace) -> Result<TokenEntry, Failure> {
        self.disk(Hung::Tokens(place)).await;
        if self.with(|inner| inner.unreadable) {
            return Err(Failure::new(ErrorKind::StorageFailed, "i/o error"));
        }
        let found = self.with(|inner| inner.tokens.get(&place).cloned());
        Ok(found.map_or(TokenEntry::Missing, TokenEntry::Stored))
    }

    async fn write(&self, place: TokenPlace, token: StoredToken) -> Result<(), Failure> {
        self.disk(Hung::TokenWrites(place)).await;
        self.stored()?;
        self.put_token(place, token);
        Ok(())
    }

    async fn delete(&self, place: TokenPlace) -> Result<bool, Failure> {
        self.stored()?;
        Ok(self.with(|inner| inner.tokens.remove(&place)).is_some())
    }
}

#[async_trait]
impl Units for FakeHost {
    async fn start(&self, unit: Unit) -> Result<Job, Failure> {
        let at = self.boot_time_ns();
        let (sender, receiver) = oneshot::channel();
        self.with(|inner| match unit {
            Unit::Remove(id) => {
                inner.log.push("start remove".into());
                if let Some(outcome) = inner.removal.clone() {
                    let report = Report {
                        boot_time_ns: at,
                        outcome,
                    };
                    inner.reports.insert(id, report);
                }
                if inner.remover.is_some() {
                    inner.lost.push(sender);
                    return Ok(());
                }
                sender.send(JobEnd::Done).map_err(|_| silent())
            }
            Unit::Sandbox(id) => {
                inner.log.push("start sandbox".into());
                match inner.script.clone() {
                    Script::Deny(failure) => return Err(failure),
                    Script::Die => {
                        return sender
                            .send(JobEnd::Failed("failed".into()))
                            .map_err(|_| silent());
                    }
                    _ => {}
                }
                inner.jobs.insert(id, sender);
                inner.units.insert(id, UnitState::Activating);
                inner.shims.insert(id, RunState::AwaitingCredentials);
                let planned = planned(inner.records.get(&id));
                inner.credentials.insert(id, planned);
                Ok(())
            }
        })?;
        Ok(Job::new(receiver))
    }

    async fn stop(&self, id: SandboxId) -> Result<Job, Failure> {
        let at = self.boot_time_ns();
        let (sender, receiver) = oneshot::channel();
        self.with(|inner| {
            inner.log.push("stop unit".into());
            inner.end(id, Some(Outcome::Stopped), at);
        });
        sender.send(JobEnd::Done).map_err(|_| silent())?;
        Ok(Job::new(receiver))
    }

    async fn list(&self) -> Result<HashMap<SandboxId, UnitState>, Failure> {
        self.with(|inner| {
            let seen = inner.seen.clone().map(|seen| seen.ok_or_else(silent));
            seen.unwrap_or_else(|| Ok(inner.units.clone()))
        })
    }

    async fn state(&self, unit: Unit) -> Result<UnitState, Failure> {
        match unit {
            Unit::Sandbox(id) => Ok(self.unit(id)),
            Unit::Remove(_) => Ok(self.with(|inner| inner.remover).unwrap_or(UnitState::Gone)),
        }
    }

    async fn gone(&self, id: SandboxId, wait: Duration) -> bool {
        let gone = |inner: &mut Inner| (!inner.units.contains_key(&id)).then_some(());
        self.until(wait, gone).await.is_some()
    }
}

#[async_trait]
impl Shims for FakeHost {
    async fn connect(&self, id: SandboxId, wait: Duration) -> Result<Link, Failure> {
        let state = self
            .until(wait, |inner| {
                let shim = inner.shims.get(&id).copied();
                shim.filter(|_| !inner.slow)
            })
            .await;
        let state = state.ok_or_else(silent)?;
        let (shim, calls) = Shim::channel();
        let (sender, events) = mpsc::unbounded_channel();
        let this = self.with(|inner| {
            inner.links.insert(id, sender);
            inner.this.upgrade()
        });
        tokio::spawn(this.ok_or_else(silent)?.serve(id, calls));
        let credentials = self.with(|inner| {
            let planned = planned(inner.records.get(&id));
            inner.credentials.entry(id).or_insert(planned).clone()
        });
        Ok(Link {
            hello: Hello {
                facts: None,
                version: VERSION,
                id,
                state,
                credentials,
            },
            shim,
            events,
        })
    }

    async fn report(&self, id: SandboxId, since: u64, wait: Duration) -> Option<Report> {
        let newer = |report: &&Report| report.boot_time_ns >= since;
        self.until(wait, |inner| inner.reports.get(&id).filter(newer).cloned())
            .await
    }

    async fn log(&self, _id: SandboxId) -> Result<Vec<OwnedFd>, Failure> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Users for FakeHost {
    async fn uid_of(&self, name: &str) -> Result<Option<u32>, Failure> {
        self.users_answer()?;
        let users = [
            ("root", 0),
            ("alice", 1000),
            ("bob", 1001),
            ("mallory", 1002),
        ];
        Ok(users
            .iter()
            .find(|(user, _)| *user == name)
            .map(|(_, uid)| *uid))
    }

    async fn is_member(&self, uid: u32) -> Result<bool, Failure> {
        self.users_answer()?;
        let left = self.with(|inner| inner.left.contains(&uid));
        Ok(!left && (uid == 1000 || uid == 1001))
    }
}

impl FakeHost {
    fn users_answer(&self) -> Result<(), Failure> {
        let answers = self.with(|inner| match &mut inner.fail_users {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        });
        let failed = || Failure::new(ErrorKind::Unavailable, "the directory does not answer");
        answers.then_some(()).ok_or_else(failed)
    }
}

/// The unique name of a caller is its uid behind `:1.`.
#[async_trait]
impl Callers for FakeHost {
    async fn uid(&self, caller: &str) -> Result<u32, Failure> {
        let uid = caller.strip_prefix(":1.").and_then(|uid| uid.parse().ok());
        uid.ok_or_else(|| Failure::new(ErrorKind::AccessDenied, "nobody"))
    }
}

/// Root may everything, others nothing.
#[async_trait]
impl Authority for FakeHost {
    async fn check(
        &self,
        caller: &str,
        _interactive: bool,
        action: &'static str,
    ) -> Result<(), Failure> {
        self.with(|inner| inner.log.push(format!("polkit {caller} {action}")));
        match caller {
            ":1.0" => Ok(()),
            _ => Err(Failure::new(ErrorKind::AccessDenied, "no")),
        }
    }
}

#[async_trait]
impl Clock for FakeHost {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn boot_time_ns(&self) -> u64 {
        self.boot_time.fetch_add(1, Ordering::Relaxed)
    }

    async fn until(&self, at: Option<Timestamp>) -> Woken {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if self.clock_set.swap(false, Ordering::Relaxed) {
                return Woken::ClockSet;
            }
            if at.is_some_and(|at| self.now() >= at) {
                return Woken::Due;
            }
            changed.changed().await.unwrap();
        }
    }
}
