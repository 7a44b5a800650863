//! What a pipeline remembers of its runs: the ledger, the history of its checkpoints and of its schemas, and
//! the lock that keeps two processes from running it at once.
//!
//! Nothing here is proof. The proof of how far a stream got lies in the destination, committed with the rows
//! it covers; what is kept here is written afterwards, for people, and may be deleted at any time. But for the rows
//! that were set aside: they are nowhere else, and are written before the commit that leaves them out.
//!
//! One pipeline is two files: `DIR/NAME.db`, a SQLite database, and `DIR/NAME.lock`.
//!
//! Apart from all that, [`BudgetDb`] keeps the figures of budgets, once for each user.

mod budget;
mod census;
mod error;
mod history;
mod ledger;
mod lock;
mod rejects;
mod rows;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use budget::BudgetDb;
pub use error::StateError;
pub use rejects::Rejects;
pub use rows::{
    Cause, CheckpointRow, Interrupted, InterruptedStream, RejectCount, RejectRow, RunRow, RunStatus,
    SchemaRow, StreamRow,
};
pub use store::{History, Store};
