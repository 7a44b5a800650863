//! `paginate:`: how a listing goes on, and when it is over.

use serde_json::json;

use crate::condition::{OfRow, On};
use crate::forms::{AnyName, MapOf, Text, Whole};
use crate::node::{Node, Value};
use crate::path::{parse_list, read_part};
use crate::read::{Form, Reader, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::{
    Ceiling, CeilingThen, FieldPath, KeysetOrder, KeysetTo, Paginate, PaginateKind, Parameter, Size, StopRule,
};

/// `none`, or a map.
pub(crate) struct PaginateWord;

impl Form for PaginateWord {
    type Value = Paginate;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Paginate> {
        match &node.value {
            Value::Scalar(written) if written.text == "none" => {
                Some(Paginate { kind: Some(PaginateKind::None), ..Paginate::default() })
            }
            Value::Scalar(written) if !written.is_null() => {
                let message = format!("`{}` is not a kind of pagination", shown(&written.text));
                let known = ["none", "page", "offset", "cursor", "next_url", "link_header", "keyset"];
                if written.text == "link_header" {
                    let kind = Some(PaginateKind::LinkHeader);
                    return Some(Paginate { kind, ..Paginate::default() });
                }
                if known.contains(&written.text.as_str()) {
                    let help = "such as `{ page: { param: page, first: 1 } }`, `{ cursor: { from: next, to: { query: after } } }` or `{ next_url: { from: links.next } }`";
                    reader.find(node.span, format!("`{}` needs its parameters", written.text), help);
                    return None;
                }
                reader.unknown(node.span, message, &written.text, &known)
            }
            _ => PaginateMap::read(node, reader),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let none = json!({ "const": "none", "description": "One answer is the whole listing." });
        schema::one_of([none, PaginateMap::schema(defs)])
    }
}

record! {
    /// How a listing goes on: the word names the kind.
    PaginateMap -> Paginate, "paginate" {
        /// By the number of the page.
        may page: PageMap,
        /// By the number of rows to pass over: those received so far.
        may offset: OffsetMap,
        /// By a token of the answer, which the next request gives back.
        may cursor: TokenMap,
        /// By the next page's address, which the answer holds.
        may next_url: NextUrlMap,
        /// By the next page's address, in the header `Link` with `rel="next"` (RFC 8288).
        may link_header: Nothing,
        /// By the greatest value so far of a field that the listing is sorted by.
        may keyset: KeysetMap,
        /// The size parameter and its value: `{ limit: 100 }`, or `{ body: { limit: 100 } }`.
        may size: SizeMap,
        /// When the listing is over. Default `empty`, and for a listing that goes on by what its answers hold, when they hold nothing.
        may stop: StopWord,
        /// How many rows one listing gives at most, and what is done where there are more.
        may ceiling: CeilingMap,
    }
    AtMost["page", "offset", "cursor", "next_url", "link_header", "keyset"]
    |reader, fields| {
        let link = link_header.map(|()| PaginateKind::LinkHeader);
        Some(Paginate { kind: page.or(offset).or(cursor).or(next_url).or(link).or(keyset), size, stop, ceiling })
    }
}

record! {
    /// By the number of the page.
    PageMap -> PaginateKind, "page" {
        /// The query parameter.
        need param: Text,
        /// The number of the first page, 0 or 1 as the provider counts.
        need first: Whole<0, { u64::MAX }>,
    }
    |reader, fields| Some(PaginateKind::Page { param, first })
}

record! {
    /// By the number of rows to pass over.
    OffsetMap -> PaginateKind, "offset" {
        /// The query parameter.
        need param: Text,
    }
    |reader, fields| Some(PaginateKind::Offset { param })
}

record! {
    /// By a token of the answer.
    TokenMap -> PaginateKind, "token" {
        /// Where the token is in the answer, such as `paging.next.after`. Without it the listing is over.
        need from: FieldPath,
        /// Where it goes: `{ query: NAME }` or `{ body: NAME }`.
        need to: IntoMap,
        /// What must hold of the answer for the listing to go on, such as `{ has_more: true }`.
        may more: On<OfRow>,
        /// `percent` where the answer holds the token percent-encoded.
        may decode: TokenDecode,
    }
    |reader, fields| Some(PaginateKind::Cursor { from, to, more, percent: decode.is_some() })
}

record! {
    /// Where a value goes.
    IntoMap -> Parameter, "into" {
        /// A query parameter.
        may query: Text,
        /// A top-level key of the body.
        may body: Text,
    }
    Exactly["query", "body"]
    |reader, fields| query.map(Parameter::Query).or(body.map(Parameter::Body))
}

#[derive(Clone)]
struct Percent;

words!(Percent, "a decoding" {
    "percent" => Percent, "the answer holds the token percent-encoded.";
});

type TokenDecode = Percent;

record! {
    /// By the next page's address.
    NextUrlMap -> PaginateKind, "next_url" {
        /// Where it is in the answer, such as `links.next`. Without it the listing is over.
        need from: FieldPath,
    }
    |reader, fields| Some(PaginateKind::NextUrl { from })
}

/// No further words: nothing, or an empty map.
struct Nothing;

impl Form for Nothing {
    type Value = ();

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<()> {
        match &node.value {
            Value::Map(entries) if entries.is_empty() => Some(()),
            _ if node.is_null() => Some(()),
            _ => reader.refuse(
                node,
                "left empty",
                "write `paginate: link_header`, or `link_header: {}` beside other words",
            ),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::one_of([json!({ "type": "null" }), json!({ "type": "object", "maxProperties": 0 })])
    }
}

record! {
    /// By the greatest value so far.
    KeysetMap -> PaginateKind, "keyset" {
        /// The field whose value grows from row to row; the request sorts by it.
        need by: FieldPath,
        /// How its values are compared: `int`, `text`, or `time` by the format of the cursor. Default `time`.
        may r#as: KeysetOrder,
        /// What the value fills in the next request: `cursor`, from it on, or `page.NAME`, behind it.
        need to: KeysetToWord,
        /// The value of the first page.
        may first: Text,
        /// The page number that goes up while rows have one and the same value.
        may ties: TiesMap,
    }
    |reader, fields| {
        let r#as = r#as.unwrap_or_default();
        if to == KeysetTo::Cursor && ties.is_none() {
            let help = "say `ties: { page: { param: …, first: … } }`, or fill `page.NAME` and ask for what is greater";
            reader.find(fields.span_of("to"), "a whole page of rows may have one and the same value", help);
        }
        Some(PaginateKind::Keyset { by, r#as, to, first, ties })
    }
}

words!(KeysetOrder, "an order of values" {
    "int" => KeysetOrder::Int, "as whole numbers, in quotes or not.";
    "text" => KeysetOrder::Text, "as text, byte by byte.";
    "time" => KeysetOrder::Time, "as moments, by the format of the cursor.";
});

/// `cursor`, or `page.NAME`.
struct KeysetToWord;

impl Form for KeysetToWord {
    type Value = KeysetTo;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<KeysetTo> {
        let text = reader.text(node, "`cursor` or `page.NAME`")?;
        match text.strip_prefix("page.") {
            _ if text == "cursor" => Some(KeysetTo::Cursor),
            Some(name) if !name.is_empty() && !name.contains('.') => Some(KeysetTo::Page(name.to_owned())),
            _ => reader.refuse_near(node, "`cursor` or `page.NAME`", "cursor", "such as `page.after`"),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(r"^(cursor|page\.[^.]+)$", "`cursor`, or `page.NAME` for `${page.NAME}`.")
    }
}

record! {
    /// How rows of one and the same value are told apart.
    TiesMap -> (String, u64), "ties" {
        /// By the number of the page.
        need page: TiesPage,
    }
    |reader, fields| Some(page)
}

record! {
    /// The number of the page.
    TiesPage -> (String, u64), "ties_page" {
        /// The query parameter.
        need param: Text,
        /// The number of the first page.
        need first: Whole<0, { u64::MAX }>,
    }
    |reader, fields| Some((param, first))
}

record! {
    /// What one listing gives at most.
    CeilingMap -> Ceiling, "ceiling" {
        /// Rows of one listing, at most.
        need rows: Whole<1, { u64::MAX }>,
        /// What is done where there are more.
        need then: CeilingThen,
    }
    |reader, fields| Some(Ceiling { rows, then })
}

words!(CeilingThen, "a way past a ceiling" {
    "narrow_window" => CeilingThen::NarrowWindow, "the window of time is halved until its rows fit.";
    "error" => CeilingThen::Error, "the stream fails and says so.";
});

/// One parameter and its value, in the query or in the body.
struct SizeMap;

type Sizes = MapOf<AnyName, Whole<1, 1_000_000>>;

impl SizeMap {
    fn one(node: &Node, reader: &mut Reader<'_>) -> Option<(String, u64)> {
        let mut sizes = Sizes::read(node, reader)?.into_iter();
        let (name, size) = sizes.next()?;
        if let Some((second, _)) = sizes.next() {
            reader.find(second.span, "`size` is one parameter", "keep one of them");
        }
        Some((name.value, size))
    }
}

impl Form for SizeMap {
    type Value = Size;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Size> {
        if let Value::Map(entries) = &node.value
            && let [entry] = entries.as_slice()
            && matches!(entry.value.value, Value::Map(_))
        {
            if entry.key != "body" {
                let message = format!("`{}` is no place for a size", shown(&entry.key));
                return reader.unknown(entry.key_span, message, &entry.key, &["body"]);
            }
            let (name, rows) = Self::one(&entry.value, reader)?;
            return Some(Size { parameter: Parameter::Body(name), rows });
        }
        let (name, rows) = Self::one(node, reader)?;
        Some(Size { parameter: Parameter::Query(name), rows })
    }

    fn schema(defs: &mut Defs) -> Json {
        let mut plain = Sizes::schema(defs);
        plain["maxProperties"] = json!(1);
        let inside = schema::described(plain.clone(), "A top-level key of the body, and its value.");
        let body = json!({ "type": "object", "properties": { "body": inside }, "required": ["body"], "additionalProperties": false });
        schema::one_of([plain, body])
    }
}

/// `short`, `empty` or `total(path, …)`.
struct StopWord;

impl Form for StopWord {
    type Value = StopRule;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<StopRule> {
        const WHAT: &str = "`short`, `empty`, `total(PATH, …)` or `absent(PATH)`";
        let text = reader.text(node, WHAT)?;
        if let Some(path) = text.strip_prefix("absent(").and_then(|t| t.strip_suffix(')')) {
            let offset = path.as_ptr() as usize - text.as_ptr() as usize;
            return read_part(node, offset, FieldPath::parse(path), reader).map(StopRule::Absent);
        }
        let inside = text.strip_prefix("total").map(str::trim_start).and_then(|t| t.strip_prefix('('));
        match (text, inside.and_then(|t| t.trim_end().strip_suffix(')'))) {
            ("short", _) => Some(StopRule::Short),
            ("empty", _) => Some(StopRule::Empty),
            (_, Some(paths)) => {
                let offset = paths.as_ptr() as usize - text.as_ptr() as usize;
                read_part(node, offset, parse_list(paths), reader).map(StopRule::Total)
            }
            (other, None) => {
                let word = other.split('(').next().unwrap_or(other).trim();
                match crate::read::nearest(word, ["short", "empty", "total", "absent"].into_iter()) {
                    Some("total") => reader.refuse(
                        node,
                        WHAT,
                        "did you mean `total`? It lists the paths: `total(meta.total)`",
                    ),
                    Some("absent") => reader.refuse(
                        node,
                        WHAT,
                        "did you mean `absent`? It names the path: `absent(paging.next)`",
                    ),
                    _ => reader.unknown(
                        node.span,
                        format!("`{}` is not {WHAT}", shown(other)),
                        word,
                        &["short", "empty"],
                    ),
                }
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({ "oneOf": [
            { "const": "short", "description": "After a page with fewer rows than asked for. Only where the server is known not to clamp." },
            { "const": "empty", "description": "After a page without rows." },
            { "type": "string", "pattern": r"^total\s*\(.+\)\s*$", "description": "When as many rows as the first of these paths says were received: `total(meta.total)`." },
            { "type": "string", "pattern": r"^absent\(.+\)$", "description": "After an answer that has nothing at this path: `absent(paging.next)`." },
        ] })
    }
}
