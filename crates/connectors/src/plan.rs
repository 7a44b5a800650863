//! A connector file resolved: defaults merged into every stream, and checked as a whole.
//!
//! What is wrong with one word by itself was found when the file was read; here is what shows only together. Maps
//! merge key by key, lists and scalars replace, naming another kind drops the old kind. No `Option` that
//! means "inherit" survives.

use std::sync::Arc;
use std::time::Duration;

use sync_core::Operation;
use sync_spec::{
    Auth, AuthKind, BodyTemplate, Ceiling, CeilingThen, Chunk, Condition, ConfigField, Connector, Cursor,
    CursorMode, CursorWord, Decode, EachValues, ErrorRule, Explode, FieldPath, Finding, Findings, Hole,
    KeysetOrder, KeysetTo, Nulls, Paginate, PaginateKind, Parameter, Piece, RateLimit, Redirects,
    RequestSpec, Root, Said, Size, Span, Spanned, StopRule, Stream, Template, Variant,
};

use crate::cursor::{Format, Pen};
use crate::mold::Mold;
use crate::request::{RequestPlan, body_holes};
use crate::types::TypesFrom;

mod merge;

pub(crate) use merge::merge_map;

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
    /// Types that the provider documents, by path.
    pub types: Vec<(FieldPath, sync_core::Type)>,
    /// Where the provider itself tells types, if it does.
    pub types_from: Option<Arc<TypesFrom>>,
    pub(crate) mold: Mold,
    /// The listing that is read without state, or always.
    pub(crate) main: ListingPlan,
    /// The listing that is read with state, where it is another.
    pub(crate) changed: Option<ListingPlan>,
    /// A further listing in each read.
    pub(crate) archived: Option<ListingPlan>,
    pub(crate) slices: Slices,
    pub(crate) rewrite: Rewrite,
    pub(crate) columns: Option<ColumnsPlan>,
    pub(crate) enabled_when: Condition,
}

/// One listing: a request, where its rows are, and how it goes on.
#[derive(Clone, Debug)]
pub(crate) struct ListingPlan {
    pub request: RequestPlan,
    pub records: Vec<FieldPath>,
    pub keep: Condition,
    pub deleted_when: Condition,
    pub listing: Listing,
}

/// The parts of a stream that are read one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices {
    /// One for each row of this stream.
    pub for_each: Option<ParentPlan>,
    /// One for each of these values.
    pub each: Vec<(String, EachValues)>,
    /// One for each element of a list that the provider gives.
    pub each_from: Option<(RequestPlan, Vec<FieldPath>)>,
}

/// The stream whose rows make slices of another.
#[derive(Clone, Debug)]
pub(crate) struct ParentPlan {
    pub stream: String,
    pub only_changed: bool,
    pub batch: usize,
    /// The top-level fields of its rows that are looked up.
    pub fields: Vec<String>,
}

/// What is done to an answer before its rows are looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrite {
    pub decode: Decode,
    pub gzip: bool,
    pub explode: Option<Explode>,
    pub set: Vec<(String, BodyTemplate)>,
}

/// The fields that must be named to be sent.
#[derive(Clone, Debug)]
pub(crate) struct ColumnsPlan {
    pub request: RequestPlan,
    pub records: Vec<FieldPath>,
    pub name: FieldPath,
    pub chunk: Option<Chunk>,
    pub merge_on: FieldPath,
}

/// How changes are told.
#[derive(Clone, Debug)]
pub struct CursorPlan {
    /// The path of the field that orders changes.
    pub field: Vec<String>,
    /// Who compares.
    pub mode: CursorMode,
    /// The first read begins here, as written.
    pub start: Option<String>,
    /// The margin that is read again.
    pub lookback: Duration,
    /// How long a change may stay invisible.
    pub hold_back: Duration,
    /// How much time is asked for at once.
    pub window: Option<Duration>,
    pub(crate) nulls: Nulls,
    pub(crate) fallback_after: Option<Duration>,
    pub(crate) format: Format,
    pub(crate) pen: Pen,
    pub(crate) newest_first: Option<Vec<(String, Template)>>,
    pub(crate) oldest_first: Option<Vec<(String, Template)>>,
    /// A second listing, and the field that orders it.
    pub(crate) also: Option<(ListingPlan, Vec<String>)>,
}

