//! The documented resolution, as a table.

use super::*;

const NOW: &str = "2026-06-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn left(seconds: i64) -> Entry {
    Entry::Dated {
        created_at: now() - SignedDuration::from_hours(24),
        expires_at: now() + SignedDuration::from_secs(seconds),
    }
}

fn choice<'a>(own: &'a Entry, shared: Option<&'a Entry>, login: KnownLogin) -> Choice<'a> {
    Choice { own, shared, login }
}

const DAY: i64 = 24 * 60 * 60;

#[test]
fn the_table() {
    use TokenSource::{None as Nothing, SharedTokenStore, TokenStore};
    let damaged = Entry::Unusable("it is damaged".into());
    // Own entry, shared entry, source, words of the warnings in order.
    type Row = (Entry, Option<Entry>, TokenSource, &'static [&'static str]);
    let rows: [Row; 13] = [
        (left(365 * DAY), None, TokenStore, &[]),
        (left(30 * DAY), None, TokenStore, &[]),
        (
            left(30 * DAY - 1),
            None,
            TokenStore,
            &["expires on 2026-07-01, in 29 days"],
        ),
        (left(1), None, TokenStore, &["in 0 days"]),
        (
            left(0),
            None,
            Nothing,
            &["expired on 2026-06-01", "no Claude token"],
        ),
        (
            left(-DAY),
            None,
            Nothing,
            &["expired on 2026-05-31", "no Claude token"],
        ),
        (Entry::Missing, None, Nothing, &["no Claude token"]),
        (
            damaged.clone(),
            None,
            Nothing,
            &["it is damaged", "no Claude token"],
        ),
        (Entry::Missing, Some(left(90 * DAY)), SharedTokenStore, &[]),
        (
            left(-1),
            Some(left(90 * DAY)),
            SharedTokenStore,
            &["the stored Claude token expired"],
        ),
        (
            damaged,
            Some(left(DAY)),
            SharedTokenStore,
            &["it is damaged", "the shared Claude token expires"],
        ),
        (left(90 * DAY), Some(left(-1)), TokenStore, &[]),
        (
            Entry::Missing,
            Some(left(-1)),
            Nothing,
            &["the shared Claude token expired", "no Claude token"],
        ),
    ];
    for (own, shared, source, words) in rows {
        let row = format!("{own:?} {shared:?}");
        let resolution = resolve(choice(&own, shared.as_ref(), KnownLogin::Unknown), now());
        assert_eq!(resolution.source, source, "{row}");
        assert_eq!(resolution.expires_at.is_some(), source != Nothing, "{row}");
        assert_eq!(
            resolution.warnings.len(),
            words.len(),
            "{row}: {resolution:?}"
        );
        for (warning, word) in resolution.warnings.iter().zip(words) {
            assert!(warning.contains(word), "{row}: {warning}");
        }
        let stored = resolution.debug.iter().any(|line| line == STORED);
        assert_eq!(stored, source != Nothing, "{row}");
    }
}

#[test]
fn warnings_say_how_to_renew() {
    for entry in [left(DAY), left(-DAY), Entry::Missing] {
        let warnings = resolve(choice(&entry, None, KnownLogin::Missing), now())
            .warnings
            .join("\n");
        assert!(warnings.contains("claude setup-token"), "{warnings}");
        assert!(
            warnings.contains("forage-ctl claude token store"),
            "{warnings}"
        );
    }
}

#[test]
fn a_token_from_the_future_is_used_with_a_warning() {
    let entry = Entry::Dated {
        created_at: now() + SignedDuration::from_hours(48),
        expires_at: now() + SignedDuration::from_hours(24 * 365),
    };
    let resolution = resolve(choice(&entry, None, KnownLogin::Missing), now());
    assert_eq!(resolution.source, TokenSource::TokenStore);
    assert!(resolution.warnings[0].contains("check the clock"));
}

#[test]
fn days_are_whole() {
    let at = |seconds| now() + SignedDuration::from_secs(seconds);
    assert_eq!(days_left(at(DAY - 1), now()), 0);
    assert_eq!(days_left(at(DAY), now()), 1);
    assert_eq!(days_left(at(-1), now()), -1);
}
