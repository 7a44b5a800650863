//! Both languages as JSON Schema, draft 2020-12, for editors.
//!
//! Nothing here knows a word: every form describes itself, beside the code that reads it.

use serde_json::{Map, json};

use crate::read::{Choice, Form};

/// A piece of JSON Schema.
pub(crate) type Json = serde_json::Value;

/// The definitions that records refer to, each written once.
#[derive(Default)]
pub(crate) struct Defs(Map<String, Json>);

/// A field of a record.
pub(crate) struct Field {
    pub word: &'static str,
    pub needed: bool,
    pub doc: &'static [&'static str],
    pub schema: Json,
}

impl Defs {
    /// Writes a record once, and refers to it.
    pub fn record(
        &mut self,
        name: &str,
        about: &[&str],
        choice: Option<Choice>,
        fields: impl FnOnce(&mut Self) -> Vec<Field>,
    ) -> Json {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Json::Null); // a record that holds itself refers to itself
            let fields = fields(self);
            self.0.insert(name.to_owned(), record(about, choice, fields));
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }
}

fn record(about: &[&str], choice: Option<Choice>, fields: Vec<Field>) -> Json {
    let needed: Vec<_> = fields.iter().filter(|f| f.needed).map(|f| f.word).collect();
    let properties: Map<_, _> =
        fields.into_iter().map(|f| (f.word.to_owned(), described(f.schema, &prose(f.doc)))).collect();
    let mut schema = json!({
        "type": "object",
        "description": prose(about),
        "properties": properties,
        "additionalProperties": false,
    });
    if !needed.is_empty() {
        schema["required"] = json!(needed);
    }
    let having = |words: &[&str]| words.iter().map(|word| json!({ "required": [word] })).collect::<Vec<_>>();
    match choice {
        Some(Choice::Exactly(words)) => schema["oneOf"] = json!(having(words)),
        Some(Choice::AtMost(words)) => {
            let none = json!({ "not": { "anyOf": having(words) } });
            schema["oneOf"] = having(words).into_iter().chain([none]).collect();
        }
        None => {}
    }
    schema
}

/// Doc comments as one text.
fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The schema with a description before its own.
pub(crate) fn described(mut schema: Json, text: &str) -> Json {
    let own = schema.get("description").and_then(Json::as_str);
    schema["description"] = match own {
        Some(own) => json!(format!("{text} {own}")),
        None => json!(text),
    };
    schema
}

/// Any scalar: a text position takes what was written, so a number without quotes is as good.
pub(crate) fn text() -> Json {
    json!({ "type": ["string", "number", "boolean"] })
}

/// A text of this form.
pub(crate) fn pattern(pattern: &str, about: &str) -> Json {
    json!({ "type": "string", "pattern": pattern, "description": about })
}

/// One of these words.
pub(crate) fn words(words: &[(&str, &str)]) -> Json {
    let list: Vec<_> = words.iter().map(|(word, _)| word).collect();
    let about: Vec<_> = words.iter().map(|(word, doc)| format!("`{word}`: {doc}")).collect();
    json!({ "enum": list, "description": about.join(" ") })
}

/// Exactly one of these.
pub(crate) fn one_of(schemas: impl IntoIterator<Item = Json>) -> Json {
    json!({ "oneOf": schemas.into_iter().collect::<Vec<_>>() })
}

/// The schema of one language.
pub(crate) fn language<F: Form>(title: &str) -> Json {
    let mut defs = Defs::default();
    let root = F::schema(&mut defs);
    let name =
        root["$ref"].as_str().and_then(|r| r.rsplit('/').next()).expect("the root of a language is a record");
    let mut schema = defs.0.remove(name).expect("a record that was referred to was written");
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema["$defs"] = Json::Object(defs.0);
    schema
}
