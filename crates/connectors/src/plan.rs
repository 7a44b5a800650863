//! A connector file resolved: defaults merged into every stream, and checked as a whole.
//!
//! What is wrong with one word by itself was found when the file was read; here is what shows only together. Maps
//! merge key by key, lists and scalars replace, naming another kind drops the old kind. No `Option` that
//! means "inherit" survives.

use std::sync::Arc;
use std::time::Duration;

use sync_core::Operation;
use sync_spec::{
    Auth, AuthKind, Condition, ConfigField, Connector, Cursor, CursorWord, ErrorRule, FieldPath, Finding,
    Findings, Hole, Paginate, PaginateKind, Piece, RateLimit, Redirects, RequestMethod, RequestSpec, Root,
    Said, Span, Spanned, StopRule, Stream, Template,
};

use crate::cursor::Format;
use crate::mold::Mold;
use crate::request::RequestPlan;
use crate::types::TypesFrom;

/// A connector that can be bound to settings.
#[derive(Clone, Debug)]
pub struct Plan {
    name: String,
    title: String,
    config: Vec<(String, ConfigField)>,
    streams: Vec<StreamPlan>,
    pub(crate) base_url: Template,
    pub(crate) headers: Vec<(String, Template)>,
    pub(crate) redirects: Redirects,
    pub(crate) auth: Auth,
    pub(crate) account: Option<FieldPath>,
    pub(crate) rate_limit: RateLimit,
    pub(crate) errors: Vec<ErrorRule>,
    pub(crate) check: Option<RequestPlan>,
}

/// A stream with everything it inherits.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// Its name.
    pub name: String,
    /// A word for people.
    pub description: Option<String>,
    /// Whether it is off unless asked for by name.
    pub unverified: bool,
    /// The fields of the primary key; empty means none.
    pub key: Vec<String>,
    /// How changes are told, if they are.
    pub cursor: Option<CursorPlan>,
    pub(crate) request: RequestPlan,
    pub(crate) records: Vec<FieldPath>,
    /// Types that the provider documents, by path.
    pub types: Vec<(FieldPath, sync_core::Type)>,
    /// Where the provider itself tells types, if it does.
    pub types_from: Option<Arc<TypesFrom>>,
    pub(crate) mold: Mold,
    pub(crate) keep: Condition,
    pub(crate) deleted_when: Condition,
    pub(crate) listing: Listing,
}

/// How changes are told: by a field that this program compares.
#[derive(Clone, Debug)]
pub struct CursorPlan {
    /// The path of the field that orders changes.
    pub field: Vec<String>,
    /// The first read begins here, as written.
    pub start: Option<String>,
    /// The margin that is read again.
    pub lookback: Duration,
    /// How long a change may stay invisible.
    pub hold_back: Duration,
    pub(crate) format: Format,
    pub(crate) newest_first: Option<Vec<(String, Template)>>,
    pub(crate) oldest_first: Option<Vec<(String, Template)>>,
}

impl StreamPlan {
    /// Whether rows of it can be tombstones.
    pub fn tells_deletes(&self) -> bool {
        !self.deleted_when.0.is_empty()
    }

    /// Names that a row is known to have outside of what is lifted: those of the cursor and of conditions.
    pub fn envelope(&self) -> Vec<String> {
        let Some(lift) = &self.mold.lift else { return Vec::new() };
        let cursor = self.cursor.iter().map(|c| c.field.first());
        let conditions = self.keep.0.iter().chain(&self.deleted_when.0).map(|(path, _)| path.0.first());
        let names = cursor.chain(conditions).flatten().filter(|name| lift.first() != Some(name));
        names.cloned().collect()
    }

    /// The object in each row of which every key becomes a field of the row.
    pub fn lift(&self) -> Option<&[String]> {
        self.mold.lift.as_deref()
    }
}

impl CursorPlan {
    /// The query parameters of both sorted listings.
    fn sorted(&self) -> impl Iterator<Item = &(String, Template)> {
        [&self.newest_first, &self.oldest_first].into_iter().flatten().flatten()
    }
}

