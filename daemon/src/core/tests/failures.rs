//! What is refused, what fails, and what is left then.

use forage_api::ErrorKind;
use forage_api::bus::SandboxState::{Failed, Running, Stopped};
use forage_api::record::Phase;
use forage_api::shim::report::Outcome;

use super::*;
use crate::core::fakes::Script;
use crate::core::ports::{LoadedRecord, UnitState};

#[tokio::test]
async fn refusals_leave_nothing() {
    for script in [
        Script::Refuse(failure(ErrorKind::InvalidRepository)),
        Script::Deny(failure(ErrorKind::Unavailable)),
    ] {
        let host = FakeHost::new();
        let core = host.core();
        host.script(script);
        let failed = up(&core, ALICE, "s1").await.err().unwrap();
        assert_eq!(failed.message, "because");
        assert_ne!(failed.kind, ErrorKind::SandboxFailed);
        assert!(host.records().is_empty());
        assert_eq!(state(&core, ALICE, "s1").await, None);
    }
    let host = FakeHost::new();
    let core = host.core();
    let mut unknown = spec(ALICE, "s1");
    unknown.template = "other".parse().unwrap();
    let refused = core
        .create(unknown, Progress::unseen())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind, ErrorKind::NoSuchTemplate);
    assert_eq!(refused.hint, "templates: claude, plain");
    assert!(host.log().is_empty());
}

#[tokio::test]
async fn what_fails_later_stays_as_failed_and_can_be_tried_again() {
    for (script, words) in [
        (Script::Fail(failure(ErrorKind::SecretUnusable)), "because"),
        (Script::Die, "ended without saying why"),
    ] {
        let host = FakeHost::new();
        let core = host.core();
        host.script(script);
        let failed = up(&core, ALICE, "s1").await.err().unwrap();
        assert_eq!(failed.kind, ErrorKind::SandboxFailed);
        assert!(failed.message.contains(words), "{failed}");
        assert_eq!(host.records()[0].phase, Phase::Created);
        let status = core.get(ALICE, name("s1")).await.unwrap();
        assert_eq!((status.state, status.failure), (Failed, Some(failed)));
        // A start that is refused changes nothing, not even why the last one failed.
        host.script(Script::Refuse(failure(ErrorKind::SecretUnusable)));
        let again = core
            .start(ALICE, name("s1"), Progress::unseen())
            .await
            .err()
            .unwrap();
        assert_eq!(again.kind, ErrorKind::SecretUnusable);
        assert_eq!(state(&core, ALICE, "s1").await, Some(Failed));
        host.script(Script::Run);
        core.start(ALICE, name("s1"), Progress::unseen())
            .await
            .unwrap();
        assert_eq!(state(&core, ALICE, "s1").await, Some(Running));
    }
}

#[tokio::test]
async fn storage_that_fails_at_any_point_loses_nothing() {
    for at in 0..4 {
        let host = FakeHost::new();
        let core = host.core();
        host.fail_storage(Some(at));
        let made = up(&core, ALICE, "s1").await;
        host.fail_storage(None);
        let seen = state(&core, ALICE, "s1").await;
        assert_eq!(seen.is_some(), !host.records().is_empty(), "at {at}");
        match made {
            Ok(_) => assert_eq!(seen, Some(Running)),
            Err(failed) => {
                assert_eq!(failed.kind, ErrorKind::StorageFailed);
                assert_ne!(seen, Some(Running), "at {at}");
                if seen.is_some() {
                    core.remove(ALICE, name("s1"), false, Progress::unseen())
                        .await
                        .unwrap();
                }
                up(&core, ALICE, "s1").await.unwrap();
            }
        }
        core.stop(ALICE, name("s1")).await.unwrap();
        host.fail_storage(Some(at));
        let removed = core
            .remove(ALICE, name("s1"), false, Progress::unseen())
            .await;
        host.fail_storage(None);
        if removed.is_err() {
            core.remove(ALICE, name("s1"), false, Progress::unseen())
                .await
                .unwrap();
        }
        assert!(host.records().is_empty());
    }
}

