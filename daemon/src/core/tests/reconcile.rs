//! What a new process makes of what an earlier one left.

use forage_api::bus::SandboxState::{Failed, Removing, Running, Starting, Stopped};
use forage_api::record::Phase::{Created, Creating, Removing as BeingRemoved};
use forage_api::shim::control::RunState;
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure};

use super::*;
use crate::core::fakes::Script;
use crate::core::ports::{TokenPlace, UnitState};

async fn restarted(host: &Arc<FakeHost>) -> Core {
    let core = host.core();
    core.reconcile().await.unwrap();
    core
}

#[tokio::test]
async fn running_sandboxes_are_taken_over_and_given_the_newest_token() {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("newest", &host, 200));
    host.put_record(record(1, Created));
    host.put_unit(
        SandboxId::new(1),
        UnitState::Active,
        Some(RunState::Running),
    );
    let core = restarted(&host).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Running));
    core.exec(ALICE, name("s1")).await.unwrap();
    while host.delivered(SandboxId::new(1)).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.delivered(SandboxId::new(1)), ["newest"]);
    core.stop(ALICE, name("s1")).await.unwrap();
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
}

#[tokio::test]
async fn a_start_that_waits_for_its_token_goes_on() {
    for phase in [Creating, Created] {
        let host = FakeHost::new();
        host.put_record(record(1, phase));
        let waits = Some(RunState::AwaitingCredentials);
        host.put_unit(SandboxId::new(1), UnitState::Activating, waits);
        let core = restarted(&host).await;
        assert!(matches!(
            state(&core, ALICE, "s1").await,
            Some(Starting | Running)
        ));
        until(&host, &core, "s1", Running).await;
        assert!(core.idle(std::time::Duration::from_secs(1)).await);
        assert_eq!(host.records()[0].phase, Created);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_shim_is_not_there_yet_goes_on() {
    let host = FakeHost::new();
    let id = SandboxId::new(1);
    host.put_record(record(1, Creating));
    host.put_unit(id, UnitState::Activating, None);
    let core = restarted(&host).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Starting));
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    host.put_unit(
        id,
        UnitState::Activating,
        Some(RunState::AwaitingCredentials),
    );
    until(&host, &core, "s1", Running).await;
}

#[tokio::test]
async fn a_creation_that_fails_while_nobody_looks() {
    let failure = Failure::new(ErrorKind::InvalidRepository, "not a directory");
    for (outcome, kept) in [
        (Outcome::Refused(failure.clone()), false),
        (Outcome::Failed(failure), true),
    ] {
        let host = FakeHost::new();
        let id = SandboxId::new(1);
        host.put_record(record(1, Creating));
        host.put_unit(id, UnitState::Deactivating, None);
        let core = restarted(&host).await;
        host.end(id, Some(outcome));
        if kept {
            until(&host, &core, "s1", Failed).await;
            assert_eq!(host.records()[0].phase, Created);
        } else {
            until_gone(&core).await;
            assert!(host.records().is_empty());
        }
    }
}

#[tokio::test]
async fn a_late_word_of_a_socket_changes_nothing() {
    let host = FakeHost::new();
    host.put_record(record(1, Created));
    let core = restarted(&host).await;
    core.appeared(SandboxId::new(1)).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
}

