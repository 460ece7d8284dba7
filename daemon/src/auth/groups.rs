//! The users and groups of the host, asked anew each time: the bus knows only the groups of log-in
//! time. Look-ups may block on the network, so they have threads, a deadline and a limit.

use std::ffi::CString;
use std::time::Duration;

use async_trait::async_trait;
use forage_api::{ErrorKind, Failure, names};
use nix::unistd::{Group, Uid, User, getgrouplist};
use tokio::sync::Semaphore;

use crate::blocking::blocking;
use crate::core::Users;

const DEADLINE: Duration = Duration::from_secs(5);
/// How many look-ups may hang before more of them are refused; other threads are for other work.
const MOST_AT_A_TIME: usize = 4;

/// The users and groups of the host.
#[derive(Debug)]
pub(crate) struct HostUsers {
    places: std::sync::Arc<Semaphore>,
}

impl HostUsers {
    /// Asks the name service of the host.
    pub(crate) fn new() -> Self {
        Self {
            places: std::sync::Arc::new(Semaphore::new(MOST_AT_A_TIME)),
        }
    }

    async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> nix::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let looked_up = async {
            let place = std::sync::Arc::clone(&self.places).acquire_owned().await;
            blocking(move || {
                let _place = place;
                work()
            })
            .await
        };
        match tokio::time::timeout(DEADLINE, looked_up).await {
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(Ok(Err(error))) => Err(unavailable(&format!("fails: {error}"))),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(unavailable("does not answer")),
        }
    }
}

#[async_trait]
impl Users for HostUsers {
    async fn uid_of(&self, name: &str) -> Result<Option<u32>, Failure> {
        let name = name.to_owned();
        self.look_up(move || Ok(User::from_name(&name)?.map(|user| user.uid.as_raw())))
            .await
    }

    async fn is_member(&self, uid: u32) -> Result<bool, Failure> {
        self.look_up(move || {
            let Some(user) = User::from_uid(Uid::from_raw(uid))? else {
                return Ok(false);
            };
            let Some(group) = Group::from_name(names::GROUP)? else {
                return Ok(false);
            };
            let Ok(name) = CString::new(user.name) else {
                return Ok(false);
            };
            Ok(getgrouplist(&name, user.gid)?.contains(&group.gid))
        })
        .await
    }
}

fn unavailable(how: &str) -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        format!("the host's user database {how}"),
    )
    .hint("getent passwd, run on the host, should answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn root_is_a_user_and_strangers_are_not() {
        let users = HostUsers::new();
        assert_eq!(users.uid_of("root").await.unwrap(), Some(0));
        assert_eq!(users.uid_of("no-such-user-here").await.unwrap(), None);
        assert!(!users.is_member(4_000_000_000).await.unwrap());
    }
}
