//! What a pipeline remembers of its runs: the ledger, the history of its checkpoints and of its schemas, and
//! the lock that keeps two processes from running it at once.
//!
//! Nothing here is proof. The proof of how far a stream got lies in the destination, committed with the rows
//! it covers; what is kept here is written afterwards, for people, and may be deleted at any time.
//!
//! One pipeline is two files: `DIR/NAME.db`, a SQLite database, and `DIR/NAME.lock`.

mod error;
mod history;
mod ledger;
mod lock;
mod rows;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use error::StateError;
pub use rows::{CheckpointRow, Interrupted, InterruptedStream, RunRow, RunStatus, SchemaRow, StreamRow};
pub use store::{History, Store};
