//! What an onlooker of a run is told.

use std::time::Duration;

use crate::{Note, StreamReport};

/// Something that happened in a run, for progress lines and bars.
#[derive(Clone, Debug)]
pub enum Event {
    /// A stream begins. `resumed_from_page` counts from 1.
    Started {
        /// The stream.
        stream: String,
        /// The page it goes on with, if it was begun before.
        resumed_from_page: Option<u64>,
    },
    /// A page was read.
    Page {
        /// The stream.
        stream: String,
        /// Rows accepted from it.
        rows: u64,
        /// Bytes of its decoded body.
        bytes: u64,
        /// Requests sent since the page before.
        requests: u64,
    },
    /// Rows became durable. The figures are those of the stream so far in this run.
    Committed {
        /// The stream.
        stream: String,
        /// Rows fetched.
        fetched: u64,
        /// Rows loaded.
        loaded: u64,
        /// Pages committed of this slice, earlier runs included.
        pages: u64,
    },
    /// A request waits: for a permit, or before another attempt.
    Waiting {
        /// Why, in a few words: `Planhat 200 per 1 min`, `HTTP 503, attempt 2 of 6`.
        reason: String,
        /// For how long.
        duration: Duration,
    },
    /// Something a person should know.
    Note {
        /// The stream.
        stream: String,
        /// What it is.
        note: Note,
    },
    /// A stream ended, well or not.
    Finished(Box<StreamReport>),
}

/// Looks on. Calls come from any thread and must return at once.
pub trait Watch: Send + Sync {
    /// Takes notice of an event.
    fn event(&self, event: Event);
}

impl Watch for () {
    fn event(&self, _: Event) {}
}