impl StreamPlan {
    /// Whether rows of it can be tombstones.
    pub fn tells_deletes(&self) -> bool {
        self.listings().any(|listing| !listing.deleted_when.0.is_empty())
    }

    /// Names that a row is known to have outside of what is lifted: those of the cursor and of conditions.
    pub fn envelope(&self) -> Vec<String> {
        let Some(lift) = &self.mold.lift else { return Vec::new() };
        let cursor = self.cursor.iter().map(|c| c.field.first());
        let conditions = self
            .listings()
            .flat_map(|l| l.keep.0.iter().chain(&l.deleted_when.0))
            .map(|(path, _)| path.0.first());
        let names = cursor.chain(conditions).flatten().filter(|name| lift.first() != Some(name));
        names.cloned().collect()
    }

    /// The object in each row of which every key becomes a field of the row.
    pub fn lift(&self) -> Option<&[String]> {
        self.mold.lift.as_deref()
    }

    /// Whether its changes are asked for by windows of time.
    pub fn windowed(&self) -> bool {
        self.changed.as_ref().unwrap_or(&self.main).request.asks(Root::Window)
    }

    /// Every listing of it.
    pub(crate) fn listings(&self) -> impl Iterator<Item = &ListingPlan> {
        let also = self.cursor.as_ref().and_then(|c| c.also.as_ref()).map(|(listing, _)| listing);
        std::iter::once(&self.main).chain(&self.changed).chain(&self.archived).chain(also)
    }

    /// Every request of it.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &RequestPlan> {
        let from = self.slices.each_from.as_ref().map(|(request, _)| request);
        let columns = self.columns.as_ref().map(|columns| &columns.request);
        let types = self.types_from.as_ref().map(|from| &from.listing().main.request);
        self.listings().map(|listing| &listing.request).chain(from).chain(columns).chain(types)
    }
}

impl CursorPlan {
    /// The query parameters of both sorted listings.
    fn sorted(&self) -> impl Iterator<Item = &(String, Template)> {
        [&self.newest_first, &self.oldest_first].into_iter().flatten().flatten()
    }
}

/// How a listing goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listing {
    /// One answer is all of it.
    Whole,
    /// In pages that are counted.
    Pages(Paging),
    /// By what each answer says about the next.
    Trail(Trailing),
}

/// How pages are asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Paging {
    pub address: Address,
    /// The size parameter and its value.
    pub size: Option<Size>,
    pub stop: StopRule,
    pub ceiling: Option<Ceiling>,
}

/// What the paging parameter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Pages, from `first`.
    Page { param: String, first: u64 },
    /// Rows to pass over.
    Offset { param: String },
}

/// How the next page is found in an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trailing {
    pub lead: Lead,
    pub size: Option<Size>,
    /// Nothing means: where the answer leads no further.
    pub stop: Option<StopRule>,
    pub ceiling: Option<Ceiling>,
}

