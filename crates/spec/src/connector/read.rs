//! The words at the top of a connector file.

use super::auth::AuthWord;
use super::config::FieldMap;
use super::errors::ErrorMap;
use super::rate_limit::RateLimitMap;
use super::request::{HeadersMap, RequestMap};
use super::stream::StreamMap;
use crate::base_url::ConnectorBase;
use crate::forms::{ListOf, MapOf, OrNothing, SettingName, StreamName, Text, bare};
use crate::node::{Node, Value, load};
use crate::pipeline::{empty, is_connector_name};
use crate::read::{Form, Located, Reader, record, words};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InHeaders};
use crate::{Connector, Document, FieldPath, Findings, Redirects};

impl Connector {
    /// Reads a connector file. The error holds everything that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Findings> {
        let (root, findings) = load(document);
        let mut reader = Reader::new(document, findings);
        let connector = match &root {
            Some(root) => {
                reader.settings = settings(root);
                ConnectorWord::read(root, &mut reader)
            }
            None => empty(&mut reader),
        };
        reader.finish(connector)
    }
}

/// The names under `config:`, which holes may look up wherever they stand.
fn settings(root: &Node) -> Vec<String> {
    let entries = |node: &Node| match &node.value {
        Value::Map(entries) => entries.clone(),
        _ => Vec::new(),
    };
    let config = entries(root).into_iter().find(|entry| entry.key == "config");
    config.map(|config| entries(&config.value)).into_iter().flatten().map(|entry| entry.key).collect()
}

/// JSON Schema (draft 2020-12) of a connector file.
pub fn connector_schema() -> serde_json::Value {
    schema::language::<ConnectorWord>("A connector of sync")
}

record! {
    /// One provider's API.
    ConnectorWord -> Connector, "connector" {
        /// The provider's name: small letters, digits, `-` and `_`.
        need connector: Located<ProviderName>,
        /// The file's own version, for people.
        may version: Text,
        /// The provider's name for people.
        may title: Text,
        /// Settings that URLs, headers and requests look up: name to what it must be.
        may config: MapOf<SettingName, OrNothing<FieldMap>>,
        /// Scheme, host and path before every relative path.
        need base_url: Located<ConnectorBase>,
        /// Headers of every request.
        may headers: HeadersMap<Filled<InHeaders>>,
        /// Whether a redirect inside the host is followed. One to another host never is.
        may redirects: Redirects,
        /// How requests are signed.
        may auth: AuthWord,
        /// The path in the answer to `check` that names the account: whoever uses it shares one budget.
        may account: Located<FieldPath>,
        /// What the provider allows.
        may rate_limit: RateLimitMap,
        /// What answers mean, asked in this order, before the default table.
        may errors: ListOf<ErrorMap>,
        /// The request that tells whether a credential works.
        may check: RequestMap,
        /// What every stream begins with. Maps merge key by key; lists and scalars replace.
        may defaults: StreamMap,
        /// Streams with parameters, `${kind.NAME}`, that streams can be of.
        may kinds: MapOf<StreamName, StreamMap>,
        /// The streams.
        need streams: MapOf<StreamName, OrNothing<StreamMap>>,
    }
    |reader, fields| {
        if let Some(account) = account.as_ref().filter(|_| check.is_none()) {
            reader.find(account.span, "the answer to `check` would name the account, and there is no `check`", "say `check`");
        }
        Some(Connector {
            document: reader.document.clone(),
            connector,
            version,
            title,
            config: config.unwrap_or_default(),
            base_url,
            headers: bare(headers.unwrap_or_default()),
            redirects: redirects.unwrap_or_default(),
            auth: auth.unwrap_or_default(),
            account,
            rate_limit: rate_limit.unwrap_or_default(),
            errors: errors.unwrap_or_default(),
            check,
            defaults: defaults.unwrap_or_default(),
            kinds: kinds.unwrap_or_default(),
            streams,
        })
    }
}

struct ProviderName;

impl Form for ProviderName {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "the name of a connector")?;
        if !is_connector_name(text) {
            let help = "small letters, digits, `-` and `_`, a letter first";
            return reader.refuse(node, "the name of a connector", help);
        }
        Some(text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^[a-z][a-z0-9_-]{0,99}$", "Small letters, digits, `-` and `_`.")
    }
}

words!(Redirects, "a rule for redirects" {
    "same_host" => Redirects::SameHost, "followed inside the host.";
    "never" => Redirects::Never, "never followed.";
});
