//! Refreshing and revoking.

use forage_api::ErrorKind;
use forage_api::bus::SandboxState::{Frozen, Running, Stopped};
use forage_api::shim::control::RunState;

use super::*;
use crate::core::fakes::Script;
use crate::core::ports::{TokenPlace, UnitState};
use crate::core::{AuthChange, Notice, Then};

fn outcome(change: &AuthChange) -> (&str, SandboxState, Vec<Option<&str>>) {
    let one = &change.sandboxes[0];
    let prints = one.credentials.iter().map(|one| one.fingerprint.as_deref());
    (&one.name, one.state, prints.collect())
}

async fn revoke(core: &Core, sandbox: &str, then: Then) -> AuthChange {
    core.revoke(ALICE, Some(name(sandbox)), then).await.unwrap()
}

async fn refresh(core: &Core, sandbox: &str) -> AuthChange {
    core.refresh(ALICE, Some(name(sandbox))).await.unwrap()
}

fn with_token() -> (Arc<FakeHost>, Core) {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("tok", &host, 200));
    let core = host.core();
    (host, core)
}

#[tokio::test]
async fn revoked_until_it_is_refreshed_over_restarts_too() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    let mut notices = host.changes.lock().unwrap().take().unwrap();
    host.log();
    for round in 0..2 {
        let change = revoke(&core, "s1", Then::Nothing).await;
        // The record comes first; doing it again does no harm.
        assert_eq!(host.log(), ["write Created", "shim revoked "]);
        let held = if round == 0 {
            vec![Some("fp tok")]
        } else {
            vec![]
        };
        assert_eq!(outcome(&change), ("s1", Running, held));
        assert!(change.sandboxes[0].failure.is_none() && change.sandboxes[0].stale.is_none());
    }
    assert_eq!(host.delivered(id), ["tok", "", ""]);
    assert!(host.records()[0].revoked_at.is_some());
    let status = core.get(ALICE, name("s1")).await.unwrap();
    assert!(status.revoked_at.is_some() && status.credentials[0].revoked);

    // A stored token goes past it, and a start gets nothing and says why.
    let text = Secret::new(format!("sk-ant-oat01-{}", "x".repeat(90)).into_bytes());
    let other = up(&core, ALICE, "s2").await.unwrap().sandbox.id;
    let stored = core.store_token(ALICE, text).await.unwrap();
    assert_eq!(stored.updated, ["s2"]);
    assert!(stored.stale.is_empty() && stored.warnings[0].contains("auth refresh s1"));
    assert_eq!(host.delivered(id).last().unwrap(), "");
    assert!(
        host.delivered(other)
            .last()
            .unwrap()
            .starts_with("sk-ant-oat01")
    );
    core.remove(ALICE, name("s2"), false, Progress::unseen())
        .await
        .unwrap();
    core.stop(ALICE, name("s1")).await.unwrap();
    let core = host.core();
    core.reconcile().await.unwrap();
    let started = core
        .start(ALICE, name("s1"), Progress::unseen())
        .await
        .unwrap();
    assert_eq!(host.delivered(id).last().unwrap(), "");
    assert!(
        started.warnings[0].contains("auth refresh s1"),
        "{:?}",
        started.warnings
    );

    let change = refresh(&core, "s1").await;
    assert_eq!(change.debug, ["using stored long-lived Claude OAuth token"]);
    assert!(host.records()[0].revoked_at.is_none());
    assert!(
        host.delivered(id)
            .last()
            .unwrap()
            .starts_with("sk-ant-oat01")
    );
    assert!(
        core.get(ALICE, name("s1"))
            .await
            .unwrap()
            .revoked_at
            .is_none()
    );
    let mut told = 0;
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Revoked { owner, name, held } = notice {
            assert_eq!((owner, &*name, held.len()), (ALICE, "s1", 1));
            told += 1;
        }
    }
    assert_eq!(told, 1);
}

