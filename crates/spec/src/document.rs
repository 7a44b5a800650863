//! A file somebody wrote, and what is wrong with it.

use std::fmt;
use std::sync::Arc;

use sync_core::{Explain, Kind};

/// A file: its name as people know it, and its text.
#[derive(Clone, Debug)]
pub struct Document {
    /// The path as it was given.
    pub name: Arc<str>,
    /// All of it.
    pub text: Arc<str>,
}

/// A stretch of a document, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything that is wrong with a document.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The document.
    pub document: Document,
    /// At least one.
    pub list: Vec<Finding>,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.list {
            writeln!(f, "{}: {}", self.document.name, finding.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}

impl Explain for Findings {
    fn kind(&self) -> Kind {
        Kind::Refused
    }
    fn code(&self) -> &'static str {
        "invalid_file"
    }
    fn hint(&self) -> Option<String> {
        None
    }
}
