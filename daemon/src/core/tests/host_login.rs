//! The owner's login on the host: offered, used, forgotten, and unknown after a restart.

use forage_api::shim::control::{RunState, TokenSource};

use super::*;
use crate::core::ports::{TokenPlace, UnitState};

const LOGIN: &str = "sk-ant-oat01-login";
const LATER: &str = "sk-ant-oat01-later";

async fn offer(
    core: &Core,
    text: &str,
    minutes: i64,
    host: &FakeHost,
) -> (Vec<String>, Vec<String>) {
    let until = *host.now.lock().unwrap() + jiff::SignedDuration::from_mins(minutes);
    let token = Secret::new(text.as_bytes().to_vec());
    let change = core.offer_login(ALICE, token, until.as_millisecond());
    let change = change.await.unwrap();
    (change.updated, change.stale)
}

#[tokio::test]
async fn it_is_used_where_no_token_is_stored() {
    let host = FakeHost::new();
    let core = host.core();
    assert_eq!(offer(&core, LOGIN, 445, &host).await, (vec![], vec![]));
    let started = up(&core, ALICE, "s1").await.unwrap();
    let id = started.sandbox.id;
    assert_eq!(host.delivered(id), [LOGIN]);
    assert_eq!(
        started.debug,
        [
            "read OAuth token from host login\texpiresIn=7h25m0s",
            "using short-lived OAuth token from host login"
        ]
    );
    let [warning] = &started.warnings[..] else {
        panic!("{:?}", started.warnings)
    };
    for words in [
        "falls back to the login of this host",
        "7h25m0s",
        "claude setup-token",
    ] {
        assert!(warning.contains(words), "{warning}");
    }
    let status = core.token_status(ALICE).await.unwrap();
    assert_eq!(status.source, TokenSource::HostLogin);
    assert_eq!(status.sandboxes, ["s1"]);

    // A newer one reaches it; the same one again is no news; others' sandboxes get none.
    up(&core, BOB, "b1").await.unwrap();
    assert_eq!(offer(&core, LATER, 500, &host).await.0, ["s1"]);
    assert_eq!(offer(&core, LATER, 500, &host).await, (vec![], vec![]));
    assert_eq!(host.delivered(id), [LOGIN, LATER]);
    // A stored token goes first, and then a login is kept for later.
    let text = Secret::new(format!("sk-ant-oat01-{}", "x".repeat(90)).into_bytes());
    core.store_token(ALICE, text).await.unwrap();
    assert_eq!(offer(&core, LOGIN, 445, &host).await, (vec![], vec![]));
    assert_eq!(core.remove_token(ALICE).await.unwrap().updated, ["s1"]);
    assert_eq!(host.delivered(id).last().unwrap(), LOGIN);
    // No login any more: it is taken away.
    assert_eq!(offer(&core, "", 0, &host).await.0, ["s1"]);
    assert_eq!(host.delivered(id).last().unwrap(), "");
    for record in host.records().iter().filter(|record| record.owner == BOB) {
        assert_eq!(host.delivered(record.id), [""]);
    }
}

#[tokio::test]
async fn an_expired_token_falls_back_to_it() {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("old", &host, -1));
    let core = host.core();
    offer(&core, LOGIN, 445, &host).await;
    let started = up(&core, ALICE, "s1").await.unwrap();
    assert_eq!(host.delivered(started.sandbox.id), [LOGIN]);
    let [warning] = &started.warnings[..] else {
        panic!("{:?}", started.warnings)
    };
    for words in [
        "expired on 2026-05-31",
        "falls back to the login",
        "renew it with",
    ] {
        assert!(warning.contains(words), "{warning}");
    }
    // Expired in its turn, it is not used either.
    *host.now.lock().unwrap() += jiff::SignedDuration::from_hours(8);
    core.stop(ALICE, name("s1")).await.unwrap();
    let started = core
        .start(ALICE, name("s1"), Progress::unseen())
        .await
        .unwrap();
    assert_eq!(host.delivered(started.sandbox.id), [LOGIN, ""]);
    let said = started.warnings.join("\n");
    assert!(
        said.contains("login of this host expired on 2026-06-01 at 19:25"),
        "{said}"
    );
    assert!(said.contains("claude auth login"), "{said}");
}

#[tokio::test]
async fn a_restarted_daemon_takes_no_login_away() {
    for (expired, kept) in [(false, true), (true, false)] {
        let host = FakeHost::new();
        let core = host.core();
        offer(&core, LOGIN, 445, &host).await;
        let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
        let other = up(&core, ALICE, "s2").await.unwrap().sandbox.id;
        assert_eq!(host.delivered(other), [LOGIN]);
        drop(core);
        if expired {
            *host.now.lock().unwrap() += jiff::SignedDuration::from_hours(8);
        }
        host.put_unit(id, UnitState::Active, Some(RunState::Running));
        let core = host.core();
        core.reconcile().await.unwrap();
        while host.delivered(id).len() < 2 || core.get(ALICE, name("s1")).await.unwrap().stale {
            tokio::task::yield_now().await;
        }
        let status = core.get(ALICE, name("s1")).await.unwrap();
        let source = if kept { "host-login" } else { "none" };
        assert_eq!(status.credentials[0].source, source);
        let token = core.token_status(ALICE).await.unwrap();
        let source = if kept {
            TokenSource::HostLogin
        } else {
            TokenSource::None
        };
        assert_eq!(token.source, source);
        // Once the owner says that there is none, it goes.
        offer(&core, "", 0, &host).await;
        while core.get(ALICE, name("s1")).await.unwrap().credentials[0].source != "none" {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_brought_at_once_follows() {
    let host = FakeHost::new();
    let core = host.core();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.fail_users(Some(1));
    assert_eq!(offer(&core, LOGIN, 445, &host).await.1, ["s1"]);
    assert_eq!(host.delivered(id), [""]);
    host.fail_users(None);
    while core.get(ALICE, name("s1")).await.unwrap().stale {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), LOGIN);
}
