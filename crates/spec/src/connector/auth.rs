//! `auth:`: how requests are signed. A connector names its secrets and never holds one.

use serde_json::json;

use super::request::HeadersMap;
use crate::forms::{AnyName, MapOf, bare};
use crate::node::{Node, Value};
use crate::read::{Form, Reader, nearest, record, shown};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InAuth};
use crate::{Auth, Piece, Template};

/// `none`, or a map with the kind.
pub(crate) struct AuthWord;

impl Form for AuthWord {
    type Value = Auth;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Auth> {
        match &node.value {
            Value::Scalar(written) if written.text == "none" => Some(Auth::None),
            Value::Scalar(written) if !written.is_null() => {
                // It may be the key itself, so it is not repeated.
                let help = match nearest(&written.text, ["none"].into_iter()) {
                    Some(_) => "did you mean `none`?",
                    None => "such as `{ bearer: \"${secret.token}\" }`",
                };
                reader.find(node.span, "`auth` must be `none` or a map", help);
                None
            }
            _ => AuthMap::read(node, reader),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([json!({ "const": "none", "description": "Not at all." }), AuthMap::schema(defs)])
    }
}

record! {
    /// How requests are signed: the word names the kind.
    AuthMap -> Auth, "auth" {
        /// `Authorization: Bearer …` (RFC 6750).
        may bearer: Signed,
        /// Headers that hold a secret.
        may header: HeadersMap<Signed>,
        /// Query parameters that hold a secret.
        may query: MapOf<AnyName, Signed>,
        /// `Authorization: Basic …` (RFC 7617).
        may basic: BasicMap,
    }
    Exactly["bearer", "header", "query", "basic"]
    |reader, fields| {
        bearer
            .map(Auth::Bearer)
            .or(header.map(|list| Auth::Header(bare(list))))
            .or(query.map(|list| Auth::Query(bare(list))))
            .or(basic)
    }
}

record! {
    /// User name and password.
    BasicMap -> Auth, "basic" {
        /// The user name.
        need username: Filled<InAuth>,
        /// The password. Default: empty.
        may password: Filled<InAuth>,
    }
    |reader, fields| {
        let password = password.unwrap_or(Template(Vec::new()));
        if !holds_secret(&username) && !holds_secret(&password) {
            reader.find(fields.span_of("username"), "neither user name nor password holds a secret", LITERAL);
        }
        Some(Auth::Basic { username, password })
    }
}

const LITERAL: &str =
    "a connector names its secrets, `${secret.NAME}`; what is no secret goes into `headers` or `query`";

/// A text of `auth` that must look up a secret. Without one it may be the secret, so it is not repeated.
struct Signed;

impl Form for Signed {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let template = Filled::<InAuth>::read(node, reader)?;
        if holds_secret(&template) {
            return Some(template);
        }
        let message = format!("`{}` holds no secret", shown(reader.word()));
        reader.find(node.span, message, LITERAL);
        None
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(r"\$\{secret\.[a-z]", "Must hold `${secret.NAME}`.")
    }
}

fn holds_secret(template: &Template) -> bool {
    template.0.iter().any(|piece| matches!(piece, Piece::Hole(_)))
}
