//! Streams: a request, where its rows are, what identifies them, how to go on and how changes are told.

use super::cursor::CursorForm;
use super::paginate::PaginateWord;
use super::request::{BodyWord, QueryMap, RequestHeaders, RequestPath, target};
use super::types_from::TypesFromMap;
use crate::condition::{Literal, OfConfig, OfRow, On, OrNone};
use crate::forms::{
    AnyName, FieldNames, Flag, ListOf, MapOf, Name as _, OneOrMany, OrNo, OrNothing, SettingName, StreamName,
    Text, Whole, bare,
};
use crate::node::{Node, Value};
use crate::path::RowsPath;
use crate::read::{Form, Located, Reader, record, words};
use crate::schema::{self, Defs, Json};
use crate::template::{self, Filled, InSet};
use crate::types::TypesWord;
use crate::{
    BodyTemplate, Chunk, ColumnsWord, Decode, EachFrom, EachValues, Explode, FieldPath, ForEach, KindUse,
    RequestSpec, Said, Scalar, Spanned, Stream, Variant,
};

record! {
    /// A stream. What it does not say, it inherits from `defaults`.
    StreamMap -> Stream, "stream" {
        /// The path of a GET, from its first slash; `base_url` comes before it.
        may get: Located<RequestPath>,
        /// The path of a POST, for searches.
        may post: Located<RequestPath>,
        /// Query parameters.
        may query: QueryMap,
        /// Headers.
        may headers: RequestHeaders,
        /// A JSON body of a `post`.
        may body: BodyWord,
        /// Where the rows are: a path or a list of paths, of which the first that is a list counts. `.` is the whole answer.
        may records: OneOrMany<Located<RowsPath>>,
        /// Only rows for which this holds; `none` for all.
        may keep: OrNone<On<OfRow>>,
        /// Rows for which this holds are tombstones: they say that the row of their key is deleted; `none` for none.
        may deleted_when: OrNone<On<OfRow>>,
        /// Fields that are left out of every row: a path, or a list of paths. Keys, cursors and conditions still see them.
        may drop: OrNo<OneOrMany<FieldPath>>,
        /// An object in each row of which every key becomes a column of its own name. Where the row itself has a field of that name, the key becomes the column `PATH.NAME`.
        may lift: OrNo<FieldPath>,
        /// Types of columns that the provider documents, by path; those of the pipeline come before them.
        may types: TypesWord,
        /// Types of columns from the provider's own metadata; `types` come before them.
        may types_from: OrNo<TypesFromMap>,
        /// The fields of the primary key, one or a list; `none` where there is none.
        may key: Key,
        /// How a listing goes on.
        may paginate: PaginateWord,
        /// How changes are told.
        may cursor: CursorForm,
        /// Whether it is off unless it is asked for by name.
        may unverified: Flag,
        /// A line for people.
        may description: Text,
        /// Fields that every row of a slice is given: literals, or holes such as `${parent.id}`.
        may set: MapOf<AnyName, SetValue>,
        /// A list whose elements become rows: its path, or a map.
        may explode: ExplodeWord,
        /// One slice for each row of another stream: its name, or a map; `none` for no slices.
        may for_each: OrNo<ForEachWord>,
        /// One slice for each of these values, as `${item.NAME}`; several names give every combination.
        may each: MapOf<SettingName, EachWord>,
        /// One slice for each element of a list that the provider gives, as `${item.FIELD}`.
        may each_from: EachFromMap,
        /// The listing that is read where no state is saved.
        may full: VariantMap,
        /// The listing that is read where state is saved.
        may changed: VariantMap,
        /// A further listing in each read, of what was deleted or archived.
        may archived: VariantMap,
        /// Fields that must be named to be sent, as `${columns}`, and how many are named at once.
        may columns: ColumnsMap,
        /// The kind it is of, with its parameters: `{ NAME: { PARAMETER: value } }`.
        may kind: KindWord,
        /// How answers are read. Default `json`.
        may decode: Decode,
        /// `gzip` where bodies are compressed files.
        may unpack: Unpack,
        /// What must hold of the settings for the stream to be there.
        may enabled_when: On<OfConfig>,
    }
    AtMost["get", "post"]
    |reader, fields| {
        if get.is_some() && body.is_some() {
            reader.find(fields.key_span_of("body"), "a `get` has no body", "use `post`, or `query`");
        }
        let request = RequestSpec {
            target: target(get, post),
            query: query.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            body,
        };
        let types = types.unwrap_or_default();
        let types_from = types_from.map(Said::boxed);
        if for_each.is_some() && fields.has("each_from") {
            reader.find(fields.key_span_of("each_from"), "`for_each` and `each_from` exclude each other", "keep one of them");
        }
        Some(Stream {
            request,
            records,
            keep,
            deleted_when,
            drop,
            lift,
            types,
            types_from,
            key,
            paginate,
            cursor,
            unverified,
            description,
            set: bare(set.unwrap_or_default()),
            explode,
            for_each,
            each: bare(each.unwrap_or_default()),
            each_from,
            full,
            changed,
            archived,
            columns,
            kind,
            decode,
            unpack: unpack.map(|Gzip| true),
            enabled_when,
        })
    }
}

