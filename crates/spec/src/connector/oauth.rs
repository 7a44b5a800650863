//! `auth.oauth:`: access tokens from a token endpoint (RFC 6749).
//!
//! Its secrets have fixed names: `client_id`, `client_secret`, and where a person or another program signed in,
//! `refresh_token`.

use serde_json::json;
use sync_core::{ClientIn, Grant, SendAs};

use crate::condition::{OfAnswer, On};
use crate::forms::{AnyName, Flag, ListOf, MapOf, Text, bare};
use crate::node::Node;
use crate::quantity::Length;
use crate::read::{Form, Reader, record, words};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InUrl};
use crate::{FieldPath, OAuth, Piece, Template};

record! {
    /// Access tokens that a token endpoint hands out.
    OAuthMap -> OAuth, "oauth" {
        /// How the first token is had.
        need grant: Grant,
        /// Where a person signs in; wanted by `code`.
        may authorize: AbsoluteUrl,
        /// The token endpoint: a path behind the base URL, or a URL of its own.
        need token: TokenUrl,
        /// What is asked for.
        may scopes: ListOf<Text>,
        /// Whether the sign-in is bound to this program by a code challenge (RFC 7636). Default true.
        may pkce: Flag,
        /// Where id and secret of the client go in a token request. Default body.
        may client_in: ClientIn,
        /// How a token request is written. Default form.
        may send: SendAs,
        /// What the answer calls `access_token`, `refresh_token` and `expires_in`, where it calls them otherwise.
        may names: MapOf<AnyName, Text>,
        /// Where in the answer the tokens are. Default: at its top.
        may token_path: FieldPath,
        /// How long before its end a token is changed for a new one. Default 1 minute.
        may refresh_before: Length,
        /// Answers to a refresh after which only signing in again helps. Absent: `error` is `invalid_grant`.
        may refresh_fatal: On<OfAnswer>,
    }
    |reader, fields| {
        if grant == Grant::Code && !fields.has("authorize") {
            reader.find(fields.span_of("grant"), "`code` needs `authorize`", "the page where a person signs in");
        }
        let names = bare(names.unwrap_or_default());
        if let Some((name, _)) = names.iter().find(|(name, _)| !ANSWER.contains(&name.as_str())) {
            let help = format!("known here: `{}`", ANSWER.join("`, `"));
            reader.find(fields.span_of("names"), format!("a token answer has no `{name}`"), help);
        }
        Some(OAuth {
            grant,
            authorize,
            token,
            scopes: scopes.unwrap_or_default(),
            pkce: pkce.unwrap_or(true),
            client_in: client_in.unwrap_or_default(),
            send: send.unwrap_or_default(),
            names,
            token_path,
            refresh_before: refresh_before.unwrap_or(std::time::Duration::from_mins(1)),
            refresh_fatal,
        })
    }
}

/// What a token answer holds that anybody needs (RFC 6749, section 5.1).
const ANSWER: [&str; 3] = ["access_token", "refresh_token", "expires_in"];

words!(Grant, "a grant" {
    "code" => Grant::Code, "a person signs in, in a browser (RFC 6749, section 4.1).";
    "client" => Grant::Client, "the program's own id and secret are enough (section 4.4).";
    "refresh" => Grant::Refresh, "somebody signed in elsewhere and brings the refresh token (section 6).";
});

words!(ClientIn, "a place for the client's secret" {
    "body" => ClientIn::Body, "in the body, beside the rest.";
    "basic" => ClientIn::Basic, "as `Authorization: Basic …`.";
});

words!(SendAs, "a way to write a token request" {
    "form" => SendAs::Form, "`application/x-www-form-urlencoded`, as the standard says.";
    "json" => SendAs::Json, "a JSON object.";
});

/// A URL, or a setting that holds one.
struct AbsoluteUrl;

impl Form for AbsoluteUrl {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let template = Filled::<InUrl>::read(node, reader)?;
        if let Some(written) = node.scalar()
            && let Some((message, help)) = crate::base_url::fault(&written.text)
        {
            reader.find(node.span, message.replacen("a base URL", "this URL", 1), help);
            return None;
        }
        Some(template)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::described(schema::text(), "An https URL; may have holes: `${config.NAME}`.")
    }
}

/// A path behind the base URL, or a URL.
struct TokenUrl;

impl Form for TokenUrl {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let template = Filled::<InUrl>::read(node, reader)?;
        match template.0.first() {
            Some(Piece::Text(text)) if text.starts_with('/') && !text.starts_with("//") => Some(template),
            _ => AbsoluteUrl::read(node, reader),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({ "type": "string", "description": "A path such as `/oauth/token`, or an https URL." })
    }
}
