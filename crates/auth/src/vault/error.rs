//! Why the vault cannot be used. No message holds a secret, a key or a passphrase.

use std::io;
use std::path::PathBuf;

use sync_core::{Explain, Kind};

/// A vault that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file or folder that cannot be read or written.
    #[error("{} cannot be {doing}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Such as `read`.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read or change it.
    #[error("{} is open to others (mode {mode:04o}); {what} belongs to its owner alone", .path.display())]
    Permissive {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What it is.
        what: &'static str,
    },
    /// It is not what a vault looks like, or was cut short.
    #[error("the vault {} is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        why: String,
    },
    /// It was written by a later version.
    #[error("the vault {} has the format `{format}`, which this version cannot read", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says.
        format: String,
    },
    /// Somebody changed it who does not have the key.
    #[error("the vault {} was tampered with: {what}", .path.display())]
    Tampered {
        /// The file.
        path: PathBuf,
        /// What gave it away.
        what: String,
    },
    /// A key that does not open it.
    #[error("{origin} does not open the vault {}", .path.display())]
    WrongKey {
        /// Where the key came from.
        origin: String,
        /// The vault.
        path: PathBuf,
        /// The key's name, and the name of the one it was locked with; not known of passphrases.
        ids: Option<(String, String)>,
    },
    /// There is no key.
    #[error("the vault {} is locked with {what}, and none was given", .path.display())]
    NoKey {
        /// The vault.
        path: PathBuf,
        /// A key or a passphrase.
        what: &'static str,
        /// The key's name, where it has one.
        id: Option<String>,
    },
    /// Something that was given as a key and is none.
    #[error("{origin} holds no key: {why}")]
    NotAKey {
        /// Where it came from.
        origin: String,
        /// Why.
        why: &'static str,
    },
    /// A key that is kept elsewhere and cannot be had.
    #[error("the key of the vault cannot be had")]
    Key(#[from] crate::CredentialError),
    /// A name that is taken.
    #[error("there is a credential `{name}` already")]
    Taken {
        /// The name.
        name: String,
    },
    /// A name that nothing has.
    #[error("there is no credential `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Another process holds a lock for too long.
    #[error("another process has held {} for {seconds} seconds", .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// So long.
        seconds: u64,
    },
    /// This user has no folder of their own.
    #[error("there is no place for a vault: neither SYNC_HOME nor a home directory is set")]
    Nowhere,
    /// The file asks for a derivation that is no use or no good.
    #[error("the file asks for a passphrase derivation outside of what is safe")]
    Cost,
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

impl Explain for VaultError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } | Self::Busy { .. } | Self::Random | Self::Nowhere => Kind::Environment,
            Self::Key(error) => error.kind(),
            _ => Kind::Refused,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "vault_unreadable",
            Self::Permissive { .. } => "vault_permissive",
            Self::Damaged { .. } | Self::Cost => "vault_damaged",
            Self::Newer { .. } => "vault_newer",
            Self::Tampered { .. } => "vault_tampered",
            Self::WrongKey { .. } | Self::NotAKey { .. } => "vault_wrong_key",
            Self::NoKey { .. } => "vault_locked",
            Self::Key(error) => error.code(),
            Self::Taken { .. } => "credential_taken",
            Self::Unknown { .. } => "unknown_credential",
            Self::Busy { .. } => "vault_busy",
            Self::Nowhere => "no_home",
            Self::Random => "no_random_numbers",
        }
    }

    fn hint(&self) -> Option<String> {
        const BACKUP: &str = "put back a copy of it, or an export: `sync credentials import FILE`";
        Some(match self {
            Self::Permissive { path, .. } => {
                let mode = if path.is_dir() { "700" } else { "600" };
                format!("chmod {mode} {}", path.display())
            }
            Self::Damaged { .. } | Self::Tampered { .. } => BACKUP.to_owned(),
            Self::Newer { .. } => "use a newer version of sync".to_owned(),
            Self::WrongKey { ids: Some((have, want)), .. } => {
                format!("that key is called {have}; the vault was locked with the one called {want}")
            }
            Self::WrongKey { .. } => "mind capitals and the keyboard's layout".to_owned(),
            Self::NoKey { id: Some(id), .. } => format!(
                "the key called {id} is looked for in SYNC_VAULT_KEY, in the file that SYNC_VAULT_KEY_FILE names, among the \
                 credentials of systemd as `sync-vault-key`, and in `master.key` beside the vault"
            ),
            Self::NoKey { .. } => {
                "set SYNC_VAULT_PASSPHRASE, or run this on a terminal, which asks for it".to_owned()
            }
            Self::NotAKey { .. } => "a key is 32 bytes, written as base64 or as 64 hex digits".to_owned(),
            Self::Key(error) => return error.hint(),
            Self::Taken { name } => format!("`sync credentials rotate {name}` gives it another secret"),
            Self::Unknown { known, .. } if known.is_empty() => {
                "none are stored yet: `sync credentials add NAME --connector CONNECTOR`".to_owned()
            }
            Self::Unknown { name, known } => match sync_spec::nearest(name, known.iter().map(String::as_str))
            {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("stored are {}", known.join(", ")),
            },
            Self::Busy { .. } => "if no other sync is at work, remove the lock file".to_owned(),
            Self::Nowhere => {
                "name a folder that outlives the process: export SYNC_HOME=/var/lib/sync".to_owned()
            }
            Self::Io { .. } | Self::Cost | Self::Random => return None,
        })
    }
}
