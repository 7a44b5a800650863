//! The vault's file: JSON whose every interesting part is sealed. `docs/vault-format.md` describes it for others.
//!
//! Three kinds of message are in it. The data key, sealed with the master key. One message for each record, sealed
//! with the data key and bound to its name and version, so that none can stand in the place of another. And the
//! index, which holds names and versions and is bound to the generation, so that none can be left out, or be put
//! back as it was before.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::vault::VaultError;
use crate::vault::cipher::{Cost, Key, random_hex};

/// The format, and what every bound text begins with.
pub(crate) const FORMAT: &str = "sync-vault 1";

/// The file as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    format: String,
    /// 16 random bytes as hex: tells vaults apart.
    vault: String,
    /// Grows with every change.
    pub generation: u64,
    pub lock: Lock,
    /// The sealed names and versions.
    index: String,
    records: BTreeMap<String, Entry>,
}

/// What the file is locked with, and the data key under that lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    pub by: By,
    /// What the master key is called; nothing where it is derived from a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argon2id: Option<Derivation>,
    wrapped: String,
}

/// The kinds of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// A random key that is kept elsewhere.
    Key,
    /// A passphrase.
    Passphrase,
}

/// How a passphrase becomes a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Derivation {
    salt: String,
    #[serde(flatten)]
    cost: Cost,
}

/// What every format has.
#[derive(Deserialize)]
struct Head {
    format: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u64,
    sealed: String,
}

/// What a vault is locked with.
pub(crate) enum Master {
    /// A random key.
    Key(Key),
    /// A passphrase.
    Passphrase(Zeroizing<String>),
}

/// A file and the key of its data.
pub(crate) struct Open {
    file: File,
    data: Key,
}

impl File {
    /// Reads the form; nothing of it is believed yet.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, VaultError> {
        let damaged = |why: String| VaultError::Damaged { path: path.to_owned(), why };
        if bytes.is_empty() {
            return Err(damaged("it is empty".to_owned()));
        }
        let unread = |error: serde_json::Error| {
            let why = match error.classify() {
                serde_json::error::Category::Eof => "it is cut short".to_owned(),
                _ => {
                    format!("line {}, column {} is not what a vault has there", error.line(), error.column())
                }
            };
            damaged(why)
        };
        // A later format may have other fields, so it is asked for first.
        let head: Head = serde_json::from_slice(bytes).map_err(unread)?;
        if head.format != FORMAT {
            let format = head.format.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(VaultError::Newer { path: path.to_owned(), format });
        }
        serde_json::from_slice(bytes).map_err(unread)
    }

    /// The names of the records that a person made, as the file has them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str).filter(|name| sync_spec::is_stored_name(name))
    }

    /// Opens it, and looks whether anybody was at it.
    pub fn open(self, master: &Master, path: &Path) -> Result<Open, VaultError> {
        let tampered = |what: &str| VaultError::Tampered { path: path.to_owned(), what: what.to_owned() };
        let damaged = |why: &str| VaultError::Damaged { path: path.to_owned(), why: why.to_owned() };
        let key = self.lock.key(master)?;
        let wrapped = unbase(&self.lock.wrapped).ok_or_else(|| damaged("its data key is not base64"))?;
        let Some(data) = key.open(self.lock.bound(&self.vault).as_bytes(), &wrapped) else {
            return Err(match master {
                Master::Key(_) => tampered("its data key does not open"),
                Master::Passphrase(_) => VaultError::WrongKey {
                    origin: "the passphrase".to_owned(),
                    path: path.to_owned(),
                    ids: None,
                },
            });
        };
        let data = Key::of(&data).ok_or_else(|| damaged("its data key has another length"))?;
        self.checked(data, path)
    }

    /// Opens it with a data key that is known, from an earlier opening under the same lock.
    pub fn checked(self, data: Key, path: &Path) -> Result<Open, VaultError> {
        let tampered = |what: &str| VaultError::Tampered { path: path.to_owned(), what: what.to_owned() };
        let damaged = |why: &str| VaultError::Damaged { path: path.to_owned(), why: why.to_owned() };
        let index = unbase(&self.index).ok_or_else(|| damaged("its index is not base64"))?;
        let index = data
            .open(self.bound_index().as_bytes(), &index)
            .ok_or_else(|| tampered("its index does not belong to it"))?;
        let index: Vec<(String, u64)> =
            serde_json::from_slice(&index).map_err(|_| damaged("its index is not what a vault has there"))?;
        let found = self.versions();
        if index != found {
            let other =
                index.iter().chain(&found).find(|pair| !index.contains(pair) || !found.contains(pair));
            let name = other.map_or("?", |(name, _)| name);
            return Err(tampered(&format!("the record `{}` is not the one of its index", shown(name))));
        }
        Ok(Open { file: self, data })
    }

    fn versions(&self) -> Vec<(String, u64)> {
        self.records.iter().map(|(name, entry)| (name.clone(), entry.version)).collect()
    }

    fn bound_index(&self) -> String {
        format!("{FORMAT}\0index\0{}\0{}", self.vault, self.generation)
    }

    fn bound_record(&self, name: &str, version: u64) -> String {
        format!("{FORMAT}\0record\0{}\0{name}\0{version}", self.vault)
    }

    /// As text. Only what is sealed is in it.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("text keys, and memory does not fail");
        text.push('\n');
        text
    }
}

