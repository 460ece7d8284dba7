//! Expiry while sandboxes run, by a clock the tests set.

use forage_api::shim::control::RunState;
use jiff::SignedDuration;
use tokio::sync::mpsc;

use super::*;
use crate::core::Notice;
use crate::core::ports::{TokenPlace, UnitState};

const DAY: i64 = 24 * 60 * 60;

const fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// What subscribers are told of expiries and of what an agent is given.
struct Told(mpsc::Receiver<Notice>);

impl Told {
    /// From a core whose deadlines are kept.
    fn by(host: &FakeHost, core: &Core) -> Self {
        tokio::spawn(core.clone().keep_deadlines());
        Self(host.changes.lock().unwrap().take().unwrap())
    }

    /// The next thing, as text.
    async fn next(&mut self) -> String {
        loop {
            match self.0.recv().await.unwrap() {
                Notice::Expiring {
                    name,
                    credential,
                    days_left,
                    ..
                } => return format!("{name} {} {days_left}", credential.source),
                Notice::Rotated {
                    name, credential, ..
                } => return format!("{name} now {}", credential.source),
                Notice::Sandbox(_) | Notice::Revoked { .. } => {}
            }
        }
    }

    /// Nothing more is told of what happened until now: a token that is stored is told after it.
    async fn nothing(&mut self, core: &Core, sandbox: &str) {
        let text = format!("sk-ant-oat01-{}", "y".repeat(90));
        core.store_token(ALICE, Secret::new(text.into_bytes()))
            .await
            .unwrap();
        assert_eq!(self.next().await, format!("{sandbox} now token-store"));
    }
}

#[tokio::test]
async fn each_threshold_is_told_once_and_the_next_source_follows() {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("old", &host, 100));
    let core = host.core();
    let mut told = Told::by(&host, &core);
    up(&core, ALICE, "s1").await.unwrap();
    let id = up(&core, ALICE, "s2").await.unwrap().sandbox.id;
    // With exactly 30 days left it is still good, as for the warnings of a start.
    host.pass(seconds(70 * DAY));
    host.pass(SignedDuration::from_nanos(1));
    let both = |text: &str| [format!("s1 {text}"), format!("s2 {text}")];
    let mut heard = [told.next().await, told.next().await];
    heard.sort();
    assert_eq!(heard, both("token-store 30"));
    // Passing time is no news before it comes to the next threshold.
    for _ in 0..20 {
        host.pass(seconds(DAY));
    }
    host.pass(seconds(10 * DAY - DAY));
    let mut heard = [told.next().await, told.next().await];
    heard.sort();
    assert_eq!(heard, both("token-store 1"));
    core.stop(ALICE, name("s1")).await.unwrap();
    // A login that is there by then is what it falls to, to the second.
    let login = Secret::new(b"sk-ant-oat01-login".to_vec());
    let until = *host.now.lock().unwrap() + seconds(2 * DAY);
    core.offer_login(ALICE, login, until.as_millisecond())
        .await
        .unwrap();
    host.pass(seconds(DAY - 1));
    host.pass(seconds(1));
    assert_eq!(told.next().await, "s2 token-store 0");
    assert_eq!(told.next().await, "s2 now host-login");
    assert_eq!(host.delivered(id).last().unwrap(), "sk-ant-oat01-login");
    // Of a login only the end is told; after it there is nothing.
    host.pass(seconds(2 * DAY));
    assert_eq!(told.next().await, "s2 host-login 0");
    assert_eq!(told.next().await, "s2 now none");
    assert_eq!(host.delivered(id).last().unwrap(), "");
    told.nothing(&core, "s2").await;
}

#[tokio::test]
async fn a_clock_that_is_set_resolves_anew() {
    let years = seconds(2 * 365 * DAY);
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("good", &host, 300));
    let core = host.core();
    let mut told = Told::by(&host, &core);
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    for _ in 0..2 {
        host.set_clock(years);
        assert_eq!(told.next().await, "s1 token-store 0");
        assert_eq!(told.next().await, "s1 now none");
        assert_eq!(host.delivered(id).last().unwrap(), "");
        // It is good again, and used again.
        host.set_clock(-years);
        assert_eq!(told.next().await, "s1 now token-store");
        assert_eq!(host.delivered(id).last().unwrap(), "good");
    }
    // Before it was stored: used, and nothing to tell.
    host.set_clock(-years);
    let started = host.delivered(id).len();
    while host.delivered(id).len() == started {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), "good");
    let status = core.token_status(ALICE).await.unwrap();
    assert!(
        status.warnings[0].contains("check the clock"),
        "{:?}",
        status.warnings
    );
    told.nothing(&core, "s1").await;
}

#[tokio::test]
async fn what_expired_while_nobody_looked_is_seen_to() {
    for (days, expected) in [(20, vec!["s7 token-store 30"]), (-1, vec!["s7 now none"])] {
        let host = FakeHost::new();
        host.put_token(TokenPlace::User, token("old", &host, 25));
        let core = host.core();
        let id = up(&core, ALICE, "s7").await.unwrap().sandbox.id;
        drop(core);
        host.pass(seconds((25 - days) * DAY));
        host.put_unit(id, UnitState::Active, Some(RunState::Running));
        let core = host.core();
        let mut told = Told::by(&host, &core);
        core.reconcile().await.unwrap();
        let mut heard = told.next().await;
        if days < 0 && heard == "s7 token-store 0" {
            // Whether it is told before it is taken away is a matter of who comes first.
            heard = told.next().await;
        }
        assert_eq!([heard], expected[..]);
    }
}

#[tokio::test]
async fn a_deaf_shim_is_asked_again() {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("old", &host, 40));
    let core = host.core();
    let mut told = Told::by(&host, &core);
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.unreadable(true);
    host.pass(seconds(40 * DAY));
    assert_eq!(told.next().await, "s1 token-store 0");
    while !core.get(ALICE, name("s1")).await.unwrap().stale {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.delivered(id), ["old"]);
    host.unreadable(false);
    assert_eq!(told.next().await, "s1 now none");
}

#[tokio::test]
async fn what_is_revoked_or_good_for_ever_has_no_deadline() {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("old", &host, 40));
    let core = host.core();
    let mut told = Told::by(&host, &core);
    up(&core, ALICE, "s1").await.unwrap();
    core.revoke(ALICE, None, crate::core::Then::Nothing)
        .await
        .unwrap();
    host.pass(seconds(400 * DAY));
    core.refresh(ALICE, None).await.unwrap();
    assert_eq!(told.next().await, "s1 now none");
    told.nothing(&core, "s1").await;
}
