//! Credentials: where secrets come from, and how they enter a request.
//!
//! A secret is read once, when a run begins, from an environment variable or a file ([`resolve`]). From then on
//! it leaves this crate only inside the secret parts of a request to the one origin it belongs to ([`Signed`]).

mod error;
mod resolve;
mod sign;

pub use error::CredentialError;
pub use resolve::{Environment, Reference, Secrets, System, default_variable, resolve};
pub use sign::Signed;
