//! The users and groups of the host, asked anew each time: the bus knows only the groups of log-in
//! time. Look-ups may block on the network, so they have threads, a deadline and a limit.

use std::ffi::CString;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use forage_api::{ErrorKind, Failure, names};
use nix::unistd::{Group, Uid, User, getgrouplist};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blocking::blocking;
use crate::core::Users;

/// How long a look-up may take, and how long those in line wait while none of those before ends.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many look-ups may hang before more of them are refused; other threads are for other work.
const MOST_AT_A_TIME: usize = 4;

/// The users and groups of the host.
#[derive(Debug)]
pub(crate) struct HostUsers {
    places: Arc<Semaphore>,
    /// How many look-ups have ended.
    ended: Arc<AtomicU64>,
}

impl HostUsers {
    /// Asks the name service of the host.
    pub(crate) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST_AT_A_TIME)),
            ended: Arc::default(),
        }
    }

    async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> nix::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = self.place().await?;
        let ended = Arc::clone(&self.ended);
        let looked_up = blocking(move || {
            let _place = place;
            let found = work();
            ended.fetch_add(1, Ordering::Relaxed);
            found
        });
        match tokio::time::timeout(DEADLINE, looked_up).await {
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(Ok(Err(error))) => Err(unavailable(&format!("fails: {error}"))),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(silent()),
        }
    }

    /// Waits for a place, for as long as the line moves on.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            let ended = self.ended.load(Ordering::Relaxed);
            match tokio::time::timeout(DEADLINE, &mut place).await {
                Ok(place) => return place.map_err(|_| silent()),
                Err(_) if self.ended.load(Ordering::Relaxed) == ended => return Err(silent()),
                Err(_) => {}
            }
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

fn silent() -> Failure {
    unavailable("does not answer")
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
    use tokio::time::Instant;

    #[tokio::test]
    async fn root_is_a_user_and_strangers_are_not() {
        let users = HostUsers::new();
        assert_eq!(users.uid_of("root").await.unwrap(), Some(0));
        assert_eq!(users.uid_of("no-such-user-here").await.unwrap(), None);
        assert!(!users.is_member(4_000_000_000).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_moves_on_is_waited_in() {
        let users = HostUsers::new();
        let most = u32::try_from(MOST_AT_A_TIME).unwrap();
        let before = Arc::clone(&users.places);
        let _hang = before.acquire_many_owned(most).await.unwrap();
        let begun = Instant::now();
        let waiting = users.place();
        let others = async {
            for _ in 0..3 {
                tokio::time::sleep(DEADLINE - Duration::from_secs(1)).await;
                users.ended.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (place, ()) = tokio::join!(waiting, others);
        assert_eq!(place.unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(begun.elapsed(), 4 * DEADLINE);
    }
}
