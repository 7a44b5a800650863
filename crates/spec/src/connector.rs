//! A connector file as written: one provider's API, as plain data.

use std::time::Duration;

use crate::{Condition, Document, Rate, Spanned, Template};

mod auth;
mod config;
mod cursor;
mod errors;
mod oauth;
mod paginate;
mod rate_limit;
mod read;
mod request;
mod stream;
mod types_from;

pub use read::connector_schema;

/// A connector file.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the fields are the words of the file")]
pub struct Connector {
    /// The file it was read from, for findings that come later.
    pub document: Document,
    /// The provider's name, `[a-z][a-z0-9_-]*`.
    pub connector: Spanned<String>,
    /// The file's own version, for people.
    pub version: Option<String>,
    /// The provider's name for people.
    pub title: Option<String>,
    /// Settings that the URLs need, in the order written.
    pub config: Vec<(Spanned<String>, ConfigField)>,
    /// Scheme, host and path before every relative path.
    pub base_url: Spanned<Template>,
    /// Headers of every request.
    pub headers: Vec<(String, Template)>,
    /// Whether a redirect inside the host is followed.
    pub redirects: Redirects,
    /// How requests are signed.
    pub auth: Auth,
    /// What in the answer to `check` names the account.
    pub account: Option<Spanned<FieldPath>>,
    /// What the provider allows.
    pub rate_limit: RateLimit,
    /// What answers mean, asked in order, before the default table.
    pub errors: Vec<ErrorRule>,
    /// The request that tells whether a credential works.
    pub check: Option<RequestSpec>,
    /// What every stream begins with.
    pub defaults: Stream,
    /// Streams with parameters, for streams to be of.
    pub kinds: Vec<(Spanned<String>, Stream)>,
    /// The streams, in the order written.
    pub streams: Vec<(Spanned<String>, Stream)>,
}

/// A setting.
#[derive(Clone, Debug, Default)]
pub struct ConfigField {
    /// What kind of value it is.
    pub kind: ConfigKind,
    /// The value without a setting.
    pub default: Option<String>,
    /// Whether it may be absent without a default.
    pub optional: bool,
    /// A regular expression that the whole value must match.
    pub pattern: Option<Spanned<String>>,
    /// What is stripped from the value before anything else: `scheme` (and anything after the host), or an
    /// ending such as `.flowlu.com`.
    pub clean: Vec<String>,
    /// What it is and where to find it, for people.
    pub help: Option<String>,
}

/// The kinds of setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigKind {
    /// Any text.
    #[default]
    Text,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// `YYYY-MM-DD`.
    Date,
    /// An absolute http or https URL.
    Url,
    /// One label of a host name (RFC 1123): letters, digits and inner hyphens, at most 63.
    HostLabel,
    /// One of these.
    Enum(Vec<String>),
}

/// Whether a redirect inside the host is followed. One to another host never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// Followed inside the host.
    #[default]
    SameHost,
    /// Never followed.
    Never,
}

/// How requests are signed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// In one way.
    One(Box<AuthMethod>),
    /// In one of several ways, by name; the credential chooses.
    OneOf(Vec<(Spanned<String>, AuthMethod)>),
}

/// One way to sign requests.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthMethod {
    /// What is signed with, and where it goes.
    pub kind: AuthKind,
    /// How long an old key still works after a new one was made; absent where it ends at once, or nobody knows.
    pub overlap: Option<Duration>,
    /// What to tell whoever uses it.
    pub warn: Option<String>,
    /// Where to make the credential, and with which role or scopes.
    pub help: Option<String>,
}

/// The kinds of signature. Only the `secret` root may stand in the holes of values.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthKind {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Template),
    /// Headers.
    Header(Vec<(String, Template)>),
    /// Query parameters.
    Query(Vec<(String, Template)>),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The user name.
        username: Template,
        /// The password; empty where the provider wants none.
        password: Template,
    },
    /// A header or query parameter that settings decide.
    At(At),
    /// Access tokens from a token endpoint (RFC 6749).
    OAuth(Box<OAuth>),
}

/// A header or query parameter that settings decide.
#[derive(Clone, Debug, PartialEq)]
pub struct At {
    /// `header` or `query`, or one hole of the `config` root.
    pub place: Template,
    /// The name of the header or parameter.
    pub name: Template,
    /// Its value.
    pub value: Template,
}

