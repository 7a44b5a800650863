//! `cursor:`: how changes are told.

use serde_json::json;

use super::paginate::PaginateWord;
use super::request::{BodyWord, QueryMap, RequestHeaders, RequestPath, target};
use crate::forms::{AnyName, MapOf, bare};
use crate::moment::Moment;
use crate::node::{Node, Value};
use crate::quantity::{Interval, Length};
use crate::read::{Form, Located, Reader, nearest, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InRequest};
use crate::{Also, Cursor, CursorFormat, CursorMode, CursorWord, FieldPath, Nulls, RequestSpec};

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
        /// How much time is asked for at once, by `${window.start}` and `${window.end}`. Default: all of it.
        may window: Interval,
        /// What a row without the field is. Default `read`.
        may nulls: Nulls,
        /// How far back the provider can tell changes; after a longer pause the whole listing is read.
        may fallback_after: Interval,
        /// A second listing, newest first, for rows that the provider's filter hides because they lack the field.
        may also: AlsoMap,
    }
    |reader, fields| {
        let (newest_first, oldest_first) = (newest_first.map(bare), oldest_first.map(bare));
        let also = also.map(Box::new);
        Some(Cursor {
            field, format, mode, newest_first, oldest_first, start, lookback, hold_back, window, nulls, fallback_after, also,
        })
    }
}

words!(Nulls, "a word about rows without the field" {
    "read" => Nulls::Read, "changed, for all that is known.";
    "skip" => Nulls::Skip, "not changed since the first read.";
});

record! {
    /// A second listing for rows without the cursor's field.
    AlsoMap -> Also, "also" {
        /// The path of a GET, from its first slash; `base_url` comes before it.
        may get: Located<RequestPath>,
        /// The path of a POST, for searches.
        may post: Located<RequestPath>,
        /// Query parameters; they sort the listing newest first.
        may query: QueryMap,
        /// Headers.
        may headers: RequestHeaders,
        /// A JSON body of a `post`.
        may body: BodyWord,
        /// How it goes on. Default: as the stream does.
        may paginate: PaginateWord,
        /// The field that orders it, such as the time of creation.
        need field: FieldPath,
    }
    Exactly["get", "post"]
    |reader, fields| {
        let request = RequestSpec {
            target: target(get, post),
            query: query.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            body,
        };
        Some(Also { request, paginate, field: Some(field) })
    }
}

const NAMES: &[(&str, CursorFormat, &str)] = &[
    ("iso", CursorFormat::Iso, "ISO 8601 with a zone."),
    ("iso_ms", CursorFormat::IsoMs, "the same, with milliseconds where it is written."),
    ("epoch", CursorFormat::Epoch, "seconds since 1970."),
    ("epoch_ms", CursorFormat::EpochMs, "milliseconds since 1970."),
    ("date", CursorFormat::Date, "`YYYY-MM-DD`."),
];

impl CursorFormat {
    /// Reads a format: one of the names, or a strftime text. The error is what is wrong, and what to do.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, String)> {
        if let Some((_, format, _)) = NAMES.iter().find(|(name, ..)| *name == text) {
            return Ok(format.clone());
        }
        if !text.contains('%') {
            let known = || NAMES.iter().map(|(name, ..)| *name).chain(["%Y-%m-%d %H:%M:%S"]);
            let help = match nearest(text, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", crate::read::listed(known())),
            };
            return Err((format!("`{}` is not a format", shown(text)), help));
        }
        match strftime_fault(text) {
            None => Ok(Self::Strftime(text.to_owned())),
            Some(message) => Err((message, "such as `%Y-%m-%d %H:%M:%S`".to_owned())),
        }
    }
}

impl Form for CursorFormat {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a format")?;
        match Self::parse(text) {
            Ok(format) => Some(format),
            Err((message, help)) => {
                reader.find(node.span, message, help);
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
