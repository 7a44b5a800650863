//! The interpreter of connector files, and the built-in providers.
//!
//! In reading order: a file as written becomes a [`Plan`] (defaults merged, everything checked), a plan with
//! settings becomes a [`Bound`], and a bound connector reads a stream page by page through a [`Reader`].
//! Everything here is pure and synchronous but the loop in `read.rs`, which asks through the engine's stairs
//! and hands out pages in order, each with a point to resume from.

mod bind;
mod bundle;
mod classify;
mod condition;
mod course;
mod cursor;
pub mod fields;
pub mod json;
mod method;
mod mold;
mod paginate;
mod plan;
mod read;
mod records;
mod reference;
mod request;
mod rewrite;
mod route;
mod scope;
mod slice;
mod trail;
mod types;

pub use bind::{BindError, BindProblem, Bound};
pub use bundle::{BuiltIn, built_in, built_in_document};
pub use method::{ACCESS_TOKEN, CLIENT_SECRETS, Method, Unusable};
pub use plan::{CursorPlan, Plan, StreamPlan};
pub use read::{CursorOptions, End, Hands, Page, ReadError, ReadOptions, Reader, Row, RowKind, Seen, Step};
pub use reference::reference;
pub use types::{ProviderTypes, TypesFrom};
