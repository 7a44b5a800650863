//! A plan with its settings in: every URL known, every request ready to be built.

use std::fmt;
use std::sync::Arc;

use sync_core::{Ask, Classify, Explain, Kind, Operation, Request, Response};
use sync_spec::{ConfigField, ConfigKind, FieldPath, Hole, RateLimit, Redirects, Root};
use url::Url;

use crate::classify::Rules;
use crate::json::{self, Value};
use crate::method::{Method, methods};
use crate::plan::{Plan, holes_of};
use crate::read::{Hands, ReadError, ReadOptions, Reader};
use crate::request::{Settings, fill, setting};
use crate::scope::Scope;
use crate::types::{ProviderTypes, TypesFrom};

/// A connector bound to settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    plan: Plan,
    settings: Settings,
    methods: Vec<Method>,
    rules: Arc<Rules>,
}

/// Settings that a connector cannot be bound to: everything that is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// At least one.
    pub list: Vec<BindProblem>,
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindProblem {
    /// The setting, or nothing where it is the base URL.
    pub config: Option<String>,
    /// What is wrong, as a sentence that names the setting.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<_> = self.list.iter().map(|p| p.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for BindError {}

impl Explain for BindError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }
    fn code(&self) -> &'static str {
        "invalid_config"
    }
    fn hint(&self) -> Option<String> {
        self.list.iter().find_map(|p| p.help.clone())
    }
}

impl Plan {
    /// Fills the holes that settings fill. `base_url` replaces the connector's whole base; settings that only
    /// the old base looked up are not needed then.
    pub fn bind(&self, config: &[(String, String)], base_url: Option<&str>) -> Result<Bound, BindError> {
        let mut list = Vec::new();
        let config = self.settle_all(config, base_url.is_some(), &mut list);
        let base = self.base(&config, base_url, &mut list);
        let (Some(base), true) = (base, list.is_empty()) else { return Err(BindError { list }) };

        let plain = self.headers.iter().filter(|(_, t)| holes_of(t).all(|h| h.root != Root::Secret));
        let look_up = |hole: &Hole| setting(&config, hole);
        let headers = plain.filter_map(|(name, t)| Some((name.clone(), fill(t, look_up)?))).collect();
        let follow_redirects = self.redirects == Redirects::SameHost;
        let mut settings =
            Settings { base, config, headers, follow_redirects, secret_parameters: Vec::new() };
        let methods = methods(self, &settings);
        let signatures = methods.iter().flat_map(|method| &method.signatures);
        let in_query = signatures.filter(|signature| signature.place == sync_core::Place::Query);
        settings.secret_parameters = in_query.map(|signature| signature.name.clone()).collect();
        let rules = Arc::new(Rules::new(self, &settings));
        Ok(Bound(Arc::new(Inner { plan: self.clone(), settings, methods, rules })))
    }

    /// The value of every setting that has one.
    fn settle_all(
        &self,
        given: &[(String, String)],
        base_replaced: bool,
        list: &mut Vec<BindProblem>,
    ) -> Vec<(String, String)> {
        for (name, _) in given {
            if !self.config().iter().any(|(n, _)| n == name) {
                let known: Vec<_> = self.config().iter().map(|(n, _)| format!("`{n}`")).collect();
                let help = match known.as_slice() {
                    [] => format!("{} has no settings", self.title()),
                    known => format!("it knows {}", known.join(", ")),
                };
                let message = format!("{} has no setting `{name}`", self.title());
                list.push(BindProblem { config: Some(name.clone()), message, help: Some(help) });
            }
        }
        let beside_base = self.config_beside_base();
        let mut settled = Vec::new();
        for (name, field) in self.config() {
            let value = given.iter().find(|(n, _)| n == name).map(|(_, v)| v).or(field.default.as_ref());
            match value.map(|v| settle(field, v)) {
                Some(Ok(value)) => settled.push((name.clone(), value)),
                Some(Err(wrong)) => list.push(BindProblem {
                    config: Some(name.clone()),
                    message: format!("the setting `{name}` {wrong}"),
                    help: field.help.clone(),
                }),
                None if field.optional || (base_replaced && !beside_base.contains(&name.as_str())) => {}
                None => list.push(BindProblem {
                    config: Some(name.clone()),
                    message: format!("{} needs the setting `{name}`", self.title()),
                    help: field.help.clone().or_else(|| Some(format!("write `config: {{ {name}: … }}`"))),
                }),
            }
        }
        settled
    }

    fn base(
        &self,
        config: &[(String, String)],
        given: Option<&str>,
        list: &mut Vec<BindProblem>,
    ) -> Option<Url> {
        // A setting that is missing or wrong has been named already.
        let text = given.map(str::to_owned).or_else(|| fill(&self.base_url, |hole| setting(config, hole)))?;
        match base_url(&text) {
            Ok(url) => Some(url),
            Err(wrong) => {
                let message = format!("the base URL `{text}` {wrong}");
                let help = Some("write scheme, host and path, such as https://api.example.com/v1".to_owned());
                list.push(BindProblem { config: None, message, help });
                None
            }
        }
    }
}

impl Bound {
    /// Scheme, host and path before every path of the connector.
    pub fn base_url(&self) -> &Url {
        &self.0.settings.base
    }

