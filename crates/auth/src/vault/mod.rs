//! The vault: stored credentials, encrypted at rest.
//!
//! One file. It is read whole, and changed only under a lock, by writing a new one beside it and renaming: a reader sees
//! the old vault or the new one, and a process that dies leaves one of them. What is confirmed is on the disk.

mod cipher;
mod disk;
mod error;
mod file;
mod master;
mod record;
mod transfer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sync_core::Clock;
use zeroize::Zeroizing;

pub(crate) use cipher::hex;
pub use error::VaultError;
pub use record::{Previous, Record, TestState, Tested, Tokens};
pub use transfer::Imported;

use crate::Environment;
use crate::credential::{Source, seed};
use cipher::Key;
use file::{File, Lock, Master, Open};
use master::Masters;

const FILE: &str = "vault.json";
const LOCK: &str = "vault.lock";
/// Tokens of credentials that are not stored here. No stored name looks like this.
const KEPT: &str = "~tokens";
/// Which pipelines were seen to use which credential. Nothing in it is secret.
const USES: &str = "uses.json";
/// A token endpoint that does not answer is given up after five minutes; so is whoever waits for it.
const REFRESH_PATIENCE: Duration = Duration::from_mins(6);

/// Asks a person for a passphrase; nothing, where there is nobody.
pub type AskPassphrase = dyn Fn(Passphrase) -> Option<Zeroizing<String>> + Send + Sync;

/// What a passphrase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// To open what it has locked.
    Open,
    /// To lock something with it from now on; asked for twice.
    New,
}

/// What a vault may be locked with from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewLock {
    /// A new key beside the vault.
    KeyFile,
    /// A passphrase.
    Passphrase,
}

/// The stored credentials of a user. Nothing is read before somebody asks.
pub struct Vault {
    /// Nothing where this user has no place for one.
    place: Option<PathBuf>,
    folder: PathBuf,
    path: PathBuf,
    environment: Arc<dyn Environment>,
    ask: Option<Box<AskPassphrase>>,
    /// The data key of the lock that was opened last, so that a passphrase is asked for, and paid for, once.
    known: Mutex<Option<(Lock, Key)>>,
}

/// Tells one state of the file from another without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<std::time::SystemTime>,
    length: u64,
    file: u64,
}

