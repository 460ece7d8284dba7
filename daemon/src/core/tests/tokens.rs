//! The token store and the sandboxes that run.

use forage_api::ErrorKind;
use forage_api::bus::TokenState;
use forage_api::shim::control::{RunState, TokenSource};

use super::*;
use crate::core::fakes::{CONFIG, config};
use crate::core::ports::{TokenPlace, UnitState};

const SHARED: &str = r#"
user = "alice"
shareToken = true
[templates.claude]
root = "/srv/claude"
[templates.claude.agents.claude]
command = "/usr/bin/claude"
[templates.plain]
root = "/srv/plain"
"#;

fn pasted(text: &str) -> Secret {
    Secret::new(format!("sk-ant-oat01-{text}{}\n", "x".repeat(90)).into_bytes())
}

fn stored(text: &str) -> String {
    format!("sk-ant-oat01-{text}{}", "x".repeat(90))
}

#[tokio::test]
async fn a_stored_token_reaches_running_sandboxes_and_is_taken_away() {
    let host = FakeHost::new();
    let core = host.core();
    let started = up(&core, ALICE, "s1").await.unwrap();
    assert!(
        started.warnings[0].contains("no Claude token"),
        "{:?}",
        started.warnings
    );
    let mut plain = spec(ALICE, "s2");
    plain.template = "plain".parse().unwrap();
    let quiet = core.create(plain, Progress::unseen()).await.unwrap();
    assert_eq!((quiet.warnings.len(), quiet.debug.len()), (0, 0));

    let change = core.store_token(ALICE, pasted("one")).await.unwrap();
    assert_eq!(
        change.expires_at.unwrap().to_string(),
        "2027-06-01T12:00:00Z"
    );
    // The fake says of every sandbox that it takes a token; the real shim tells them apart.
    assert!(change.updated.contains(&"s1".to_owned()));
    assert!(change.stale.is_empty());
    assert_eq!(
        host.delivered(started.sandbox.id),
        ["".to_owned(), stored("one")]
    );

    let status = core.token_status(ALICE).await.unwrap();
    assert_eq!(
        (status.state, status.source),
        (TokenState::Valid, TokenSource::TokenStore)
    );
    assert_eq!(status.days_left, Some(365));
    assert!(status.sandboxes.contains(&"s1".to_owned()));

    core.remove_token(ALICE).await.unwrap();
    assert_eq!(host.delivered(started.sandbox.id).last().unwrap(), "");
    let again = core.remove_token(ALICE).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::NoSuchToken);
    let status = core.token_status(ALICE).await.unwrap();
    assert_eq!(
        (status.state, status.source),
        (TokenState::Missing, TokenSource::None)
    );
    assert!(status.sandboxes.is_empty());
}

#[tokio::test]
async fn a_refused_text_or_a_full_disk_changes_nothing() {
    let host = FakeHost::new();
    let core = host.core();
    core.store_token(ALICE, pasted("one")).await.unwrap();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    let bad = core
        .store_token(ALICE, Secret::new(b"sk-ant-api03-x".to_vec()))
        .await;
    assert_eq!(bad.unwrap_err().kind, ErrorKind::InvalidToken);
    host.fail_storage(Some(0));
    let full = core.store_token(ALICE, pasted("two")).await;
    assert_eq!(full.unwrap_err().kind, ErrorKind::StorageFailed);
    host.fail_storage(Some(0));
    let full = core.remove_token(ALICE).await;
    assert_eq!(full.unwrap_err().kind, ErrorKind::StorageFailed);
    assert_eq!(host.delivered(id), [stored("one")]);
}