    /// The plan it was made from.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The ways in which its requests can be signed, the usual one first; at least one.
    pub fn methods(&self) -> &[Method] {
        &self.0.methods
    }

    /// What the provider allows, and where it says so.
    pub fn rate_limit(&self) -> &RateLimit {
        &self.0.plan.rate_limit
    }

    /// The path that names the account in the answer to [`check`](Self::check), if the connector knows one.
    pub fn account(&self) -> Option<&FieldPath> {
        self.0.plan.account.as_ref()
    }

    /// The account that the answer to [`check`](Self::check) names.
    pub fn account_in(&self, response: &Response) -> Option<String> {
        let path = self.account()?;
        let body = std::str::from_utf8(&response.body).ok()?;
        match json::get(body, &path.0)? {
            Value::Number(raw) => Some(raw.to_owned()),
            Value::Text(text) if !text.is_empty() => Some(text.into_owned()),
            _ => None,
        }
    }

    /// The account that a setting names: a label of the host is a tenant's own.
    pub fn tenant(&self) -> Option<String> {
        let plan = &self.0.plan;
        let labels = plan.config().iter().filter(|(_, field)| field.kind == ConfigKind::HostLabel);
        let used = |name: &str| holes_of(&plan.base_url).any(|h| h.path.0.first().is_some_and(|n| n == name));
        let mut labels = labels.filter(|(name, _)| used(name));
        let (name, _) = labels.next()?;
        self.0.settings.config.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// What its answers mean.
    pub fn classify(&self) -> Arc<dyn Classify> {
        self.0.rules.clone()
    }

    /// The request that tells whether a credential works, if the connector has one.
    pub fn check(&self) -> Option<Request> {
        let plan = self.0.plan.check.as_ref()?;
        let scope = Scope { stream: "check".to_owned(), ..Scope::default() };
        plan.build(&self.0.settings, &scope, &[], &[], Operation::Check).ok()
    }

    /// Connector and host: whose budget its requests spend.
    pub fn identity(&self) -> String {
        let base = &self.0.settings.base;
        let host = base.host_str().unwrap_or_default();
        match base.port() {
            Some(port) => format!("{}@{host}:{port}", self.0.plan.name()),
            None => format!("{}@{host}", self.0.plan.name()),
        }
    }

    /// Begins, or goes on with, one slice of a stream.
    pub fn read(
        &self,
        stream: &str,
        options: ReadOptions,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<Reader, ReadError> {
        Reader::new(self, stream, options, ask, hands)
    }

    /// The types that the provider tells of a stream's columns. The error: it cannot be read.
    pub async fn types(
        &self,
        from: &TypesFrom,
        memory: usize,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<ProviderTypes, ReadError> {
        from.fetch(self, memory, ask, hands).await
    }
}

/// The value that a setting has: cleaned, of its kind, and matching. The error continues a sentence about it.
pub(crate) fn settle(field: &ConfigField, value: &str) -> Result<String, String> {
    let mut value = clean(field, value);
    if field.kind == ConfigKind::HostLabel {
        value = value.to_ascii_lowercase(); // host names do not know case
    }
    if value.is_empty() {
        return Err("is empty".to_owned());
    }
    fits(&field.kind, &value)?;
    if let Some(pattern) = &field.pattern {
        let whole = regex_lite::Regex::new(&format!("^(?:{})$", pattern.value));
        if !whole.is_ok_and(|regex| regex.is_match(&value)) {
            return Err(format!("is `{value}`, which does not match {}", pattern.value));
        }
    }
    Ok(value)
}

fn clean(field: &ConfigField, value: &str) -> String {
    let mut value = value.trim();
    for word in &field.clean {
        if word == "scheme" {
            value = value.split_once("://").map_or(value, |(_, rest)| rest);
            value = value.split(['/', '?', '#']).next().unwrap_or(value);
            continue;
        }
        let at = value.len().saturating_sub(word.len());
        if value.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(word)) {
            value = &value[..at];
        }
    }
    value.to_owned()
}

fn fits(kind: &ConfigKind, value: &str) -> Result<(), String> {
    let ok = match kind {
        ConfigKind::Text => true,
        ConfigKind::Int => value.parse::<i64>().is_ok(),
        ConfigKind::Bool => matches!(value, "true" | "false"),
        ConfigKind::Date => sync_core::parse_date(value.as_bytes()).is_some(),
        ConfigKind::Url => return base_url(value).map(drop),
        ConfigKind::HostLabel => is_host_label(value),
        ConfigKind::Enum(known) => known.iter().any(|k| k == value),
    };
    if ok {
        return Ok(());
    }
    Err(match kind {
        ConfigKind::Int => format!("is `{value}`, not a whole number"),
        ConfigKind::Bool => format!("is `{value}`, neither true nor false"),
        ConfigKind::Date => format!("is `{value}`, not a day such as 2024-01-31"),
        ConfigKind::Enum(known) => format!("is `{value}`, not one of {}", known.join(", ")),
        _ => format!("is `{value}`, not one part of a host name: letters, digits and inner hyphens"),
    })
}

/// One label of a host name (RFC 1123, 2.1).
fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http nor https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a credential; a credential is named under `credential`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds more than scheme, host and path".to_owned());
    }
    Ok(url)
}
