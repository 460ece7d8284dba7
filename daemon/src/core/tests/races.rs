//! Several changes at once, and starts among them.

use proptest::prelude::*;

use super::*;
use crate::core::Then;
use crate::core::ports::TokenPlace;

fn pasted(number: usize) -> Secret {
    Secret::new(format!("sk-ant-oat01-{number}-{}", "x".repeat(88)).into_bytes())
}

async fn generation(core: &Core, sandbox: &str) -> u64 {
    core.get(ALICE, name(sandbox)).await.unwrap().credentials[0].generation
}

#[tokio::test]
async fn two_stores_at_once_win_whole_and_are_two_generations() {
    let host = FakeHost::new();
    host.put_token(TokenPlace::User, token("first", &host, 200));
    let core = host.core();
    let mut ids = Vec::new();
    for sandbox in ["s1", "s2", "s3"] {
        ids.push(up(&core, ALICE, sandbox).await.unwrap().sandbox.id);
    }
    let before = generation(&core, "s1").await;
    let (one, other) = tokio::join!(
        core.store_token(ALICE, pasted(1)),
        core.store_token(ALICE, pasted(2))
    );
    for change in [one.unwrap(), other.unwrap()] {
        assert_eq!(change.updated, ["s1", "s2", "s3"]);
    }
    let orders: Vec<Vec<String>> = ids.iter().map(|id| host.delivered(*id)).collect();
    assert_eq!(orders[0].len(), 3);
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    for sandbox in ["s1", "s2", "s3"] {
        assert_eq!(generation(&core, sandbox).await, before + 2);
    }
    // What is on disk is what the sandboxes have.
    core.stop(ALICE, name("s1")).await.unwrap();
    core.start(ALICE, name("s1"), Progress::unseen())
        .await
        .unwrap();
    assert_eq!(host.delivered(ids[0]).last(), orders[0].last());
}

#[tokio::test]
async fn who_shares_ends_up_with_what_was_stored_last() {
    let host = FakeHost::new();
    let config = crate::core::fakes::CONFIG;
    let core = host.core_with(&config.replace("maxSandboxes", "shareToken = true\nmaxSandboxes"));
    host.put_token(TokenPlace::User, token("first", &host, 200));
    let own = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    let others = up(&core, BOB, "b1").await.unwrap().sandbox.id;
    let stores = (0..20).map(|number| {
        let core = core.clone();
        tokio::spawn(async move { core.store_token(ALICE, pasted(number)).await })
    });
    for store in stores.collect::<Vec<_>>() {
        assert_eq!(store.await.unwrap().unwrap().others, 1);
    }
    let (own, others) = (host.delivered(own), host.delivered(others));
    assert_eq!(own.len(), 21);
    assert_eq!(own.last(), others.last());
    // What the others were given came in the order in which it was stored.
    let place = |token: &String| own.iter().position(|one| one == token);
    assert!(others.iter().map(place).is_sorted(), "{others:?} {own:?}");
}

#[tokio::test]
async fn who_starts_while_tokens_are_stored_ends_up_with_the_newest() {
    let host = FakeHost::new();
    let config = crate::core::fakes::CONFIG.replace("maxSandboxesPerUser = 3", "");
    let core = host.core_with(&config);
    let starts = (0..50).map(|number| {
        let core = core.clone();
        tokio::spawn(async move { up(&core, ALICE, &format!("s{number}")).await.map(|_| ()) })
    });
    let starts: Vec<_> = starts.collect();
    for number in 0..20 {
        core.store_token(ALICE, pasted(number)).await.unwrap();
    }
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let newest = String::from_utf8(pasted(19).expose().to_vec()).unwrap();
    for record in host.records() {
        assert_eq!(
            host.delivered(record.id).last(),
            Some(&newest),
            "{}",
            record.name
        );
    }
    assert_eq!(host.records().len(), 50);
}

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Event {
    Store(usize),
    RemoveToken,
    Login(bool),
    Revoke,
    RevokeAll,
    Refresh,
    Restart,
    /// The sandbox is stopped and started.
    StopAndStart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..9_usize).prop_map(Event::Store),
        Just(Event::RemoveToken),
        any::<bool>().prop_map(Event::Login),
        Just(Event::Revoke),
        Just(Event::RevokeAll),
        Just(Event::Refresh),
        Just(Event::Restart),
        Just(Event::StopAndStart),
    ]
}

async fn happen(core: &Core, host: &Arc<FakeHost>, event: Event) {
    match event {
        Event::Store(number) => drop(core.store_token(ALICE, pasted(number)).await),
        Event::RemoveToken => drop(core.remove_token(ALICE).await),
        Event::Login(there) => {
            let text = if there { "sk-ant-oat01-login" } else { "" };
            let until = *host.now.lock().unwrap() + jiff::SignedDuration::from_hours(8);
            let token = Secret::new(text.as_bytes().to_vec());
            drop(core.offer_login(ALICE, token, until.as_millisecond()).await);
        }
        Event::Revoke => drop(core.revoke(ALICE, Some(name("s1")), Then::Nothing).await),
        Event::RevokeAll => drop(core.revoke(ALICE, None, Then::Nothing).await),
        Event::Refresh => drop(core.refresh(ALICE, Some(name("s1"))).await),
        Event::StopAndStart => {
            drop(core.stop(ALICE, name("s1")).await);
            drop(core.start(ALICE, name("s1"), Progress::unseen()).await);
        }
        Event::Restart => {}
    }
}

/// What a sandbox has in the end is what was decided in the end, in whatever order things happened and
/// how many of them at a time.
async fn converges(rounds: Vec<Vec<Event>>) {
    let host = FakeHost::new();
    let mut core = host.core();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    for round in rounds {
        if round.iter().any(|event| matches!(event, Event::Restart)) {
            assert!(core.idle(std::time::Duration::from_secs(9)).await);
            core = host.core();
            core.reconcile().await.unwrap();
        }
        let events = round.into_iter().map(|event| {
            let (core, host) = (core.clone(), Arc::clone(&host));
            tokio::spawn(async move { happen(&core, &host, event).await })
        });
        for event in events.collect::<Vec<_>>() {
            event.await.unwrap();
        }
    }
    let status = loop {
        let status = core.get(ALICE, name("s1")).await.unwrap();
        if !status.stale {
            break status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    if status.state != SandboxState::Running {
        return;
    }
    let given = &status.credentials[0];
    let recorded = host.records()[0].revoked_at;
    assert_eq!(status.revoked_at, recorded);
    assert_eq!(given.revoked, recorded.is_some());
    if recorded.is_some() {
        assert_eq!(given.source, "none");
        assert_eq!(host.delivered(id).last().unwrap(), "");
        return;
    }
    assert_eq!(
        given.source,
        core.token_status(ALICE).await.unwrap().source.as_str()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_happens_the_last_word_counts(
        rounds in proptest::collection::vec(proptest::collection::vec(event(), 1..5), 1..7),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(converges(rounds));
    }
}