/// `auth.oauth`.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth {
    /// How the first token is had.
    pub grant: sync_core::Grant,
    /// Where a person signs in.
    pub authorize: Option<Template>,
    /// The token endpoint: a path behind the base URL, or a URL.
    pub token: Template,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Whether the sign-in carries a code challenge (RFC 7636).
    pub pkce: bool,
    /// Where id and secret of the client go.
    pub client_in: sync_core::ClientIn,
    /// How a token request is written.
    pub send: sync_core::SendAs,
    /// Standard name to the answer's own, for `access_token`, `refresh_token` and `expires_in`.
    pub names: Vec<(String, String)>,
    /// Where in the answer the tokens are.
    pub token_path: Option<FieldPath>,
    /// How long before its end a token is changed for a new one.
    pub refresh_before: Duration,
    /// Answers to a refresh after which only signing in again helps.
    pub refresh_fatal: Option<Condition>,
}

/// What the provider allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// All of them must allow a request.
    pub limits: Vec<Limit>,
    /// Whose requests they count, unless a limit says otherwise.
    pub scope: Scope,
    /// At most this many requests under way.
    pub concurrency: Option<u32>,
    /// When the provider's day ends, after midnight UTC.
    pub day_ends: Duration,
    /// Where answers tell of limits.
    pub headers: LimitHeaders,
    /// Requests with rules of their own, by name; the first that matches counts.
    pub buckets: Vec<(String, Bucket)>,
    /// What requests weigh; the first that matches counts, and others weigh one.
    pub cost: Vec<(RequestMatch, u32)>,
}

/// A rate, and whose requests it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many in a period.
    pub rate: Rate,
    /// Whose; absent where the connector's `scope` says so.
    pub scope: Option<Scope>,
}

/// Whose requests a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Those of the account, whatever its credentials.
    #[default]
    Account,
    /// Those of one credential.
    Credential,
    /// All that a host gets from here.
    Host,
}

/// The headers in which answers tell of limits, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitHeaders {
    /// How many are allowed.
    pub limit: Option<String>,
    /// How many are left.
    pub remaining: Option<String>,
    /// When more are to be had.
    pub reset: Option<String>,
    /// How long to wait after "too fast".
    pub retry_after: Option<String>,
    /// How long the window is.
    pub interval: Option<String>,
}

/// Requests with rules of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Which requests.
    pub matches: RequestMatch,
    /// All of them must allow a request.
    pub limits: Vec<Limit>,
    /// At most this many under way.
    pub concurrency: Option<u32>,
    /// Whether its limits stand in the place of the connector's limits of less than a day.
    pub instead: bool,
}

/// Requests, by method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMatch {
    /// The method, if only one is meant.
    pub method: Option<String>,
    /// The path behind the base URL; `*` is anything.
    pub path: String,
}

/// One rule of `errors`.
#[derive(Clone, Debug)]
pub struct ErrorRule {
    /// Statuses it is for; empty means any 2xx.
    pub status: Vec<u16>,
    /// Conditions over `body.…` and `headers.…`.
    pub when: Condition,
    /// Operations it is for; empty means all.
    pub op: Vec<sync_core::Operation>,
    /// What it means.
    pub is: sync_core::Verdict,
    /// How long to wait before the next attempt.
    pub wait: Option<Wait>,
    /// What to tell people, with holes over `body`, `headers`, `status`.
    pub say: Option<Template>,
}

/// How long to wait: a header of the answer, else a fixed time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The header that says it, in lower case.
    pub header: Option<String>,
    /// Without the header.
    pub default: Option<Duration>,
}

/// A request: a method, a path, and what goes with it. The parts that are absent are inherited.
#[derive(Clone, Debug, Default)]
pub struct RequestSpec {
    /// Method and path; the path is relative to `base_url`.
    pub target: Option<(RequestMethod, Spanned<Template>)>,
    /// Query parameters in order. `None` removes an inherited one.
    pub query: Vec<(String, Option<Template>)>,
    /// Headers. `None` removes an inherited one.
    pub headers: Vec<(String, Option<Template>)>,
    /// A JSON body.
    pub body: Option<BodyTemplate>,
}

