//! Requests: a method and a path, and what goes with it. The place says the position.

use std::marker::PhantomData;

use serde_json::json;

use crate::condition::Literal;
use crate::forms::{AnyName, HeaderName, MapOf, OrRemoved, bare};
use crate::mask;
use crate::node::{Node, Value};
use crate::read::{Form, Located, Reader, record, shown};
use crate::schema::{self, Defs, Json};
use crate::template::{self, Filled, InRequest, InUrl};
use crate::{BodyTemplate, Piece, RequestMethod, RequestSpec, Scalar, Spanned, Template};

record! {
    /// A request.
    RequestMap -> RequestSpec, "request" {
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
    }
    Exactly["get", "post"]
    |reader, fields| {
        if get.is_some() && body.is_some() {
            reader.find(fields.key_span_of("body"), "a `get` has no body", "use `post`, or `query`");
        }
        Some(RequestSpec {
            target: target(get, post),
            query: query.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            body,
        })
    }
}

/// Method and path.
pub(crate) fn target(
    get: Option<Spanned<Template>>,
    post: Option<Spanned<Template>>,
) -> Option<(RequestMethod, Spanned<Template>)> {
    get.map(|path| (RequestMethod::Get, path)).or(post.map(|path| (RequestMethod::Post, path)))
}

/// The path of a request, relative to `base_url`.
pub(crate) struct RequestPath;

impl Form for RequestPath {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let text = reader.text(node, "a path")?;
        let template = template::read::<InUrl>(node, text, reader);
        let fine = mask::check_url(node, text, reader);
        let fault = match &template {
            Some(t) if t.0.iter().any(|p| matches!(p, Piece::Text(t) if t.contains(['?', '#']))) => {
                Some(("the path of a request has no query", "parameters go into `query`"))
            }
            _ if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                Some(("the path of a request has no blanks", "a blank is `%20`"))
            }
            _ if !text.starts_with('/') || text.starts_with("//") => {
                Some(("the path of a request begins with one `/`", "`base_url` comes before it"))
            }
            _ => None,
        };
        match fault {
            Some((message, help)) if fine => reader.find(node.span, message, help),
            _ if fine => return template,
            _ => {}
        }
        None
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^/([^/].*)?$", "From its first slash. May have holes: `${config.NAME}`.")
    }
}

/// Query parameters in order; `null` takes an inherited one out.
pub(crate) struct QueryMap;

impl Form for QueryMap {
    type Value = Vec<(String, Option<Template>)>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let list = MapOf::<AnyName, OrRemoved<Filled<InRequest>>>::read(node, reader)?;
        refuse_literal_secrets(list.iter().map(|(name, value)| (name, value.as_ref())), reader);
        Some(bare(list))
    }

    fn schema(defs: &mut Defs) -> Json {
        MapOf::<AnyName, OrRemoved<Filled<InRequest>>>::schema(defs)
    }
}

/// Headers of one request; `null` takes an inherited one out.
pub(crate) struct RequestHeaders;

impl Form for RequestHeaders {
    type Value = Vec<(String, Option<Template>)>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let list = MapOf::<HeaderName, OrRemoved<Filled<InRequest>>>::read(node, reader)?;
        check_headers(list.iter().map(|(name, value)| (name, value.as_ref())), reader);
        refuse_literal_secrets(list.iter().map(|(name, value)| (name, value.as_ref())), reader);
        Some(bare(list))
    }

    fn schema(defs: &mut Defs) -> Json {
        MapOf::<HeaderName, OrRemoved<Filled<InRequest>>>::schema(defs)
    }
}

/// Headers, each with a text of this form.
pub(crate) struct HeadersMap<F>(PhantomData<F>);

impl<F: Form<Value = Template>> Form for HeadersMap<F> {
    type Value = Vec<(Spanned<String>, Template)>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let list = MapOf::<HeaderName, F>::read(node, reader)?;
        check_headers(list.iter().map(|(name, value)| (name, Some(value))), reader);
        refuse_literal_secrets(list.iter().map(|(name, value)| (name, Some(value))), reader);
        Some(list)
    }

    fn schema(defs: &mut Defs) -> Json {
        MapOf::<HeaderName, F>::schema(defs)
    }
}

