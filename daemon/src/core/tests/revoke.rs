//! Revoking what is hard to reach: sandboxes that are being started, shims that are away, records that
//! cannot be used.

use forage_api::ErrorKind;
use forage_api::bus::SandboxState::{Frozen, Running, Starting, Unreadable};

use super::*;
use crate::core::fakes::{CONFIG, Script};
use crate::core::ports::{LoadedRecord, TokenPlace, UnitState};
use crate::core::{AuthOutcome, Then};

fn pasted(text: &str) -> Secret {
    Secret::new(format!("sk-ant-oat01-{text}{}", "x".repeat(90)).into_bytes())
}

fn with_token() -> (Arc<FakeHost>, Core) {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("tok", &host, 200));
    let core = host.core();
    (host, core)
}

async fn revoke(core: &Core, sandbox: &str, then: Then) -> AuthOutcome {
    let change = core.revoke(ALICE, Some(name(sandbox)), then).await;
    change.unwrap().sandboxes.pop().unwrap()
}

/// A daemon that is restarted and cannot read the record of the one sandbox, which runs.
async fn unreadable(host: &Arc<FakeHost>) -> Core {
    let name = host.records()[0].record_name();
    let loaded = LoadedRecord {
        name,
        content: Err("it is damaged".into()),
    };
    let core = host.core_from(vec![loaded], CONFIG);
    core.reconcile().await.unwrap();
    core
}