/// The methods that read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestMethod {
    /// `get:`
    Get,
    /// `post:`, for searches.
    Post,
}

/// A JSON value with holes in its texts. A text that is exactly one hole keeps the value's own type.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyTemplate {
    /// A constant.
    Const(serde_json::Value),
    /// A text with holes.
    Text(Template),
    /// An object, in order.
    Object(Vec<(String, BodyTemplate)>),
    /// A list.
    List(Vec<BodyTemplate>),
}

/// One of the listings that make up a stream: what it says replaces the stream's own word.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Its request; one with a path of its own begins anew.
    pub request: RequestSpec,
    /// Where its rows are.
    pub records: Option<Vec<Spanned<FieldPath>>>,
    /// How it goes on.
    pub paginate: Option<Paginate>,
    /// Only rows for which it holds.
    pub keep: Option<Condition>,
    /// Rows for which it holds are tombstones.
    pub deleted_when: Option<Condition>,
}

/// `for_each:`: one slice for each row of another stream.
#[derive(Clone, Debug)]
pub struct ForEach {
    /// That stream.
    pub stream: Spanned<String>,
    /// Whether only its changed rows count, after a first read.
    pub only_changed: bool,
    /// Rows a request.
    pub batch: u32,
}

/// The values of one name of `each:`.
#[derive(Clone, Debug, PartialEq)]
pub enum EachValues {
    /// These.
    List(Vec<serde_json::Value>),
    /// The value of a setting, its parts between commas.
    Setting(Spanned<String>),
}

/// `each_from:`: a list that the provider gives.
#[derive(Clone, Debug)]
pub struct EachFrom {
    /// The request.
    pub request: RequestSpec,
    /// Where the list is.
    pub records: Vec<Spanned<FieldPath>>,
}

/// `columns:`: the fields that must be named to be sent.
#[derive(Clone, Debug)]
pub struct ColumnsWord {
    /// The request that lists them.
    pub request: RequestSpec,
    /// Where the list is.
    pub records: Vec<Spanned<FieldPath>>,
    /// The field of an element that is the name.
    pub name: FieldPath,
    /// How many are asked for at once.
    pub chunk: Option<Chunk>,
    /// The field by which the pieces of a row are joined.
    pub merge_on: FieldPath,
}

/// How many columns are asked for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// So many.
    Count(u64),
    /// As many as keep the URL within so many characters.
    Url(u64),
}

/// `explode:`: every element of a list becomes a row.
#[derive(Clone, Debug)]
pub struct Explode {
    /// The list.
    pub path: FieldPath,
    /// Fields of the record that its elements take along: name to path.
    pub carry: Vec<(String, FieldPath)>,
    /// What a record has where its list is not whole.
    pub more: Option<FieldPath>,
}

/// `kind:`: the kind that a stream is of, and its parameters.
#[derive(Clone, Debug)]
pub struct KindUse {
    /// The kind.
    pub name: Spanned<String>,
    /// Its parameters.
    pub parameters: Vec<(String, Template)>,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decode {
    /// JSON.
    #[default]
    Json,
    /// A JSON value a line.
    Jsonl,
    /// Comma-separated values, the first line being the names; every value is a text.
    Csv,
}

/// A stream as written. What is `None` is inherited from `defaults`.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its request.
    pub request: RequestSpec,
    /// Where the rows are: the first path that is a list; a path without names is the whole answer (`.`).
    /// Absent everywhere, the whole answer is the list.
    pub records: Option<Vec<Spanned<FieldPath>>>,
    /// Only rows for which it holds.
    pub keep: Option<Condition>,
    /// Rows for which it holds are tombstones.
    pub deleted_when: Option<Condition>,
    /// Fields that no row is wanted with.
    pub drop: Option<Said<Vec<FieldPath>>>,
    /// The object in each row of which every key becomes a column.
    pub lift: Option<Said<FieldPath>>,
    /// Types of columns, by path.
    pub types: Vec<(Spanned<FieldPath>, sync_core::Type)>,
    /// Where the provider itself tells types of columns.
    pub types_from: Option<Said<Box<TypesFrom>>>,
    /// The fields of the primary key; empty means none.
    pub key: Option<Vec<String>>,
    /// How to go on.
    pub paginate: Option<Paginate>,
    /// How changes are told.
    pub cursor: Option<CursorWord>,
    /// Whether it is off unless asked for by name.
    pub unverified: Option<bool>,
    /// A word for people.
    pub description: Option<String>,
    /// Fields that every row of a slice is given.
    pub set: Vec<(String, BodyTemplate)>,
    /// A list whose elements become rows.
    pub explode: Option<Explode>,
    /// One slice for each row of another stream.
    pub for_each: Option<Said<ForEach>>,
    /// One slice for each of these values.
    pub each: Vec<(String, EachValues)>,
    /// One slice for each element of a list that the provider gives.
    pub each_from: Option<EachFrom>,
    /// The listing that is read without state.
    pub full: Option<Variant>,
    /// The listing that is read with state.
    pub changed: Option<Variant>,
    /// A further listing, of what was deleted or archived.
    pub archived: Option<Variant>,
    /// Fields that must be named to be sent.
    pub columns: Option<ColumnsWord>,
    /// The kind it is of.
    pub kind: Option<KindUse>,
    /// How answers are read.
    pub decode: Option<Decode>,
    /// Whether bodies are compressed files.
    pub unpack: Option<bool>,
    /// What must hold of the settings for the stream to be there.
    pub enabled_when: Option<Condition>,
}

