//! The `a{sv}` at the end of each call. Unknown keys are refused.

use zbus::{DeserializeDict, SerializeDict, Type};

/// Options of `Manager.Create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateOptions {
    /// The user to act for; root must name one, others may name themselves.
    pub owner: Option<String>,
    /// The directory to work on, an absolute path.
    pub repository: Option<String>,
}

/// Options of calls that only need to know whose sandbox or token is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnerOptions {
    /// The user to act for; root must name one, others may name themselves.
    pub owner: Option<String>,
}

/// Options of `Manager.Remove`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveOptions {
    /// The user to act for; root must name one, others may name themselves.
    pub owner: Option<String>,
    /// Whether the files in a workspace of the sandbox's own are deleted with it.
    pub delete_workspace: Option<bool>,
}

/// Options of `Tokens.Revoke`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeOptions {
    /// The user to act for; root must name one, others may name themselves.
    pub owner: Option<String>,
    /// What happens to a running sandbox afterwards: `freeze` or `stop`; nothing where it is absent.
    pub then: Option<String>,
}
