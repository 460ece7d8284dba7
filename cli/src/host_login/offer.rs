//! Handing the login to the daemon.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use forage_api::bus::{OwnerOptions, TokenReply};
use forage_api::{Secret, exit};
use jiff::Timestamp;
use nix::unistd::geteuid;
use tokio::time::timeout;
use zbus::proxy::MethodFlags;

use super::{Login, file, read};
use crate::bus::{Bus, failed};
use crate::{Error, membership, output, token};

/// How long what comes next waits for the daemon, which brings the login to all that run first.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came of reading the login and offering it.
#[derive(Debug)]
pub enum Offered {
    /// The daemon has it, or knows that there is none.
    Done(TokenReply),
    /// There is one that cannot be used, for this reason; what the daemon has, it keeps.
    Skipped(String),
    /// The daemon has not answered yet.
    Late,
    /// The daemon did not take it.
    Refused(Error),
}

/// Tells whether the login of whoever runs this may be offered for the owner the command line names:
/// nobody's for somebody else. Root owns no sandboxes.
pub fn may_offer(owner: Option<&str>) -> bool {
    let own = geteuid();
    let named = |name: &str| {
        name.parse().is_ok_and(|uid: u32| uid == own.as_raw())
            || membership::user_name(own.as_raw()).is_some_and(|known| known == name)
    };
    !own.is_root() && owner.is_none_or(named)
}

/// Reads the login and offers it, or says that there is none.
pub fn offer(bus: &Bus) -> Offered {
    let login = file().map_or(Login::None, |path| read(&path, Timestamp::now()));
    let (secret, expires_at_ms) = match login {
        Login::None => (Secret::default(), 0),
        Login::Unusable(why) => return Offered::Skipped(why),
        Login::Found {
            token,
            expires_at_ms,
        } => (token, expires_at_ms),
    };
    let options = OwnerOptions::default();
    let sent = token::sealed(&secret).and_then(|memory| {
        drop(secret);
        bus.tokens(async |tokens| {
            let memory = memory.as_fd().into();
            let answer = tokens.offer_host_login(memory, expires_at_ms, &options);
            timeout(PATIENCE, answer).await.ok().transpose()
        })
    });
    match sent {
        Ok(Some(reply)) => Offered::Done(reply),
        Ok(None) => Offered::Late,
        Err(error) => Offered::Refused(error),
    }
}

/// Offers what is in sealed memory to a daemon that runs; none is started for it.
///
/// # Errors
/// What the daemon answers, or that there is none.
pub(super) async fn if_running(
    bus: &Bus,
    memory: BorrowedFd<'_>,
    expires_at_ms: i64,
) -> Result<(), Error> {
    let sent = async {
        let arguments = (
            zbus::Fd::from(memory),
            expires_at_ms,
            OwnerOptions::default(),
        );
        let tokens = bus.tokens_proxy().await?;
        let flags = MethodFlags::NO_AUTO_START;
        tokens
            .inner()
            .call_with_flags::<_, _, TokenReply>("OfferHostLogin", flags, &arguments)
            .await
    };
    sent.await.map(drop).map_err(|error| failed(&error))
}

impl Offered {
    /// Says what the user should know before a start or a refresh, which go on in any case.
    pub fn tell(self, verbose: bool) {
        match self {
            Self::Skipped(why) => output::warning(&format!(
                "the login of Claude Code on this host is skipped: {why}"
            )),
            Self::Refused(error) if error.kind.is_some() => output::warning(&format!(
                "the daemon does not take the login of Claude Code on this host: {}",
                error.message
            )),
            // Whoever calls next is told the same. An older daemon has no use for it.
            Self::Refused(error) if verbose && error.exit != exit::UNREACHABLE => {
                output::debug(&format!(
                    "the host login could not be offered: {}",
                    error.message
                ));
            }
            Self::Late if verbose => {
                output::debug("the daemon takes long over the host login; it is not waited for");
            }
            Self::Refused(_) | Self::Late | Self::Done(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_offered_for_oneself_only() {
        let own = geteuid();
        let name = membership::user_name(own.as_raw()).unwrap();
        assert_eq!(may_offer(None), !own.is_root());
        assert_eq!(may_offer(Some(&name)), !own.is_root());
        assert_eq!(may_offer(Some(&own.to_string())), !own.is_root());
        assert!(!may_offer(Some("somebody-else")));
        assert!(!may_offer(Some("")));
    }
}
