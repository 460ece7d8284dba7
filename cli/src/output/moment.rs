//! Times for people.

use std::time::Duration;

use jiff::Timestamp;

/// How long something took: `12 ms`, `0.94 s`, `12.3 s`, `2 min 5 s`.
pub fn took(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.000_95 {
        "< 1 ms".into()
    } else if seconds < 0.0995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 99.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = time.as_secs();
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

/// How long ago something was, in its largest unit; `-` where the time cannot be read.
pub fn age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else {
        return "-".into();
    };
    let seconds = now.as_second().saturating_sub(created.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// How long something has lasted, in its two largest units: `3 h 1 min`.
pub fn lasting(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        let number = left / length;
        left %= length;
        if number > 0 || !parts.is_empty() {
            parts.push((number, unit));
        }
    }
    let shown = parts.iter().take(2).filter(|(number, _)| *number > 0);
    let shown: Vec<String> = shown.map(|(n, unit)| format!("{n} {unit}")).collect();
    if shown.is_empty() {
        "0 s".into()
    } else {
        shown.join(" ")
    }
}

/// An amount of memory, in the largest unit that needs no fraction: `4G`, `1536M`.
pub fn bytes(number: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    units
        .into_iter()
        .find(|(shift, _)| number > 0 && number.trailing_zeros() >= *shift)
        .map_or_else(
            || number.to_string(),
            |(shift, unit)| format!("{}{unit}", number >> shift),
        )
}

/// The day of a time, such as `2027-03-19`; what cannot be read stays as it is.
pub fn day(time: &str) -> String {
    time.parse::<Timestamp>()
        .ok()
        .and_then(|time| Some(time.to_string().split_once('T')?.0.to_owned()))
        .unwrap_or_else(|| time.to_owned())
}

/// How far away a time is: `in 364 days`, `in 7 h 25 min`, `expired 2 days ago`. `None` where it
/// cannot be read.
pub fn until(time: &str, now: Timestamp) -> Option<String> {
    let left = time.parse::<Timestamp>().ok()?.as_second() - now.as_second();
    let distance = left.unsigned_abs();
    let shown = match distance {
        0..3600 => format!("{} min", distance / 60),
        3600..172_800 => format!("{} h {} min", distance / 3600, distance % 3600 / 60),
        _ => format!("{} days", distance / 86_400),
    };
    Some(if left > 0 {
        format!("in {shown}")
    } else {
        format!("expired {shown} ago")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (micros, shown) in [
            (0, "< 1 ms"),
            (940, "< 1 ms"),
            (960, "1 ms"),
            (12_400, "12 ms"),
            (99_400, "99 ms"),
            (99_600, "0.10 s"),
            (940_000, "0.94 s"),
            (9_990_000, "9.99 s"),
            (9_999_000, "10.0 s"),
            (99_900_000, "99.9 s"),
            (125_000_000, "2 min 5 s"),
        ] {
            assert_eq!(took(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn ages() {
        let now = "2026-03-19T21:00:00Z".parse().unwrap();
        for (created, shown) in [
            ("2026-03-19T21:00:00Z", "0s"),
            ("2026-03-19T22:00:00Z", "0s"),
            ("2026-03-19T20:59:01.5Z", "59s"),
            ("2026-03-19T20:59:00Z", "1m"),
            ("2026-03-19T20:00:01Z", "59m"),
            ("2026-03-18T21:00:01Z", "23h"),
            ("2026-03-18T21:00:00Z", "1d"),
            ("2024-03-19T21:00:00Z", "2y"),
            ("", "-"),
            ("yesterday", "-"),
        ] {
            assert_eq!(age(created, now), shown, "{created}");
        }
    }

    #[test]
    fn spans_and_amounts() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3600, "1 h"),
            (10_890, "3 h 1 min"),
            (86_401, "1 d"),
            (u64::MAX, "213503982334601 d 7 h"),
        ] {
            assert_eq!(lasting(seconds), shown);
        }
        for (number, shown) in [
            (0, "0"),
            (4 << 30, "4G"),
            (1536 << 20, "1536M"),
            (1 << 40, "1T"),
            (1023, "1023"),
        ] {
            assert_eq!(bytes(number), shown);
        }
    }

    #[test]
    fn expiries() {
        let now = "2026-03-19T21:00:00Z".parse().unwrap();
        for (time, shown) in [
            ("2027-03-19T20:00:00Z", Some("in 364 days")),
            ("2026-03-20T04:25:00Z", Some("in 7 h 25 min")),
            ("2026-03-19T21:00:30Z", Some("in 0 min")),
            ("2026-03-19T21:00:00Z", Some("expired 0 min ago")),
            ("2026-03-17T20:00:00Z", Some("expired 2 days ago")),
            ("soon", None),
        ] {
            assert_eq!(until(time, now).as_deref(), shown);
        }
        assert_eq!(day("2027-03-19T21:00:00Z"), "2027-03-19");
        assert_eq!(day("soon"), "soon");
    }
}
