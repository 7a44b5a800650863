//! Carrying credentials from one vault to another, in a file that a passphrase locks.
//!
//! The file is a vault itself, so what reads the one reads the other.

use std::path::Path;

use zeroize::Zeroizing;

use crate::vault::file::{By, File, Master, Open};
use crate::vault::{Record, Vault, VaultError, disk};

/// What became of the credentials of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New ones.
    pub added: Vec<String>,
    /// Those that took the place of others.
    pub replaced: Vec<String>,
    /// Those that were left out, because there is one of that name.
    pub left: Vec<String>,
}

impl Vault {
    /// Writes credentials into a new file, locked with a passphrase.
    pub fn export(
        &self,
        names: &[String],
        passphrase: Zeroizing<String>,
        to: &Path,
    ) -> Result<(), VaultError> {
        let exists = || std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        if to.exists() {
            return Err(disk::failed(to, "written", exists()));
        }
        let mut open = Open::new(&Master::Passphrase(passphrase))?;
        for name in names {
            open.put(name, &self.get(name)?.to_bytes())?;
        }
        open.close()?;
        disk::write(to, open.file().text().as_bytes())
    }

    /// Takes the credentials of a file. Where there is one of the same name, it stays unless `replace`. All of them are
    /// stored in one step, or none.
    pub fn import(
        &self,
        from: &Path,
        passphrase: impl FnOnce() -> Result<Zeroizing<String>, VaultError>,
        replace: bool,
    ) -> Result<Imported, VaultError> {
        let missing = || disk::failed(from, "read", std::io::ErrorKind::NotFound.into());
        let file = File::parse(&disk::read(from)?.ok_or_else(missing)?, from)?;
        if file.lock.by != By::Passphrase {
            let why = "it is not an export, but a vault that is locked with a key".to_owned();
            return Err(VaultError::Damaged { path: from.to_owned(), why });
        }
        let theirs = file.open(&Master::Passphrase(passphrase()?), from)?;
        let mut records = Vec::new();
        for name in theirs.file().names() {
            let plain = theirs.get(name, from)?.unwrap_or_default();
            let strange = |_| VaultError::Damaged {
                path: from.to_owned(),
                why: format!("the record `{name}` holds what this version does not know"),
            };
            records.push((name.to_owned(), Record::of(&plain).map_err(strange)?));
        }
        self.locked(|open| {
            let mut done = Imported::default();
            for (name, record) in records {
                let list = match open.has(&name) {
                    true if !replace => {
                        done.left.push(name);
                        continue;
                    }
                    true => &mut done.replaced,
                    false => &mut done.added,
                };
                open.put(&name, &record.to_bytes())?;
                list.push(name);
            }
            Ok(done)
        })
    }

    /// A passphrase out of `SYNC_VAULT_PASSPHRASE`, or from a person.
    pub fn passphrase(&self, what: crate::vault::Passphrase) -> Result<Zeroizing<String>, VaultError> {
        self.masters().passphrase(what)
    }
}