/// How a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// One answer is all of it.
    Whole,
    /// In pages.
    Pages(Paging),
}

/// How pages are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    pub address: Address,
    /// The size parameter and its value.
    pub size: Option<(String, u64)>,
    pub stop: StopRule,
}

/// What the paging parameter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Pages, from `first`.
    Page { param: String, first: u64 },
    /// Rows to pass over.
    Offset { param: String },
}

impl Plan {
    /// Merges, resolves and checks a connector. Errors: everything that is wrong with it.
    pub fn build(connector: &Connector) -> Result<Self, Findings> {
        let mut check = Check { connector, findings: Vec::new() };
        let plan = check.plan();
        if check.findings.is_empty() {
            return Ok(plan);
        }
        Err(connector.document.findings(check.findings))
    }

    /// The provider's name, as files name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provider's name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The names of its kinds of credential, the usual one first; none where there is only one.
    pub fn method_names(&self) -> impl Iterator<Item = &str> {
        let named: &[_] = match &self.auth {
            Auth::OneOf(list) => list,
            Auth::None | Auth::One(_) => &[],
        };
        named.iter().map(|(name, _)| name.value.as_str())
    }

    /// Whether a kind of credential looks up this setting.
    pub fn method_needs(&self, method: Option<&str>, setting: &str) -> bool {
        let kind = match (&self.auth, method) {
            (Auth::One(one), _) => &one.kind,
            (Auth::OneOf(list), Some(wanted)) => match list.iter().find(|(name, _)| name.value == wanted) {
                Some((_, method)) => &method.kind,
                None => return false,
            },
            _ => return false,
        };
        let templates: Vec<&Template> = match kind {
            AuthKind::At(at) => vec![&at.place, &at.name],
            AuthKind::OAuth(oauth) => oauth.authorize.iter().chain([&oauth.token]).collect(),
            _ => Vec::new(),
        };
        let mut holes = templates.into_iter().flat_map(holes_of).filter(|hole| hole.root == Root::Config);
        holes.any(|hole| hole.path.0.first().is_some_and(|name| name == setting))
    }

    /// Its settings, in the order written.
    pub fn config(&self) -> &[(String, ConfigField)] {
        &self.config
    }

    /// Its streams, in the order written.
    pub fn streams(&self) -> &[StreamPlan] {
        &self.streams
    }

    /// The stream of that name.
    pub fn stream(&self, name: &str) -> Option<&StreamPlan> {
        self.streams.iter().find(|s| s.name == name)
    }

    /// The names of the settings that something other than the base URL looks up.
    pub(crate) fn config_beside_base(&self) -> Vec<&str> {
        let listings = self.streams.iter().filter_map(|s| s.types_from.as_ref()).map(|from| from.listing());
        let requests = self.streams.iter().chain(listings).map(|s| &s.request).chain(&self.check);
        let sorted = self.streams.iter().filter_map(|s| s.cursor.as_ref()).flat_map(CursorPlan::sorted);
        let templates = self.headers.iter().chain(sorted).map(|(_, t)| t);
        let holes = templates.flat_map(holes_of).chain(requests.flat_map(RequestPlan::holes));
        holes.filter(|h| h.root == Root::Config).filter_map(|h| Some(h.path.0.first()?.as_str())).collect()
    }
}

/// The holes of a template.
pub(crate) fn holes_of(template: &Template) -> impl Iterator<Item = &Hole> {
    template.0.iter().filter_map(|piece| match piece {
        Piece::Hole(hole) => Some(hole),
        Piece::Text(_) => None,
    })
}

