//! Credentials: where secrets come from, and how they enter a request.
//!
//! A secret is read when a run begins, from the vault ([`Vault`]) or from a reference ([`resolve`]), and again where it
//! was changed or refused ([`Credential`]). It leaves this crate only inside the secret parts of a request to the one
//! origin it belongs to ([`Signed`]).

mod credential;
mod error;
mod oauth;
mod resolve;
mod sign;
mod sign_in;
mod vault;

#[cfg(test)]
mod testing;

pub use credential::{Credential, Hands, OpenError, Signing, Source};
pub use error::CredentialError;
pub use resolve::{Environment, Reference, Secrets, System, default_variable, look_up, resolve, sendable};
pub use sign::Signed;
pub use sign_in::{SignIn, SignInError};
pub use vault::{
    AskPassphrase, Imported, NewLock, Passphrase, Previous, Record, Stamp, TestState, Tested, Tokens, Vault,
    VaultError,
};
