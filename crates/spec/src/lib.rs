//! Everything a human writes: the pipeline and connector languages, as plain data. Never executes anything.
//!
//! A file becomes a tree (`node`), the tree becomes plain data (`read`, `forms`, and one file for each word),
//! and everything that is wrong becomes [`Findings`], all at once, each at its line and column (`render`) and
//! without the secrets that may stand there (`mask`). Every word describes itself as JSON Schema where it is
//! read, so what editors know and what the reader takes is one list.

mod connector;
mod document;
mod pipeline;
mod text;

mod node;
mod read;
mod schema;

mod base_url;
mod condition;
mod forms;
mod moment;
mod path;
mod quantity;
mod reference;
mod template;
mod types;

mod mask;
mod render;

#[cfg(test)]
mod tests;

pub use connector::*;
pub use document::{Document, Finding, Findings, Span};
pub use path::PathError;
pub use pipeline::*;
pub use quantity::{parse_duration, parse_rate, parse_size};
pub use read::nearest;
pub use reference::{expand, is_stored_name, reference};
pub use text::{Condition, Hole, HoleFormat, Piece, Rate, Relation, Root, Scalar, Spanned, Template, Test};