/// A word as it is said, which may be `none`: that takes out what would be inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// `none`
    None,
    /// Something.
    Some(T),
}

impl<T> Said<T> {
    /// What is said, if it is something.
    pub fn some(&self) -> Option<&T> {
        match self {
            Self::None => None,
            Self::Some(value) => Some(value),
        }
    }

    pub(crate) fn boxed(self) -> Said<Box<T>> {
        match self {
            Self::None => Said::None,
            Self::Some(value) => Said::Some(Box::new(value)),
        }
    }
}

/// `types_from:`: a listing of fields with their types.
#[derive(Clone, Debug)]
pub struct TypesFrom {
    /// Its request.
    pub request: RequestSpec,
    /// Where the list of fields is.
    pub records: Option<Vec<Spanned<FieldPath>>>,
    /// How the list goes on.
    pub paginate: Option<Paginate>,
    /// Where an element says the name of its field.
    pub name: FieldPath,
    /// Where it says the field's type.
    pub kind: FieldPath,
    /// The provider's words for types.
    pub map: Vec<(String, GivenType)>,
}

/// What somebody says about the type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenType {
    /// This one.
    Exactly(sync_core::Type),
    /// A decimal with as many digits behind the point as the values have.
    Decimal,
}

/// A path into a record or an answer: `a.b`, `custom."# Open Tickets"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(pub Vec<String>);

/// `paginate:` as written.
#[derive(Clone, Debug, Default)]
pub struct Paginate {
    /// The kind; absent in a stream that changes only the size or the stop.
    pub kind: Option<PaginateKind>,
    /// How many rows are asked for, and where that is said.
    pub size: Option<Size>,
    /// When the listing is over.
    pub stop: Option<StopRule>,
    /// How many rows one listing gives at most, and what then.
    pub ceiling: Option<Ceiling>,
}

/// The size of a page: a parameter and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Where it stands, and its name.
    pub parameter: Parameter,
    /// Rows a page.
    pub rows: u64,
}

/// A place in a request that `paginate` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A query parameter.
    Query(String),
    /// A top-level key of the body.
    Body(String),
}

/// The kinds of pagination.
#[derive(Clone, Debug, PartialEq)]
pub enum PaginateKind {
    /// One answer is the whole listing.
    None,
    /// A page number.
    Page {
        /// The query parameter.
        param: String,
        /// The number of the first page.
        first: u64,
    },
    /// The number of rows to pass over.
    Offset {
        /// The query parameter.
        param: String,
    },
    /// A token of the answer, which the next request gives back.
    Cursor {
        /// Where it is in the answer.
        from: FieldPath,
        /// Where it goes.
        to: Parameter,
        /// What must hold of the answer for the listing to go on.
        more: Option<Condition>,
        /// Whether the answer holds it percent-encoded.
        percent: bool,
    },
    /// The next page's whole address, in the answer.
    NextUrl {
        /// Where it is in the answer.
        from: FieldPath,
    },
    /// The next page's address in the header `Link` (RFC 8288).
    LinkHeader,
    /// The rows behind the greatest value so far, asked for by that value.
    Keyset {
        /// The field whose value grows from row to row.
        by: FieldPath,
        /// How its values are compared.
        r#as: KeysetOrder,
        /// What the value fills: `${cursor}`, or this name of `${page.NAME}`.
        to: KeysetTo,
        /// The value of the first page.
        first: Option<String>,
        /// The page number by which rows of one and the same value are told apart, and the number of its first page.
        ties: Option<(String, u64)>,
    },
}