#[tokio::test]
async fn one_that_is_being_started_is_not_said_to_be_frozen_or_stopped() {
    for then in [Then::Freeze, Then::Stop] {
        let (host, core) = with_token();
        // It is queued: no shim is there yet.
        host.script(Script::Hold);
        host.slow(true);
        let starting = tokio::spawn({
            let core = core.clone();
            async move { up(&core, ALICE, "s1").await }
        });
        while !host.log().contains(&"start sandbox".to_owned()) {
            tokio::task::yield_now().await;
        }
        let one = revoke(&core, "s1", then).await;
        assert_eq!(one.state, Starting);
        let failure = one.failure.unwrap();
        assert_eq!(failure.kind, ErrorKind::Busy);
        assert!(failure.message.contains("being started"), "{failure}");
        assert!(failure.hint.contains("auth revoke s1 --"), "{failure:?}");
        // Without them there is nothing that was not done.
        let one = revoke(&core, "s1", Then::Nothing).await;
        assert!(one.failure.is_none(), "{one:?}");
        starting.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_shim_is_away_is_not_said_to_go_on() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    revoke(&core, "s1", Then::Freeze).await;
    host.break_off(id);
    until_away(&core).await;
    let change = core.refresh(ALICE, Some(name("s1"))).await.unwrap();
    let one = &change.sandboxes[0];
    assert!(one.stale.is_some(), "{one:?}");
    let failure = one.failure.as_ref().unwrap();
    assert!(failure.message.contains("still frozen"), "{failure}");
    assert_eq!(one.state, Frozen);
}

/// Waits until it is known that no shim can be reached.
async fn until_away(core: &Core) {
    let id = core.get(ALICE, name("s1")).await.unwrap().id;
    loop {
        let away = core.ask(move |state| {
            let run = state.by_id(id).and_then(|one| one.run.as_ref());
            Ok(run.is_some_and(|run| run.shim.is_none()))
        });
        if away.await.unwrap() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_sandbox_without_a_readable_record_can_be_revoked_and_stopped() {
    for then in [Then::Nothing, Then::Freeze, Then::Stop] {
        for all in [false, true] {
            let (host, core) = with_token();
            let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
            let core = unreadable(&host).await;
            assert_eq!(host.delivered(id), ["tok"]);
            let wanted = (!all).then(|| name("s1"));
            let change = core.revoke(ALICE, wanted, then).await.unwrap();
            let one = &change.sandboxes[0];
            assert_eq!(one.state, Unreadable);
            assert!(one.stale.is_none(), "{one:?}");
            let failure = one.failure.as_ref().unwrap();
            assert_eq!(failure.kind, ErrorKind::RecordUnreadable);
            assert!(failure.message.contains("will not hold"), "{failure}");
            assert!(failure.hint.contains("/sandboxes/"), "{failure:?}");
            assert_eq!(host.delivered(id), ["tok", ""]);
            assert_eq!(
                host.shim(id),
                match then {
                    Then::Nothing => Some("running"),
                    Then::Freeze => Some("frozen"),
                    Then::Stop => None,
                }
            );
            if then == Then::Stop {
                assert_eq!(host.unit(id), UnitState::Gone);
                continue;
            }
            // Nothing gives it back.
            let stored = core.store_token(ALICE, pasted("new")).await.unwrap();
            assert_eq!(stored.stale.len() + stored.updated.len(), 0);
            let change = core.refresh(ALICE, Some(name("s1"))).await.unwrap();
            let failure = change.sandboxes[0].failure.as_ref().unwrap();
            assert_eq!(failure.kind, ErrorKind::RecordUnreadable);
            assert_eq!(host.delivered(id), ["tok", ""]);
        }
    }
}

#[tokio::test]
async fn a_sandbox_without_a_readable_record_is_given_nothing_and_loses_what_is_removed() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    drop(core);
    let core = unreadable(&host).await;
    let stored = core.store_token(ALICE, pasted("new")).await.unwrap();
    assert_eq!(stored.stale, ["s1"]);
    assert_eq!(host.delivered(id), ["tok"]);
    let removed = core.remove_token(ALICE).await.unwrap();
    assert_eq!(removed.updated, ["s1"]);
    assert_eq!(host.delivered(id), ["tok", ""]);
    // What its shim withholds is not given back by anything.
    revoke(&core, "s1", Then::Nothing).await;
    let core = unreadable(&host).await;
    core.store_token(ALICE, pasted("newer")).await.unwrap();
    let given = core.get(ALICE, name("s1")).await.unwrap().credentials;
    assert!(given[0].revoked, "{given:?}");
    assert!(host.delivered(id)[1..].iter().all(String::is_empty));
}

#[tokio::test]
async fn one_that_fails_keeps_none_of_the_others() {
    let (host, core) = with_token();
    let mut ids = Vec::new();
    for sandbox in ["s1", "s2", "s3"] {
        ids.push(up(&core, ALICE, sandbox).await.unwrap().sandbox.id);
    }
    host.fail_storage(Some(1));
    let change = core.revoke(ALICE, None, Then::Nothing).await.unwrap();
    let failed = change.sandboxes.iter().filter(|one| one.failure.is_some());
    assert_eq!((change.sandboxes.len(), failed.count()), (3, 2));
    for id in &ids {
        assert_eq!(host.delivered(*id), ["tok", ""]);
    }
    host.fail_storage(Some(1));
    let change = core.refresh(ALICE, None).await.unwrap();
    let given = change.sandboxes.iter().map(|one| one.failure.is_none());
    assert_eq!(given.collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(change.sandboxes[0].state, Running);
    assert_eq!(host.delivered(ids[0]).last().unwrap(), "tok");
}

#[tokio::test]
async fn one_that_is_refreshed_while_it_starts_withholds_nothing_whatever_can_be_read() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    revoke(&core, "s1", Then::Stop).await;
    // Its shim reads the record, and asks for credentials only after that.
    host.slow(true);
    host.unreadable(true);
    let starting = core.start(ALICE, name("s1"), Progress::unseen());
    let refreshing = async {
        while host.unit(id) != UnitState::Activating {
            tokio::task::yield_now().await;
        }
        core.refresh(ALICE, Some(name("s1"))).await.unwrap();
        host.slow(false);
    };
    let (started, ()) = tokio::join!(starting, refreshing);
    started.unwrap();
    let given = core.get(ALICE, name("s1")).await.unwrap().credentials;
    assert!(!given[0].revoked, "{given:?}");
}
