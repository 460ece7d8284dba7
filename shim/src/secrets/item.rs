//! One file of a sandbox's secrets directory, and how it stands with it.

use std::io;
use std::path::{Path, PathBuf};

use forage_api::config::{FileForm, PlannedCredential};
use forage_api::ident::{AgentName, SecretName};
use forage_api::shim::control::{Delivered, TokenSource};
use forage_api::{ErrorKind, Failure, Secret, places};
use jiff::Timestamp;

use super::Wanted;
use super::directory::Directory;
use super::form::{bare, render};
use super::salt::Salt;
use super::source::{self, Unusable};
use crate::fail::{cannot, reason};

/// How often somebody who writes a secret's file is waited for, each time longer: fifteen seconds in all,
/// where nothing else is pending. Then what is there is taken as it is.
const PATIENCE: u32 = 4;

/// What is said meanwhile, and then.
const WRITTEN: &str = "somebody is writing its file";
const TAKEN_AS_IT_IS: &str = "somebody keeps its file open for writing; what was in it was taken";

/// What is still to be done with the file, since it could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    Write,
    Removal,
}

/// One file.
#[derive(Debug)]
pub(super) struct Item {
    /// Its path in the directory.
    file: String,
    form: FileForm,
    /// The secret it is a copy of; `None` for the token.
    secret: Option<(SecretName, PathBuf)>,
    /// Who reads it, and how.
    readers: Vec<(AgentName, PlannedCredential)>,
    source: String,
    expires_at: Option<Timestamp>,
    fingerprint: Option<String>,
    stale: Option<String>,
    pending: Pending,
    /// How often it was waited until another try.
    waits: u32,
}

impl Item {
    /// A file of which nothing is there yet.
    pub(super) fn new(
        credential: &PlannedCredential,
        secret: Option<(SecretName, PathBuf)>,
    ) -> Self {
        let source = match &secret {
            Some((name, _)) => format!("secret:{name}"),
            None => TokenSource::None.as_str().to_owned(),
        };
        Self {
            file: credential.file_name().to_owned(),
            form: credential.form(),
            secret,
            readers: Vec::new(),
            source,
            expires_at: None,
            fingerprint: None,
            stale: None,
            pending: Pending::Nothing,
            waits: 0,
        }
    }

    /// Its path in the directory.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// One more agent reads it.
    pub(super) fn add_reader(&mut self, agent: AgentName, credential: PlannedCredential) {
        self.readers.push((agent, credential));
    }

    /// The secret it is a copy of.
    pub(super) fn secret(&self) -> Option<&SecretName> {
        self.secret.as_ref().map(|(name, _)| name)
    }

    /// Tells whether something is still to be done with it.
    pub(super) fn is_pending(&self) -> bool {
        self.pending != Pending::Nothing
    }

    /// Before the next try it is waited for some time.
    pub(super) fn wait(&mut self) {
        self.waits = self.waits.saturating_add(u32::from(self.is_pending()));
    }

