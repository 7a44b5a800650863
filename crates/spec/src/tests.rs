//! Both languages from outside: what is read, what is said about mistakes, and that the schema agrees.

mod complaints;
mod schema;
mod spelling;
mod storm;
mod values;

use crate::{Connector, Document, Findings, Pipeline};

pub(super) const SMALLEST_PIPELINE: &str = include_str!("tests/smallest-pipeline.yaml");
pub(super) const PIPELINE: &str = include_str!("tests/pipeline.yaml");
pub(super) const SMALLEST_CONNECTOR: &str = include_str!("tests/smallest-connector.yaml");
pub(super) const CONNECTOR: &str = include_str!("tests/connector.yaml");
pub(super) const AUTH_CONNECTOR: &str = include_str!("tests/auth-connector.yaml");

/// One of the two languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Pipeline,
    Connector,
}

impl Language {
    /// Everything that is wrong with a file of this language.
    pub fn findings(self, document: &Document) -> Result<(), Findings> {
        match self {
            Self::Pipeline => Pipeline::parse(document).map(drop),
            Self::Connector => Connector::parse(document).map(drop),
        }
    }

    /// Its samples: the smallest, the fullest, and what one file has no room for.
    pub fn samples(self) -> &'static [&'static str] {
        match self {
            Self::Pipeline => &[SMALLEST_PIPELINE, PIPELINE],
            Self::Connector => &[SMALLEST_CONNECTOR, CONNECTOR, AUTH_CONNECTOR],
        }
    }

    /// Its schema.
    pub fn schema(self) -> serde_json::Value {
        match self {
            Self::Pipeline => crate::pipeline_schema(),
            Self::Connector => crate::connector_schema(),
        }
    }
}

/// A document with the name that all tests give it.
pub(super) fn document(text: &str) -> Document {
    Document::new("dir/pipeline.yaml", text)
}

#[test]
fn every_sample_is_read() {
    for language in [Language::Pipeline, Language::Connector] {
        for sample in language.samples() {
            if let Err(findings) = language.findings(&document(sample)) {
                panic!("{findings}");
            }
        }
    }
}
