//! Transport, retry and redaction; the only crate that connects or listens.
//!
//! Two steps of the stairs live here, the lowest and the highest: [`Client`] sends one request, [`Retry`] asks
//! until there is an answer or a reason to give up. Between them stand the budget and the credential, which
//! this crate does not know. [`serve`] plays a provider on loopback, for the sandbox and for tests.

mod client;
mod failure;
mod redirect;
mod retry;
mod scrub;
mod tls;
mod wait;

pub mod serve;

pub use client::{Client, Timeouts, is_loopback};
pub use retry::{Context, Policy, Retry};
pub use scrub::Scrubber;
pub use tls::install_tls;
