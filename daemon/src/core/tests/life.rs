//! Create, start, stop, remove and exec: order, refusals, failures.

use forage_api::ErrorKind;
use forage_api::bus::SandboxState::{Running, Starting, Stopped};
use forage_api::shim::report::Outcome;

use super::*;
use crate::core::Notice;
use crate::core::fakes::Script;
use crate::core::ports::{TokenPlace, UnitState};

#[tokio::test]
async fn intent_comes_before_the_first_side_effect_and_the_record_goes_last() {
    let host = FakeHost::new();
    let core = host.core();
    host.put_token(TokenPlace::User, token("old", &host, 200));
    let (progress, mut steps) = Progress::channel();
    let started = core.create(spec(ALICE, "s1"), progress).await.unwrap();
    assert_eq!(started.sandbox.state, Running);
    assert_eq!(
        started.debug,
        ["using stored long-lived Claude OAuth token"]
    );
    assert_eq!(started.warnings, [""; 0]);
    assert_eq!(host.delivered(started.sandbox.id), ["old"]);
    assert_eq!(
        host.log(),
        ["write Creating", "start sandbox", "write Created"]
    );
    let mut seen = Vec::new();
    while let Some(step) = steps.recv().await {
        seen.push(step);
    }
    assert_eq!(seen, ["recording", "starting", "booting"]);
    core.remove(ALICE, name("s1"), false, Progress::unseen())
        .await
        .unwrap();
    let stop = format!("shim stop {}", started.sandbox.id);
    assert_eq!(
        host.log(),
        [&*stop, "write Removing", "start remove", "delete"]
    );
    assert!(host.records().is_empty());
    assert_eq!(state(&core, ALICE, "s1").await, None);
}

#[tokio::test]
async fn stop_start_and_wrong_states() {
    let host = FakeHost::new();
    let core = host.core();
    up(&core, ALICE, "s1").await.unwrap();
    assert_eq!(
        kind(up(&core, ALICE, "s1")).await,
        Some(ErrorKind::SandboxExists)
    );
    let start = || core.start(ALICE, name("s1"), Progress::unseen());
    assert_eq!(kind(start()).await, Some(ErrorKind::SandboxRunning));
    core.exec(ALICE, name("s1")).await.unwrap();
    core.stop(ALICE, name("s1")).await.unwrap();
    assert_eq!(state(&core, ALICE, "s1").await, Some(Stopped));
    assert_eq!(
        kind(core.stop(ALICE, name("s1"))).await,
        Some(ErrorKind::SandboxNotRunning)
    );
    assert_eq!(
        kind(core.exec(ALICE, name("s1"))).await,
        Some(ErrorKind::SandboxNotRunning)
    );
    start().await.unwrap();
    assert_eq!(state(&core, ALICE, "s1").await, Some(Running));
}

#[tokio::test]
async fn anothers_sandbox_and_none_give_the_same_answer() {
    let host = FakeHost::new();
    let core = host.core();
    up(&core, ALICE, "s1").await.unwrap();
    let one = core.get(BOB, name("s1")).await.unwrap_err();
    assert_eq!(one.kind, ErrorKind::NoSuchSandbox);
    core.remove(ALICE, name("s1"), false, Progress::unseen())
        .await
        .unwrap();
    assert_eq!(core.get(BOB, name("s1")).await.unwrap_err(), one);
    up(&core, ALICE, "s1").await.unwrap();
    up(&core, BOB, "s1").await.unwrap();
    assert_eq!(core.list(Some(BOB)).await.unwrap().len(), 1);
    assert_eq!(core.list(None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_second_operation_is_refused_at_once() {
    let host = FakeHost::new();
    let core = host.core();
    host.script(Script::Hold);
    let (one, two) = tokio::join!(biased; up(&core, ALICE, "s1"), async {
        while host.records().is_empty() {
            tokio::task::yield_now().await;
        }
        let id = host.records()[0].id;
        assert_eq!(state(&core, ALICE, "s1").await, Some(Starting));
        let (progress, none) = (Progress::unseen, false);
        assert_eq!(kind(up(&core, ALICE, "s1")).await, Some(ErrorKind::SandboxExists));
        assert_eq!(kind(core.stop(ALICE, name("s1"))).await, Some(ErrorKind::Busy));
        assert_eq!(kind(core.start(ALICE, name("s1"), progress())).await, Some(ErrorKind::Busy));
        assert_eq!(
            kind(core.remove(ALICE, name("s1"), none, progress())).await,
            Some(ErrorKind::Busy)
        );
        while host.delivered(id).is_empty() {
            tokio::task::yield_now().await;
        }
        host.release(id);
    });
    assert_eq!(one.unwrap().sandbox.state, Running);
    let () = two;
}

#[tokio::test]
async fn quotas_and_slots() {
    let host = FakeHost::new();
    let core = host.core();
    let mut bases = Vec::new();
    for sandbox in ["a", "b", "c"] {
        bases.push(up(&core, ALICE, sandbox).await.unwrap().sandbox.uid_base);
    }
    assert_eq!(bases, [0x7000_0000, 0x7001_0000, 0x7002_0000]);
    assert_eq!(
        kind(up(&core, ALICE, "d")).await,
        Some(ErrorKind::LimitReached)
    );
    core.remove(ALICE, name("b"), false, Progress::unseen())
        .await
        .unwrap();
    let next = up(&core, BOB, "d").await.unwrap().sandbox;
    assert_eq!(next.uid_base, 0x7001_0000);
}

#[tokio::test]
async fn changes_are_told_in_order() {
    let host = FakeHost::new();
    let core = host.core();
    let mut changes = host.changes.lock().unwrap().take().unwrap();
    up(&core, ALICE, "s1").await.unwrap();
    core.remove(ALICE, name("s1"), false, Progress::unseen())
        .await
        .unwrap();
    let mut seen = Vec::new();
    while let Ok(notice) = changes.try_recv() {
        let Notice::Sandbox(change) = notice else {
            continue;
        };
        assert_eq!((change.owner, &*change.name), (ALICE, "s1"));
        seen.push(change.state.map_or("", |state| state.as_str()));
    }
    // What its agents are given is told as well, with the state it has then; nothing else is.
    let starting = ["starting", "starting", "starting", "running"];
    let removing = ["removing", "removing", ""];
    assert_eq!(seen, [&starting[..], &removing].concat());
}

#[tokio::test(start_paused = true)]
async fn a_removal_whose_end_nobody_hears_of() {
    let host = FakeHost::new();
    let core = host.core();
    up(&core, ALICE, "s1").await.unwrap();
    core.stop(ALICE, name("s1")).await.unwrap();
    let remove = || core.remove(ALICE, name("s1"), false, Progress::unseen());

    host.removal_unheard(UnitState::Gone);
    let refused = failure(ErrorKind::WorkspaceNotEmpty);
    host.removal(Some(Outcome::NotRemoved(refused)));
    assert_eq!(kind(remove()).await, Some(ErrorKind::WorkspaceNotEmpty));

    host.removal(None);
    host.removal_unheard(UnitState::Activating);
    let begin = tokio::time::Instant::now();
    let pause = std::time::Duration::from_secs(30);
    let ends = async {
        tokio::time::sleep(pause).await;
        assert_eq!(host.records().len(), 1);
        host.removal_unheard(UnitState::Gone);
    };
    let (removed, ()) = tokio::join!(remove(), ends);
    removed.unwrap();
    assert!(begin.elapsed() < pause * 2);
    assert!(host.records().is_empty());
}
