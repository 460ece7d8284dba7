//! polkit: whether a caller may act for others. Any doubt is a no.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use forage_api::{ErrorKind, Failure};
use zbus::Connection;
use zbus::message::Message;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use crate::core::Authority;

/// How long it may take to answer where nobody is asked for a password. Users are promised to hear
/// within five seconds that it hangs.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long somebody who is asked for a password may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// polkit on the system bus.
#[derive(Debug)]
pub(crate) struct Polkit {
    connection: Connection,
}

impl Polkit {
    /// Asks over this connection.
    pub(crate) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    async fn ask(
        &self,
        subject: &Subject,
        action: &str,
        flags: CheckAuthorizationFlags,
        cancellation: &str,
    ) -> zbus::Result<bool> {
        let authority = AuthorityProxy::builder(&self.connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        let answer = authority
            .check_authorization(subject, action, &HashMap::new(), flags, cancellation)
            .await?;
        Ok(answer.is_authorized)
    }

    /// Takes a question back; the caller need not wait for that.
    fn cancel(&self, cancellation: String) {
        let connection = self.connection.clone();
        tokio::spawn(async move {
            if let Ok(authority) = AuthorityProxy::new(&connection).await {
                let cancelled = authority.cancel_check_authorization(&cancellation);
                let _ended = tokio::time::timeout(DEADLINE, cancelled).await;
            }
        });
    }
}

/// The caller as polkit knows it: by the name of its connection, which nobody else can get while
/// the question is open. (Process ids, the other way, are used again.)
fn subject(caller: &str) -> Option<Subject> {
    let message = Message::method_call("/", "Ask")
        .sender(caller)
        .build(&())
        .ok()?;
    Subject::new_for_message_header(&message.header()).ok()
}

#[async_trait]
impl Authority for Polkit {
    async fn check(
        &self,
        caller: &str,
        interactive: bool,
        action: &'static str,
    ) -> Result<(), Failure> {
        let subject = subject(caller)
            .ok_or_else(|| Failure::new(ErrorKind::AccessDenied, "the caller has no name"))?;
        let (flags, patience) = if interactive {
            (CheckAuthorizationFlags::ALLOW_USER_INTERACTION, PATIENCE)
        } else {
            (CheckAuthorizationFlags::empty(), DEADLINE)
        };
        let cancellation = format!("forage-{:016x}", getrandom::u64().unwrap_or_default());
        let answer = self.ask(&subject, action, flags, &cancellation);
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(denied(action)),
            Ok(Err(error)) => {
                tracing::warn!(FORAGE_EVENT = "polkit", "polkit gives no answer: {error}");
                Err(unavailable())
            }
            Err(_) => {
                self.cancel(cancellation);
                Err(unavailable())
            }
        }
    }
}

fn denied(action: &str) -> Failure {
    Failure::new(
        ErrorKind::AccessDenied,
        format!("polkit does not allow {action}"),
    )
    .hint("this is for administrators; without --owner you act on your own")
}

fn unavailable() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        "polkit does not answer, so this is not allowed",
    )
    .hint("it may be stopped, or hang: systemctl restart polkit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_the_connection() {
        assert_eq!(subject(":1.42").unwrap().kind(), "system-bus-name");
        assert!(subject("org.example.Name").is_none());
        assert!(subject("").is_none());
    }
}