/// What leads to the next page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lead {
    /// A token.
    Token { from: FieldPath, to: Parameter, more: Option<Condition>, percent: bool },
    /// An address in the answer.
    Url { from: FieldPath },
    /// An address in the header `Link`.
    Link,
    /// The greatest value so far.
    Keyset {
        by: FieldPath,
        order: KeysetOrder,
        format: Format,
        to: KeysetTo,
        first: Option<String>,
        ties: Option<(String, u64)>,
    },
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
        let requests = self.streams.iter().flat_map(StreamPlan::requests).chain(&self.check);
        let sorted = self.streams.iter().filter_map(|s| s.cursor.as_ref()).flat_map(CursorPlan::sorted);
        let templates = self.headers.iter().chain(sorted).map(|(_, t)| t);
        let holes = templates.flat_map(holes_of).chain(requests.flat_map(RequestPlan::holes));
        let looked_up =
            holes.filter(|h| h.root == Root::Config).filter_map(|h| Some(h.path.0.first()?.as_str()));
        let each = self.streams.iter().flat_map(|s| &s.slices.each).filter_map(|(_, values)| match values {
            EachValues::Setting(name) => Some(name.value.as_str()),
            EachValues::List(_) => None,
        });
        let enabled =
            self.streams.iter().flat_map(|s| &s.enabled_when.0).filter_map(|(path, _)| path.0.get(1));
        looked_up.chain(each).chain(enabled.map(String::as_str)).collect()
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
            .filter_map(|(name, stream)| {
                let merged = self.inherit(name, stream)?;
                self.stream(name, &merged)
            })
            .collect();
        for stream in &streams {
            self.parents(stream, &streams);
        }
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

    /// A stream with what it inherits: from `defaults`, then from its kind.
    fn inherit(&mut self, name: &Spanned<String>, own: &Stream) -> Option<Stream> {
        let defaults = &self.connector.defaults;
        let Some(used) = own.kind.as_ref().or(defaults.kind.as_ref()) else {
            return Some(merge::stream(defaults, own));
        };
        let Some((_, kind)) = self.connector.kinds.iter().find(|(kind, _)| kind.value == used.name.value)
        else {
            let known: Vec<_> = self.connector.kinds.iter().map(|(kind, _)| kind.value.as_str()).collect();
            let help = match sync_spec::nearest(&used.name.value, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "declare it under `kinds`".to_owned(),
                None => format!("it has {}", known.join(", ")),
            };
            self.wrong(used.name.span, format!("there is no kind `{}`", used.name.value), Some(&help));
            return None;
        };
        let mut merged = merge::stream(&merge::stream(defaults, kind), own);
        let mut missing = merge::fill_kind(&mut merged, &used.parameters);
        missing.sort();
        missing.dedup();
        for parameter in &missing {
            let message = format!("the kind `{}` of `{}` needs `{parameter}`", used.name.value, name.value);
            self.wrong(used.name.span, message, None);
        }
        missing.is_empty().then_some(merged)
    }

    fn stream(&mut self, name: &Spanned<String>, merged: &Stream) -> Option<StreamPlan> {
        let (span, before) = (name.span, self.findings.len());
        let cursor = match &merged.cursor {
            Some(CursorWord::Some(cursor)) => self.cursor(cursor, merged, &name.value, span),
            Some(CursorWord::None) | None => None,
        };
        let format = cursor.as_ref().map_or(Format::Iso, |cursor| cursor.format.clone());
        let own = Variant::default();
        let base = (merged.request.target.is_some() || merged.full.is_none())
            .then(|| merge::variant(merged, merged.full.as_ref().unwrap_or(&own)));
        let main = match (&merged.full, base) {
            (Some(full), _) => merge::variant(merged, full),
            (None, Some(base)) => base,
            (None, None) => unreachable!("one of both is there"),
        };
        let main = self.listing_plan(&main, &name.value, span, &format);
        let changed = match (&merged.changed, &merged.full) {
            (Some(changed), _) => Some(merge::variant(merged, changed)),
            (None, Some(_)) if merged.request.target.is_some() => Some(merge::variant(merged, &own)),
            _ => None,
        };
        let changed = changed.and_then(|variant| self.listing_plan(&variant, &name.value, span, &format));
        let archived = merged.archived.as_ref().map(|archived| merge::variant(merged, archived));
        let archived = archived.and_then(|variant| self.listing_plan(&variant, &name.value, span, &format));
        let slices = self.slices(merged, &name.value, span);
        let columns = merged.columns.as_ref().and_then(|word| {
            Some(ColumnsPlan {
                request: self.request(&word.request, &name.value, span)?,
                records: word.records.iter().map(|path| path.value.clone()).collect(),
                name: word.name.clone(),
                chunk: word.chunk,
                merge_on: word.merge_on.clone(),
            })
        });
        let types_from = merged.types_from.as_ref().and_then(Said::some);
        let types_from = types_from.and_then(|from| self.types_from(from, name));
        let rewrite = Rewrite {
            decode: merged.decode.unwrap_or_default(),
            gzip: merged.unpack.unwrap_or_default(),
            explode: merged.explode.clone(),
            set: merged.set.clone(),
        };
        let dropped = merged.drop.iter().filter_map(Said::some).flatten().map(|path| path.0.clone());
        let mold = Mold {
            drop: dropped.collect(),
            lift: merged.lift.as_ref().and_then(Said::some).map(|path| path.0.clone()),
        };
        if self.findings.len() > before {
            return None;
        }
        let mut plan = StreamPlan {
            name: name.value.clone(),
            description: merged.description.clone(),
            unverified: merged.unverified.unwrap_or(false),
            key: merged.key.clone().unwrap_or_default(),
            cursor,
            types: merged.types.iter().map(|(path, ty)| (path.value.clone(), *ty)).collect(),
            types_from: types_from.map(Arc::new),
            mold,
            main: main?,
            changed,
            archived,
            slices,
            rewrite,
            columns,
            enabled_when: merged.enabled_when.clone().unwrap_or_default(),
        };
        self.looked_up(&mut plan, span);
        Some(plan)
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

    fn listing_plan(
        &mut self,
        variant: &Variant,
        name: &str,
        span: Span,
        format: &Format,
    ) -> Option<ListingPlan> {
        let request = self.request(&variant.request, name, span);
        let listing = self.listing(variant.paginate.as_ref(), &variant.request, name, span, format);
        Some(ListingPlan {
            request: request?,
            records: variant.records.iter().flatten().map(|path| path.value.clone()).collect(),
            keep: variant.keep.clone().unwrap_or_default(),
            deleted_when: variant.deleted_when.clone().unwrap_or_default(),
            listing,
        })
    }

    fn slices(&mut self, merged: &Stream, name: &str, span: Span) -> Slices {
        let for_each = merged.for_each.as_ref().and_then(Said::some).cloned().map(|word| ParentPlan {
            stream: word.stream.value,
            only_changed: word.only_changed,
            batch: word.batch as usize,
            fields: Vec::new(),
        });
        let each_from = merged.each_from.as_ref().and_then(|word| {
            let request = self.request(&word.request, name, span)?;
            Some((request, word.records.iter().map(|path| path.value.clone()).collect()))
        });
        Slices { for_each, each: merged.each.clone(), each_from }
    }

    /// Checks that what the requests of a stream look up is there to be found.
    fn looked_up(&mut self, plan: &mut StreamPlan, span: Span) {
        let name = plan.name.clone();
        let mut wrong = Vec::new();
        let sliced = plan.slices.each_from.is_some();
        let server = plan.cursor.as_ref().is_some_and(|c| c.mode == CursorMode::Server);
        let mut set = Vec::new();
        plan.rewrite.set.iter().for_each(|(_, value)| body_holes(value, &mut set));
        let mut parents = Vec::new();
        for (listing, holes) in plan.listings().map(|l| (Some(l), l.request.holes())).chain([(None, set)]) {
            for hole in holes {
                let first = hole.path.0.first().map(String::as_str).unwrap_or_default();
                let keyset = listing.and_then(|l| match &l.listing {
                    Listing::Trail(Trailing { lead: Lead::Keyset { to, .. }, .. }) => Some(to),
                    _ => None,
                });
                match hole.root {
                    Root::Parent if plan.slices.for_each.is_none() => {
                        wrong.push((
                            "`parent` is looked up without `for_each`".to_owned(),
                            "say of which stream: `for_each: NAME`",
                        ));
                    }
                    Root::Parent => parents.push(first.to_owned()),
                    Root::Item if !sliced && !plan.slices.each.iter().any(|(n, _)| n == first) => {
                        wrong.push((
                            format!("`item.{first}` is looked up, and `each` gives no `{first}`"),
                            "name it under `each`, or use `each_from`",
                        ));
                    }
                    Root::Window if !server => {
                        wrong.push((
                            "`window` is looked up without `cursor: { mode: server }`".to_owned(),
                            "say the mode and the field",
                        ));
                    }
                    Root::Cursor if !server && keyset != Some(&KeysetTo::Cursor) => {
                        wrong.push((
                            "`cursor` is looked up without `cursor: { mode: server }`".to_owned(),
                            "say the mode and the field",
                        ));
                    }
                    Root::Page if !matches!(keyset, Some(KeysetTo::Page(n)) if n == first) => {
                        wrong.push((
                            format!("`page.{first}` is looked up, and `paginate` does not give it"),
                            "`keyset: { to: page.NAME }` does",
                        ));
                    }
                    Root::Columns if plan.columns.is_none() && !hole.optional => {
                        wrong.push((
                            "`columns` may be absent: where a pipeline selects none by name".to_owned(),
                            "write `${columns?:comma}`, or say under `columns` where they are listed",
                        ));
                    }
                    _ => {}
                }
            }
        }
        if let Some(parent) = &mut plan.slices.for_each {
            parents.sort();
            parents.dedup();
            parent.fields = parents;
        }
        if let Some(cursor) = &plan.cursor {
            let asks = |root| plan.changed.as_ref().unwrap_or(&plan.main).request.asks(root);
            let windowed = plan.windowed();
            if server && !windowed && !asks(Root::Cursor) {
                wrong.push(("the provider is never told from where on changes are wanted".to_owned(), "look up `${cursor?}` or `${window.start}` in the request, or compare here: `mode: client`"));
            }
            if windowed && !cursor.format.zoned() {
                wrong.push((
                    "a window has an end, which times without a zone cannot tell".to_owned(),
                    "look up `${cursor?}` alone",
                ));
            }
            if cursor.window.is_some() && !windowed {
                wrong.push((
                    "`cursor.window` is said, and no request looks up `window`".to_owned(),
                    "look up `${window.start}` and `${window.end}`",
                ));
            }
        }
        let narrow = |l: &ListingPlan| {
            let ceiling = match &l.listing {
                Listing::Pages(paging) => paging.ceiling,
                Listing::Trail(trail) => trail.ceiling,
                Listing::Whole => None,
            };
            ceiling.is_some_and(|c| c.then == CeilingThen::NarrowWindow) && !l.request.asks(Root::Window)
        };
        if plan.listings().any(narrow) {
            wrong.push((
                "a window can be narrowed only where the request looks up `window`".to_owned(),
                "look up `${window.start}` and `${window.end}`",
            ));
        }
        for (message, help) in wrong {
            self.wrong(span, format!("{message} (`{name}`)"), Some(help));
        }
    }

    /// The stream that `for_each` names is another one, and no stream is its own ancestor.
    fn parents(&mut self, stream: &StreamPlan, all: &[StreamPlan]) {
        let Some(parent) = &stream.slices.for_each else { return };
        let declared = self.connector.streams.iter().find(|(name, _)| name.value == stream.name);
        let span = declared.map_or(self.connector.connector.span, |(name, _)| name.span);
        let find = |name: &str| all.iter().find(|s| s.name == name);
        let mut at = parent;
        for _ in 0..=all.len() {
            match find(&at.stream) {
                None if self.connector.streams.iter().any(|(name, _)| name.value == at.stream) => return, // told already
                None => {
                    let known = all.iter().map(|s| s.name.as_str());
                    let near =
                        sync_spec::nearest(&at.stream, known).map(|near| format!("did you mean `{near}`?"));
                    let message = format!(
                        "`for_each` of `{}` names no stream of this file: `{}`",
                        stream.name, at.stream
                    );
                    return self.wrong(span, message, near.as_deref());
                }
                Some(next) => match &next.slices.for_each {
                    None => return,
                    Some(further) => at = further,
                },
            }
        }
        self.wrong(span, format!("`for_each` of `{}` leads back to itself", stream.name), None);
    }

    fn listing(
        &mut self,
        paginate: Option<&Paginate>,
        request: &RequestSpec,
        name: &str,
        span: Span,
        format: &Format,
    ) -> Listing {
        let Some(paginate) = paginate else { return Listing::Whole };
        let address = match &paginate.kind {
            None => {
                let help = Some("write `paginate: { offset: { param: … } }`, another kind, or `none`");
                self.wrong(span, format!("`paginate` of `{name}` does not say how"), help);
                return Listing::Whole;
            }
            Some(PaginateKind::None) => return Listing::Whole,
            Some(PaginateKind::Page { param, first }) => {
                Address::Page { param: param.clone(), first: *first }
            }
            Some(PaginateKind::Offset { param }) => Address::Offset { param: param.clone() },
            Some(kind) => return self.trail(kind, paginate, request, name, span, format),
        };
        let stop = paginate.stop.clone().unwrap_or_default();
        if let StopRule::Absent(_) = stop {
            let help = Some("`empty`, `short` or `total(PATH)`");
            self.wrong(span, format!("a counted listing has no other end than its rows (`{name}`)"), help);
        }
        self.needs_size(&stop, paginate, name, span);
        let (Address::Page { param, .. } | Address::Offset { param }) = &address;
        self.sets_alone([Parameter::Query(param.clone())].into_iter(), paginate, request, name, span);
        Listing::Pages(Paging { address, size: paginate.size.clone(), stop, ceiling: paginate.ceiling })
    }

    fn needs_size(&mut self, stop: &StopRule, paginate: &Paginate, name: &str, span: Span) {
        if *stop == StopRule::Short && paginate.size.is_none() {
            let help = Some("a page is short when it has fewer rows than `size` asks for");
            self.wrong(span, format!("`paginate` of `{name}` stops at a short page but has no `size`"), help);
        }
    }

    /// What `paginate` sets cannot stand in the request as well.
    fn sets_alone(
        &mut self,
        own: impl Iterator<Item = Parameter>,
        paginate: &Paginate,
        request: &RequestSpec,
        name: &str,
        span: Span,
    ) {
        for parameter in own.chain(paginate.size.iter().map(|size| size.parameter.clone())) {
            let (own, place, taken) = match &parameter {
                Parameter::Query(own) => {
                    (own, "query", request.query.iter().any(|(n, value)| n == own && value.is_some()))
                }
                Parameter::Body(own) => {
                    let fields = match &request.body {
                        Some(BodyTemplate::Object(fields)) => fields.as_slice(),
                        _ => &[],
                    };
                    (own, "body", fields.iter().any(|(n, _)| n == own))
                }
            };
            if taken {
                let message = format!("`{own}` of `{name}` stands in `{place}`, and `paginate` sets it");
                self.wrong(span, message, None);
            }
            let post = matches!(request.target, Some((sync_spec::RequestMethod::Post, _)));
            if matches!(parameter, Parameter::Body(_)) && !post && request.target.is_some() {
                let message =
                    format!("`paginate` of `{name}` sets `{own}` in the body, and a `get` has none");
                self.wrong(
                    span,
                    message,
                    Some("write it for the query: `{ query: NAME }`, `size: { NAME: N }`"),
                );
            }
        }
    }

    fn trail(
        &mut self,
        kind: &PaginateKind,
        paginate: &Paginate,
        request: &RequestSpec,
        name: &str,
        span: Span,
        format: &Format,
    ) -> Listing {
        let mut sets = Vec::new();
        let lead = match kind {
            PaginateKind::Cursor { from, to, more, percent } => {
                sets.push(to.clone());
                Lead::Token { from: from.clone(), to: to.clone(), more: more.clone(), percent: *percent }
            }
            PaginateKind::NextUrl { from } => Lead::Url { from: from.clone() },
            PaginateKind::LinkHeader => Lead::Link,
            PaginateKind::Keyset { by, r#as, to, first, ties } => {
                sets.extend(ties.iter().map(|(param, _)| Parameter::Query(param.clone())));
                let (by, order, to) = (by.clone(), *r#as, to.clone());
                Lead::Keyset {
                    by,
                    order,
                    format: format.clone(),
                    to,
                    first: first.clone(),
                    ties: ties.clone(),
                }
            }
            PaginateKind::None | PaginateKind::Page { .. } | PaginateKind::Offset { .. } => {
                unreachable!("counted listings are told apart before")
            }
        };
        if let Lead::Keyset { to: KeysetTo::Page(own), first, .. } = &lead {
            let asks = |optional: bool| {
                let plan =
                    request.target.as_ref().map(|(m, path)| RequestPlan::new(*m, &path.value, request));
                plan.is_some_and(|plan| {
                    plan.holes()
                        .iter()
                        .any(|h| h.root == Root::Page && h.path.0[0] == *own && (h.optional || !optional))
                })
            };
            if !asks(false) {
                self.wrong(
                    span,
                    format!("`keyset` of `{name}` fills `page.{own}`, and no request looks it up"),
                    None,
                );
            } else if first.is_none() && !asks(true) {
                let help = format!("say `first`, or write `${{page.{own}?}}`");
                self.wrong(span, format!("the first page of `{name}` has no `page.{own}`"), Some(&help));
            }
        }
        if let Some(stop) = &paginate.stop {
            self.needs_size(stop, paginate, name, span);
        }
        self.sets_alone(sets.into_iter(), paginate, request, name, span);
        Listing::Trail(Trailing {
            lead,
            size: paginate.size.clone(),
            stop: paginate.stop.clone(),
            ceiling: paginate.ceiling,
        })
    }

    fn cursor(&mut self, cursor: &Cursor, merged: &Stream, name: &str, span: Span) -> Option<CursorPlan> {
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
        let mode = cursor.mode.unwrap_or(CursorMode::Client);
        if mode == CursorMode::Server && (cursor.newest_first.is_some() || cursor.oldest_first.is_some()) {
            let message =
                format!("`cursor` of `{name}` sorts for this program, and `mode: server` compares there");
            self.wrong(span, message, Some("leave `newest_first` and `oldest_first` out"));
        }
        let also = match &cursor.also {
            None => None,
            Some(also) => {
                let listing = self.listing_plan(&merge::also(merged, also), name, span, &format)?;
                Some((listing, also.field.clone()?.0))
            }
        };
        // A feed is newest first by itself.
        let newest_first = cursor.newest_first.clone().or_else(|| (mode == CursorMode::Feed).then(Vec::new));
        Some(CursorPlan {
            field: field.0,
            mode,
            start: cursor.start.as_ref().map(|s| s.value.clone()),
            lookback: cursor.lookback.unwrap_or_default(),
            hold_back: cursor.hold_back.unwrap_or_default(),
            window: cursor.window,
            nulls: cursor.nulls.unwrap_or_default(),
            fallback_after: cursor.fallback_after,
            pen: Pen::of(cursor.format.as_ref()),
            format,
            newest_first,
            oldest_first: cursor.oldest_first.clone(),
            also,
        })
    }
}

/// Whether an error rule is for an operation.
pub(crate) fn is_for(rule: &ErrorRule, operation: Operation) -> bool {
    rule.op.is_empty() || rule.op.contains(&operation)
}