struct Check<'a> {
    connector: &'a Connector,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn wrong(&mut self, span: Span, message: impl Into<String>, help: Option<&str>) {
        self.findings.push(Finding { span, message: message.into(), help: help.map(str::to_owned) });
    }

    fn plan(&mut self) -> Plan {
        let connector = self.connector;
        let span = connector.connector.span;
        self.holes(holes_of(&connector.base_url.value), connector.base_url.span);
        self.holes(connector.headers.iter().flat_map(|(_, t)| holes_of(t)), span);
        for (name, field) in &connector.config {
            self.config_field(name, field);
        }
        let check = connector.check.as_ref().and_then(|spec| self.request(spec, "check", span));
        let streams: Vec<_> = connector
            .streams
            .iter()
            .filter_map(|(name, stream)| self.stream(name, &merge(&connector.defaults, stream)))
            .collect();
        if connector.streams.is_empty() {
            self.wrong(span, "a connector has at least one stream", None);
        }
        Plan {
            name: connector.connector.value.clone(),
            title: connector.title.clone().unwrap_or_else(|| connector.connector.value.clone()),
            config: connector.config.iter().map(|(n, f)| (n.value.clone(), f.clone())).collect(),
            streams,
            base_url: connector.base_url.value.clone(),
            headers: connector.headers.clone(),
            redirects: connector.redirects,
            auth: connector.auth.clone(),
            account: connector.account.as_ref().map(|path| path.value.clone()),
            rate_limit: connector.rate_limit.clone(),
            errors: connector.errors.clone(),
            check,
        }
    }

    /// A setting that may be absent can fill only a place that may be left out.
    fn holes<'h>(&mut self, holes: impl IntoIterator<Item = &'h Hole>, span: Span) {
        for hole in holes.into_iter().filter(|h| h.root == Root::Config && !h.optional) {
            let known =
                self.connector.config.iter().find(|(name, _)| hole.path.0.first() == Some(&name.value));
            if let Some((name, field)) = known
                && field.optional
                && field.default.is_none()
            {
                let help = format!("write `${{config.{}?}}`, which leaves the whole entry out", name.value);
                self.wrong(span, format!("the setting `{}` may be absent", name.value), Some(&help));
            }
        }
    }

    fn config_field(&mut self, name: &Spanned<String>, field: &ConfigField) {
        if let Some(default) = &field.default
            && let Err(wrong) = crate::bind::settle(field, default)
        {
            self.wrong(name.span, format!("the default of `{}` {wrong}", name.value), None);
        }
    }

    fn request(&mut self, spec: &RequestSpec, whose: &str, span: Span) -> Option<RequestPlan> {
        let Some((method, path)) = &spec.target else {
            self.wrong(span, format!("`{whose}` has no request"), Some("write `get: /path`"));
            return None;
        };
        let plan = RequestPlan::new(*method, &path.value, spec);
        self.holes(plan.holes(), path.span);
        Some(plan)
    }

    fn stream(&mut self, name: &Spanned<String>, merged: &Stream) -> Option<StreamPlan> {
        let (span, before) = (name.span, self.findings.len());
        let request = self.request(&merged.request, &name.value, span);
        let listing = self.listing(merged.paginate.as_ref(), merged, &name.value, span);
        let cursor = match &merged.cursor {
            Some(CursorWord::Some(cursor)) => self.cursor(cursor, &name.value, span),
            Some(CursorWord::None) | None => None,
        };
        let types_from = merged.types_from.as_ref().and_then(Said::some);
        let types_from = types_from.and_then(|from| self.types_from(from, name));
        if self.findings.len() > before {
            return None;
        }
        Some(StreamPlan {
            name: name.value.clone(),
            description: merged.description.clone(),
            unverified: merged.unverified.unwrap_or(false),
            key: merged.key.clone().unwrap_or_default(),
            cursor,
            request: request?,
            records: merged.records.iter().flatten().map(|path| path.value.clone()).collect(),
            types: merged.types.iter().map(|(path, ty)| (path.value.clone(), *ty)).collect(),
            types_from: types_from.map(Arc::new),
            mold: Mold {
                drop: merged
                    .drop
                    .iter()
                    .filter_map(Said::some)
                    .flatten()
                    .map(|path| path.0.clone())
                    .collect(),
                lift: merged.lift.as_ref().and_then(Said::some).map(|path| path.0.clone()),
            },
            keep: merged.keep.clone().unwrap_or_default(),
            deleted_when: merged.deleted_when.clone().unwrap_or_default(),
            listing,
        })
    }

    /// A listing of fields is read as a stream is, but inherits nothing.
    fn types_from(&mut self, from: &sync_spec::TypesFrom, of: &Spanned<String>) -> Option<TypesFrom> {
        let name = Spanned { value: format!("types_from of {}", of.value), span: of.span };
        let listing = Stream {
            request: from.request.clone(),
            records: from.records.clone(),
            paginate: from.paginate.clone(),
            ..Stream::default()
        };
        let listing = self.stream(&name, &listing)?;
        Some(TypesFrom::new(listing, from))
    }

    fn listing(&mut self, paginate: Option<&Paginate>, merged: &Stream, name: &str, span: Span) -> Listing {
        let Some(paginate) = paginate else { return Listing::Whole };
        let address = match &paginate.kind {
            None => {
                let help = Some("write `paginate: { offset: { param: … } }`, `page`, or `none`");
                self.wrong(span, format!("`paginate` of `{name}` does not say how"), help);
                return Listing::Whole;
            }
            Some(PaginateKind::None) => return Listing::Whole,
            Some(PaginateKind::Page { param, first }) => {
                Address::Page { param: param.clone(), first: *first }
            }
            Some(PaginateKind::Offset { param }) => Address::Offset { param: param.clone() },
        };
        let stop = paginate.stop.clone().unwrap_or_default();
        if stop == StopRule::Short && paginate.size.is_none() {
            let help = Some("a page is short when it has fewer rows than `size` asks for");
            self.wrong(span, format!("`paginate` of `{name}` stops at a short page but has no `size`"), help);
        }
        let (Address::Page { param, .. } | Address::Offset { param }) = &address;
        let size = paginate.size.as_ref().map(|(name, _)| name);
        for own in std::iter::once(param).chain(size) {
            if merged.request.query.iter().any(|(n, value)| n == own && value.is_some()) {
                let message = format!("`{own}` of `{name}` stands in `query`, and `paginate` sets it");
                self.wrong(span, message, None);
            }
        }
        Listing::Pages(Paging { address, size: paginate.size.clone(), stop })
    }

    fn cursor(&mut self, cursor: &Cursor, name: &str, span: Span) -> Option<CursorPlan> {
        let Some(field) = cursor.field.clone() else {
            self.wrong(span, format!("`cursor` of `{name}` names no field"), Some("write `field: …`"));
            return None;
        };
        let format = match Format::new(cursor.format.as_ref()) {
            Ok(format) => format,
            Err(wrong) => {
                self.wrong(span, format!("`cursor.format` of `{name}` {wrong}"), None);
                return None;
            }
        };
        if let Some(start) = &cursor.start
            && format.parse_start(&start.value).is_none()
        {
            let message = format!("`cursor.start` of `{name}` is not a moment: `{}`", start.value);
            self.wrong(start.span, message, Some("write a date such as 2024-01-31"));
        }
        let sorted = [&cursor.newest_first, &cursor.oldest_first].into_iter().flatten().flatten();
        self.holes(sorted.flat_map(|(_, t)| holes_of(t)), span);
        Some(CursorPlan {
            field: field.0,
            start: cursor.start.as_ref().map(|s| s.value.clone()),
            lookback: cursor.lookback.unwrap_or_default(),
            hold_back: cursor.hold_back.unwrap_or_default(),
            format,
            newest_first: cursor.newest_first.clone(),
            oldest_first: cursor.oldest_first.clone(),
        })
    }
}