/// Refuses headers that are written twice, that only the transport sets, or that no header line can hold.
fn check_headers<'t>(
    headers: impl Iterator<Item = (&'t Spanned<String>, Option<&'t Template>)>,
    reader: &mut Reader<'_>,
) {
    const TRANSPORT: &[&str] =
        &["host", "content-length", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade"];
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in headers {
        let lower = name.value.to_ascii_lowercase();
        if TRANSPORT.contains(&lower.as_str()) {
            reader.find(
                name.span,
                format!("the header `{}` is set by the transport", shown(&name.value)),
                "leave it out",
            );
        }
        if seen.contains(&lower) {
            reader.find(
                name.span,
                format!("the header `{}` is written twice", shown(&name.value)),
                "case does not count",
            );
        }
        seen.push(lower);
        let line = |text: &str| text.bytes().all(|b| matches!(b, b'\t' | 0x20..=0x7e));
        let fits = value.is_none_or(|v| {
            v.0.iter()
                .all(|piece| matches!(piece, Piece::Text(t) if line(t)) || matches!(piece, Piece::Hole(_)))
        });
        if !fits {
            let message = format!("the header `{}` holds characters that no header can", shown(&name.value));
            reader.find(name.span, message, "visible ASCII and blanks (RFC 9110, section 5.5)");
        }
    }
}

/// Refuses constants under a name that says secret.
fn refuse_literal_secrets<'t>(
    list: impl Iterator<Item = (&'t Spanned<String>, Option<&'t Template>)>,
    reader: &mut Reader<'_>,
) {
    for (name, value) in list {
        let constant = value.is_some_and(|v| matches!(v.0.as_slice(), [Piece::Text(_)]));
        if constant && mask::is_secret_word(&name.value) {
            let message = format!("`{}` holds a literal secret", shown(&name.value));
            reader.find(name.span, message, "sign with `auth`, and write `${secret.NAME}` there");
        }
    }
}

/// A JSON body: a map or a list, with holes in its texts.
pub(crate) struct BodyWord;

impl Form for BodyWord {
    type Value = BodyTemplate;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<BodyTemplate> {
        match &node.value {
            Value::Map(_) | Value::List(_) => json_of(node, reader),
            _ => reader.refuse(node, "a map or a list", ""),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({ "type": ["object", "array"], "description": "Its texts may have holes: `${config.NAME}`." })
    }
}

fn json_of(node: &Node, reader: &mut Reader<'_>) -> Option<BodyTemplate> {
    match &node.value {
        Value::Map(_) => {
            let entries: Vec<_> = reader.map(node, "a map")?.collect();
            let read: Vec<_> =
                entries.iter().map(|e| Some((e.key.clone(), json_of(&e.value, reader)?))).collect();
            read.into_iter().collect::<Option<_>>().map(BodyTemplate::Object)
        }
        Value::List(items) => {
            let read: Vec<_> = items.iter().map(|item| json_of(item, reader)).collect();
            read.into_iter().collect::<Option<_>>().map(BodyTemplate::List)
        }
        Value::Scalar(_) => match Literal::read(node, reader)? {
            Scalar::Null => Some(BodyTemplate::Const(Json::Null)),
            Scalar::Bool(flag) => Some(BodyTemplate::Const(Json::Bool(flag))),
            Scalar::Number(text) => number(node, &text, reader),
            Scalar::Text(text) => {
                let template = template::read::<InRequest>(node, &text, reader)?;
                let constant = template.0.iter().all(|piece| matches!(piece, Piece::Text(_)));
                Some(if constant {
                    BodyTemplate::Const(Json::String(text))
                } else {
                    BodyTemplate::Text(template)
                })
            }
        },
        Value::Refused => None,
    }
}

/// A number that JSON readers take as it was written.
pub(crate) fn number(node: &Node, text: &str, reader: &mut Reader<'_>) -> Option<BodyTemplate> {
    let number: Option<serde_json::Number> = serde_json::from_str(text).ok();
    let kept = number.filter(|n| n.is_i64() || n.is_u64() || text.contains(['.', 'e', 'E']));
    match kept {
        Some(number) => Some(BodyTemplate::Const(Json::Number(number))),
        None => reader.refuse(node, "a number that survives", "put it in quotes"),
    }
}