record! {
    /// One of the listings that make up a stream. What it does not say is as the stream says; a request with a path
    /// of its own begins anew.
    VariantMap -> Variant, "variant" {
        /// The path of a GET, from its first slash; `base_url` comes before it.
        may get: Located<RequestPath>,
        /// The path of a POST, for searches.
        may post: Located<RequestPath>,
        /// Query parameters.
        may query: QueryMap,
        /// Headers.
        may headers: RequestHeaders,
        /// A JSON body of a `post`.
        may body: BodyWord,
        /// Where the rows are.
        may records: OneOrMany<Located<RowsPath>>,
        /// How it goes on.
        may paginate: PaginateWord,
        /// Only rows for which this holds; `none` for all.
        may keep: OrNone<On<OfRow>>,
        /// Rows for which this holds are tombstones; `none` for none.
        may deleted_when: OrNone<On<OfRow>>,
    }
    AtMost["get", "post"]
    |reader, fields| {
        if get.is_some() && body.is_some() {
            reader.find(fields.key_span_of("body"), "a `get` has no body", "use `post`, or `query`");
        }
        let request = RequestSpec {
            target: target(get, post),
            query: query.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            body,
        };
        Some(Variant { request, records, paginate, keep, deleted_when })
    }
}

/// A literal, or a text with holes.
struct SetValue;

impl Form for SetValue {
    type Value = BodyTemplate;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<BodyTemplate> {
        match Literal::read(node, reader)? {
            Scalar::Null => Some(BodyTemplate::Const(Json::Null)),
            Scalar::Bool(flag) => Some(BodyTemplate::Const(Json::Bool(flag))),
            Scalar::Number(text) => super::request::number(node, &text, reader),
            Scalar::Text(text) => template::read::<InSet>(node, &text, reader).map(BodyTemplate::Text),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::described(
            Literal::schema(defs),
            "May look up `${parent.FIELD}`, `${item.NAME}`, `${config.NAME}`, `${stream}`.",
        )
    }
}

/// A path, or a map.
struct ExplodeWord;

impl Form for ExplodeWord {
    type Value = Explode;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Explode> {
        match &node.value {
            Value::Map(_) => ExplodeMap::read(node, reader),
            _ => FieldPath::read(node, reader).map(|path| Explode { path, carry: Vec::new(), more: None }),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([FieldPath::schema(defs), ExplodeMap::schema(defs)])
    }
}

record! {
    /// A list whose elements become rows.
    ExplodeMap -> Explode, "explode" {
        /// The list.
        need path: FieldPath,
        /// Fields of the record that its elements take along: name to path.
        may carry: MapOf<AnyName, FieldPath>,
        /// What a record has where its list is not whole, such as `paging.next`: that is told.
        may more: FieldPath,
    }
    |reader, fields| Some(Explode { path, carry: bare(carry.unwrap_or_default()), more })
}

/// The name of a stream, or a map.
struct ForEachWord;

impl Form for ForEachWord {
    type Value = ForEach;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ForEach> {
        if let Value::Map(_) = &node.value {
            return ForEachMap::read(node, reader);
        }
        let stream = Located::<NameOfStream>::read(node, reader)?;
        Some(ForEach { stream, only_changed: false, batch: 1 })
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([NameOfStream::schema(defs), ForEachMap::schema(defs)])
    }
}

struct NameOfStream;

impl Form for NameOfStream {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "the name of a stream")?;
        if !StreamName::fits(text) {
            return reader.refuse(node, "the name of a stream", "");
        }
        Some(text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(StreamName::PATTERN, "The name of a stream of this file.")
    }
}

record! {
    /// One slice for each row of another stream.
    ForEachMap -> ForEach, "for_each" {
        /// That stream.
        need stream: Located<NameOfStream>,
        /// Whether only its changed rows count, after a first read. Default: all, each time.
        may only_changed: Flag,
        /// Rows a request. An only element of a list in `body` is repeated for each of them; elsewhere they are a list, as in `${parent.id:comma}`. Default 1.
        may batch: Whole<1, 10_000>,
    }
    |reader, fields| Some(ForEach {
        stream,
        only_changed: only_changed.unwrap_or_default(),
        batch: batch.and_then(|rows| u32::try_from(rows).ok()).unwrap_or(1),
    })
}

/// A list of literals, or `config.NAME`.
struct EachWord;

impl Form for EachWord {
    type Value = EachValues;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<EachValues> {
        if let Value::List(_) = &node.value {
            return ListOf::<Plain>::read(node, reader).map(EachValues::List);
        }
        let text = reader.text(node, "a list or `config.NAME`")?;
        match text.strip_prefix("config.") {
            Some(name) if reader.settings.iter().any(|known| known == name) => {
                Some(EachValues::Setting(Spanned { value: name.to_owned(), span: node.span }))
            }
            Some(_) => reader.refuse(node, "a setting", "declare it under `config`"),
            None => reader.refuse(node, "a list or `config.NAME`", "such as `[false, true]`"),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([
            ListOf::<Plain>::schema(defs),
            schema::pattern("^config\\.", "The values of a setting, with commas between."),
        ])
    }
}

/// A JSON value that is none of the larger ones.
struct Plain;

impl Form for Plain {
    type Value = Json;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Json> {
        Some(match Literal::read(node, reader)? {
            Scalar::Null => return reader.refuse(node, "a value", ""),
            Scalar::Bool(flag) => Json::Bool(flag),
            Scalar::Text(text) => Json::String(text),
            Scalar::Number(text) => match super::request::number(node, &text, reader)? {
                BodyTemplate::Const(number) => number,
                _ => return None,
            },
        })
    }