impl Lock {
    /// Locks a data key.
    fn new(master: &Master, vault: &str, data: &Key) -> Result<Self, VaultError> {
        let (by, key_id, argon2id) = match master {
            Master::Key(key) => (By::Key, Some(key.id()), None),
            Master::Passphrase(_) => {
                let mut salt = [0; 16];
                crate::vault::cipher::fill(&mut salt)?;
                (By::Passphrase, None, Some(Derivation { salt: STANDARD.encode(salt), cost: Cost::USUAL }))
            }
        };
        let mut lock = Self { by, key_id, argon2id, wrapped: String::new() };
        let key = lock.key(master)?;
        lock.wrapped = STANDARD.encode(key.seal(lock.bound(vault).as_bytes(), data.expose())?);
        Ok(lock)
    }

    fn key(&self, master: &Master) -> Result<Key, VaultError> {
        match (master, &self.argon2id) {
            (Master::Key(key), _) => Ok(key.clone()),
            (Master::Passphrase(passphrase), Some(derivation)) if derivation.cost.is_sane() => {
                let salt = unbase(&derivation.salt).filter(|salt| (8..=64).contains(&salt.len()));
                Key::derived(passphrase, &salt.ok_or(VaultError::Cost)?, derivation.cost)
            }
            (Master::Passphrase(_), _) => Err(VaultError::Cost),
        }
    }

    fn bound(&self, vault: &str) -> String {
        let by = match self.by {
            By::Key => "key",
            By::Passphrase => "passphrase",
        };
        let id = self.key_id.as_deref().unwrap_or_default();
        let derivation = self.argon2id.as_ref().map_or_else(String::new, |derivation| {
            let Cost { memory_kib, passes, lanes } = derivation.cost;
            format!("{}\0{memory_kib}\0{passes}\0{lanes}", derivation.salt)
        });
        format!("{FORMAT}\0data key\0{vault}\0{by}\0{id}\0{derivation}")
    }
}

impl Open {
    /// An empty vault.
    pub fn new(master: &Master) -> Result<Self, VaultError> {
        let (vault, data) = (random_hex::<16>()?, Key::random()?);
        let lock = Lock::new(master, &vault, &data)?;
        let file = File {
            format: FORMAT.to_owned(),
            vault,
            generation: 0,
            lock,
            index: String::new(),
            records: BTreeMap::new(),
        };
        Ok(Self { file, data })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn data(&self) -> &Key {
        &self.data
    }

    /// What a record holds.
    pub fn get(&self, name: &str, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some(entry) = self.file.records.get(name) else { return Ok(None) };
        let bound = self.file.bound_record(name, entry.version);
        let opened = unbase(&entry.sealed).and_then(|sealed| self.data.open(bound.as_bytes(), &sealed));
        let what = || format!("the record `{}` does not open", shown(name));
        opened.map(Some).ok_or_else(|| VaultError::Tampered { path: path.to_owned(), what: what() })
    }

    pub fn has(&self, name: &str) -> bool {
        self.file.records.contains_key(name)
    }

    /// Puts a record in the place of an older one of its name.
    pub fn put(&mut self, name: &str, plain: &[u8]) -> Result<(), VaultError> {
        // Never a version that was there before, even of a record that was removed between.
        let version = self.file.generation + 1;
        let sealed = self.data.seal(self.file.bound_record(name, version).as_bytes(), plain)?;
        self.file.records.insert(name.to_owned(), Entry { version, sealed: STANDARD.encode(sealed) });
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> bool {
        self.file.records.remove(name).is_some()
    }

    /// Makes it one whole again after changes, under a new generation.
    pub fn close(&mut self) -> Result<(), VaultError> {
        self.file.generation += 1;
        let index = serde_json::to_vec(&self.file.versions()).expect("names and numbers");
        self.file.index = STANDARD.encode(self.data.seal(self.file.bound_index().as_bytes(), &index)?);
        Ok(())
    }

    /// The same records under another lock and another data key.
    pub fn relocked(&self, master: &Master, path: &Path) -> Result<Self, VaultError> {
        let mut other = Self::new(master)?;
        other.file.vault.clone_from(&self.file.vault);
        other.file.generation = self.file.generation;
        other.file.lock = Lock::new(master, &other.file.vault, &other.data)?;
        for name in self.file.records.keys() {
            if let Some(plain) = self.get(name, path)? {
                other.put(name, &plain)?;
            }
        }
        Ok(other)
    }
}

fn unbase(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

/// A name out of a file that may be anybody's.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests;
