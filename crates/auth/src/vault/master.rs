//! Where the vault's master key comes from.
//!
//! In this order: the variable `SYNC_VAULT_KEY` (a key, or a reference such as `${cmd:secret-tool lookup service sync}`,
//! which is how a key ring of the system is asked), the file that `SYNC_VAULT_KEY_FILE` names, the credential
//! `sync-vault-key` that systemd hands over, and `master.key` beside the vault. A vault that is locked with a passphrase
//! takes `SYNC_VAULT_PASSPHRASE`, else a person is asked.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::vault::cipher::{KEY, Key, unhex};
use crate::vault::disk;
use crate::vault::file::{By, Lock, Master};
use crate::vault::{AskPassphrase, Passphrase, VaultError};
use crate::{Environment, Reference, look_up};

pub(crate) const KEY_FILE: &str = "master.key";
/// A key that is about to take the place of the other.
pub(crate) const NEXT_KEY_FILE: &str = "master.key.next";
const VARIABLE: &str = "SYNC_VAULT_KEY";
const FILE_VARIABLE: &str = "SYNC_VAULT_KEY_FILE";
const PASSPHRASE: &str = "SYNC_VAULT_PASSPHRASE";
/// Where systemd puts credentials of a service (systemd.exec(5), `LoadCredential=`).
const SYSTEMD: &str = "CREDENTIALS_DIRECTORY";
const SYSTEMD_NAME: &str = "sync-vault-key";

/// Finds master keys.
pub(crate) struct Masters<'a> {
    pub folder: &'a Path,
    pub vault: &'a Path,
    pub environment: &'a dyn Environment,
    pub ask: Option<&'a AskPassphrase>,
}

impl Masters<'_> {
    /// The master that opens this lock.
    pub fn find(&self, lock: &Lock) -> Result<Master, VaultError> {
        match lock.by {
            By::Key => self.find_key(lock).map(Master::Key),
            By::Passphrase => self.passphrase(Passphrase::Open).map(Master::Passphrase),
        }
    }

    /// The master of a vault that is about to be made: what somebody gave, else a new key beside it.
    pub fn choose(&self) -> Result<Master, VaultError> {
        if let Some((key, _)) = self.given()? {
            return Ok(Master::Key(key));
        }
        if let Some(passphrase) = self.set(PASSPHRASE) {
            return Ok(Master::Passphrase(passphrase));
        }
        let path = self.folder.join(KEY_FILE);
        if path.exists() {
            return Ok(Master::Key(self.in_file(&path)?));
        }
        let key = Key::random()?;
        write(&path, &key)?;
        Ok(Master::Key(key))
    }

    /// A passphrase, out of its variable or from a person.
    pub fn passphrase(&self, what: Passphrase) -> Result<Zeroizing<String>, VaultError> {
        if let Some(passphrase) = self.set(PASSPHRASE) {
            return Ok(passphrase);
        }
        let asked = self.ask.and_then(|ask| ask(what)).filter(|passphrase| !passphrase.is_empty());
        asked.ok_or_else(|| VaultError::NoKey { path: self.vault.to_owned(), what: "a passphrase", id: None })
    }

    fn find_key(&self, lock: &Lock) -> Result<Key, VaultError> {
        let wanted = lock.key_id.as_deref().unwrap_or_default();
        if let Some((key, origin)) = self.given()? {
            return self.fitting(key, wanted, origin);
        }
        let path = self.folder.join(KEY_FILE);
        // While the key is being changed, the next one is there before the vault is locked with it.
        let next = self.folder.join(NEXT_KEY_FILE);
        if next.exists()
            && let Ok(key) = self.in_file(&next)
            && key.id() == wanted
        {
            return Ok(key);
        }
        if !path.exists() {
            let id = Some(wanted.to_owned());
            return Err(VaultError::NoKey { path: self.vault.to_owned(), what: "a key", id });
        }
        self.fitting(self.in_file(&path)?, wanted, format!("the key file {}", path.display()))
    }

    fn fitting(&self, key: Key, wanted: &str, origin: String) -> Result<Key, VaultError> {
        if key.id() == wanted {
            return Ok(key);
        }
        let ids = Some((key.id(), wanted.to_owned()));
        Err(VaultError::WrongKey { origin, path: self.vault.to_owned(), ids })
    }

    /// A key that is kept somewhere else than beside the vault, and where.
    fn given(&self) -> Result<Option<(Key, String)>, VaultError> {
        if let Some(text) = self.set(VARIABLE) {
            let origin = format!("the variable {VARIABLE}");
            let text = match sync_spec::reference(&text) {
                Some(reference) => {
                    let reference = Reference::of(&reference, Path::new("."));
                    Zeroizing::new(look_up("vault key", &reference, self.environment)?)
                }
                None => text,
            };
            return Ok(Some((parsed(&text, &origin)?, origin)));
        }
        if let Some(path) = self.set(FILE_VARIABLE) {
            let path = PathBuf::from(&*path);
            return Ok(Some((self.in_file(&path)?, format!("the key file {}", path.display()))));
        }
        if let Some(folder) = self.set(SYSTEMD) {
            let path = Path::new(&*folder).join(SYSTEMD_NAME);
            if path.exists() {
                return Ok(Some((self.in_file(&path)?, format!("the systemd credential {SYSTEMD_NAME}"))));
            }
        }
        Ok(None)
    }

    fn in_file(&self, path: &Path) -> Result<Key, VaultError> {
        disk::check_private(path, "a key")?;
        let text = self.environment.read(path);
        let text = text.map_err(|source| VaultError::Io { path: path.to_owned(), doing: "read", source })?;
        parsed(&Zeroizing::new(text), &format!("the file {}", path.display()))
    }

    fn set(&self, variable: &str) -> Option<Zeroizing<String>> {
        self.environment.var(variable).filter(|value| !value.is_empty()).map(Zeroizing::new)
    }
}

/// Writes a key down for its owner alone.
pub(crate) fn write(path: &Path, key: &Key) -> Result<(), VaultError> {
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.expose())));
    disk::write(path, text.as_bytes())
}

/// A key as people keep it: base64, with or without its padding, or hex.
fn parsed(text: &str, origin: &str) -> Result<Key, VaultError> {
    let text = text.trim();
    let not_a_key = |why| VaultError::NotAKey { origin: origin.to_owned(), why };
    let bytes = match text.len() {
        length if length == 2 * KEY => unhex(text),
        _ => {
            let padded = format!("{}=", text.trim_end_matches('=').replace('-', "+").replace('_', "/"));
            STANDARD.decode(Zeroizing::new(padded).as_bytes()).ok().map(Zeroizing::new)
        }
    };
    let bytes = bytes.ok_or_else(|| not_a_key("it is neither base64 nor hex"))?;
    Key::of(&bytes).ok_or_else(|| not_a_key("it has another length than 32 bytes"))
}
