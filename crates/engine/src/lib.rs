//! How one run goes: plan, read, shape, write, commit.
//!
//! The engine knows every room below it and introduces them to each other; none of them knows the engine.

mod account;
mod check;
mod connector;
mod gate;
mod plan;
mod position;
mod probe;
mod refine;
mod retry;
mod run;
mod shape;
mod stream;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use sync_core::{Clock, Fetch, Stop, Watch};

pub use check::{CheckReport, check};
pub use position::{Moved, Position, Target, history, move_to, positions};
pub use probe::{Probed, connector, learning, probe};
pub use retry::retry;
pub use run::run;
pub use sync_quota::Priority;

/// What a run is handed: time, transport, and the people who look on.
#[derive(Clone)]
pub struct Hands {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The transport, the bottom of the stairs.
    pub fetch: Arc<dyn Fetch>,
    /// What takes secrets out of everything that is printed.
    pub scrubber: Arc<sync_http::Scrubber>,
    /// The wish to stop.
    pub stop: Stop,
    /// Who looks on.
    pub watch: Arc<dyn Watch>,
    /// Where references to secrets are looked up.
    pub environment: Arc<dyn sync_auth::Environment>,
    /// Where credentials are stored.
    pub vault: Arc<sync_auth::Vault>,
    /// Budgets that everybody shares who uses an account.
    pub budgets: Arc<sync_quota::Budgets>,
}

/// What the command line adds to a pipeline.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Only these streams; empty means all.
    pub streams: Vec<String>,
    /// Forget cursor and pages, and build new tables.
    pub full_refresh: bool,
    /// At most so many rows of each stream.
    pub limit: Option<u64>,
    /// A listing without rows is believed.
    pub allow_empty: bool,
    /// Bytes for pages, batches and queues.
    pub memory: usize,
    /// The folder of the state, instead of `.sync` beside the pipeline.
    pub state: Option<PathBuf>,
    /// Who goes first where several wait for the budget of one account.
    pub priority: Priority,
    /// No row is read or written, so that what only rows need, such as the key of masks, is not asked for.
    pub without_rows: bool,
}

/// 96 MB keep the whole process under 128.
pub const MEMORY_DEFAULT: usize = 96_000_000;

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            full_refresh: false,
            limit: None,
            allow_empty: false,
            memory: MEMORY_DEFAULT,
            state: None,
            priority: Priority::Interactive,
            without_rows: false,
        }
    }
}
