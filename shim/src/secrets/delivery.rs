//! What is delivered to a sandbox in one run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use forage_api::config::{CredentialPlan, PlannedCredential};
use forage_api::ident::{AgentName, SandboxId, SecretName};
use forage_api::shim::control::{Delivered, TokenSource};
use forage_api::{ErrorKind, Failure, Secret, places};
use jiff::Timestamp;

use super::directory::Directory;
use super::salt::Salt;
use super::source;
use crate::admission::Admitted;
use crate::fail::{cannot, reason};

/// A token the daemon handed over; empty for none.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Token {
    /// Where it comes from.
    pub source: TokenSource,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The token.
    pub value: Secret,
}

/// One file of the secrets directory.
#[derive(Debug)]
struct Item {
    /// The secret it is a copy of; `None` for the token.
    secret: Option<(SecretName, PathBuf)>,
    /// Who reads it, and how.
    readers: Vec<(AgentName, PlannedCredential)>,
    source: String,
    expires_at: Option<Timestamp>,
    fingerprint: Option<String>,
    stale: Option<String>,
    /// Whether a value could not be written, so that it is worth another try.
    unwritten: bool,
}

/// A sandbox's credentials: what is planned and what is delivered.
#[derive(Debug)]
pub struct Delivery {
    id: SandboxId,
    ids: (u32, u32),
    items: BTreeMap<String, Item>,
    directory: Option<Directory>,
    generation: u64,
}

impl Delivery {
    /// What a sandbox's template plans; nothing is delivered yet.
    pub fn plan(sandbox: &Admitted) -> Self {
        let mut items: BTreeMap<String, Item> = BTreeMap::new();
        for (agent, credential) in sandbox.template.credentials() {
            let (secret, source) = match &credential.plan {
                CredentialPlan::Token => (None, TokenSource::None.as_str().to_owned()),
                CredentialPlan::Secret(name) => (
                    sandbox.secrets.get(name).map(|p| (name.clone(), p.clone())),
                    format!("secret:{name}"),
                ),
            };
            let item = items
                .entry(credential.file_name().to_owned())
                .or_insert_with(|| Item {
                    secret,
                    readers: Vec::new(),
                    source,
                    expires_at: None,
                    fingerprint: None,
                    stale: None,
                    unwritten: false,
                });
            item.readers.push((agent.clone(), credential));
        }
        Self {
            id: sandbox.id(),
            ids: (sandbox.agent_uid(), sandbox.agent_gid()),
            items,
            directory: None,
            generation: 0,
        }
    }

