//! `streams:` and `defaults:`: which streams, and what replaces the connector's word about them.

use serde_json::json;
use sync_core::Disposition;

use super::columns::{ContractMap, DeletesMap, SelectWord};
use super::transform::StepMap;
use crate::forms::{FieldNames, ListOf, MapOf, Name, OrNothing, StreamName};
use crate::moment::Moment;
use crate::node::{Node, Value};
use crate::quantity::{Interval, Length};
use crate::read::{Form, Located, Reader, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::types::TypesWord;
use crate::{
    Backfill, BadRow, CursorMode, FieldPath, Percent, PipelineCursor, Spanned, StreamOptions, Streams,
};

/// A list of names, `"*"`, or a map from name to options.
pub(crate) struct StreamsWord;

const WHAT: &str = "a list of names, a map, or `\"*\"`";

impl Form for StreamsWord {
    type Value = Streams;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Streams> {
        match &node.value {
            Value::Map(entries) if entries.iter().any(|e| e.key == "*") => {
                let star = entries.iter().find(|e| e.key == "*")?;
                reader.find(star.key_span, "`*` stands alone", "name the streams, or write `streams: \"*\"`");
                None
            }
            Value::Map(_) => {
                Some(Streams::Named(MapOf::<StreamName, OrNothing<OptionsWord>>::read(node, reader)?))
            }
            Value::List(items) if items.len() == 1 && items[0].is_word("*") => Some(Streams::All),
            Value::List(items) if items.is_empty() => reader.refuse(node, WHAT, ""),
            Value::List(items) => list(items, reader),
            Value::Scalar(written) if written.text == "*" => Some(Streams::All),
            Value::Scalar(written) if StreamName::fits(&written.text) && !written.is_null() => {
                let help = format!("write `[{}]`", written.text);
                reader.refuse(node, WHAT, help)
            }
            _ => reader.refuse(node, WHAT, ""),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let name = schema::pattern(StreamName::PATTERN, "A stream's name.");
        schema::one_of([
            json!({ "const": "*", "description": "Every verified stream." }),
            json!({ "type": "array", "items": name, "minItems": 1, "uniqueItems": true }),
            json!({ "type": "array", "items": { "const": "*" }, "minItems": 1, "maxItems": 1 }),
            MapOf::<StreamName, OrNothing<OptionsWord>>::schema(defs),
        ])
    }
}

fn list(items: &[Node], reader: &mut Reader<'_>) -> Option<Streams> {
    let mut named: Vec<(Spanned<String>, StreamOptions)> = Vec::new();
    let mut fine = true;
    for item in items {
        let Some(name) = reader.text(item, "the name of a stream") else {
            fine = false;
            continue;
        };
        let wrong = match name {
            "*" => Some(("`*` stands alone".to_owned(), "name the streams, or write `streams: \"*\"`")),
            name if !StreamName::fits(name) => {
                Some((format!("`{}` is not the name of a stream", shown(name)), ""))
            }
            name if named.iter().any(|(before, _)| before.value == name) => {
                Some((format!("the stream `{name}` is named twice"), "keep one of them"))
            }
            _ => None,
        };
        if let Some((message, help)) = wrong {
            reader.find(item.span, message, help);
            fine = false;
            continue;
        }
        named.push((Spanned { value: name.to_owned(), span: item.span }, StreamOptions::default()));
    }
    fine.then_some(Streams::Named(named))
}

record! {
    /// What replaces the connector's word about a stream.
    OptionsWord -> StreamOptions, "stream" {
        /// The fields of the primary key, known to the connector; one name or a list.
        may primary_key: Located<FieldNames>,
        /// Narrows the connector's own cursor.
        may cursor: Located<CursorMap>,
        /// How the past is read, where the API filters by time: `{ from: 2022-01-01, chunk: 30d }`.
        may backfill: Located<BackfillMap>,
        /// The write disposition. Default: merge where the stream has a primary key, else replace.
        may write: Located<Disposition>,
        /// What happens when the table's columns would have to change: `{ new_columns: …, type_change: … }`.
        may schema: ContractMap,
        /// What happens to a row that cannot land. Default `quarantine`.
        may on_bad_row: BadRow,
        /// Bad rows, at most, judged at the end of the listing from 1,000 rows on; more fail the stream. Default `1%`.
        may max_bad: Percent,
        /// What becomes of rows that the provider deleted.
        may deletes: Located<DeletesMap>,
        /// Which fields land: `["*", "!custom.internal*"]`. Default: all.
        may select: SelectWord,
        /// Types that are given, not found, by path: `{ custom.arr_eur: "decimal(18,2)" }`. A path of several names becomes a column of its own.
        may types: TypesWord,
        /// What is done to a row before it is written anywhere, step by step.
        may transform: ListOf<StepMap>,
    }
    |reader, fields| Some(StreamOptions {
        primary_key,
        cursor,
        backfill,
        write,
        schema: schema.unwrap_or_default(),
        on_bad_row,
        max_bad,
        deletes,
        select,
        types: types.unwrap_or_default(),
        transform: transform.unwrap_or_default(),
    })
}

record! {
    /// How changes are told.
    CursorMap -> PipelineCursor, "stream_cursor" {
        /// The field that orders changes.
        may field: FieldPath,
        /// Who compares.
        may mode: CursorMode,
        /// The first read begins here: a date, or a timestamp with a zone.
        may start: Located<Moment>,
        /// The margin that is read again.
        may lookback: Length,
    }
    |reader, fields| Some(PipelineCursor { field, mode, start, lookback })
}

record! {
    /// How the past is read.
    BackfillMap -> Backfill, "backfill" {
        /// The first read begins here: a date, or a timestamp with a zone.
        need from: Located<Moment>,
        /// How much time is asked for at once. Default: as the connector says.
        may chunk: Interval,
    }
    |reader, fields| Some(Backfill { from, chunk })
}

words!(Disposition, "a write disposition" {
    "append" => Disposition::Append, "adds rows past the saved cursor.";
    "replace" => Disposition::Replace, "the table becomes the whole listing, visible when it is whole.";
    "merge" => Disposition::Merge, "the last row of each key wins, rows that were not seen stay.";
    "history" => Disposition::History, "one row for each version of a key, with from when to when it held.";
});

words!(CursorMode, "a cursor mode" {
    "client" => CursorMode::Client, "this program compares, the API has no filter for changes.";
    "server" => CursorMode::Server, "the API is asked for changes by `${cursor}` or `${window.start}`.";
    "feed" => CursorMode::Feed, "this program compares, in a listing that is newest first.";
});
