//! The contract of [`sync_core::Sink`] as a suite that every sink runs.
//!
//! A sink's author hands in how to make the sink over a folder and how an outsider reads a table of it:
//!
//! ```text
//! sync_testkit::sink::conformance(&|dir| Box::new(Sqlite::open(&dir.join("test.db")).unwrap()), &read);
//! ```
//!
//! What the suite settles beyond the words of the trait:
//!
//! - `loaded + deduplicated` of a receipt are the rows and tombstones written since the one before, those
//!   included that a [`sync_core::Table::restart`] threw away while they were staged: those are `deduplicated`.
//! - After `finish`, `loaded` less every `unchanged` is what the run changed, and it is the same however often the
//!   sink published meanwhile. It depends on nothing but what is stored when a row or tombstone takes its turn:
//!   - Under merge and replace a row counts where there is no row of its key, or one of another run that it
//!     changes or unmarks. Where this run wrote the stored row it does not count again.
//!   - A tombstone that takes a row away counts, whoever wrote that; so a row that comes and goes in one run
//!     counts both ways, and so does one that goes and comes, for a reader may have looked meanwhile. One that
//!     marks a row counts unless this run wrote or marked it: the row stays, and counts once.
//!   - Under history each new version counts, and each end by a tombstone.
//! - What of this run was committed to a table being built and thrown away by `restart` is `unchanged` too.
//! - The `sequence` of a commit is that of the checkpoint that `open` gave, or of the last commit, plus one;
//!   from nothing it is 1. Anything else is [`sync_core::Kind::Environment`], code `checkpoint_moved`.
//! - An outsider sees bools of the engine's columns as `0` and `1`, instants as [`sync_core::form`] writes them, and
//!   null in `_valid_to` alone. `_deleted` is where [`sync_core::TableSpec::deleted`] names it.
//! - A history that is built beside a table ([`sync_core::Begin::Anew`]) is built like any other, from nothing.
//! - A new table that is being built belongs to whoever comes next: [`sync_core::Begin::Continue`] goes on with it,
//!   [`sync_core::Begin::Anew`] throws it away no later than its own first commit.

mod hand;
mod rows;
mod scenarios;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sync_core::Sink;

pub use hand::{Hand, SpecExt, batch, checkpoint, schema, spec};
pub use rows::{Rows, rows_of};

/// Makes the sink over a folder; called again for the same folder after the one before was dropped.
pub type Make<'a> = &'a dyn Fn(&Path) -> Box<dyn Sink>;

/// Reads a stream's table as an outsider does who lists it now; absent where there is none.
pub type Read<'a> = &'a dyn Fn(&Path, &str) -> Option<Rows>;

/// Runs every scenario in a folder of its own and panics with the list of those that failed.
///
/// # Panics
///
/// Where the sink breaks its contract.
pub fn conformance(make: Make, read: Read) {
    let failures: Vec<String> = scenarios::all()
        .filter_map(|(name, scenario)| {
            let dir = tempfile::tempdir().expect("a folder for the test");
            let ground = hand::Ground { make, read, dir: dir.path() };
            let panic = catch_unwind(AssertUnwindSafe(|| scenario(&ground))).err()?;
            Some(format!("  {name}: {}", message(&*panic)))
        })
        .collect();
    assert!(failures.is_empty(), "{} scenarios failed:\n{}", failures.len(), failures.join("\n"));
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