/// What is kept under [`KEPT`].
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    tokens: BTreeMap<String, Tokens>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Vault {
    /// The vault in a folder, which need not be there yet. `ask` asks for passphrases. Without a folder it is empty,
    /// and nothing can be stored.
    pub fn new(
        place: Option<PathBuf>,
        environment: Arc<dyn Environment>,
        ask: Option<Box<AskPassphrase>>,
    ) -> Self {
        let folder = place.clone().unwrap_or_default();
        let path = folder.join(FILE);
        Self { place, folder, path, environment, ask, known: Mutex::default() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of what is stored, in order. Nothing is opened for that.
    pub fn names(&self) -> Result<Vec<String>, VaultError> {
        let Some(file) = self.file()? else { return Ok(Vec::new()) };
        Ok(file.names().map(str::to_owned).collect())
    }

    /// What is stored under a name.
    pub fn get(&self, name: &str) -> Result<Record, VaultError> {
        let Some(open) = self.open()? else {
            return Err(VaultError::Unknown { name: name.to_owned(), known: Vec::new() });
        };
        self.record(&open, name)
    }

    /// Everything that is stored, by name.
    pub fn all(&self) -> Result<Vec<(String, Record)>, VaultError> {
        let Some(open) = self.open()? else { return Ok(Vec::new()) };
        open.file().names().map(|name| Ok((name.to_owned(), self.record(&open, name)?))).collect()
    }

    /// Stores a credential under a new name. The vault is made with the first.
    pub fn add(&self, name: &str, record: &Record) -> Result<(), VaultError> {
        self.locked(|open| match open.has(name) {
            true => Err(VaultError::Taken { name: name.to_owned() }),
            false => open.put(name, &record.to_bytes()),
        })
    }

    /// Changes a stored credential; what others changed meanwhile is what `change` is given.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Record)) -> Result<(), VaultError> {
        self.locked(|open| {
            let mut record = self.record(open, name)?;
            change(&mut record);
            open.put(name, &record.to_bytes())
        })
    }

    /// Forgets a credential.
    pub fn remove(&self, name: &str) -> Result<(), VaultError> {
        self.locked(|open| match open.remove(name) {
            true => Ok(()),
            false => Err(unknown(open.file(), name)),
        })
    }

    /// Locks it with another key from now on. Every record is sealed anew, with a new data key.
    ///
    /// A process that dies on the way leaves a vault that opens: the next key lies beside the old one before the vault
    /// is locked with it.
    pub fn rekey(&self, lock: NewLock) -> Result<(), VaultError> {
        let _held = self.lock()?;
        let Some(open) = self.open()? else {
            return Err(VaultError::Unknown { name: "any".to_owned(), known: Vec::new() });
        };
        let (key, next) = (self.folder.join(master::KEY_FILE), self.folder.join(master::NEXT_KEY_FILE));
        let master = match lock {
            NewLock::KeyFile => {
                let new = Key::random()?;
                master::write(&next, &new)?;
                Master::Key(new)
            }
            NewLock::Passphrase => {
                let asked = self.ask.as_ref().and_then(|ask| ask(Passphrase::New));
                let none = || VaultError::NoKey { path: self.path.clone(), what: "a passphrase", id: None };
                Master::Passphrase(asked.filter(|passphrase| !passphrase.is_empty()).ok_or_else(none)?)
            }
        };
        let mut relocked = open.relocked(&master, &self.path)?;
        relocked.close()?;
        self.write(&relocked)?;
        if lock == NewLock::KeyFile {
            std::fs::rename(&next, &key).map_err(|source| disk::failed(&key, "written", source))?;
            disk::sync_folder(&key).map_err(|source| disk::failed(&key, "written", source))?;
        }
        Ok(())
    }

    /// Tells whether the file is another than before.
    pub fn stamp(&self) -> Option<Stamp> {
        let found = std::fs::metadata(&self.path).ok()?;
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let file = 0;
        Some(Stamp { modified: found.modified().ok(), length: found.len(), file })
    }

    /// Whoever holds this refreshes the tokens of a credential; all others wait, in every process.
    pub(crate) async fn refresh_lock(
        &self,
        source: &Source,
        clock: &dyn Clock,
    ) -> Result<impl Sized, VaultError> {
        let name = match source {
            Source::Stored(name) => name,
            Source::References(_) | Source::Given(..) => KEPT,
        };
        self.place.as_ref().ok_or(VaultError::Nowhere)?;
        let folder = self.folder.join("refresh");
        disk::make_folder(&folder)?;
        disk::lock_in_time(&folder.join(format!("{name}.lock")), clock, REFRESH_PATIENCE).await
    }

    /// Tokens of a credential that is not stored here.
    pub(crate) fn kept_tokens(&self, seed: &str) -> Result<Option<Tokens>, VaultError> {
        let Some(open) = self.open()? else { return Ok(None) };
        Ok(self.kept(&open)?.tokens.remove(seed))
    }

    /// Keeps tokens. They are on the disk when this returns.
    pub(crate) fn keep_tokens(&self, source: &Source, tokens: &Tokens) -> Result<(), VaultError> {
        match source {
            Source::Stored(name) => self.change(name, |record| {
                // Somebody may have signed in anew meanwhile; then these are of yesterday.
                if seed(&record.secrets) == tokens.seed {
                    record.tokens = Some(tokens.clone());
                }
            }),
            // Whoever makes the credential stores them with it.
            Source::Given(..) => Ok(()),
            Source::References(_) => self.locked(|open| {
                let mut kept = self.kept(open)?;
                kept.tokens.insert(tokens.seed.clone(), tokens.clone());
                let mut plain = Zeroizing::new(Vec::with_capacity(64 << 10));
                serde_json::to_writer(&mut *plain, &kept).expect("text keys, and memory does not fail");
                open.put(KEPT, &plain)
            }),
        }
    }

    /// Remembers that a pipeline uses a credential, for whoever wants to remove it.
    pub fn note_use(&self, name: &str, pipeline: &Path) -> Result<(), VaultError> {
        let pipeline = std::path::absolute(pipeline).unwrap_or_else(|_| pipeline.to_owned());
        let text = pipeline.to_string_lossy().into_owned();
        if self.uses_file()?.get(name).is_some_and(|known| known.contains(&text)) {
            return Ok(());
        }
        let _held = self.lock()?;
        let mut uses = self.uses_file()?;
        uses.entry(name.to_owned()).or_default().push(text);
        disk::write(&self.folder.join(USES), &serde_json::to_vec_pretty(&uses).expect("text keys"))
    }

    /// The pipelines that were seen to use a credential and are still there.
    pub fn uses(&self, name: &str) -> Result<Vec<PathBuf>, VaultError> {
        let known = self.uses_file()?.remove(name).unwrap_or_default();
        Ok(known.into_iter().map(PathBuf::from).filter(|path| path.exists()).collect())
    }

    fn uses_file(&self) -> Result<BTreeMap<String, Vec<String>>, VaultError> {
        if self.place.is_none() {
            return Ok(BTreeMap::new());
        }
        let bytes = disk::read(&self.folder.join(USES))?;
        // A hint for people: one that cannot be read is none.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    fn kept(&self, open: &Open) -> Result<Kept, VaultError> {
        let Some(plain) = open.get(KEPT, &self.path)? else { return Ok(Kept::default()) };
        serde_json::from_slice(&plain).map_err(|_| self.strange(KEPT))
    }

    fn record(&self, open: &Open, name: &str) -> Result<Record, VaultError> {
        let plain = open.get(name, &self.path)?.ok_or_else(|| unknown(open.file(), name))?;
        Record::of(&plain).map_err(|_| self.strange(name))
    }

    fn strange(&self, name: &str) -> VaultError {
        let why = format!("the record `{name}` holds what this version does not know");
        VaultError::Damaged { path: self.path.clone(), why }
    }

    fn file(&self) -> Result<Option<File>, VaultError> {
        if self.place.is_none() {
            return Ok(None);
        }
        let Some(bytes) = disk::read(&self.path)? else { return Ok(None) };
        disk::check_private(&self.path, "a vault")?;
        File::parse(&bytes, &self.path).map(Some)
    }

    fn open(&self) -> Result<Option<Open>, VaultError> {
        let Some(file) = self.file()? else { return Ok(None) };
        self.opened(file).map(Some)
    }

    fn opened(&self, file: File) -> Result<Open, VaultError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((lock, data)) = known
            && lock == file.lock
        {
            return file.checked(data, &self.path);
        }
        let master = self.masters().find(&file.lock)?;
        let open = file.open(&master, &self.path)?;
        self.remember(&open);
        Ok(open)
    }

    fn remember(&self, open: &Open) {
        let known = Some((open.file().lock.clone(), open.data().clone()));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Reads, changes and writes while nobody else does.
    fn locked<T>(&self, change: impl FnOnce(&mut Open) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let _held = self.lock()?;
        let mut open = match self.open()? {
            Some(open) => open,
            None => Open::new(&self.masters().choose()?)?,
        };
        let done = change(&mut open)?;
        open.close()?;
        self.write(&open)?;
        Ok(done)
    }

    fn lock(&self) -> Result<disk::Held, VaultError> {
        self.place.as_ref().ok_or(VaultError::Nowhere)?;
        disk::make_folder(&self.folder)?;
        disk::check_private(&self.folder, "the folder of a vault")?;
        disk::lock(&self.folder.join(LOCK))
    }

    fn write(&self, open: &Open) -> Result<(), VaultError> {
        disk::write(&self.path, open.file().text().as_bytes())?;
        self.remember(open);
        Ok(())
    }

    fn masters(&self) -> Masters<'_> {
        Masters {
            folder: &self.folder,
            vault: &self.path,
            environment: &*self.environment,
            ask: self.ask.as_deref(),
        }
    }
}

fn unknown(file: &File, name: &str) -> VaultError {
    VaultError::Unknown { name: name.to_owned(), known: file.names().map(str::to_owned).collect() }
}

#[cfg(test)]
mod tests;