    fn schema(_defs: &mut Defs) -> Json {
        serde_json::json!({ "type": ["string", "number", "boolean"] })
    }
}

record! {
    /// A list that the provider gives.
    EachFromMap -> EachFrom, "each_from" {
        /// The path of a GET, from its first slash; `base_url` comes before it.
        may get: Located<RequestPath>,
        /// The path of a POST.
        may post: Located<RequestPath>,
        /// Query parameters.
        may query: QueryMap,
        /// A JSON body of a `post`.
        may body: BodyWord,
        /// Where the list is. Default: the whole answer.
        may records: OneOrMany<Located<RowsPath>>,
    }
    Exactly["get", "post"]
    |reader, fields| {
        let request = RequestSpec { target: target(get, post), query: query.unwrap_or_default(), headers: Vec::new(), body };
        Some(EachFrom { request, records: records.unwrap_or_default() })
    }
}

record! {
    /// Fields that must be named to be sent.
    ColumnsMap -> ColumnsWord, "columns" {
        /// The path of the GET that lists them; one answer has them all.
        need get: Located<RequestPath>,
        /// Query parameters.
        may query: QueryMap,
        /// Where the list is. Default: the whole answer.
        may records: OneOrMany<Located<RowsPath>>,
        /// The field of an element that is the name.
        need name: FieldPath,
        /// How many are named at once: `{ fields: N }` or `{ url: CHARACTERS }`. Default: all.
        may chunk: ChunkMap,
        /// The field by which the pieces of a row are joined.
        need merge_on: FieldPath,
    }
    |reader, fields| {
        let request = RequestSpec { target: target(Some(get), None), query: query.unwrap_or_default(), headers: Vec::new(), body: None };
        Some(ColumnsWord { request, records: records.unwrap_or_default(), name, chunk, merge_on })
    }
}

record! {
    /// How many are named at once.
    ChunkMap -> Chunk, "chunk" {
        /// So many.
        may fields: Whole<1, 100_000>,
        /// As many as keep the URL within so many characters.
        may url: Whole<200, 100_000>,
    }
    Exactly["fields", "url"]
    |reader, entries| fields.map(Chunk::Count).or(url.map(Chunk::Url))
}

/// One kind, with its parameters.
struct KindWord;

impl Form for KindWord {
    type Value = KindUse;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<KindUse> {
        if let Some(name) = node.scalar().filter(|written| !written.is_null()) {
            let name = Spanned { value: name.text.clone(), span: node.span };
            return Some(KindUse { name, parameters: Vec::new() });
        }
        let mut kinds =
            MapOf::<StreamName, OrNothing<MapOf<SettingName, Filled<InSet>>>>::read(node, reader)?
                .into_iter();
        let (name, parameters) = kinds.next()?;
        if let Some((second, _)) = kinds.next() {
            reader.find(second.span, "a stream is of one kind", "keep one of them");
        }
        Some(KindUse { name, parameters: bare(parameters) })
    }

    fn schema(defs: &mut Defs) -> Json {
        let mut map = MapOf::<StreamName, OrNothing<MapOf<SettingName, Filled<InSet>>>>::schema(defs);
        map["maxProperties"] = serde_json::json!(1);
        schema::one_of([schema::text(), map])
    }
}

words!(Decode, "a way to read answers" {
    "json" => Decode::Json, "JSON.";
    "jsonl" => Decode::Jsonl, "a JSON value a line.";
    "csv" => Decode::Csv, "comma-separated values, the first line being the names; every value is a text.";
});

/// The one kind of compressed file.
#[derive(Clone)]
struct Gzip;

type Unpack = Gzip;

words!(Gzip, "a kind of compressed file" {
    "gzip" => Gzip, "gzip (RFC 1952).";
});

/// Names of fields, or `none`.
struct Key;

impl Form for Key {
    type Value = Vec<String>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
        if node.is_word("none") { Some(Vec::new()) } else { FieldNames::read(node, reader) }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::described(FieldNames::schema(defs), "`none` where there is none.")
    }
}
