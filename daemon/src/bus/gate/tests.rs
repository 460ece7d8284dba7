//! Who gets through, and for whom.

use zbus::message::Message;

use super::*;
use crate::core::fakes::FakeHost;

const ALICE: u32 = 1000;
const BOB: u32 = 1001;
const MALLORY: u32 = 1002;

fn gate() -> (Arc<FakeHost>, Gate) {
    let host = FakeHost::new();
    let gate = Gate::new(host.core(), host.clone(), host.clone(), host.clone());
    (host, gate)
}

async fn enter(gate: &Gate, method: Method, uid: u32) -> Result<Caller, Failure> {
    let sender = format!(":1.{uid}");
    let call = Message::method_call("/", "Any")
        .sender(&*sender)
        .build(&())
        .unwrap();
    gate.enter(method, &call.header()).await
}

async fn owner(
    gate: &Gate,
    method: Method,
    uid: u32,
    named: Option<&str>,
) -> Result<u32, ErrorKind> {
    let caller = enter(gate, method, uid)
        .await
        .map_err(|failure| failure.kind)?;
    gate.owner(&caller, named)
        .await
        .map_err(|failure| failure.kind)
}

#[tokio::test]
async fn only_root_and_members_enter() {
    let (_host, gate) = gate();
    for uid in [0, ALICE, BOB] {
        assert_eq!(enter(&gate, Method::Version, uid).await.unwrap().uid, uid);
    }
    let failure = enter(&gate, Method::Version, MALLORY).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::AccessDenied);
    assert!(failure.hint.contains("log in again"), "{}", failure.hint);
    let unsigned = Message::method_call("/", "Any").build(&()).unwrap();
    let nobody = gate.enter(Method::Version, &unsigned.header()).await;
    assert_eq!(nobody.unwrap_err().kind, ErrorKind::AccessDenied);
}

#[tokio::test]
async fn acting_for_oneself_asks_nobody_and_for_others_polkit() {
    let (host, gate) = gate();
    assert_eq!(owner(&gate, Method::Stop, ALICE, None).await, Ok(ALICE));
    assert_eq!(
        owner(&gate, Method::Stop, ALICE, Some("alice")).await,
        Ok(ALICE)
    );
    assert!(host.log().is_empty());
    let denied = Err(ErrorKind::AccessDenied);
    assert_eq!(owner(&gate, Method::Stop, BOB, Some("alice")).await, denied);
    assert_eq!(owner(&gate, Method::Get, BOB, Some("alice")).await, denied);
    assert_eq!(
        owner(&gate, Method::Stop, 0, Some("alice")).await,
        Ok(ALICE)
    );
    let asked = [
        "polkit :1.1001 org.firefly.forage1.manage-all",
        "polkit :1.1001 org.firefly.forage1.inspect-all",
        "polkit :1.0 org.firefly.forage1.manage-all",
    ];
    assert_eq!(host.log(), asked);
}

#[tokio::test]
async fn root_owns_nothing_and_sees_all() {
    let (host, gate) = gate();
    let denied = Err(ErrorKind::AccessDenied);
    for named in [None, Some("root"), Some("0")] {
        assert_eq!(owner(&gate, Method::Create, 0, named).await, denied);
        assert_eq!(owner(&gate, Method::StoreToken, 0, named).await, denied);
    }
    assert!(host.log().is_empty());
    let root = enter(&gate, Method::List, 0).await.unwrap();
    assert_eq!(gate.listed(&root, None).await.unwrap(), None);
    assert_eq!(gate.listed(&root, Some("bob")).await.unwrap(), Some(BOB));
    let alice = enter(&gate, Method::List, ALICE).await.unwrap();
    assert_eq!(gate.listed(&alice, None).await.unwrap(), Some(ALICE));
    assert!(gate.listed(&alice, Some("bob")).await.is_err());
}

#[tokio::test]
async fn whom_root_may_name() {
    let (_host, gate) = gate();
    let unknown = Err(ErrorKind::NoSuchUser);
    for name in ["nobody-here", "", "-1", "+5", "4294967296", "\x1b[2J"] {
        assert_eq!(
            owner(&gate, Method::Stop, 0, Some(name)).await,
            unknown,
            "{name:?}"
        );
    }
    // Who is no member gets nothing new, but what is there can be stopped and removed.
    let denied = Err(ErrorKind::AccessDenied);
    let gives = [
        Method::Create,
        Method::Start,
        Method::StoreToken,
        Method::Refresh,
    ];
    for method in gives {
        assert_eq!(owner(&gate, method, 0, Some("mallory")).await, denied);
    }
    assert_eq!(
        owner(&gate, Method::Revoke, 0, Some("mallory")).await,
        Ok(MALLORY)
    );
    assert_eq!(
        owner(&gate, Method::Remove, 0, Some("mallory")).await,
        Ok(MALLORY)
    );
    assert_eq!(
        owner(&gate, Method::Remove, 0, Some("4711")).await,
        Ok(4711)
    );
}

#[tokio::test]
async fn a_login_is_its_users_own_affair() {
    let (host, gate) = gate();
    let itself = async |uid, named| {
        let caller = enter(&gate, Method::OfferHostLogin, uid).await.unwrap();
        let itself = gate.itself(&caller, named).await;
        itself.map_err(|failure| failure.kind)
    };
    for named in [None, Some("alice"), Some("1000")] {
        assert_eq!(itself(ALICE, named).await, Ok(ALICE));
    }
    let denied = Err(ErrorKind::AccessDenied);
    for (uid, named) in [(BOB, "alice"), (0, "alice"), (0, "root")] {
        assert_eq!(itself(uid, Some(named)).await, denied);
    }
    assert_eq!(itself(0, None).await, denied);
    // Nobody was asked whether they may.
    assert!(host.log().is_empty());
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let (_host, gate) = gate();
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(enter(&gate, Method::Version, ALICE).await.unwrap());
    }
    let failure = enter(&gate, Method::Version, ALICE).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::LimitReached);
    enter(&gate, Method::Version, BOB).await.unwrap();
    held.pop();
    enter(&gate, Method::Version, ALICE).await.unwrap();
}

#[tokio::test]
async fn who_revokes_needs_no_directory_that_answers() {
    let (host, gate) = gate();
    host.fail_users(Some(0));
    assert_eq!(owner(&gate, Method::Revoke, BOB, None).await, Ok(BOB));
    for method in [
        Method::Stop,
        Method::Start,
        Method::Refresh,
        Method::StoreToken,
    ] {
        let refused = owner(&gate, method, BOB, None).await;
        assert_eq!(refused, Err(ErrorKind::Unavailable));
    }
    // For others it is as ever, and so is who is known to be no member.
    host.fail_users(Some(1));
    let named = owner(&gate, Method::Revoke, BOB, Some("1000")).await;
    assert_ne!(named, Ok(ALICE));
    host.fail_users(None);
    let stranger = owner(&gate, Method::Revoke, MALLORY, None).await;
    assert_eq!(stranger, Err(ErrorKind::AccessDenied));
}
