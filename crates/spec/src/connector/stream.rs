//! Streams: a request, where its rows are, what identifies them, how to go on and how changes are told.

use super::cursor::CursorForm;
use super::paginate::PaginateWord;
use super::request::{BodyWord, QueryMap, RequestHeaders, RequestPath, target};
use super::types_from::TypesFromMap;
use crate::condition::{OfRow, On, OrNone};
use crate::forms::{FieldNames, Flag, OneOrMany, OrNo, Text};
use crate::node::Node;
use crate::path::RowsPath;
use crate::read::{Form, Located, Reader, record};
use crate::schema::{self, Defs, Json};
use crate::types::TypesWord;
use crate::{FieldPath, RequestSpec, Said, Stream};

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
        Some(Stream {
            request, records, keep, deleted_when, drop, lift, types, types_from, key, paginate, cursor, unverified,
            description,
        })
    }
}

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