#[tokio::test]
async fn the_shared_token_reaches_those_without_one() {
    let host = FakeHost::new();
    let core = host.core_with(SHARED);
    core.store_token(ALICE, pasted("alices")).await.unwrap();
    let bobs = up(&core, BOB, "b1").await.unwrap();
    assert_eq!(bobs.debug.len(), 2);
    assert_eq!(host.delivered(bobs.sandbox.id), [stored("alices")]);

    let change = core.store_token(ALICE, pasted("newer")).await.unwrap();
    assert_eq!((change.updated.len(), change.others), (0, 1));
    let status = core.token_status(ALICE).await.unwrap();
    assert_eq!((status.sandboxes.len(), status.others), (0, 1));
    let status = core.token_status(BOB).await.unwrap();
    assert_eq!(status.source, TokenSource::SharedTokenStore);
    assert_eq!((status.state, status.others), (TokenState::Valid, 0));

    // Bob's own token wins, and from then on Alice's is no concern of his.
    core.store_token(BOB, pasted("bobs")).await.unwrap();
    let change = core.store_token(ALICE, pasted("newest")).await.unwrap();
    assert_eq!(change.others, 0);
    core.remove_token(BOB).await.unwrap();
    let delivered = host.delivered(bobs.sandbox.id);
    let expected = ["alices", "newer", "bobs", "newest"].map(stored);
    assert_eq!(delivered, expected);

    let change = core.remove_token(ALICE).await.unwrap();
    assert_eq!(change.others, 1);
    assert_eq!(host.delivered(bobs.sandbox.id).last().unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_was_not_reached_follows() {
    let host = FakeHost::new();
    let core = host.core();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.deaf(true);
    let change = core.store_token(ALICE, pasted("one")).await.unwrap();
    assert_eq!(
        (change.updated.len(), &*change.stale),
        (0, &["s1".to_owned()][..])
    );
    assert!(core.get(ALICE, name("s1")).await.unwrap().stale);
    host.deaf(false);
    while core.get(ALICE, name("s1")).await.unwrap().stale {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), &stored("one"));
}

#[tokio::test]
async fn an_entry_of_another_user_counts_as_missing() {
    let host = FakeHost::new();
    let core = host.core();
    let mut foreign = token("bobs", &host, 200);
    foreign.uid = Some(BOB);
    host.put_token(TokenPlace::User, foreign);
    let status = core.token_status(ALICE).await.unwrap();
    assert_eq!(status.state, TokenState::Missing);
    assert!(
        status.warnings[0].contains("another user"),
        "{:?}",
        status.warnings
    );
    let removed = core.remove_token(ALICE).await.unwrap_err();
    assert_eq!(removed.kind, ErrorKind::NoSuchToken);
    let started = up(&core, ALICE, "s1").await.unwrap();
    assert_eq!(host.delivered(started.sandbox.id), [""]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_shared_no_longer_is_taken_away() {
    let host = FakeHost::new();
    let core = host.core_with(SHARED);
    core.store_token(ALICE, pasted("alices")).await.unwrap();
    let id = up(&core, BOB, "b1").await.unwrap().sandbox.id;
    assert_eq!(host.delivered(id), [stored("alices")]);
    // Its shim does not hear of the new configuration, and the owner takes the token back.
    host.deaf(true);
    core.reload(Ok(config(CONFIG))).await.unwrap();
    assert_eq!(core.token_status(ALICE).await.unwrap().others, 1);
    assert_eq!(core.remove_token(ALICE).await.unwrap().others, 0);
    assert_eq!(host.delivered(id), [stored("alices")]);
    host.deaf(false);
    while core.get(BOB, name("b1")).await.unwrap().stale {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_takes_nothing_away() {
    let host = FakeHost::new();
    let core = host.core();
    core.store_token(ALICE, pasted("one")).await.unwrap();
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.unreadable(true);
    let change = core.store_token(ALICE, pasted("two")).await.unwrap();
    assert_eq!(change.stale, ["s1"]);
    let failed = Some(ErrorKind::StorageFailed);
    assert_eq!(kind(core.remove_token(ALICE)).await, failed);
    assert_eq!(kind(core.token_status(ALICE)).await, failed);
    assert_eq!(host.delivered(id), [stored("one")]);
    // A start goes on without, and says so.
    let other = up(&core, ALICE, "s2").await.unwrap();
    assert!(other.warnings[0].contains("i/o error"));
    host.unreadable(false);
    while core.get(ALICE, name("s1")).await.unwrap().stale {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), &stored("two"));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_whose_shim_was_never_reached_is_stale() {
    let host = FakeHost::new();
    let [claude, gone, mut plain] = [1, 2, 3].map(|id| record(id, Phase::Created));
    let id = claude.id;
    plain.template = "plain".parse().unwrap();
    let gone = SandboxRecord {
        template: "gone".parse().unwrap(),
        ..gone
    };
    for record in [claude, gone, plain] {
        host.put_unit(record.id, UnitState::Active, None);
        host.put_record(record);
    }
    let core = host.core();
    core.reconcile().await.unwrap();
    let change = core.store_token(ALICE, pasted("one")).await.unwrap();
    assert_eq!(change.stale, ["s1", "s2"]);
    let change = core.remove_token(ALICE).await.unwrap();
    assert_eq!(change.stale, ["s1", "s2"]);
    host.put_unit(id, UnitState::Active, Some(RunState::Running));
    while core.get(ALICE, name("s1")).await.unwrap().stale {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(host.delivered(id).last().unwrap(), "");
}

#[tokio::test]
async fn a_token_of_which_only_one_of_two_is_deleted_is_taken_away() {
    let host = FakeHost::new();
    let core = host.core();
    core.store_token(ALICE, pasted("one")).await.unwrap();
    host.put_token(TokenPlace::Member(ALICE), token("older", &host, 100));
    let id = up(&core, ALICE, "s1").await.unwrap().sandbox.id;
    host.fail_storage(Some(1));
    let failed = Some(ErrorKind::StorageFailed);
    assert_eq!(kind(core.remove_token(ALICE)).await, failed);
    assert_eq!(host.delivered(id), [stored("one"), String::new()]);
}

#[tokio::test]
async fn who_has_left_the_group_gets_no_shared_token_any_more() {
    let host = FakeHost::new();
    let core = host.core_with(SHARED);
    core.store_token(ALICE, pasted("old")).await.unwrap();
    let id = up(&core, BOB, "b1").await.unwrap().sandbox.id;
    host.leave(BOB);
    core.store_token(ALICE, pasted("new")).await.unwrap();
    assert_eq!(host.delivered(id), [stored("old"), String::new()]);
    let status = core.token_status(BOB).await.unwrap();
    assert_eq!(status.source, TokenSource::None);
}