#[tokio::test]
async fn frozen_or_stopped_afterwards() {
    let (host, core) = with_token();
    up(&core, ALICE, "s1").await.unwrap();
    let change = revoke(&core, "s1", Then::Freeze).await;
    assert_eq!(outcome(&change), ("s1", Frozen, vec![Some("fp tok")]));
    let start = core.start(ALICE, name("s1"), Progress::unseen());
    let running = start.await.err().unwrap();
    assert_eq!(running.kind, ErrorKind::SandboxRunning);
    assert!(running.message.contains("frozen"), "{running}");
    assert_eq!(core.numbers().await.unwrap(), (1, 1));
    // A frozen sandbox is brought what is stored, but goes on only when it is refreshed.
    let change = refresh(&core, "s1").await;
    assert_eq!(outcome(&change), ("s1", Running, vec![Some("fp tok")]));

    let change = revoke(&core, "s1", Then::Stop).await;
    assert_eq!(outcome(&change), ("s1", Stopped, vec![Some("fp tok")]));
    assert!(host.records()[0].revoked_at.is_some());
    // Of what is stopped only the record is changed.
    host.log();
    let change = refresh(&core, "s1").await;
    assert_eq!(outcome(&change), ("s1", Stopped, vec![]));
    assert_eq!(host.log(), ["write Created"]);
    let change = revoke(&core, "s1", Then::Stop).await;
    assert!(change.sandboxes[0].failure.is_none(), "{change:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_shim_misses_it_is_brought_later() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    let mut notices = host.changes.lock().unwrap().take().unwrap();
    while notices.try_recv().is_ok() {}
    host.deaf(true);
    let change = revoke(&core, "s1", Then::Freeze).await;
    let one = &change.sandboxes[0];
    assert!(one.stale.is_some(), "{one:?}");
    assert!(
        one.failure.as_ref().unwrap().message.contains("not frozen"),
        "{one:?}"
    );
    host.deaf(false);
    // Who looks only when told misses nothing.
    loop {
        let told = tokio::time::timeout(std::time::Duration::from_secs(600), notices.recv());
        assert!(told.await.expect("it is told").is_some());
        let seen = core.get(ALICE, name("s1")).await.unwrap();
        if seen.credentials[0].revoked && !seen.stale {
            break;
        }
    }
    assert_eq!(host.delivered(id), ["tok", ""]);
}

#[tokio::test]
async fn a_disk_that_is_full_keeps_no_credential_in_a_sandbox() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.fail_storage(Some(0));
    let change = revoke(&core, "s1", Then::Nothing).await;
    let failure = change.sandboxes[0].failure.as_ref().unwrap();
    assert_eq!(failure.kind, ErrorKind::StorageFailed);
    assert!(failure.message.contains("will not hold"), "{failure}");
    assert_eq!(host.delivered(id), ["tok", ""]);
    // This daemon knows of it all the same, and the next record that is written says so.
    core.stop(ALICE, name("s1")).await.unwrap();
    core.start(ALICE, name("s1"), Progress::unseen())
        .await
        .unwrap();
    assert_eq!(host.delivered(id), ["tok", "", ""]);

    host.fail_storage(None);
    revoke(&core, "s1", Then::Nothing).await;
    assert!(host.records()[0].revoked_at.is_some());
    // One that cannot be recorded to have ended has not ended.
    host.fail_storage(Some(0));
    let change = refresh(&core, "s1").await;
    let failure = change.sandboxes[0].failure.as_ref().unwrap();
    assert!(failure.message.contains("stays revoked"), "{failure}");
    assert!(host.delivered(id).iter().skip(1).all(String::is_empty));
}

#[tokio::test]
async fn one_that_is_being_started_gets_nothing() {
    let (host, core) = with_token();
    host.script(Script::Hold);
    let starting = tokio::spawn({
        let core = core.clone();
        async move { up(&core, ALICE, "s1").await }
    });
    until(&host, &core, "s1", SandboxState::Starting).await;
    revoke(&core, "s1", Then::Nothing).await;
    let id = loop {
        if let Some(record) = host.records().first()
            && !host.delivered(record.id).is_empty()
        {
            break record.id;
        }
        tokio::task::yield_now().await;
    };
    host.release(id);
    starting.await.unwrap().unwrap();
    assert_eq!(host.delivered(id).last().unwrap(), "");
    // What the end of the creation writes keeps the revocation.
    assert!(host.records()[0].revoked_at.is_some());
    assert_eq!(host.records()[0].phase, Phase::Created);
}

