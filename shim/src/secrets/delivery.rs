//! What is delivered to a sandbox in one run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use forage_api::config::CredentialPlan;
use forage_api::ident::{SandboxId, SecretName};
use forage_api::shim::control::{Delivered, TokenSource};
use forage_api::{ErrorKind, Failure, Secret, places};
use jiff::Timestamp;

use super::directory::Directory;
use super::item::Item;
use crate::admission::Admitted;
use crate::fail::cannot;

/// How long until what could not be done is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the daemon wants of a sandbox's credentials.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Wanted {
    /// Where the token comes from.
    pub source: TokenSource,
    /// When the token expires.
    pub expires_at: Option<Timestamp>,
    /// Whether the sandbox may have no credential at all.
    pub revoked: bool,
    /// Whether secrets' files are read again.
    pub refresh: bool,
    /// The token; empty for none.
    pub token: Secret,
}

/// What came of a change.
#[derive(Debug, Default)]
pub struct Change {
    /// Whether what is told of the credentials is different now.
    pub told: bool,
    /// The first thing that could not be done; the others were.
    pub failure: Option<Failure>,
}

/// A sandbox's credentials: what is planned and what is delivered.
#[derive(Debug)]
pub struct Delivery {
    id: SandboxId,
    ids: (u32, u32),
    items: Vec<Item>,
    directory: Option<Directory>,
    generation: u64,
    revoked: bool,
    retry: Duration,
}

impl Delivery {
    /// What a sandbox's template plans; nothing is delivered yet.
    pub fn plan(sandbox: &Admitted) -> Self {
        let mut items: BTreeMap<String, Item> = BTreeMap::new();
        for (agent, credential) in sandbox.template.credentials() {
            let secret = match &credential.plan {
                CredentialPlan::Token => None,
                CredentialPlan::Secret(name) => {
                    sandbox.secrets.get(name).map(|p| (name.clone(), p.clone()))
                }
            };
            items
                .entry(credential.file_name().to_owned())
                .or_insert_with(|| Item::new(&credential, secret))
                .add_reader(agent.clone(), credential);
        }
        Self {
            id: sandbox.id(),
            ids: (sandbox.agent_uid(), sandbox.agent_gid()),
            items: items.into_values().collect(),
            directory: None,
            generation: 0,
            revoked: sandbox.record.revoked_at.is_some(),
            retry: RETRY.0,
        }
    }

    /// Reads every secret's file, to refuse a start before anything is changed. What is withheld need
    /// not be there.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn check(&self) -> Result<(), Failure> {
        if self.revoked {
            return Ok(());
        }
        self.items.iter().try_for_each(Item::check)
    }

    /// Makes the directory and delivers everything for the first time. A revocation in the sandbox's
    /// record holds unless it is lifted in so many words.
    ///
    /// # Errors
    /// A secret's file cannot be used any more, or a value cannot be written.
    pub fn start(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let directory = self.make_directory().map_err(|error| {
            cannot(
                ErrorKind::SandboxFailed,
                format_args!("make a secrets directory in {}", places::SECRETS),
                error,
            )
            .hint("mount the secrets: systemctl start run-firefly\\x2dforage-secrets.mount")
        })?;
        self.revoked = wanted.revoked || self.revoked && !wanted.refresh;
        self.generation = 1;
        if !self.revoked {
            for item in &mut self.items {
                item.begin(&directory, wanted)?;
            }
        }
        self.directory = Some(directory);
        Ok(())
    }

    fn make_directory(&self) -> std::io::Result<Directory> {
        let (uid, gid) = self.ids;
        let mut directory = Directory::make(Path::new(places::SECRETS), self.id, uid, gid)?;
        for item in &self.items {
            directory.make_place(item.file())?;
        }
        Ok(directory)
    }

    /// Brings everything to what the daemon wants.
    pub fn bring(&mut self, wanted: &Wanted) -> Change {
        let restored = self.revoked && !wanted.revoked;
        let before = self.revoked;
        self.revoked = wanted.revoked;
        let again = restored || wanted.refresh;
        let mut change = self.each(|item, directory| {
            if wanted.revoked {
                item.take_away(directory)
            } else if item.secret().is_none() || again || item.is_pending() {
                item.bring(directory, wanted)
            } else {
                Ok(false)
            }
        });
        change.told |= before != self.revoked;
        change
    }

    /// Reads the files of these secrets again, and does what could not be done before.
    pub fn refresh(&mut self, changed: &BTreeSet<SecretName>) -> Change {
        let revoked = self.revoked;
        self.each(|item, directory| {
            let read = item.secret().is_some_and(|name| changed.contains(name));
            if read && !revoked {
                item.copy(directory)
            } else {
                Ok(item.retry(directory))
            }
        })
    }

    /// Does something with every item. What goes wrong with one does not keep it from the others.
    fn each(&mut self, act: impl Fn(&mut Item, &Directory) -> Result<bool, Failure>) -> Change {
        let before = self.delivered();
        let mut change = Change::default();
        let mut rewritten = false;
        if let Some(directory) = &self.directory {
            for item in &mut self.items {
                match act(item, directory) {
                    Ok(new) => rewritten |= new,
                    Err(failure) => change.failure = change.failure.or(Some(failure)),
                }
            }
        }
        self.generation += u64::from(rewritten);
        change.told = before != self.delivered();
        change
    }

    /// How long until what could not be done is worth another try; `None` where all is done. Each
    /// time it is longer.
    pub fn retry(&mut self) -> Option<Duration> {
        if !self.items.iter().any(Item::is_pending) {
            self.retry = RETRY.0;
            return None;
        }
        self.items.iter_mut().for_each(Item::wait);
        let now = self.retry;
        self.retry = (now * 2).min(RETRY.1);
        Some(now)
    }

    /// What is delivered, per agent.
    pub fn delivered(&self) -> Vec<Delivered> {
        let told = |item: &Item| item.delivered(self.generation, self.revoked);
        self.items.iter().flat_map(told).collect()
    }
}