#[tokio::test]
async fn what_stopped_meanwhile_is_stopped_or_failed() {
    let host = FakeHost::new();
    for id in 1..=3 {
        host.put_record(record(id, Created));
    }
    host.end(SandboxId::new(1), Some(Outcome::Stopped));
    let failure = Failure::new(ErrorKind::Internal, "it broke");
    host.end(SandboxId::new(2), Some(Outcome::Failed(failure)));
    let core = restarted(&host).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
    assert_eq!(state(&core, ALICE, "s2").await, Some(Failed));
    assert_eq!(state(&core, ALICE, "s3").await, Some(Stopped));
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_taken_back() {
    let host = FakeHost::new();
    host.put_record(record(1, Creating));
    let core = restarted(&host).await;
    assert!(core.idle(std::time::Duration::from_secs(1)).await);
    until_gone(&core).await;
    assert!(host.records().is_empty());
    assert_eq!(host.log(), ["start remove", "delete"]);
}

#[tokio::test]
async fn a_creation_that_cannot_be_taken_back_is_kept() {
    let host = FakeHost::new();
    host.put_record(record(1, Creating));
    let failure = Failure::new(ErrorKind::WorkspaceNotEmpty, "files");
    host.removal(Some(Outcome::NotRemoved(failure)));
    let core = restarted(&host).await;
    until(&host, &core, "s1", Failed).await;
    assert_eq!(host.records()[0].phase, Created);
}

#[tokio::test]
async fn a_removal_goes_on() {
    let host = FakeHost::new();
    host.put_record(record(1, BeingRemoved));
    host.put_unit(
        SandboxId::new(1),
        UnitState::Active,
        Some(RunState::Running),
    );
    let core = restarted(&host).await;
    assert!(matches!(
        state(&core, ALICE, "s1").await,
        Some(Removing) | None
    ));
    until_gone(&core).await;
    assert_eq!(host.log(), ["stop unit", "start remove", "delete"]);
}

#[tokio::test]
async fn units_without_a_record_are_left_alone() {
    let host = FakeHost::new();
    let stranger = SandboxId::new(9);
    host.put_unit(stranger, UnitState::Active, Some(RunState::Running));
    let core = restarted(&host).await;
    assert!(core.list(None).await.unwrap().is_empty());
    assert_eq!(host.unit(stranger), UnitState::Active);
    assert!(host.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_shim_is_silent_can_still_be_stopped() {
    let host = FakeHost::new();
    host.put_record(record(1, Created));
    host.put_unit(SandboxId::new(1), UnitState::Active, None);
    let core = restarted(&host).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Running));
    let exec = core.exec(ALICE, name("s1")).await.unwrap_err();
    assert_eq!(exec.kind, ErrorKind::SandboxFailed);
    core.stop(ALICE, name("s1")).await.unwrap();
    assert_eq!(host.log(), ["stop unit"]);
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
}

#[tokio::test]
async fn a_unit_somebody_else_started_is_taken_over() {
    let host = FakeHost::new();
    host.put_record(record(1, Created));
    let core = restarted(&host).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
    let id = SandboxId::new(1);
    host.put_unit(
        id,
        UnitState::Activating,
        Some(RunState::AwaitingCredentials),
    );
    core.appeared(id).await;
    until(&host, &core, "s1", Running).await;
    core.appeared(id).await;
    assert_eq!(state(&core, ALICE, "s1").await, Some(Running));
}

async fn until_gone(core: &Core) {
    for _ in 0..10_000 {
        if state(core, ALICE, "s1").await.is_none() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it is still there");
}

#[tokio::test]
async fn a_late_look_leaves_alone_what_was_done_meanwhile() {
    let host = FakeHost::new();
    host.put_record(record(1, Creating));
    let core = host.core();
    host.blind(true);
    core.reconcile().await.unwrap_err();
    // One sandbox is being created, another runs; the look that works at last is older than both.
    let runs = up(&core, ALICE, "runs").await.unwrap().sandbox.id;
    host.script(Script::Hold);
    let creating = tokio::spawn({
        let core = core.clone();
        async move { up(&core, ALICE, "comes").await }
    });
    until(&host, &core, "comes", Starting).await;
    host.log();
    host.blind(false);
    core.reconcile().await.unwrap();
    until_gone(&core).await;
    assert_eq!(
        host.log().iter().filter(|line| *line == "delete").count(),
        1
    );
    assert_eq!(state(&core, ALICE, "runs").await, Some(Running));
    assert_eq!(host.unit(runs), UnitState::Active);
    assert_eq!(state(&core, ALICE, "comes").await, Some(Starting));
    let started = async {
        loop {
            let records = host.records();
            let comes = records.iter().find(|one| one.name == name("comes"));
            let id = comes.map(|one| one.id).unwrap();
            if !host.delivered(id).is_empty() {
                break host.release(id);
            }
            tokio::task::yield_now().await;
        }
    };
    let (made, ()) = tokio::join!(creating, started);
    assert_eq!(made.unwrap().unwrap().sandbox.state, Running);
}

#[tokio::test]
async fn what_was_taken_over_is_free_for_operations() {
    let host = FakeHost::new();
    for (id, unit) in [(1, UnitState::Active), (2, UnitState::Deactivating)] {
        host.put_record(record(id, Created));
        let runs = (id == 1).then_some(RunState::Running);
        host.put_unit(SandboxId::new(id), unit, runs);
    }
    let core = restarted(&host).await;
    // It stops between the look and the connection.
    host.end(SandboxId::new(2), Some(Outcome::Stopped));
    core.stop(ALICE, name("s1")).await.unwrap();
    until(&host, &core, "s2", Stopped).await;
    core.remove(ALICE, name("s2"), false, Progress::unseen())
        .await
        .unwrap();
}
