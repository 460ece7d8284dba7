//! The one table of who may call what. A test holds it against the introspection data, so that no
//! method can be added without a rule.

use forage_api::names::{ACTION_INSPECT_ALL, ACTION_MANAGE_ALL};

/// What a method needs of its caller beyond being root or a member of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: it is about no user.
    Member,
    /// To be the owner it acts for, or to be allowed this polkit action.
    Owner(&'static str),
}

/// A method of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Create,
    Start,
    Stop,
    Remove,
    Exec,
    Get,
    List,
    Logs,
    Templates,
    Subscribe,
    Version,
    StoreToken,
    TokenStatus,
    RemoveToken,
    OfferHostLogin,
    Refresh,
    Revoke,
}

impl Method {
    /// What it needs of its caller.
    pub(super) const fn access(self) -> Access {
        match self {
            Self::Create
            | Self::Start
            | Self::Stop
            | Self::Remove
            | Self::Exec
            | Self::StoreToken
            | Self::RemoveToken
            | Self::OfferHostLogin
            | Self::Refresh
            | Self::Revoke => Access::Owner(ACTION_MANAGE_ALL),
            Self::Get | Self::List | Self::Logs | Self::Subscribe | Self::TokenStatus => {
                Access::Owner(ACTION_INSPECT_ALL)
            }
            Self::Templates | Self::Version => Access::Member,
        }
    }

    /// Its interface and member.
    pub(super) const fn member(self) -> (&'static str, &'static str) {
        use forage_api::names::{MANAGER_INTERFACE as MANAGER, TOKENS_INTERFACE as TOKENS};
        match self {
            Self::Create => (MANAGER, "Create"),
            Self::Start => (MANAGER, "Start"),
            Self::Stop => (MANAGER, "Stop"),
            Self::Remove => (MANAGER, "Remove"),
            Self::Exec => (MANAGER, "Exec"),
            Self::Get => (MANAGER, "Get"),
            Self::List => (MANAGER, "List"),
            Self::Logs => (MANAGER, "Logs"),
            Self::Templates => (MANAGER, "Templates"),
            Self::Subscribe => (MANAGER, "Subscribe"),
            Self::Version => (MANAGER, "Version"),
            Self::StoreToken => (TOKENS, "Store"),
            Self::TokenStatus => (TOKENS, "Status"),
            Self::RemoveToken => (TOKENS, "Remove"),
            Self::OfferHostLogin => (TOKENS, "OfferHostLogin"),
            Self::Refresh => (TOKENS, "Refresh"),
            Self::Revoke => (TOKENS, "Revoke"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use zbus::object_server::Interface;

    use super::*;
    use crate::bus::{gate::Gate, manager::Manager, tokens::Tokens};
    use crate::core::fakes::FakeHost;

    const ALL: [Method; 17] = [
        Method::Create,
        Method::Start,
        Method::Stop,
        Method::Remove,
        Method::Exec,
        Method::Get,
        Method::List,
        Method::Logs,
        Method::Templates,
        Method::Subscribe,
        Method::Version,
        Method::StoreToken,
        Method::TokenStatus,
        Method::RemoveToken,
        Method::OfferHostLogin,
        Method::Refresh,
        Method::Revoke,
    ];

    fn members<I: Interface>(interface: &I, kind: &str) -> BTreeSet<(String, String)> {
        let mut xml = String::new();
        interface.introspect_to_writer(&mut xml, 0);
        let name = I::name().to_string();
        let marker = format!("<{kind} name=\"");
        xml.split(&marker)
            .skip(1)
            .filter_map(|rest| Some((name.clone(), rest.split_once('"')?.0.to_owned())))
            .collect()
    }

    fn interfaces() -> (Manager, Tokens) {
        let host = FakeHost::new();
        let gate = Arc::new(Gate::new(host.core(), host.clone(), host.clone(), host));
        (
            Manager::new(Arc::clone(&gate), Arc::default()),
            Tokens::new(gate),
        )
    }

    #[tokio::test]
    async fn every_method_has_its_rule() {
        let (manager, tokens) = interfaces();
        let mut exported = members(&manager, "method");
        exported.extend(members(&tokens, "method"));
        let ruled: BTreeSet<(String, String)> = ALL
            .iter()
            .map(|method| method.member())
            .map(|(interface, member)| (interface.to_owned(), member.to_owned()))
            .collect();
        assert_eq!(exported, ruled);
        assert!(members(&manager, "property").is_empty());
        assert!(members(&tokens, "property").is_empty());
    }

    #[test]
    fn what_changes_something_needs_more_than_what_reads() {
        for method in ALL {
            let reads = matches!(
                method,
                Method::Get | Method::List | Method::Logs | Method::Subscribe | Method::TokenStatus
            );
            match method.access() {
                Access::Owner(action) => assert_eq!(action == ACTION_INSPECT_ALL, reads),
                Access::Member => {}
            }
        }
    }
}