#[tokio::test]
async fn one_that_is_refreshed_while_it_starts_gets_its_token() {
    let (host, core) = with_token();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    revoke(&core, "s1", Then::Stop).await;
    // Its shim reads the record, and asks for credentials only after that.
    let mut revoked = host.records()[0].clone();
    let core = host.core();
    let starting = core.start(ALICE, name("s1"), Progress::unseen());
    host.slow(true);
    let refreshing = async {
        while host.unit(id) != UnitState::Activating {
            tokio::task::yield_now().await;
        }
        refresh(&core, "s1").await;
        host.slow(false);
    };
    let (started, ()) = tokio::join!(starting, refreshing);
    started.unwrap();
    revoked.revoked_at = None;
    assert_eq!(host.records(), [revoked]);
    assert_eq!(host.delivered(id).last().unwrap(), "tok");
    assert!(!core.get(ALICE, name("s1")).await.unwrap().credentials[0].revoked);
}

#[tokio::test]
async fn a_restarted_daemon_brings_what_was_decided() {
    for revoked in [true, false] {
        let (host, _) = with_token();
        let mut running = record(1, Phase::Created);
        running.revoked_at = revoked.then_some(running.created_at);
        let id = running.id;
        host.put_record(running);
        host.put_unit(id, UnitState::Active, Some(RunState::Running));
        let core = host.core();
        core.reconcile().await.unwrap();
        while host.delivered(id).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(host.delivered(id), [if revoked { "" } else { "tok" }]);
        assert_eq!(host.log().contains(&"shim revoked ".to_owned()), revoked);
    }
}

#[tokio::test]
async fn all_of_an_owner_and_nobody_elses() {
    let host = FakeHost::new();
    let core = host.core();
    for (owner, sandbox) in [(ALICE, "s2"), (ALICE, "s1"), (BOB, "s1"), (BOB, "b1")] {
        up(&core, owner, sandbox).await.unwrap();
    }
    core.stop(ALICE, name("s2")).await.unwrap();
    let change = core.revoke(ALICE, None, Then::Nothing).await.unwrap();
    let names: Vec<&str> = change.sandboxes.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["s1", "s2"]);
    for record in host.records() {
        assert_eq!(
            record.revoked_at.is_some(),
            record.owner == ALICE,
            "{record:?}"
        );
    }
    let others = core.revoke(ALICE, Some(name("b1")), Then::Nothing).await;
    let none = core.revoke(ALICE, Some(name("none")), Then::Nothing).await;
    let text = |failure: Failure| failure.message.replace("b1", "none");
    assert_eq!(text(others.unwrap_err()), text(none.unwrap_err()));
    let others = kind(core.refresh(ALICE, Some(name("b1")))).await;
    assert_eq!(others, Some(ErrorKind::NoSuchSandbox));
    // Nothing to do is no failure.
    assert!(core.refresh(4711, None).await.unwrap().sandboxes.is_empty());
}

#[tokio::test]
async fn a_removal_under_way_is_not_undone() {
    let (host, core) = with_token();
    up(&core, ALICE, "s1").await.unwrap();
    host.removal_unheard(UnitState::Active);
    let removing = tokio::spawn({
        let core = core.clone();
        async move {
            core.remove(ALICE, name("s1"), false, Progress::unseen())
                .await
        }
    });
    until(&host, &core, "s1", SandboxState::Removing).await;
    host.log();
    revoke(&core, "s1", Then::Nothing).await;
    assert!(!host.log().iter().any(|line| line.starts_with("write")));
    removing.abort();
}

#[test]
fn words_for_what_follows() {
    assert_eq!(Then::parse(None).unwrap(), Then::Nothing);
    assert_eq!(Then::parse(Some("freeze")).unwrap(), Then::Freeze);
    assert_eq!(Then::parse(Some("stop")).unwrap(), Then::Stop);
    for bad in ["", "Stop", "kill", "\x1b[2J"] {
        let failure = Then::parse(Some(bad)).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::InvalidArgument);
        assert!(!failure.message.contains('\x1b'));
    }
}
