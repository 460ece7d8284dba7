//! The one place where D-Bus errors become ours.

use forage_api::{Failure, exit};
use zbus::{DBusError as _, fdo};

use crate::error::reason;
use crate::{Error, membership};

const SEE_JOURNAL: &str = "systemctl status firefly-forage.service says how it is, and
journalctl -u firefly-forage.service what happened";
const START: &str = "start it with: sudo systemctl start firefly-forage.service
then see: journalctl -u firefly-forage.service";

fn unreachable(message: impl Into<String>) -> Error {
    Error::new(exit::UNREACHABLE, message)
}

/// The system bus itself cannot be used.
pub(super) fn no_bus(error: &zbus::Error) -> Error {
    let why = match error {
        zbus::Error::Connection(error, address) => format!("{address}: {}", reason(error)),
        zbus::Error::InputOutput(error) => reason(error),
        error => error.to_string(),
    };
    unreachable(format!(
        "the daemon cannot be reached: no connection to the system bus: {why}"
    ))
    .hint(
        "systemctl status dbus.socket says whether the system bus runs on this machine; then\n\
         sudo systemctl start firefly-forage.service",
    )
}

/// What an error of a call means to the user.
pub(crate) fn explain(error: &zbus::Error) -> Error {
    if let Some(failure) = Failure::from_bus(error) {
        return failure.into();
    }
    match error {
        zbus::Error::FDO(error) => explain_standard(error),
        zbus::Error::MethodError(name, text, _) => {
            explain_foreign(name.as_str(), text.as_deref().unwrap_or_default())
        }
        zbus::Error::InputOutput(_) | zbus::Error::Handshake(_) => unreachable(format!(
            "the connection to the system bus broke before the daemon answered: {error}"
        ))
        .hint(SEE_JOURNAL),
        _ => Error::failure(format!("the daemon's answer cannot be read: {error}"))
            .hint("forage-ctl and foraged may be of different versions: install the same"),
    }
}

/// An error of the bus or of a D-Bus library.
fn explain_standard(error: &fdo::Error) -> Error {
    use fdo::Error as E;
    match error {
        E::ZBus(error) => explain(error),
        E::AccessDenied(_) => Error::new(
            exit::DENIED,
            "the system bus does not let you call the daemon",
        )
        .hint(membership::advice()),
        E::ServiceUnknown(_) | E::NameHasNoOwner(_) | E::SpawnServiceNotFound(_) => {
            unreachable("the daemon cannot be reached: it does not run").hint(START)
        }
        E::NoReply(_) => unreachable("the daemon went away before it answered").hint(format!(
            "what was asked for may have been done: see forage-ctl ps\n{SEE_JOURNAL}"
        )),
        E::Timeout(_) | E::TimedOut(_) => {
            unreachable("the daemon cannot be reached: it did not start in time").hint(SEE_JOURNAL)
        }
        E::Disconnected(_) | E::NoServer(_) | E::NoNetwork(_) | E::FileNotFound(_) => {
            unreachable(format!("the daemon cannot be reached: {error}")).hint(SEE_JOURNAL)
        }
        E::InvalidArgs(text) => Error::usage(format!(
            "the daemon does not understand the request: {text}"
        ))
        .hint("forage-ctl and foraged may be of different versions: install the same"),
        E::UnknownMethod(_) | E::UnknownObject(_) | E::UnknownInterface(_) => Error::failure(
            "the running daemon does not know this request",
        )
        .hint("it may be older than forage-ctl: sudo systemctl restart firefly-forage.service"),
        E::LimitsExceeded(text) => Error::new(
            exit::BUSY,
            format!("a limit of the system bus is reached: {text}"),
        )
        .hint("try again later"),
        error
            if error
                .name()
                .starts_with("org.freedesktop.DBus.Error.Spawn.") =>
        {
            not_started(&error.to_string())
        }
        _ => Error::failure(format!("the daemon did not answer as it should: {error}"))
            .hint(SEE_JOURNAL),
    }
}

