//! A bad configuration when the daemon begins.

use forage_api::ErrorKind;
use forage_api::bus::SandboxState::{Failed, Running};
use forage_api::record::Phase::{Created, Creating};
use forage_api::shim::control::RunState;

use super::*;
use crate::core::ports::{TokenPlace, UnitState};

#[tokio::test(start_paused = true)]
async fn a_bad_configuration_takes_no_token_away() {
    let host = FakeHost::new();
    let id = SandboxId::new(1);
    host.put_token(TokenPlace::User, token("alices", &host, 200));
    host.put_record(record(1, Created));
    host.put_unit(id, UnitState::Active, Some(RunState::Running));
    let core = host.core_without_config();
    core.reconcile().await.unwrap();
    assert_eq!(state(&core, ALICE, "s1").await, Some(Running));
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    assert!(host.delivered(id).is_empty());
    assert!(core.get(ALICE, name("s1")).await.unwrap().stale);
    let pasted = Secret::new(format!("sk-ant-oat01-{}", "x".repeat(90)).into_bytes());
    let refused = Some(ErrorKind::InvalidConfig);
    assert_eq!(kind(core.store_token(ALICE, pasted)).await, refused);
    assert_eq!(kind(core.remove_token(ALICE)).await, refused);
    assert_eq!(kind(core.token_status(ALICE)).await, refused);

    let good = crate::core::fakes::config(crate::core::fakes::CONFIG);
    core.reload(Ok(good)).await.unwrap();
    // A bad file after a good one changes nothing about tokens.
    core.reload(Err("line 3: bad".into())).await.unwrap();
    while core.get(ALICE, name("s1")).await.unwrap().stale {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), "alices");
    core.remove_token(ALICE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_meets_a_bad_configuration_fails() {
    for phase in [Creating, Created] {
        let host = FakeHost::new();
        let id = SandboxId::new(1);
        host.put_record(record(1, phase));
        let waits = Some(RunState::AwaitingCredentials);
        host.put_unit(id, UnitState::Activating, waits);
        let core = host.core_without_config();
        core.reconcile().await.unwrap();
        until(&host, &core, "s1", Failed).await;
        let failure = core.get(ALICE, name("s1")).await.unwrap().failure;
        assert_eq!(failure.unwrap().kind, ErrorKind::InvalidConfig);
        assert!(host.delivered(id).is_empty());
        assert_eq!(host.unit(id), UnitState::Gone);
        assert_eq!(host.records()[0].phase, Created);
    }
}