    /// Reads every secret's file, to refuse a start before anything is changed.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn check(&self) -> Result<(), Failure> {
        for (name, path) in self.items.values().filter_map(|item| item.secret.as_ref()) {
            source::read(path).map_err(|why| source::failure(name, path, &why))?;
        }
        Ok(())
    }

    /// Makes the directory and delivers everything for the first time.
    ///
    /// # Errors
    /// A secret's file cannot be used any more, or a value cannot be written.
    pub fn start(&mut self, token: Token) -> Result<(), Failure> {
        let (uid, gid) = self.ids;
        let directory = Directory::make(Path::new(places::SECRETS), self.id, uid, gid);
        let directory = directory.map_err(|error| {
            cannot(
                ErrorKind::SandboxFailed,
                format_args!("make a secrets directory in {}", places::SECRETS),
                error,
            )
            .hint("mount the secrets: systemctl start run-firefly\\x2dforage-secrets.mount")
        })?;
        self.generation = 1;
        for (file, item) in &mut self.items {
            let written = match &item.secret {
                Some((name, path)) => {
                    let value =
                        source::read(path).map_err(|why| source::failure(name, path, &why))?;
                    item.put(&directory, file, &value)
                }
                None => item.put_token(&directory, file, &token),
            };
            written.map_err(|error| unwritten(file, error))?;
        }
        self.directory = Some(directory);
        Ok(())
    }

    /// Replaces the token. `Ok(false)`: what is delivered did not change.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn replace_token(&mut self, token: &Token) -> Result<bool, Failure> {
        let Some(directory) = &self.directory else {
            return Ok(false);
        };
        let Some(item) = self.items.get_mut(places::TOKEN_FILE) else {
            return Ok(false);
        };
        // What counts is the file, not what is known of it: a revocation must never do nothing.
        let same = if token.value.is_empty() {
            !directory.has(places::TOKEN_FILE)
        } else {
            directory.holds(places::TOKEN_FILE, &token.value)
        };
        if same {
            let before = (item.source.clone(), item.expires_at, item.stale.take());
            item.describe(token);
            return Ok(before != (item.source.clone(), item.expires_at, None));
        }
        item.put_token(directory, places::TOKEN_FILE, token)
            .map_err(|error| {
                item.stale = Some("a newer token could not be written".to_owned());
                unwritten(places::TOKEN_FILE, error)
            })?;
        self.generation += 1;
        Ok(true)
    }

    /// Reads secrets' files again and delivers what changed. `false`: nothing did.
    pub fn refresh(&mut self, changed: &BTreeSet<SecretName>) -> bool {
        let Some(directory) = &self.directory else {
            return false;
        };
        let mut rewritten = false;
        let mut different = false;
        for (file, item) in &mut self.items {
            let Some((name, path)) = &item.secret else {
                continue;
            };
            if !changed.contains(name) && !item.unwritten {
                continue;
            }
            let before = item.stale.clone();
            match source::read(path) {
                Err(why) => item.stale = Some(format!("its file cannot be used: {why}")),
                Ok(value) if directory.holds(file, &value) => item.settled(),
                Ok(value) => match item.put(directory, file, &value) {
                    Ok(()) => rewritten = true,
                    Err(error) => {
                        item.unwritten = true;
                        let why = reason(&error);
                        item.stale = Some(format!("its new value cannot be written: {why}"));
                    }
                },
            }
            different |= before != item.stale;
        }
        self.generation += u64::from(rewritten);
        rewritten || different
    }

    /// Tells whether a value still waits to be written.
    pub fn wants_retry(&self) -> bool {
        self.items.values().any(|item| item.unwritten)
    }

    /// What is delivered, per agent.
    pub fn delivered(&self) -> Vec<Delivered> {
        let readers = |item: &Item| item.readers.clone();
        self.items
            .iter()
            .flat_map(|(file, item)| readers(item).into_iter().map(move |r| (file, item, r)))
            .map(|(file, item, (agent, credential))| Delivered {
                agent,
                method: credential.method(),
                delivery: credential.delivery,
                variable: credential.exported().cloned(),
                file: file.clone(),
                source: item.source.clone(),
                expires_at: item.expires_at,
                fingerprint: item.fingerprint.clone(),
                generation: self.generation,
                stale: item.stale.clone(),
                revoked: false,
            })
            .collect()
    }
}

impl Item {
    fn put(&mut self, directory: &Directory, file: &str, value: &Secret) -> io::Result<()> {
        directory.write(file, value)?;
        // A host whose salt cannot be had still delivers.
        let salt = Salt::load(Path::new(places::FINGERPRINT_SALT));
        self.fingerprint = salt
            .inspect_err(|error| tracing::warn!("no fingerprints: {}", reason(error)))
            .ok()
            .map(|salt| salt.fingerprint(value));
        self.settled();
        Ok(())
    }

    fn put_token(&mut self, directory: &Directory, file: &str, token: &Token) -> io::Result<()> {
        if token.value.is_empty() {
            directory.remove(file)?;
            self.fingerprint = None;
            self.settled();
        } else {
            self.put(directory, file, &token.value)?;
        }
        self.describe(token);
        Ok(())
    }

    fn describe(&mut self, token: &Token) {
        let none = token.value.is_empty();
        let source = if none {
            TokenSource::None
        } else {
            token.source
        };
        self.source = source.as_str().to_owned();
        self.expires_at = token.expires_at.filter(|_| !none);
    }

    fn settled(&mut self) {
        self.stale = None;
        self.unwritten = false;
    }
}

fn unwritten(file: &str, error: io::Error) -> Failure {
    cannot(
        ErrorKind::StorageFailed,
        format_args!("write {file} for the sandbox"),
        error,
    )
    .hint("make room in /run/firefly-forage/secrets and try again")
}
