//! [`Failure`] as a D-Bus error: its body is the message and, second, the hint.

use zbus::message::{Header, Message};
use zbus::names::ErrorName;

use crate::names::ERROR_PREFIX;
use crate::{ErrorKind, Failure};

impl zbus::DBusError for Failure {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&(&self.message, &self.hint))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.kind.bus_name())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

impl Failure {
    /// Reads an error reply of the daemon; `None` where it is somebody else's error.
    pub fn from_bus(error: &zbus::Error) -> Option<Self> {
        let zbus::Error::MethodError(name, _, reply) = error else {
            return None;
        };
        let noun = name.as_str().strip_prefix(ERROR_PREFIX)?;
        let kind = ErrorKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.noun() == noun)?;
        let (message, hint) = reply.body().deserialize::<(String, String)>().ok()?;
        Some(Self {
            kind,
            message,
            hint,
        })
    }
}
