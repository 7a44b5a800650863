//! The words at the top of a pipeline file.

use std::path::Path;

use super::destination::{DestinationWord, check_streams};
use super::schedule::ScheduleWord;
use super::source::SourceWord;
use super::streams::{OptionsWord, StreamsWord};
use crate::forms::{Text, file_like};
use crate::node::{Node, load};
use crate::read::{Form, Located, Reader, record, shown};
use crate::reference::OneSecret;
use crate::schema::{self, Defs, Json};
use crate::{Document, Findings, Pipeline, Span, Spanned};

impl Pipeline {
    /// Reads a pipeline file. The error holds everything that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Findings> {
        let (root, findings) = load(document);
        let mut reader = Reader::new(document, findings);
        let pipeline = match &root {
            Some(root) => PipelineWord::read(root, &mut reader),
            None => empty(&mut reader),
        };
        reader.finish(pipeline)
    }
}

/// A document that is no tree: what hinders it was found, unless it is empty.
pub(crate) fn empty<T>(reader: &mut Reader<'_>) -> Option<T> {
    if !reader.found_something() {
        reader.find(Span::default(), "the file is empty", "");
    }
    None
}

/// JSON Schema (draft 2020-12) of a pipeline file.
pub fn pipeline_schema() -> serde_json::Value {
    schema::language::<PipelineWord>("A pipeline of sync")
}

record! {
    /// What one person wants moved, from where, to where, when.
    PipelineWord -> Pipeline, "pipeline" {
        /// The pipeline's name. Default: the file's name without its ending.
        may name: Located<PipelineName>,
        /// A line for people.
        may description: Text,
        /// From where: a connector's name, or a map.
        need source: SourceWord,
        /// What every stream begins with; a stream's own words win.
        may defaults: OptionsWord,
        /// Which streams: a list of names, `"*"` (every verified stream), or a map from name to options.
        need streams: StreamsWord,
        /// To where: `parquet://DIR`, `sqlite://FILE`, or a map.
        need destination: DestinationWord,
        /// When. Only the daemon reads it; `sync run` runs once, now.
        may schedule: ScheduleWord,
        /// The key of `mask: { …: hmac }`: `${env:NAME}` or `${file:PATH}`. Default: the environment variable `SYNC_MASK_KEY`.
        may mask_key: OneSecret,
    }
    |reader, fields| {
        check_streams(&destination, &streams, reader);
        let name = match name {
            Some(name) => name,
            None if fields.has("name") => return None,
            None => stem(reader)?,
        };
        Some(Pipeline {
            document: reader.document.clone(),
            name,
            description,
            source,
            defaults: defaults.unwrap_or_default(),
            streams,
            destination,
            schedule,
            mask_key,
        })
    }
}

/// The file's name without its ending, as the pipeline's.
fn stem(reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    let stem =
        Path::new(&*reader.document.name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if is_name(stem) {
        return Some(Spanned { value: stem.to_owned(), span: Span::default() });
    }
    let message = format!("the file's name `{}` cannot be the pipeline's", shown(stem));
    reader.find(
        Span::default(),
        message,
        "give it one: `name: …`, made of letters, digits, `.`, `_` and `-`",
    );
    None
}

/// The name of a pipeline. It becomes the name of a file.
struct PipelineName;

impl Form for PipelineName {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let name = reader.text(node, "a name")?;
        if !is_name(name) {
            let help = "letters, digits, `.`, `_` and `-`, a letter or digit first, at most 100";
            return reader.refuse(node, "a name", help);
        }
        Some(name.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        serde_json::json!({ "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$" })
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && file_like(text)
}
