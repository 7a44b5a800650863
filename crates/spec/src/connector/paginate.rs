//! `paginate:`: how a listing goes on, and when it is over.

use serde_json::json;

use crate::forms::{AnyName, MapOf, Text, Whole};
use crate::node::{Node, Value};
use crate::path::{parse_list, read_part};
use crate::read::{Form, Reader, record, shown};
use crate::schema::{self, Defs, Json};
use crate::{Paginate, PaginateKind, StopRule};

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
                let known = ["none", "page", "offset"];
                if known.contains(&written.text.as_str()) {
                    let help =
                        "such as `{ page: { param: page, first: 1 } }` or `{ offset: { param: offset } }`";
                    reader.find(node.span, format!("`{}` needs its parameter", written.text), help);
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
        /// The size parameter and its value: `{ limit: 100 }`.
        may size: SizeMap,
        /// When the listing is over. Default `empty`.
        may stop: StopWord,
    }
    AtMost["page", "offset"]
    |reader, fields| Some(Paginate { kind: page.or(offset), size, stop })
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

/// One parameter and its value.
struct SizeMap;

impl Form for SizeMap {
    type Value = (String, u64);

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<(String, u64)> {
        let mut sizes = MapOf::<AnyName, Whole<1, 1_000_000>>::read(node, reader)?.into_iter();
        let (name, size) = sizes.next()?;
        if let Some((second, _)) = sizes.next() {
            reader.find(second.span, "`size` is one parameter", "keep one of them");
        }
        Some((name.value, size))
    }

    fn schema(defs: &mut Defs) -> Json {
        let mut schema = MapOf::<AnyName, Whole<1, 1_000_000>>::schema(defs);
        schema["maxProperties"] = json!(1);
        schema
    }
}

/// `short`, `empty` or `total(path, …)`.
struct StopWord;

impl Form for StopWord {
    type Value = StopRule;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<StopRule> {
        const WHAT: &str = "`short`, `empty` or `total(PATH, …)`";
        let text = reader.text(node, WHAT)?;
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
                match crate::read::nearest(word, ["short", "empty", "total"].into_iter()) {
                    Some("total") => reader.refuse(
                        node,
                        WHAT,
                        "did you mean `total`? It lists the paths: `total(meta.total)`",
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
        ] })
    }
}