/// A stream with what it inherits.
fn merge(defaults: &Stream, own: &Stream) -> Stream {
    Stream {
        request: merge_request(&defaults.request, &own.request),
        records: own.records.clone().or_else(|| defaults.records.clone()),
        keep: own.keep.clone().or_else(|| defaults.keep.clone()),
        deleted_when: own.deleted_when.clone().or_else(|| defaults.deleted_when.clone()),
        types: {
            let inherited = defaults
                .types
                .iter()
                .filter(|(path, _)| own.types.iter().all(|(p, _)| p.value != path.value));
            own.types.iter().chain(inherited).cloned().collect()
        },
        drop: own.drop.clone().or_else(|| defaults.drop.clone()),
        lift: own.lift.clone().or_else(|| defaults.lift.clone()),
        types_from: own.types_from.clone().or_else(|| defaults.types_from.clone()),
        key: own.key.clone().or_else(|| defaults.key.clone()),
        paginate: merge_paginate(defaults.paginate.as_ref(), own.paginate.as_ref()),
        cursor: merge_cursor(defaults.cursor.as_ref(), own.cursor.as_ref()),
        unverified: own.unverified.or(defaults.unverified),
        description: own.description.clone().or_else(|| defaults.description.clone()),
    }
}

fn merge_request(defaults: &RequestSpec, own: &RequestSpec) -> RequestSpec {
    // A stream that turns a `post` into a `get` has dropped the old kind, and the body went with it.
    let to_get = matches!(own.target, Some((RequestMethod::Get, _)));
    let inherited = defaults.body.as_ref().filter(|_| !to_get);
    RequestSpec {
        target: own.target.clone().or_else(|| defaults.target.clone()),
        query: merge_map(&defaults.query, &own.query, str::eq),
        headers: merge_map(&defaults.headers, &own.headers, str::eq_ignore_ascii_case),
        body: crate::request::merge_body(inherited, own.body.as_ref()),
    }
}

