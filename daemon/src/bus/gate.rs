//! The way into every method: how many, who, and for whom.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use forage_api::{ErrorKind, Failure, ident, names};
use zbus::message::{Flags, Header};

use super::access::{Access, Method};
use super::admission::{Admission, Admitted};
use crate::core::{Authority, Callers, Core, Users};

/// Decides who gets through to the core.
pub(crate) struct Gate {
    core: Core,
    callers: Arc<dyn Callers>,
    users: Arc<dyn Users>,
    authority: Arc<dyn Authority>,
    admission: Arc<Admission>,
    /// The users who are being asked for a password; one question at a time each.
    asked: Mutex<HashSet<u32>>,
}

/// A caller who was admitted, until the request is done.
#[derive(Debug)]
pub(super) struct Caller {
    /// The unique name of its connection.
    pub(super) name: String,
    pub(super) uid: u32,
    method: Method,
    interactive: bool,
    _admitted: Admitted,
}

impl Gate {
    /// Makes the gate to a core.
    pub(crate) fn new(
        core: Core,
        callers: Arc<dyn Callers>,
        users: Arc<dyn Users>,
        authority: Arc<dyn Authority>,
    ) -> Self {
        Self {
            core,
            callers,
            users,
            authority,
            admission: Arc::default(),
            asked: Mutex::default(),
        }
    }

    /// What is behind the gate.
    pub(super) const fn core(&self) -> &Core {
        &self.core
    }

    /// Admits a request of root or of a member of the group. The group is looked up on each call,
    /// since the bus knows only the groups a user had at log-in.
    pub(super) async fn enter(
        &self,
        method: Method,
        header: &Header<'_>,
    ) -> Result<Caller, Failure> {
        let name = header
            .sender()
            .ok_or_else(|| Failure::new(ErrorKind::AccessDenied, "the caller has no name"))?
            .to_string();
        // Before anything that waits: who sends faster than the bus can say who that is must not fill
        // the memory with calls.
        let _waiting = self.admission.wait(&name)?;
        let uid = self.callers.uid(&name).await?;
        let config = self.core.config().await?;
        let caller = Caller {
            name,
            uid,
            method,
            interactive: header
                .primary()
                .flags()
                .contains(Flags::ALLOW_INTERACTIVE_AUTH),
            _admitted: self.admission.admit(uid, &config)?,
        };
        if uid != 0 && !self.may_enter(uid, method).await? {
            return Err(denied(&caller, Failure::new(
                ErrorKind::AccessDenied,
                format!("you are not a member of group {}", names::GROUP),
            )
            .hint(format!(
                "an administrator can add you: usermod --append --groups {} USER; then log in again",
                names::GROUP
            ))));
        }
        Ok(caller)
    }

    /// Tells whether a user is a member. Where nobody can tell, what takes away is let in: that the
    /// host's directory is down must not keep anybody from revoking what is their own.
    async fn may_enter(&self, uid: u32, method: Method) -> Result<bool, Failure> {
        match self.users.is_member(uid).await {
            Err(_) if method == Method::Revoke => Ok(true),
            member => member,
        }
    }

    /// The user a caller acts for, if it may: itself, or whom it names.
    pub(super) async fn owner(&self, caller: &Caller, named: Option<&str>) -> Result<u32, Failure> {
        let owner = self.meant(caller, named).await?;
        self.authorise(caller, Some(owner)).await?;
        let needs_member = matches!(
            caller.method,
            Method::Create | Method::Start | Method::StoreToken | Method::Refresh
        );
        if owner != caller.uid && needs_member && !self.users.is_member(owner).await? {
            let message = format!("that user is not a member of group {}", names::GROUP);
            return Err(Failure::new(ErrorKind::AccessDenied, message)
                .hint(format!("usermod --append --groups {} USER", names::GROUP)));
        }
        Ok(owner)
    }

    /// The caller itself: it may name nobody else, whatever it is allowed.
    pub(super) async fn itself(
        &self,
        caller: &Caller,
        named: Option<&str>,
    ) -> Result<u32, Failure> {
        match self.meant(caller, named).await? {
            owner if owner == caller.uid => Ok(owner),
            _ => Err(denied(
                caller,
                Failure::new(
                    ErrorKind::AccessDenied,
                    "a login is handed over by the user alone whose it is",
                ),
            )),
        }
    }

    async fn meant(&self, caller: &Caller, named: Option<&str>) -> Result<u32, Failure> {
        let owner = match named {
            Some(name) => self.named(name).await?,
            None => caller.uid,
        };
        if owner == 0 {
            let failure = Failure::new(
                ErrorKind::AccessDenied,
                "root owns no sandboxes and no tokens",
            );
            return Err(failure.hint("name the user to act for: --owner USER"));
        }
        Ok(owner)
    }

    /// The user whose sandboxes are listed; `None` is all of them, which root sees.
    pub(super) async fn listed(
        &self,
        caller: &Caller,
        named: Option<&str>,
    ) -> Result<Option<u32>, Failure> {
        if caller.uid == 0 && named.is_none() {
            self.authorise(caller, None).await?;
            return Ok(None);
        }
        self.owner(caller, named).await.map(Some)
    }

    async fn named(&self, name: &str) -> Result<u32, Failure> {
        if let Some(uid) = self.users.uid_of(name).await? {
            return Ok(uid);
        }
        // A user who is gone may still own sandboxes: the number finds them.
        name.parse()
            .ok()
            .filter(|_| name.bytes().all(|c| c.is_ascii_digit()))
            .ok_or_else(|| {
                let message = format!("there is no user {}", ident::quoted(name));
                Failure::new(ErrorKind::NoSuchUser, message)
            })
    }

    async fn authorise(&self, caller: &Caller, owner: Option<u32>) -> Result<(), Failure> {
        let Access::Owner(action) = caller.method.access() else {
            return Ok(());
        };
        if owner == Some(caller.uid) {
            return Ok(());
        }
        let question = caller
            .interactive
            .then(|| self.question(caller.uid))
            .transpose()?;
        let checked = self
            .authority
            .check(&caller.name, caller.interactive, action)
            .await;
        drop(question);
        checked.map_err(|failure| denied(caller, failure))
    }

    fn question(&self, uid: u32) -> Result<Question<'_>, Failure> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.insert(uid) {
            let message = "you are being asked for a password already";
            return Err(Failure::new(ErrorKind::LimitReached, message));
        }
        Ok(Question { gate: self, uid })
    }
}

/// A password prompt that may be open.
struct Question<'a> {
    gate: &'a Gate,
    uid: u32,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut asked = self
            .gate
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        asked.remove(&self.uid);
    }
}

fn denied(caller: &Caller, failure: Failure) -> Failure {
    let (interface, member) = caller.method.member();
    tracing::warn!(
        FORAGE_EVENT = "denied",
        FORAGE_OPERATION = member,
        FORAGE_UID = caller.uid,
        "{interface}.{member} denied to uid {}: {}",
        caller.uid,
        failure.kind.noun(),
    );
    failure
}

#[cfg(test)]
mod tests;
