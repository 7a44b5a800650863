//! The nouns of `sync` and the small traits its rooms meet at.
//!
//! Nothing here performs I/O, reads YAML or speaks SQL. What two rooms both need is a noun or a trait in
//! this crate; introducing the rooms to each other is the engine's job.

mod budget;
mod cast;
mod checkpoint;
mod clock;
mod exchange;
pub mod fault;
pub mod form;
mod oauth;
mod outcome;
mod problem;
mod reject;
mod report;
mod schema;
mod secret;
mod sink;
mod time;
mod watch;

pub use arrow;

pub use budget::{BudgetStore, Change, Figures, Uptime, Width};
pub use cast::{CastError, cast, conform};
pub use checkpoint::{Checkpoint, ResumePoint, SavedCursor, Share};
pub use clock::{Clock, Stop};
pub use exchange::{
    Body, Fetch, FetchError, FetchErrorKind, Method, Operation, Part, Pause, Place, Renew, Renewal, Request,
    Response, Sent, Signature, SignatureForm, SignaturePiece,
};
pub use oauth::{ClientIn, Grant, SendAs, TokenEndpoint};
pub use outcome::{Answer, Ask, Classify, Outcome, Refusal, Verdict};
pub use problem::{Explain, Kind, Problem};
pub use reject::Reject;
pub use report::{
    Books, BudgetDay, BudgetReport, BudgetWait, Note, RunId, RunReport, SchemaChange, Status, StreamReport,
};
pub use schema::{Column, Digits, Schema, Type, system};
pub use secret::Secret;
pub use sink::{
    Begin, Capability, Disposition, Opened, Published, Receipt, Sink, SinkError, Table, TableSpec,
};
pub use time::{Timestamp, parse_date, parse_http_date, parse_local, parse_timestamp};
pub use watch::{Event, Watch};

/// A boxed future, for the few traits that are used as objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