/// Key by key: an entry of `own` stands in the place of the inherited one, new ones come after.
pub(crate) fn merge_map<T: Clone>(
    defaults: &[(String, T)],
    own: &[(String, T)],
    same: impl Fn(&str, &str) -> bool,
) -> Vec<(String, T)> {
    let mut merged = defaults.to_vec();
    for entry in own {
        match merged.iter_mut().find(|(name, _)| same(name, &entry.0)) {
            Some(inherited) => *inherited = entry.clone(),
            None => merged.push(entry.clone()),
        }
    }
    merged
}

fn merge_paginate(defaults: Option<&Paginate>, own: Option<&Paginate>) -> Option<Paginate> {
    let (Some(defaults), Some(own)) = (defaults, own) else {
        return own.or(defaults).cloned();
    };
    Some(Paginate {
        kind: own.kind.clone().or_else(|| defaults.kind.clone()),
        size: own.size.clone().or_else(|| defaults.size.clone()),
        stop: own.stop.clone().or_else(|| defaults.stop.clone()),
    })
}

fn merge_cursor(defaults: Option<&CursorWord>, own: Option<&CursorWord>) -> Option<CursorWord> {
    let (Some(CursorWord::Some(defaults)), Some(CursorWord::Some(own))) = (defaults, own) else {
        return own.or(defaults).cloned();
    };
    let query = |defaults: &Option<Vec<(String, Template)>>, own: &Option<Vec<(String, Template)>>| match (
        defaults, own,
    ) {
        (Some(defaults), Some(own)) => Some(merge_map(defaults, own, str::eq)),
        (defaults, own) => own.clone().or_else(|| defaults.clone()),
    };
    Some(CursorWord::Some(Box::new(Cursor {
        field: own.field.clone().or_else(|| defaults.field.clone()),
        format: own.format.clone().or_else(|| defaults.format.clone()),
        mode: own.mode.or(defaults.mode),
        newest_first: query(&defaults.newest_first, &own.newest_first),
        oldest_first: query(&defaults.oldest_first, &own.oldest_first),
        start: own.start.clone().or_else(|| defaults.start.clone()),
        lookback: own.lookback.or(defaults.lookback),
        hold_back: own.hold_back.or(defaults.hold_back),
    })))
}

/// Whether an error rule is for an operation.
pub(crate) fn is_for(rule: &ErrorRule, operation: Operation) -> bool {
    rule.op.is_empty() || rule.op.contains(&operation)
}
