//! Everything a human writes: the pipeline and connector languages, as plain data. Never executes anything.

mod connector;
mod document;
mod pipeline;
mod text;

pub use connector::*;
pub use document::{Document, Finding, Findings, Span};
pub use pipeline::*;
pub use text::{Condition, Hole, Piece, Rate, Relation, Root, Scalar, Spanned, Template, Test};
