//! `types_from:`: column types from the provider's own metadata.

use super::paginate::PaginateWord;
use super::request::{BodyWord, QueryMap, RequestHeaders, RequestPath, target};
use crate::forms::{AnyName, MapOf, OneOrMany};
use crate::node::Node;
use crate::path::RowsPath;
use crate::read::{Form, Located, Reader, record};
use crate::schema::{self, Defs, Json};
use crate::types::TypeWord;
use crate::{FieldPath, GivenType, RequestSpec, TypesFrom};

record! {
    /// Column types from the provider's own metadata, asked for once a run before the first page.
    TypesFromMap -> TypesFrom, "types_from" {
        /// The path of a GET, from its first slash; `base_url` comes before it.
        may get: Located<RequestPath>,
        /// The path of a POST.
        may post: Located<RequestPath>,
        /// Query parameters.
        may query: QueryMap,
        /// Headers.
        may headers: RequestHeaders,
        /// A JSON body of a `post`.
        may body: BodyWord,
        /// Where the list of fields is: a path or a list of paths, of which the first that is a list counts. `.` is the whole answer.
        may records: OneOrMany<Located<RowsPath>>,
        /// How that list goes on. Default `none`: one answer is all of it.
        may paginate: PaginateWord,
        /// Where an element says the name of its field: with `lift` the name inside the lifted object.
        need name: FieldPath,
        /// Where it says the field's type.
        need r#type: FieldPath,
        /// The provider's words for types, and ours. The types of fields with other words are found from the data.
        need map: MapOf<AnyName, MappedType>,
    }
    Exactly["get", "post"]
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
        let map = map.into_iter().map(|(word, ty)| (word.value, ty)).collect();
        Some(TypesFrom { request, records, paginate, name, kind: r#type, map })
    }
}

/// A type, or `decimal` without digits: as many behind the point as the values have.
struct MappedType;

impl Form for MappedType {
    type Value = GivenType;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<GivenType> {
        if node.is_word("decimal") {
            return Some(GivenType::Decimal);
        }
        TypeWord::read(node, reader).map(GivenType::Exactly)
    }

    fn schema(defs: &mut Defs) -> Json {
        let any = serde_json::json!({ "const": "decimal", "description": "With as many digits as the values have." });
        schema::one_of([any, TypeWord::schema(defs)])
    }
}
