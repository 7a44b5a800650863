//! Why there is no credential. The messages name variables and files, never a value.

use std::io;
use std::path::PathBuf;

use sync_core::{Explain, Kind};

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Environment variables that are not set.
    #[error("{} not set", listed("the environment variable", .variables))]
    NotSet {
        /// The variables.
        variables: Vec<String>,
    },
    /// A secret without a single character.
    #[error("the secret `{secret}` is empty: {origin} holds nothing")]
    Empty {
        /// The secret's name.
        secret: String,
        /// The variable or file.
        origin: String,
    },
    /// A file that cannot be read.
    #[error("the secret `{secret}` cannot be read from the file {}", .path.display())]
    Unreadable {
        /// The secret's name.
        secret: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program that did not print a secret.
    #[error("the secret `{secret}` cannot be had from the command `{command}`")]
    Command {
        /// The secret's name.
        secret: String,
        /// The program, without its arguments.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line break or another character that no request can carry.
    #[error("the secret `{secret}` holds {what}, which no request can carry: see {origin}")]
    Unsendable {
        /// The secret's name.
        secret: String,
        /// The kind of character.
        what: &'static str,
        /// The variable or file.
        origin: String,
    },
    /// Secrets that the connector signs with and nobody gave.
    #[error("{} missing", listed("the secret", .secrets))]
    NotGiven {
        /// The secrets' names.
        secrets: Vec<String>,
    },
    /// A user name that `Basic` cannot tell from its password.
    #[error("the user name, made of {}, holds a colon, which Basic authentication does not allow", quoted(.secrets))]
    ColonInUser {
        /// The secrets it is made of.
        secrets: Vec<String>,
    },
}

/// Such as: the secret `a` is, or: the secrets `a`, `b` and `c` are.
fn listed(what: &str, names: &[String]) -> String {
    match names {
        [_, _, ..] => format!("{what}s {} are", quoted(names)),
        _ => format!("{what} {} is", quoted(names)),
    }
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => quoted.join(""),
    }
}

impl Explain for CredentialError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotSet { .. } | Self::NotGiven { .. } | Self::Empty { .. } => "credential_missing",
            Self::Unreadable { .. } => "credential_unreadable",
            Self::Command { .. } => "credential_command",
            Self::Unsendable { .. } | Self::ColonInUser { .. } => "credential_malformed",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotSet { variables } => {
                let values: Vec<_> = variables.iter().map(|name| format!("{name}=…")).collect();
                format!("export {}", values.join(" "))
            }
            Self::NotGiven { secrets } => {
                format!(
                    "give {} in the pipeline's source, as `${{env:VARIABLE}}`, `${{file:PATH}}` or `${{cmd:PROGRAM ARGS}}`",
                    quoted(secrets)
                )
            }
            Self::Empty { origin, .. } => format!("put the secret into {origin}"),
            Self::Unreadable { path, .. } => {
                format!("check that {} exists and that this user may read it", path.display())
            }
            Self::Command { .. } => "run the command by hand to see what it says".to_owned(),
            Self::Unsendable { origin, .. } => {
                format!("keep only the secret itself, on one line, in {origin}")
            }
            Self::ColonInUser { .. } => "give user name and password apart".to_owned(),
        })
    }
}