#[tokio::test]
async fn a_refused_removal_keeps_the_sandbox() {
    let host = FakeHost::new();
    let core = host.core();
    up(&core, ALICE, "s1").await.unwrap();
    host.removal(Some(Outcome::NotRemoved(failure(
        ErrorKind::WorkspaceNotEmpty,
    ))));
    let remove = |delete| core.remove(ALICE, name("s1"), delete, Progress::unseen());
    assert_eq!(
        kind(remove(false)).await,
        Some(ErrorKind::WorkspaceNotEmpty)
    );
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
    assert_eq!(host.records()[0].phase, Phase::Created);
    host.removal(None);
    remove(true).await.unwrap();
    assert!(host.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_by_itself() {
    let host = FakeHost::new();
    let core = host.core();
    for (outcome, expected) in [
        (Some(Outcome::Stopped), Stopped),
        (
            Some(Outcome::Failed(failure(ErrorKind::SandboxFailed))),
            Failed,
        ),
        (None, Failed),
    ] {
        let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
        host.end(id, outcome);
        until(&host, &core, "s1", expected).await;
        core.remove(ALICE, name("s1"), false, Progress::unseen())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shim_that_does_not_stop_it_is_passed_by() {
    let host = FakeHost::new();
    let core = host.core();
    up(&core, ALICE, "s1").await.unwrap();
    host.deaf(true);
    host.log();
    core.stop(ALICE, name("s1")).await.unwrap();
    assert_eq!(host.log(), ["stop unit"]);
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_ended() {
    let host = FakeHost::new();
    let core = host.core();
    host.script(Script::Hold);
    let failed = up(&core, ALICE, "s1").await.err().unwrap();
    assert_eq!(failed.kind, ErrorKind::SandboxFailed);
    assert!(failed.message.contains("did not become ready"), "{failed}");
    let record = &host.records()[0];
    assert_eq!(
        (record.phase, host.unit(record.id)),
        (Phase::Created, UnitState::Gone)
    );
    assert_eq!(state(&core, ALICE, "s1").await, Some(Failed));
}

#[tokio::test]
async fn a_bad_configuration_refuses_starts_and_nothing_else() {
    let host = FakeHost::new();
    let core = host.core();
    up(&core, ALICE, "s1").await.unwrap();
    core.reload(Err("line 3: bad".into())).await.unwrap();
    let refused = up(&core, ALICE, "s2").await.err().unwrap();
    assert_eq!(
        (refused.kind, &*refused.message),
        (ErrorKind::InvalidConfig, "line 3: bad")
    );
    core.stop(ALICE, name("s1")).await.unwrap();
    let start = core.start(ALICE, name("s1"), Progress::unseen());
    assert_eq!(kind(start).await, Some(ErrorKind::InvalidConfig));
    assert_eq!(core.list(Some(ALICE)).await.unwrap().len(), 1);
    core.remove(ALICE, name("s1"), false, Progress::unseen())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unreadable_record_reserves_what_it_names() {
    let host = FakeHost::new();
    let name_of = record(0, Phase::Created).record_name();
    let loaded = LoadedRecord {
        name: name_of,
        content: Err("it is damaged".into()),
    };
    let core = host.core_from(vec![loaded], crate::core::fakes::CONFIG);
    core.reconcile().await.unwrap();
    let status = core.get(ALICE, name("s0")).await.unwrap();
    assert_eq!(status.state, forage_api::bus::SandboxState::Unreadable);
    let said = status.failure.unwrap();
    assert_eq!(said.kind, ErrorKind::RecordUnreadable);
    assert!(
        said.hint.contains("/sandboxes/00000000.1000.0.s0.json"),
        "{}",
        said.hint
    );
    let remove = core.remove(ALICE, name("s0"), true, Progress::unseen());
    assert_eq!(kind(remove).await, Some(ErrorKind::RecordUnreadable));
    let stop = core.stop(ALICE, name("s0"));
    assert_eq!(kind(stop).await, Some(ErrorKind::RecordUnreadable));
    assert_eq!(
        kind(up(&core, ALICE, "s0")).await,
        Some(ErrorKind::SandboxExists)
    );
    let other = up(&core, ALICE, "s1").await.unwrap().sandbox;
    assert_eq!(other.uid_base, 0x7001_0000);
}
