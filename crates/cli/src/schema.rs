//! `sync schema`: the languages as JSON Schema, for editors that complete and check.

use sync_core::Problem;

use crate::args::Language;
use crate::talk::Talk;

/// Prints the schema of a language.
pub fn schema(language: Language, talk: &Talk) -> Result<(), Problem> {
    let schema = match language {
        Language::Pipeline => sync_spec::pipeline_schema(),
        Language::Connector => sync_spec::connector_schema(),
    };
    let text = serde_json::to_string_pretty(&schema).expect("a schema has text keys");
    talk.data(&format!("{text}\n"))
}
