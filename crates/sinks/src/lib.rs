//! Where rows land.
//!
//! Each sink keeps the contract of [`sync_core::Sink`], and the suite in `sync_testkit::sink` holds it to it.

mod contract;
mod memory;
pub mod parquet;
mod sqlite;
mod staged;
mod tail;

pub use memory::Memory;
pub use parquet::{Parquet, ParquetOptions};
pub use sqlite::Sqlite;