    /// Finds what would be wrong with the secret's file.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Some((name, path)) = &self.secret else {
            return Ok(());
        };
        source::read(path)
            .and_then(|value| render(self.form, &value, None).map_err(Unusable::Wrong))
            .map(drop)
            .map_err(|why| source::failure(name, path, &why))
    }

    /// Brings the file to what is wanted, which is not that there be none. `Ok(true)`: it is another
    /// one now. What is wrong is kept in mind, and in what is told.
    pub(super) fn bring(
        &mut self,
        directory: &Directory,
        wanted: &Wanted,
    ) -> Result<bool, Failure> {
        if self.secret.is_some() {
            self.copy(directory)
        } else {
            self.take_over(directory, wanted)
        }
    }

    /// Delivers for the first time. Whoever writes a secret's file just then is not waited for: what
    /// follows is a change.
    pub(super) fn begin(
        &mut self,
        directory: &Directory,
        wanted: &Wanted,
    ) -> Result<bool, Failure> {
        if self.secret.is_some() {
            self.copy_as_read(directory, source::read)
        } else {
            self.take_over(directory, wanted)
        }
    }

    /// Reads the secret's file again.
    pub(super) fn copy(&mut self, directory: &Directory) -> Result<bool, Failure> {
        self.copy_as_read(directory, source::read_settled)
    }

    fn copy_as_read(
        &mut self,
        directory: &Directory,
        read: fn(&Path) -> Result<Secret, Unusable>,
    ) -> Result<bool, Failure> {
        let Some((name, path)) = &self.secret else {
            return Ok(false);
        };
        let failure = |why: &Unusable| source::failure(name, path, why);
        let read = read(path).map_err(|why| (failure(&why), why));
        match read {
            Err((_, Unusable::Unfinished)) => self.unfinished(directory),
            Err((failure, why)) => Err(self.unusable(failure, &why)),
            Ok(value) => self
                .put(directory, &value, None)
                .map_err(|unput| match unput {
                    Unput::Form(why) => {
                        let why = Unusable::Wrong(why);
                        self.unusable(self.source_failure(&why), &why)
                    }
                    Unput::System(error) => {
                        self.pending = Pending::Write;
                        let why = reason(&error);
                        self.warn(format!("its new value cannot be written: {why}"));
                        self.unwritten(error)
                    }
                }),
        }
    }

    /// Somebody is writing the secret's file. Its closing is a change; should that not be told, or not
    /// come, it is looked at again, since a program that forgets to close it may not hold up a rotation.
    fn unfinished(&mut self, directory: &Directory) -> Result<bool, Failure> {
        let waits = self.waits;
        let mut done = Ok(false);
        if waits >= PATIENCE {
            let told = self.stale.clone();
            done = self.copy_as_read(directory, source::read);
            if done.is_ok() {
                self.stale = told;
                self.warn(TAKEN_AS_IT_IS.to_owned());
            }
        } else if waits > 0 {
            self.warn(WRITTEN.to_owned());
        }
        (self.pending, self.waits) = (Pending::Write, waits);
        done
    }

    /// Takes over the token, or that there is none.
    fn take_over(&mut self, directory: &Directory, wanted: &Wanted) -> Result<bool, Failure> {
        let login = TokenSource::HostLogin;
        if wanted.token.is_empty() {
            let kept = wanted.source == login && self.source == login.as_str();
            if kept && directory.has(&self.file) {
                self.settled();
                return Ok(false);
            }
            return self.take_away(directory);
        }
        let changed = self
            .put(directory, &wanted.token, wanted.expires_at)
            .map_err(|unput| {
                self.warn("a newer token could not be written".to_owned());
                match unput {
                    Unput::Form(why) => Failure::new(
                        ErrorKind::InvalidArgument,
                        format!("the token cannot be used: {why}"),
                    )
                    .hint("store it again: forage-ctl claude token store"),
                    Unput::System(error) => self.unwritten(error),
                }
            })?;
        wanted.source.as_str().clone_into(&mut self.source);
        self.expires_at = wanted.expires_at;
        if changed {
            self.tell("is there");
        }
        Ok(changed)
    }

    /// Removes the file. `Ok(true)`: there was one.
    pub(super) fn take_away(&mut self, directory: &Directory) -> Result<bool, Failure> {
        match directory.remove(&self.file) {
            Ok(removed) => {
                if removed {
                    self.tell("was taken away");
                }
                self.settled();
                self.fingerprint = None;
                self.expires_at = None;
                if self.secret.is_none() {
                    TokenSource::None.as_str().clone_into(&mut self.source);
                }
                Ok(removed)
            }
            Err(error) => {
                self.pending = Pending::Removal;
                self.warn(format!("it cannot be taken away: {}", reason(&error)));
                Err(cannot(
                    ErrorKind::StorageFailed,
                    format_args!("take {} away from the sandbox", self.file),
                    error,
                )
                .hint("make /run/firefly-forage/secrets writable; it is tried again"))
            }
        }
    }

    /// Does again what could not be done.
    pub(super) fn retry(&mut self, directory: &Directory) -> bool {
        let done = match self.pending {
            Pending::Nothing => Ok(false),
            Pending::Write => self.copy(directory),
            Pending::Removal => self.take_away(directory),
        };
        done.unwrap_or(false)
    }

    /// Writes a value, unless it is there.
    fn put(
        &mut self,
        directory: &Directory,
        value: &Secret,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, Unput> {
        let rendered = render(self.form, value, expires_at).map_err(Unput::Form)?;
        let text = rendered.as_ref().unwrap_or(value);
        let new = !directory.holds(&self.file, text);
        if new {
            directory.write(&self.file, text).map_err(Unput::System)?;
        }
        if new || self.fingerprint.is_none() {
            self.fingerprint = fingerprint(value);
        }
        self.settled();
        if new && self.secret.is_some() {
            self.tell("is there");
        }
        Ok(new)
    }

    fn settled(&mut self) {
        self.stale = None;
        self.pending = Pending::Nothing;
        self.waits = 0;
    }

    /// The secret's file cannot be used: the last value stays, until the file changes.
    fn unusable(&mut self, failure: Failure, why: &Unusable) -> Failure {
        self.pending = Pending::Nothing;
        self.waits = 0;
        self.warn(format!("its file cannot be used: {why}"));
        failure
    }

    fn source_failure(&self, why: &Unusable) -> Failure {
        match &self.secret {
            Some((name, path)) => source::failure(name, path, why),
            None => Failure::new(ErrorKind::Internal, why.to_string()),
        }
    }

    fn unwritten(&self, error: io::Error) -> Failure {
        cannot(
            ErrorKind::StorageFailed,
            format_args!("write {} for the sandbox", self.file),
            error,
        )
        .hint("make room in /run/firefly-forage/secrets and try again")
    }

    /// Says once that what is delivered may be out of date.
    fn warn(&mut self, why: String) {
        if self.stale.as_ref() != Some(&why) {
            tracing::warn!(
                FORAGE_EVENT = "credentials-stale",
                FORAGE_CREDENTIAL_SOURCE = self.source,
                FORAGE_CREDENTIAL_FP = self.fingerprint.as_deref().unwrap_or("none"),
                "{}: {why}",
                self.file
            );
            self.stale = Some(why);
        }
    }

    fn tell(&self, what: &str) {
        tracing::info!(
            FORAGE_EVENT = "credentials",
            FORAGE_CREDENTIAL_SOURCE = self.source,
            FORAGE_CREDENTIAL_FP = self.fingerprint.as_deref().unwrap_or("none"),
            "{} {what}",
            self.file
        );
    }

    /// What each of its readers was given.
    pub(super) fn delivered(&self, generation: u64, revoked: bool) -> Vec<Delivered> {
        let one = |(agent, credential): &(AgentName, PlannedCredential)| Delivered {
            agent: agent.clone(),
            method: credential.method(),
            delivery: credential.delivery,
            variable: credential.exported().cloned(),
            file: self.file.clone(),
            source: self.source.clone(),
            expires_at: self.expires_at,
            fingerprint: self.fingerprint.clone(),
            generation,
            stale: self.stale.clone(),
            // What cannot be taken away is not withheld.
            revoked: revoked && self.pending != Pending::Removal,
        };
        self.readers.iter().map(one).collect()
    }
}

/// Why a value is not in its file.
enum Unput {
    /// It has no place in such a file.
    Form(&'static str),
    System(io::Error),
}

/// The value's, not the file's: it is the same however the value is delivered. A host whose salt
/// cannot be had still delivers.
fn fingerprint(value: &Secret) -> Option<String> {
    let salt = Salt::load(Path::new(places::FINGERPRINT_SALT));
    salt.inspect_err(|error| tracing::warn!("no fingerprints: {}", reason(error)))
        .ok()
        .map(|salt| salt.fingerprint(bare(value)))
}
