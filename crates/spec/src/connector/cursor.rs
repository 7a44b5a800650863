//! `cursor:`: how changes are told.

use serde_json::json;

use crate::forms::{AnyName, MapOf, bare};
use crate::moment::Moment;
use crate::node::{Node, Value};
use crate::quantity::Length;
use crate::read::{Form, Located, Reader, record, shown};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InRequest};
use crate::{Cursor, CursorFormat, CursorMode, CursorWord, FieldPath};

/// `none`, or a map.
pub(crate) struct CursorForm;

impl Form for CursorForm {
    type Value = CursorWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<CursorWord> {
        match &node.value {
            Value::Scalar(written) if written.text == "none" => Some(CursorWord::None),
            Value::Scalar(written) if !written.is_null() => reader.refuse_near(
                node,
                "`none` or a map",
                "none",
                "such as `{ field: updated_at, mode: client }`",
            ),
            _ => CursorMap::read(node, reader).map(|cursor| CursorWord::Some(Box::new(cursor))),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let none = json!({ "const": "none", "description": "Rows carry nothing that tells a change." });
        schema::one_of([none, CursorMap::schema(defs)])
    }
}

record! {
    /// How changes are told.
    CursorMap -> Cursor, "cursor" {
        /// The field that orders changes.
        may field: FieldPath,
        /// How its values read. Default iso.
        may format: CursorFormat,
        /// Who compares.
        may mode: CursorMode,
        /// Query parameters that sort the listing newest first.
        may newest_first: MapOf<AnyName, Filled<InRequest>>,
        /// Query parameters that sort it oldest first. One row is asked for in this order, because rows without
        /// the field stand at one end of a sorted listing: where there are any, all of it is read.
        may oldest_first: MapOf<AnyName, Filled<InRequest>>,
        /// The first read begins here: a date, or a timestamp with a zone.
        may start: Located<Moment>,
        /// The margin that is read again.
        may lookback: Length,
        /// How long a change may stay invisible.
        may hold_back: Length,
    }
    |reader, fields| {
        let (newest_first, oldest_first) = (newest_first.map(bare), oldest_first.map(bare));
        Some(Cursor { field, format, mode, newest_first, oldest_first, start, lookback, hold_back })
    }
}

const NAMES: &[(&str, CursorFormat, &str)] = &[
    ("iso", CursorFormat::Iso, "ISO 8601 with a zone."),
    ("iso_ms", CursorFormat::IsoMs, "the same, with milliseconds where it is written."),
    ("epoch", CursorFormat::Epoch, "seconds since 1970."),
    ("epoch_ms", CursorFormat::EpochMs, "milliseconds since 1970."),
    ("date", CursorFormat::Date, "`YYYY-MM-DD`."),
];

impl Form for CursorFormat {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a format")?;
        if let Some((_, format, _)) = NAMES.iter().find(|(name, ..)| *name == text) {
            return Some(format.clone());
        }
        if !text.contains('%') {
            let known: Vec<&str> =
                NAMES.iter().map(|(name, ..)| *name).chain(["%Y-%m-%d %H:%M:%S"]).collect();
            return reader.unknown(node.span, format!("`{}` is not a format", shown(text)), text, &known);
        }
        match strftime_fault(text) {
            None => Some(Self::Strftime(text.to_owned())),
            Some(message) => {
                reader.find(node.span, message, "such as `%Y-%m-%d %H:%M:%S`");
                None
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        let names: Vec<_> = NAMES.iter().map(|(name, _, doc)| (*name, *doc)).collect();
        let strftime = schema::pattern("%Y", "Such as `%Y-%m-%d %H:%M:%S`.");
        schema::one_of([schema::words(&names), strftime])
    }
}

fn strftime_fault(text: &str) -> Option<String> {
    let (mut seen, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            continue;
        }
        match chars.next() {
            Some('%') => {}
            Some(letter) if seen.contains(letter) => return Some(format!("`%{letter}` is there twice")),
            Some(letter @ ('Y' | 'm' | 'd' | 'H' | 'M' | 'S')) => seen.push(letter),
            Some(letter) => return Some(format!("`%{}` is not known", crate::render::visible(letter))),
            None => return Some("a `%` at the end".to_owned()),
        }
    }
    let missing = ['Y', 'm', 'd'].into_iter().find(|letter| !seen.contains(*letter));
    missing.map(|letter| format!("a format that names no day: `%{letter}` is missing"))
}
