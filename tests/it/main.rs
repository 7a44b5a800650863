//! End-to-end tests: the walls of the house, and the real binary against the sandbox.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests watch whole processes, which have no clock but the machine's"
)]

mod api;
mod books;
mod budget;
mod canary;
mod columns;
mod contract;
mod credentials;
mod kills;
mod lifted;
mod memory;
mod oauth;
mod providers;
mod readers;
mod refusals;
mod runs;
mod seams;
mod stage;
mod storm;
mod support;
mod types;
mod vault;
mod walls;
mod widening;
