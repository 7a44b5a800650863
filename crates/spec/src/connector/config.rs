//! `config:`: the settings of a connector.

use crate::forms::{Flag, ListOf, Text};
use crate::node::Node;
use crate::read::{Form, Located, Reader, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::{ConfigField, ConfigKind};

record! {
    /// A setting, and what it must be.
    FieldMap -> ConfigField, "setting" {
        /// What kind of value it is. Default text.
        may r#type: ConfigKind,
        /// One of these texts.
        may r#enum: ListOf<Text>,
        /// The value without a setting.
        may default: Text,
        /// Whether it may be absent without a default.
        may optional: Flag,
        /// A regular expression that the whole value must match.
        may r#match: Located<Pattern>,
        /// What is stripped from the value first: `scheme` (and anything after the host), or endings such as `.example.com`.
        may clean: ListOf<Text>,
        /// What it is and where to find it, for people.
        may help: Text,
    }
    AtMost["type", "enum"]
    |reader, fields| {
        Some(ConfigField {
            kind: r#type.or(r#enum.map(ConfigKind::Enum)).unwrap_or_default(),
            default,
            optional: optional.unwrap_or_default(),
            pattern: r#match,
            clean: clean.unwrap_or_default(),
            help,
        })
    }
}

words!(ConfigKind, "a kind of setting" {
    "text" => ConfigKind::Text, "any text.";
    "int" => ConfigKind::Int, "a whole number.";
    "bool" => ConfigKind::Bool, "`true` or `false`.";
    "date" => ConfigKind::Date, "`YYYY-MM-DD`.";
    "url" => ConfigKind::Url, "an absolute http or https URL.";
    "host_label" => ConfigKind::HostLabel, "one label of a host name: letters, digits and inner hyphens, at most 63.";
});

/// A regular expression.
struct Pattern;

impl Form for Pattern {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "a regular expression")?;
        match regex_lite::Regex::new(&format!("^(?:{text})$")) {
            Ok(_) => Some(text.to_owned()),
            Err(error) => {
                let message = format!("`{}` is not a regular expression", shown(text));
                reader.find(node.span, message, error.to_string());
                None
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}