/// How the values of a keyset are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeysetOrder {
    /// As whole numbers, in quotes or not.
    Int,
    /// As text, byte by byte.
    Text,
    /// As moments, by the format of the stream's cursor.
    #[default]
    Time,
}

/// What the value of a keyset fills in the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysetTo {
    /// `${cursor}`: from this value on, so that the last rows come again.
    Cursor,
    /// `${page.NAME}`: behind this value.
    Page(String),
}

/// What one listing gives at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Rows.
    pub rows: u64,
    /// What is done where there are more.
    pub then: CeilingThen,
}

/// What is done where a listing has more rows than it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeilingThen {
    /// The window of time is halved until its rows fit.
    NarrowWindow,
    /// The stream fails.
    Error,
}

/// When a listing is over. An empty page ends every listing that is counted, a missing token every other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopRule {
    /// After a page with fewer rows than asked for. Only where the server is known not to clamp.
    Short,
    /// After a page without rows.
    #[default]
    Empty,
    /// When as many rows as the first of these paths says were received; under `keyset`, when the page has them all.
    Total(Vec<FieldPath>),
    /// After an answer that has nothing at this path.
    Absent(FieldPath),
}

/// `cursor:` in a connector.
#[derive(Clone, Debug)]
pub enum CursorWord {
    /// `none`: rows carry nothing that tells a change.
    None,
    /// Its parts; absent ones are inherited.
    Some(Box<Cursor>),
}

/// How changes are told.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// The field that orders changes.
    pub field: Option<FieldPath>,
    /// How its values read.
    pub format: Option<CursorFormat>,
    /// Who compares.
    pub mode: Option<CursorMode>,
    /// Query parameters that sort the listing newest first.
    pub newest_first: Option<Vec<(String, Template)>>,
    /// Query parameters that sort it the other way.
    pub oldest_first: Option<Vec<(String, Template)>>,
    /// The first read begins here.
    pub start: Option<Spanned<String>>,
    /// The margin that is read again.
    pub lookback: Option<Duration>,
    /// How long a change may stay invisible.
    pub hold_back: Option<Duration>,
    /// How much time is asked for at once.
    pub window: Option<Duration>,
    /// What a row without the field is.
    pub nulls: Option<Nulls>,
    /// How far back the provider can tell changes; after a longer pause the whole listing is read.
    pub fallback_after: Option<Duration>,
    /// A second listing, for rows that the filter hides because they lack the field.
    pub also: Option<Box<Also>>,
}

/// What a row without the cursor's field is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nulls {
    /// Changed, for all that is known.
    #[default]
    Read,
    /// Not changed since the first read.
    Skip,
}

/// A second listing, newest first, for rows that the filter of the first hides.
#[derive(Clone, Debug, Default)]
pub struct Also {
    /// Its request.
    pub request: RequestSpec,
    /// How it goes on; absent means as the stream does.
    pub paginate: Option<Paginate>,
    /// The field that orders it.
    pub field: Option<FieldPath>,
}

/// Who compares cursor values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorMode {
    /// This program: the API has no filter for changes.
    Client,
    /// The provider: the request says from where on.
    Server,
    /// This program, in a listing that the provider keeps newest first.
    Feed,
}

/// How cursor values read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorFormat {
    /// ISO 8601 with a zone.
    Iso,
    /// The same, with milliseconds where it is written.
    IsoMs,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMs,
    /// `YYYY-MM-DD`.
    Date,
    /// `%Y %m %d %H %M %S` and literal text.
    Strftime(String),
}
