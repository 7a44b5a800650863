//! `source:`: which connector, with which credential and settings, how fast, how patiently.

use crate::base_url::PipelineBase;
use crate::forms::{ListOf, MapOf, Positive, SettingName};
use crate::mask;
use crate::node::{Node, Value};
use crate::quantity::Interval;
use crate::read::{Form, Located, Reader, record, shown};
use crate::reference::{Credential, Referring, check_references};
use crate::schema::{self, Defs, Json};
use crate::{Percent, PipelineRateLimit, Rate, Retry, Source};

/// A connector's name, or a map.
pub(crate) struct SourceWord;

impl Form for SourceWord {
    type Value = Source;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Source> {
        if let Value::Map(_) = node.value {
            return SourceMap::read(node, reader);
        }
        let connector = Located::<ConnectorName>::read(node, reader)?;
        let config = Vec::new();
        let (account, rate_limit, retry) = (None, None, None);
        Some(Source { connector, credential: None, config, base_url: None, account, rate_limit, retry })
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([ConnectorName::schema(defs), SourceMap::schema(defs)])
    }
}

record! {
    /// A provider, and how it is reached.
    SourceMap -> Source, "source" {
        /// A built-in connector's name, or the path of a connector file, such as `./connectors/acme.yaml`.
        need connector: Located<ConnectorName>,
        /// Where the secret is. Default: the environment variable `SYNC_CONNECTOR_SECRET`.
        may credential: Located<Credential>,
        /// The connector's settings.
        may config: MapOf<SettingName, Located<Setting>>,
        /// Replaces the connector's whole base. Must be https, except on loopback.
        may base_url: Located<PipelineBase>,
        /// The account whose budget is spent, if it cannot be told from credential and host: pipelines that name the
        /// same account share it.
        may account: AccountName,
        /// Replaces what the connector says about limits; a plan may allow more or less.
        may rate_limit: RateLimitMap,
        /// How long to go on trying one request.
        may retry: RetryMap,
    }
    |reader, fields| {
        Some(Source { connector, credential, config: config.unwrap_or_default(), base_url, account, rate_limit, retry })
    }
}

record! {
    /// Limits of the account.
    RateLimitMap -> PipelineRateLimit, "source_rate_limit" {
        /// All of them must allow a request. What the provider says may lower them, never raise them.
        may limits: ListOf<Rate>,
        /// At most this many requests in flight.
        may concurrency: Positive,
        /// This much of every limit is left free for others who use the account.
        may reserve: Percent,
    }
    |reader, fields| {
        if reserve.is_some_and(|reserve| reserve.millionths >= 1_000_000) {
            reader.find(fields.span_of("reserve"), "a `reserve` of all leaves nothing", "such as `20%`");
        }
        Some(PipelineRateLimit { limits, concurrency, reserve })
    }
}

record! {
    /// How long to go on trying one request.
    RetryMap -> Retry, "retry" {
        /// Attempts of one request, the first included.
        may attempts: Positive,
        /// From the first attempt to the last, at most.
        may max_wait: Interval,
    }
    |reader, fields| Some(Retry { attempts, max_wait })
}

/// The name of an account.
struct AccountName;

impl Form for AccountName {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "the name of an account")?;
        if text.is_empty() || text.len() > 100 || text.contains(char::is_control) {
            return reader.refuse(node, "the name of an account", "one line of at most 100 characters");
        }
        Some(text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^.{1,100}$", "The name of an account, such as its number.")
    }
}

/// A built-in connector's name, or a path.
struct ConnectorName;

impl Form for ConnectorName {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        const WHAT: &str = "the name of a connector or the path of its file";
        let text = reader.text(node, WHAT)?;
        if !(check_references(node, text, reader) & mask::check_url(node, text, reader)) {
            return None;
        }
        let path = text.starts_with(['.', '/']) || text.starts_with("${");
        if path || is_connector_name(text) {
            return Some(text.to_owned());
        }
        let help = if text.contains("://") {
            "only providers can be read: a built-in one by its name, your own by the path of its file"
        } else if text.contains(['/', '.']) {
            "a path begins with `./` or `/`"
        } else {
            "a name is made of small letters, digits, `-` and `_`; a path begins with `./` or `/`"
        };
        reader.find(node.span, format!("`{}` is not {WHAT}", shown(text)), help);
        None
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(
            r"^([a-z][a-z0-9_-]*|[./].*|\$\{.*)$",
            "A built-in connector's name, or a path that begins with `./` or `/`.",
        )
    }
}

pub(crate) fn is_connector_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 100
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// The value of a setting, as it was written.
struct Setting;

impl Form for Setting {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let value = Referring::read(node, reader)?;
        let word = reader.word();
        if mask::is_secret_word(word) && crate::reference::reference(&value).is_none() {
            let message = format!("`{}` looks like a secret, and settings are no secrets", shown(word));
            reader.find(node.span, message, "`credential` says where secrets are");
            return None;
        }
        Some(value)
    }

    fn schema(defs: &mut Defs) -> Json {
        Referring::schema(defs)
    }
}
