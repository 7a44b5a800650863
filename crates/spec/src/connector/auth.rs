//! `auth:`: how requests are signed. A connector names its secrets and never holds one.
//!
//! A provider that takes several kinds of credential lists them under `one_of`, and the credential chooses.

use serde_json::json;

use super::oauth::OAuthMap;
use super::request::HeadersMap;
use crate::forms::{AnyName, MapOf, SettingName, Text, bare};
use crate::node::{Node, Value};
use crate::quantity::Length;
use crate::read::{Form, Reader, nearest, record, shown};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InAuth, InAuthName};
use crate::{At, Auth, AuthKind, AuthMethod, Piece, Template};

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
            Value::Map(entries) if entries.iter().any(|entry| entry.key == "one_of") => {
                OneOfMap::read(node, reader)
            }
            _ => MethodMap::read(node, reader).map(|method| Auth::One(Box::new(method))),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let none = json!({ "const": "none", "description": "Not at all." });
        schema::one_of([none, MethodMap::schema(defs), OneOfMap::schema(defs)])
    }
}

record! {
    /// Several kinds of credential, of which the pipeline's or the stored one chooses.
    OneOfMap -> Auth, "one_of" {
        /// The methods by name, the usual one first.
        need one_of: MapOf<SettingName, MethodMap>,
    }
    |reader, fields| Some(Auth::OneOf(one_of))
}

record! {
    /// How requests are signed: the word names the kind.
    MethodMap -> AuthMethod, "auth" {
        /// `Authorization: Bearer …` (RFC 6750).
        may bearer: Signed,
        /// Headers that hold a secret.
        may header: HeadersMap<Signed>,
        /// Query parameters that hold a secret.
        may query: MapOf<AnyName, Signed>,
        /// `Authorization: Basic …` (RFC 7617).
        may basic: BasicMap,
        /// A header or a query parameter whose name is a setting.
        may at: AtMap,
        /// Access tokens that a token endpoint hands out (RFC 6749).
        may oauth: OAuthMap,
        /// A key may be changed before the old one ends.
        may rotation: RotationMap,
        /// What to tell whoever uses this method, such as that the provider has retired it.
        may warn: Text,
        /// Where in the provider's product to make the credential, and with which role or scopes to read and to write.
        may help: Text,
    }
    Exactly["bearer", "header", "query", "basic", "at", "oauth"]
    |reader, fields| {
        let kind = bearer
            .map(AuthKind::Bearer)
            .or(header.map(|list| AuthKind::Header(bare(list))))
            .or(query.map(|list| AuthKind::Query(bare(list))))
            .or(basic)
            .or(at.map(AuthKind::At))
            .or(oauth.map(|oauth| AuthKind::OAuth(Box::new(oauth))))?;
        Some(AuthMethod { kind, overlap: rotation, warn, help })
    }
}

record! {
    /// How a key is changed at the provider.
    RotationMap -> std::time::Duration, "rotation" {
        /// How long the old key still works after a new one was made.
        need overlap: Length,
    }
    |reader, fields| Some(overlap)
}

record! {
    /// User name and password.
    BasicMap -> AuthKind, "basic" {
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
        Some(AuthKind::Basic { username, password })
    }
}

record! {
    /// A header or a query parameter, decided by settings.
    AtMap -> At, "at" {
        /// `header` or `query`, or the setting that says so.
        need place: AtPlace,
        /// The name of the header or parameter, or the setting that says it.
        need name: Filled<InAuthName>,
        /// The value.
        need value: Signed,
    }
    |reader, fields| Some(At { place, name, value })
}

/// `header`, `query`, or a hole.
struct AtPlace;

impl Form for AtPlace {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let template = Filled::<InAuthName>::read(node, reader)?;
        match template.0.as_slice() {
            [Piece::Hole(_)] => Some(template),
            [Piece::Text(text)] if matches!(text.as_str(), "header" | "query") => Some(template),
            _ => reader.refuse(node, "`header`, `query` or one setting", ""),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(r"^(header|query|\$\{config\..+\})$", "`header`, `query` or `${config.NAME}`.")
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
