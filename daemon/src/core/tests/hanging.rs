//! A disk that hangs, or is slow: what does not need it goes on, and nothing that was found out before a
//! revocation is handed over after it.

use std::time::Duration;

use forage_api::ErrorKind;
use forage_api::bus::SandboxState::{Frozen, Running};
use tokio::time::timeout;

use super::*;
use crate::core::fakes::{CONFIG, Hung};
use crate::core::ports::TokenPlace;
use crate::core::{AuthChange, Then};

const AT_ONCE: Duration = Duration::from_secs(1);

fn pasted(text: &str) -> Secret {
    Secret::new(format!("sk-ant-oat01-{text}{}", "x".repeat(90)).into_bytes())
}

fn with_token() -> (Arc<FakeHost>, Core) {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("tok", &host, 200));
    let core = host.core();
    (host, core)
}

/// Revokes, which has to take no time.
async fn revoke(core: &Core, owner: u32, sandbox: Option<&str>, then: Then) -> AuthChange {
    let revoking = core.revoke(owner, sandbox.map(name), then);
    timeout(AT_ONCE, revoking).await.expect("it waits").unwrap()
}

async fn not_stale(core: &Core, owner: u32, sandbox: &str) {
    while core.get(owner, name(sandbox)).await.unwrap().stale {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_waits_for_nobody_and_nothing_is_given_after_it() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    // A refresh is under way that has looked at the record and not at the token.
    host.hang(Hung::Tokens(TokenPlace::User));
    let refreshing = tokio::spawn({
        let core = core.clone();
        async move { core.refresh(ALICE, Some(name("s1"))).await }
    });
    host.until_hung(1).await;
    let change = revoke(&core, ALICE, Some("s1"), Then::Nothing).await;
    assert!(change.sandboxes[0].failure.is_none() && change.sandboxes[0].stale.is_none());
    assert_eq!(host.delivered(id), ["tok", ""]);
    host.hang(Hung::Nothing);
    refreshing.await.unwrap().unwrap();
    not_stale(&core, ALICE, "s1").await;
    assert!(
        host.delivered(id)[1..].iter().all(String::is_empty),
        "{:?}",
        host.delivered(id)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_let_go_on_what_was_frozen_meanwhile() {
    let (host, core) = with_token();
    up(&core, ALICE, "s1").await.unwrap();
    revoke(&core, ALICE, Some("s1"), Then::Freeze).await;
    host.hang(Hung::Tokens(TokenPlace::User));
    let refreshing = tokio::spawn({
        let core = core.clone();
        async move { core.refresh(ALICE, Some(name("s1"))).await }
    });
    host.until_hung(1).await;
    revoke(&core, ALICE, Some("s1"), Then::Freeze).await;
    host.hang(Hung::Nothing);
    let change = refreshing.await.unwrap().unwrap();
    assert_eq!(change.sandboxes[0].state, Frozen);
    not_stale(&core, ALICE, "s1").await;
    let status = core.get(ALICE, name("s1")).await.unwrap();
    assert!(
        status.state == Frozen && status.credentials[0].revoked,
        "{status:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_anothers_token() {
    let host = FakeHost::new();
    let core = host.core();
    core.store_token(ALICE, pasted("one")).await.unwrap();
    up(&core, BOB, "b1").await.unwrap();
    host.hang(Hung::TokenWrites(TokenPlace::Member(BOB)));
    let stores: Vec<_> = (0..64)
        .map(|number| {
            let core = core.clone();
            tokio::spawn(async move { core.store_token(BOB, pasted(&number.to_string())).await })
        })
        .collect();
    host.until_hung(1).await;
    let started = timeout(AT_ONCE, up(&core, ALICE, "s1")).await;
    let id = started.expect("it waits").unwrap().sandbox.id;
    let newer = timeout(AT_ONCE, core.store_token(ALICE, pasted("two"))).await;
    assert_eq!(newer.expect("it waits").unwrap().updated, ["s1"]);
    assert_eq!(host.delivered(id).len(), 2);
    // Nor do the revocations of who stores.
    revoke(&core, BOB, None, Then::Nothing).await;
    host.hang(Hung::Nothing);
    for store in stores {
        store.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_shares_and_hangs_is_brought_the_token_later() {
    let host = FakeHost::new();
    let config = CONFIG.replace("maxSandboxes", "shareToken = true\nmaxSandboxes");
    let core = host.core_with(&config);
    core.store_token(ALICE, pasted("one")).await.unwrap();
    up(&core, ALICE, "s1").await.unwrap();
    let id = up(&core, BOB, "b1").await.unwrap().sandbox.id;
    host.hang(Hung::TokenWrites(TokenPlace::Member(BOB)));
    let storing = tokio::spawn({
        let core = core.clone();
        async move { core.store_token(BOB, pasted("bobs")).await }
    });
    host.until_hung(1).await;
    let wait = Duration::from_secs(6);
    let change = timeout(wait, core.store_token(ALICE, pasted("two"))).await;
    let change = change.expect("it hangs").unwrap();
    assert_eq!((change.updated, change.others), (vec!["s1".to_owned()], 0));
    assert_eq!(host.delivered(id).len(), 1);
    storing.abort();
    assert!(core.get(BOB, name("b1")).await.unwrap().stale);
    host.hang(Hung::Nothing);
    not_stale(&core, BOB, "b1").await;
    assert!(
        host.delivered(id)
            .last()
            .unwrap()
            .starts_with("sk-ant-oat01-bobs")
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_in_time_is_brought_later() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.hang(Hung::Tokens(TokenPlace::User));
    let wait = Duration::from_secs(7);
    // It keeps what it has, a start goes on without, and both follow.
    let change = timeout(wait, core.store_token(ALICE, pasted("new"))).await;
    assert_eq!(change.expect("it hangs").unwrap().stale, ["s1"]);
    let other = timeout(wait, up(&core, ALICE, "s2")).await;
    let other = other.expect("it hangs").unwrap();
    assert!(
        other.warnings[0].contains("in time"),
        "{:?}",
        other.warnings
    );
    let status = timeout(wait, kind(core.token_status(ALICE))).await;
    assert_eq!(status.expect("it hangs"), Some(ErrorKind::Unavailable));
    assert_eq!(host.delivered(id), ["tok"]);
    host.hang(Hung::Nothing);
    for (sandbox, id) in [("s1", id), ("s2", other.sandbox.id)] {
        not_stale(&core, ALICE, sandbox).await;
        assert!(
            host.delivered(id)
                .last()
                .unwrap()
                .starts_with("sk-ant-oat01-new")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_written_in_time_keeps_no_credential_in_a_sandbox() {
    let (host, core) = with_token();
    let mut ids = Vec::new();
    for sandbox in ["s1", "s2", "s3"] {
        ids.push(up(&core, ALICE, sandbox).await.unwrap().sandbox.id);
    }
    host.hang(Hung::Records);
    let wait = Duration::from_secs(6);
    // One wait for all of them.
    let change = timeout(wait, core.revoke(ALICE, None, Then::Freeze)).await;
    let change = change.expect("it hangs").unwrap();
    for (one, id) in change.sandboxes.iter().zip(&ids) {
        let failure = one.failure.as_ref().unwrap();
        assert!(failure.message.contains("will not hold"), "{failure}");
        assert_eq!(one.state, Frozen);
        assert_eq!(host.delivered(*id), ["tok", ""]);
    }
    assert!(
        host.records()
            .iter()
            .all(|record| record.revoked_at.is_none())
    );
    // Nothing that comes now gives it back.
    core.store_token(ALICE, pasted("new")).await.unwrap();
    assert_eq!(host.delivered(ids[0]).last().unwrap(), "");
    let status = core.get(ALICE, name("s1")).await.unwrap();
    assert!(status.revoked_at.is_some());

    // It is written late, and who asks for credentials after that gets them.
    let refreshing = tokio::spawn({
        let core = core.clone();
        async move { core.refresh(ALICE, Some(name("s1"))).await }
    });
    host.until_hung(1).await;
    host.hang(Hung::Nothing);
    let change = refreshing.await.unwrap().unwrap();
    assert_eq!(change.sandboxes[0].state, Running);
    let revoked = host
        .records()
        .into_iter()
        .map(|record| record.revoked_at.is_some());
    assert_eq!(
        revoked
            .collect::<Vec<_>>()
            .iter()
            .filter(|one| **one)
            .count(),
        2
    );
    assert!(host.delivered(ids[0]).last().unwrap().starts_with("sk-ant"));
    let status = core.get(ALICE, name("s1")).await.unwrap();
    assert!(status.revoked_at.is_none(), "{status:?}");
}
