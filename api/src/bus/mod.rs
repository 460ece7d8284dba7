//! What travels over D-Bus: dictionaries that can grow, the errors, and proxies for clients.

mod failure;
mod info;
mod options;
mod proxy;
mod row;

pub use info::{
    AuthOutcome, AuthReply, CredentialInfo, FailureInfo, LimitsInfo, MountInfo, NetworkInfo,
    ProgressInfo, SandboxInfo, SandboxState, StartReply, TemplateInfo, TokenInfo, TokenReply,
    TokenState,
};
pub use options::{CreateOptions, OwnerOptions, RemoveOptions, RevokeOptions};
pub use proxy::{
    CredentialExpiring, CredentialRotated, ManagerProxy, Revoked, SandboxChangedStream, TokensProxy,
};
pub use row::{RowMore, SandboxRow};
