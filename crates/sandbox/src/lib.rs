//! The built-in providers, played on loopback: for trying things without an account, and for every test that
//! needs somebody to talk to.
//!
//! Each provider lies under its own path, so a pipeline's `base_url` is `http://127.0.0.1:PORT/planhat`. Rows
//! are made up from a seed and never stored: a million of them cost no memory, and what was changed, added or
//! deleted since is all that is kept. Behaviour is what the providers document, what other people's clients
//! have met, and, where neither tells, the careful assumption that does a client the most harm.

#[cfg(test)]
mod ask;
mod control;
mod counters;
mod draw;
mod faults;
mod fetch;
mod field;
mod flowlu;
mod hubnity;
mod hubplanner;
mod hubspot;
mod ink;
mod listing;
mod options;
mod planhat;
mod request;
mod sandbox;
mod state;
mod stream;
mod table;
mod window;
mod words;
mod write;

pub use counters::{Asked, Counters, EndpointCounters, ProviderCounters};
pub use faults::{Change, Fault, RetryAfter, What, When};
pub use fetch::InProcess;
pub use options::{Astray, Options, OptionsError, Reset};
pub use sandbox::{Answer, Running, Sandbox};