/// An error of neither the daemon nor the D-Bus standard.
fn explain_foreign(name: &str, text: &str) -> Error {
    if name.starts_with("org.freedesktop.systemd1.") {
        return not_started(text);
    }
    Error::failure(format!("the daemon answered with {name}: {text}")).hint(SEE_JOURNAL)
}

fn not_started(why: &str) -> Error {
    unreachable(format!(
        "the daemon cannot be reached: it could not be started: {why}"
    ))
    .hint(SEE_JOURNAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::ErrorKind;
    use zbus::message::Message;

    fn call() -> Message {
        Message::method_call("/a", "M")
            .sender(":1.1")
            .build(&())
            .unwrap()
    }

    /// The error a client sees for an error reply.
    fn received(reply: Message) -> zbus::Error {
        zbus::Error::from(reply)
    }

    fn reply(name: &str, text: &str) -> zbus::Error {
        let call = call();
        let header = call.header();
        received(Message::error(&header, name).build(&text).unwrap())
    }

    #[test]
    fn failures_of_the_daemon_keep_message_hint_and_code() {
        for kind in ErrorKind::ALL.iter().copied() {
            let failure = Failure::new(kind, "what").hint("next");
            let call = call();
            let error = explain(&received(failure.create_reply(&call.header()).unwrap()));
            assert_eq!(
                (error.exit, error.message.as_str(), error.hint.as_str()),
                (kind.exit_code(), "what", "next")
            );
        }
    }

    #[test]
    fn errors_of_the_bus() {
        for (name, code, says, hints) in [
            (
                "org.freedesktop.DBus.Error.ServiceUnknown",
                6,
                "does not run",
                "systemctl start",
            ),
            (
                "org.freedesktop.DBus.Error.NameHasNoOwner",
                6,
                "does not run",
                "systemctl start",
            ),
            (
                "org.freedesktop.DBus.Error.NoReply",
                6,
                "went away",
                "forage-ctl ps",
            ),
            (
                "org.freedesktop.DBus.Error.TimedOut",
                6,
                "in time",
                "journalctl",
            ),
            (
                "org.freedesktop.DBus.Error.Spawn.ChildExited",
                6,
                "the text",
                "journalctl",
            ),
            (
                "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
                6,
                "does not run",
                "systemctl",
            ),
            (
                "org.freedesktop.systemd1.NoSuchUnit",
                6,
                "the text",
                "systemctl status",
            ),
            (
                "org.freedesktop.systemd1.LoadFailed",
                6,
                "the text",
                "systemctl status",
            ),
            (
                "org.freedesktop.DBus.Error.FileNotFound",
                6,
                "the text",
                "journalctl",
            ),
            (
                "org.freedesktop.DBus.Error.Disconnected",
                6,
                "the text",
                "journalctl",
            ),
            (
                "org.freedesktop.DBus.Error.AccessDenied",
                5,
                "does not let you",
                "forage",
            ),
            (
                "org.freedesktop.DBus.Error.InvalidArgs",
                2,
                "the text",
                "versions",
            ),
            (
                "org.freedesktop.DBus.Error.UnknownMethod",
                1,
                "does not know",
                "restart",
            ),
            (
                "org.freedesktop.DBus.Error.LimitsExceeded",
                7,
                "the text",
                "again",
            ),
            (
                "org.freedesktop.DBus.Error.Failed",
                1,
                "the text",
                "journalctl",
            ),
            (
                "org.firefly.Forage1.Error.OfTheFuture",
                1,
                "OfTheFuture: the text",
                "journalctl",
            ),
            (
                "com.example.Error",
                1,
                "com.example.Error: the text",
                "journalctl",
            ),
        ] {
            let error = explain(&reply(name, "the text"));
            assert_eq!(error.exit, code, "{name}");
            assert!(error.message.contains(says), "{name}: {error}");
            assert!(error.hint.contains(hints), "{name}: {}", error.hint);
        }
    }

    #[test]
    fn a_bus_that_is_not_there() {
        let error = no_bus(&zbus::Error::Address("nowhere".into()));
        assert_eq!(error.exit, 6);
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(explain(&zbus::Error::InputOutput(broken.into())).exit, 6);
    }
}
