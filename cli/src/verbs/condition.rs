//! What `ps` and `status` make of what the daemon says: which agents a sandbox has, and in one word
//! how their credentials are.

use forage_api::bus::{CredentialInfo, SandboxInfo, TemplateInfo};
use jiff::{SignedDuration, Timestamp};

/// How long before its expiry a credential is worth a word; as the daemon's warnings.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The same of a login on the host, which lasts some hours and is renewed there.
const LOGIN_EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(1);

/// How a credential is. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// Delivered, and good for long.
    Ok,
    /// It expires within 30 days; a login on the host, within an hour.
    Expiring,
    /// It was taken away, and is withheld until its owner asks for it again.
    Revoked,
    /// A change of it has not arrived.
    Stale,
    /// Nothing was delivered.
    None,
    /// It has expired.
    Expired,
}

impl Condition {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expiring => "expiring",
            Self::Revoked => "revoked",
            Self::Stale => "stale",
            Self::None => "none",
            Self::Expired => "expired",
        }
    }

    /// How one credential is.
    pub(crate) fn of(credential: &CredentialInfo, now: Timestamp) -> Self {
        let expires = credential.expires_at.as_deref();
        let left = expires
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map(|time| time.duration_since(now));
        let soon = match credential.source.as_str() {
            "host-login" => LOGIN_EXPIRES_SOON,
            _ => EXPIRES_SOON,
        };
        match left {
            _ if credential.revoked && credential.stale.is_some() => Self::Stale,
            _ if credential.revoked => Self::Revoked,
            _ if credential.fingerprint.is_none() => Self::None,
            Some(left) if left <= SignedDuration::ZERO => Self::Expired,
            _ if credential.stale.is_some() => Self::Stale,
            Some(left) if left < soon => Self::Expiring,
            _ => Self::Ok,
        }
    }

    /// How the worst of a sandbox's credentials is; none where it does not run, or needs none. That
    /// they are revoked is seen also while it does not run.
    pub(crate) fn worst(sandbox: &SandboxInfo, now: Timestamp) -> Option<Self> {
        let all = sandbox.credentials.iter();
        let worst = all.map(|credential| Self::of(credential, now)).max();
        worst.or_else(|| sandbox.revoked_at.as_ref().map(|_| Self::Revoked))
    }
}

/// The agents of a sandbox: those of its template, or, where that is no more, those that were given
/// something.
pub(crate) fn agents(sandbox: &SandboxInfo, templates: &[TemplateInfo]) -> Vec<String> {
    let template = templates.iter().find(|one| one.name == sandbox.template);
    let given = || sandbox.credentials.iter().map(|one| one.agent.clone());
    template.map_or_else(|| given().collect(), |template| template.agents.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn the_worst_counts() {
        let now: Timestamp = "2026-03-20T21:00:00Z".parse().unwrap();
        let one = samples::running().credentials.remove(0);
        let with = |expires: Option<&str>, stale: Option<&str>, fingerprint: Option<&str>| {
            CredentialInfo {
                expires_at: expires.map(Into::into),
                stale: stale.map(Into::into),
                fingerprint: fingerprint.map(Into::into),
                ..one.clone()
            }
        };
        let some = Some("1a2b3c4d");
        let table = [
            (with(None, None, some), Condition::Ok),
            (
                with(Some("2026-04-19T21:00:00Z"), None, some),
                Condition::Ok,
            ),
            (
                with(Some("2026-04-19T20:59:59Z"), None, some),
                Condition::Expiring,
            ),
            (
                with(Some("2026-04-01T00:00:00Z"), Some("why"), some),
                Condition::Stale,
            ),
            (with(None, Some("why"), None), Condition::None),
            (
                with(Some("2026-03-20T21:00:00Z"), Some("why"), some),
                Condition::Expired,
            ),
            (with(Some("soon"), None, some), Condition::Ok),
        ];
        for (expires, condition) in [
            ("2026-03-20T22:00:00Z", Condition::Ok),
            ("2026-03-20T21:59:59Z", Condition::Expiring),
        ] {
            let mut login = with(Some(expires), None, some);
            login.source = "host-login".into();
            assert_eq!(Condition::of(&login, now), condition, "{expires}");
        }
        let mut sandbox = samples::running();
        sandbox.credentials.clear();
        assert_eq!(Condition::worst(&sandbox, now), None);
        sandbox.revoked_at = Some("2026-03-20T20:00:00Z".into());
        assert_eq!(Condition::worst(&sandbox, now), Some(Condition::Revoked));
        let revoked = |stale| CredentialInfo {
            revoked: true,
            ..with(None, stale, None)
        };
        assert_eq!(Condition::of(&revoked(None), now), Condition::Revoked);
        assert_eq!(Condition::of(&revoked(Some("why")), now), Condition::Stale);
        for (credential, condition) in table {
            assert_eq!(Condition::of(&credential, now), condition, "{credential:?}");
            sandbox.credentials.push(credential);
        }
        assert_eq!(Condition::worst(&sandbox, now), Some(Condition::Expired));
    }

    #[test]
    fn agents_are_the_templates() {
        let mut sandbox = samples::running();
        assert_eq!(agents(&sandbox, &samples::templates()), ["claude"]);
        assert_eq!(agents(&sandbox, &[]), ["claude"]);
        sandbox.template = "plain".into();
        assert!(agents(&sandbox, &samples::templates()).is_empty());
    }
}
