use forage_api::config::DeliveryMode;
use forage_api::provider::Method;

use super::*;

fn given(source: &str) -> Delivered {
    Delivered {
        agent: "claude".parse().unwrap(),
        method: Method::OauthToken,
        delivery: DeliveryMode::Env,
        variable: None,
        file: "f".into(),
        source: source.into(),
        expires_at: None,
        fingerprint: Some("00000000".into()),
        generation: 1,
        stale: None,
        revoked: false,
    }
}

#[test]
fn levels_begin_to_the_nanosecond() {
    let end: Timestamp = "2027-03-19T21:00:00Z".parse().unwrap();
    let day = SignedDuration::from_hours(24);
    let bit = SignedDuration::from_nanos(1);
    let none = SignedDuration::ZERO;
    for (left, stored, login) in [
        (day * 700, Level::Good, Level::Good),
        (day * 30, Level::Good, Level::Good),
        (day * 30 - bit, Level::Month, Level::Good),
        (day, Level::Month, Level::Good),
        (day - bit, Level::Day, Level::Good),
        (bit, Level::Day, Level::Good),
        (none, Level::Expired, Level::Expired),
        (-day * 700, Level::Expired, Level::Expired),
    ] {
        let of = |source| Level::of(&given(source), end, end - left);
        assert_eq!(of("token-store"), stored, "{left}");
        assert_eq!(of("shared-token-store"), stored, "{left}");
        assert_eq!(of("host-login"), login, "{left}");
    }
    // Nowhere near the ends of what can be counted does anything overflow.
    for end in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let expired = Level::of(&given("token-store"), end, now) == Level::Expired;
            assert_eq!(expired, end <= now, "{end} {now}");
        }
    }
}

#[test]
fn news_is_told_once() {
    let key = || (SandboxId::new(1), "claude".parse().unwrap());
    let told = |fingerprint: &str, level| Told {
        fingerprint: Some(fingerprint.into()),
        expires_at: Timestamp::UNIX_EPOCH,
        level,
    };
    let mut deadlines = Deadlines::default();
    for (fingerprint, level, news) in [
        ("a", Level::Good, false),
        ("a", Level::Month, true),
        ("a", Level::Month, false),
        ("a", Level::Expired, true),
        ("a", Level::Expired, false),
        // The clock was set back, and comes there again.
        ("a", Level::Good, false),
        ("a", Level::Day, true),
        // Another value.
        ("b", Level::Day, true),
        ("b", Level::Day, false),
    ] {
        let is_news = deadlines.take_note(key(), told(fingerprint, level));
        assert_eq!(is_news, news, "{fingerprint} {level:?}");
    }
}
