//! Joins pipeline and connector into what a run will do. Data only; nothing is asked and nothing is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sync_connectors::{Bound, CursorOptions, Plan, StreamPlan};
use sync_core::{Disposition, Problem};
use sync_spec::{self as spec, Document, Finding, Findings, Span};

pub(crate) use columns::Columns;
pub(crate) use credential::Credential;

use crate::connector::load_connector;
use crate::{Hands, RunOptions};

mod columns;
mod credential;

/// What a run will do.
pub(crate) struct RunPlan {
    /// The pipeline's name.
    pub pipeline: String,
    /// The connector with its settings in.
    pub bound: Bound,
    /// The connector's name for people.
    pub title: String,
    /// The connector's own name.
    pub connector: String,
    /// How its requests are signed.
    pub credential: Credential,
    /// The account whose budget is spent, where the pipeline names it.
    pub account: Option<String>,
    /// What the pipeline says about limits.
    pub rate_limit: Option<spec::PipelineRateLimit>,
    /// How long to go on trying.
    pub retry: sync_http::Policy,
    /// The streams, in the order of the file.
    pub streams: Vec<StreamRun>,
    /// Where rows land.
    pub destination: Destination,
    /// The folder of the pipeline's state.
    pub state: PathBuf,
}

/// One stream of a run.
#[derive(Clone, Debug)]
pub(crate) struct StreamRun {
    /// Its name.
    pub name: String,
    /// Whether somebody named it.
    pub named: bool,
    /// The fields of its key, as they are sent.
    pub key: Vec<String>,
    /// How changes are told, where rows carry it.
    pub cursor: Option<CursorOptions>,
    /// What becomes of its fields.
    pub columns: Columns,
    /// Where the provider tells types of its fields, with what they are to be told apart from.
    pub types_from: Option<TypesFrom>,
    /// What a write does.
    pub disposition: Disposition,
    /// How much time is asked for at once, where the pipeline says so.
    pub window: Option<std::time::Duration>,
    /// Whether deletions are found by what a complete listing has no more.
    pub census: bool,
}

/// Where the provider tells types of fields.
#[derive(Clone, Debug)]
pub(crate) struct TypesFrom {
    pub listing: Arc<sync_connectors::TypesFrom>,
    /// The object of a row that the fields are in, if they are not in the row itself.
    pub lift: Option<Vec<String>>,
    /// Names that a row is known to have outside of that.
    pub envelope: Vec<String>,
}

impl StreamRun {
    /// What it wants of its table, from where it left off.
    pub(crate) fn table(
        &self,
        pipeline: &str,
        run: &sync_core::RunId,
        memory: usize,
    ) -> sync_core::TableSpec {
        sync_core::TableSpec {
            pipeline: pipeline.to_owned(),
            stream: self.name.clone(),
            key: self.columns.terms.key.clone(),
            order: self.columns.order.clone(),
            disposition: self.disposition,
            deleted: self.columns.deleted.clone(),
            begin: sync_core::Begin::Continue,
            run: run.clone(),
            memory,
        }
    }
}

/// Where rows land, with the paths made whole.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// A folder for each stream; `{stream}` is still to be filled in.
    Parquet {
        path: String,
        compression: spec::Compression,
        target_file: u64,
        partition_by: Option<spec::PartitionBy>,
    },
    /// One database.
    Sqlite { path: PathBuf },
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parquet { path, .. } => write!(f, "parquet://{path}"),
            Self::Sqlite { path } => write!(f, "sqlite://{}", path.display()),
        }
    }
}

impl RunPlan {
    /// Joins a pipeline with its connector, the command line and the environment's references; everything
    /// that is wrong with the file, at once.
    pub(crate) fn build(
        pipeline: &spec::Pipeline,
        options: &RunOptions,
        hands: &Hands,
    ) -> Result<Self, Problem> {
        let folder = folder_of(&pipeline.document);
        let mut complaints = Complaints::new(&pipeline.document);
        let source = &pipeline.source;
        let connector = load_connector(source, &folder, &mut complaints)?;
        let Some(plan) = connector else { return Err(complaints.problem()) };

        let expand = |text: &spec::Spanned<String>, complaints: &mut Complaints| {
            crate::connector::expand(&text.value, &folder, hands)
                .map_err(|message| complaints.add(text.span, message, None))
                .ok()
        };
        let base_url = source.base_url.as_ref().and_then(|text| expand(text, &mut complaints));
        let mut config: Vec<(String, String)> = source
            .config
            .iter()
            .filter_map(|(name, text)| Some((name.value.clone(), expand(text, &mut complaints)?)))
            .collect();
        let stored = credential::stored(source, plan.name(), hands, &mut complaints)?;
        let base_url = base_url.or_else(|| stored.as_ref().and_then(|(_, record)| record.base_url.clone()));
        for (name, value) in stored.iter().flat_map(|(_, record)| &record.config) {
            // What belongs to the account was asked for once; a pipeline may still say otherwise.
            if !source.config.iter().any(|(own, _)| own.value == *name) {
                config.push((name.clone(), value.clone()));
            }
        }
        let destination = Destination::of(pipeline, &folder, |text| expand(text, &mut complaints));
        check_asked(pipeline, &plan, options)?;
        let mask_key = columns::mask_key(pipeline, &folder, options, hands)?;
        let streams = streams_of(pipeline, &plan, options, mask_key.as_ref(), &mut complaints);
        let bound = match plan.bind(&config, base_url.as_deref()) {
            Ok(bound) => bound,
            Err(error) => return Err(complaints.of_binding(error, source)),
        };
        // A stored one that was not found has been complained about.
        let credential = Credential::of(source, stored, &plan, &bound, &folder, hands, &mut complaints);
        let (false, Some(credential)) = (complaints.any(), credential) else {
            return Err(complaints.problem());
        };
        Ok(Self {
            pipeline: pipeline.name.value.clone(),
            title: plan.title().to_owned(),
            connector: plan.name().to_owned(),
            credential,
            account: source.account.clone(),
            rate_limit: source.rate_limit.clone(),
            retry: retry_of(source.retry.as_ref()),
            streams,
            destination: destination.expect("a destination without findings is whole"),
            state: state_folder(pipeline, options),
            bound,
        })
    }
}

/// A path of the file as seen from where the command was given, without needless dots.
pub(crate) fn beside(folder: &Path, path: &str) -> PathBuf {
    folder.join(path).components().collect()
}

/// The folder of a pipeline's state.
pub(crate) fn state_folder(pipeline: &spec::Pipeline, options: &RunOptions) -> PathBuf {
    options.state.clone().unwrap_or_else(|| folder_of(&pipeline.document).join(".sync"))
}

/// The folder that the paths of a pipeline start at.
fn folder_of(document: &Document) -> PathBuf {
    match Path::new(&*document.name).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Destination {
    fn of(
        pipeline: &spec::Pipeline,
        folder: &Path,
        mut expand: impl FnMut(&spec::Spanned<String>) -> Option<String>,
    ) -> Option<Self> {
        let mut whole = |text: &spec::Spanned<String>| {
            let path = expand(text)?.replace("{pipeline}", &pipeline.name.value);
            Some(beside(folder, &path))
        };
        match &pipeline.destination {
            spec::Destination::Parquet(parquet) => Some(Self::Parquet {
                path: whole(&parquet.path)?.to_string_lossy().into_owned(),
                compression: parquet.compression,
                target_file: parquet.target_file,
                partition_by: parquet.partition_by.clone(),
            }),
            spec::Destination::Sqlite(sqlite) => Some(Self::Sqlite { path: whole(&sqlite.path)? }),
        }
    }
}

fn streams_of(
    pipeline: &spec::Pipeline,
    plan: &Plan,
    options: &RunOptions,
    mask_key: Option<&ring::hmac::Key>,
    complaints: &mut Complaints,
) -> Vec<StreamRun> {
    let nothing = spec::StreamOptions::default();
    let mut streams = Vec::new();
    match &pipeline.streams {
        spec::Streams::All => {
            for stream in plan.streams().iter().filter(|s| !s.unverified && asked(options, &s.name)) {
                // Named on the command line is named, too.
                let named = !options.streams.is_empty();
                let word =
                    Word { name: &stream.name, span: Span::default(), options: &nothing, named, mask_key };
                streams.extend(stream_of(pipeline, stream, &word, options, complaints));
            }
        }
        spec::Streams::Named(named) => {
            for (name, own) in named.iter().filter(|(name, _)| asked(options, &name.value)) {
                let word = Word { name: &name.value, span: name.span, options: own, named: true, mask_key };
                match plan.stream(&name.value) {
                    Some(stream) => streams.extend(stream_of(pipeline, stream, &word, options, complaints)),
                    None => complaints.unknown_stream(name, plan),
                }
            }
        }
    }
    streams
}

/// Whether a stream is to be read.
fn asked(options: &RunOptions, name: &str) -> bool {
    options.streams.is_empty() || options.streams.iter().any(|asked| asked == name)
}

/// Refuses what `--stream` names and the pipeline lacks.
fn check_asked(pipeline: &spec::Pipeline, plan: &Plan, options: &RunOptions) -> Result<(), Problem> {
    let known: Vec<&str> = match &pipeline.streams {
        spec::Streams::All => {
            plan.streams().iter().filter(|s| !s.unverified).map(|s| s.name.as_str()).collect()
        }
        spec::Streams::Named(named) => named.iter().map(|(name, _)| name.value.as_str()).collect(),
    };
    let Some(unknown) = options.streams.iter().find(|asked| !known.contains(&asked.as_str())) else {
        return Ok(());
    };
    let hint = match spec::nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", known.join(", ")),
    };
    let message = format!("--stream {unknown}: the pipeline {} has no such stream", pipeline.name.value);
    Err(Problem::new(sync_core::Kind::Refused, "unknown_stream", message).hint(hint))
}

/// A stream as a pipeline writes it.
struct Word<'a> {
    name: &'a str,
    span: Span,
    options: &'a spec::StreamOptions,
    named: bool,
    mask_key: Option<&'a ring::hmac::Key>,
}

fn stream_of(
    pipeline: &spec::Pipeline,
    stream: &StreamPlan,
    word: &Word<'_>,
    options: &RunOptions,
    complaints: &mut Complaints,
) -> Option<StreamRun> {
    let defaults = &pipeline.defaults;
    let key = match word.options.primary_key.as_ref().or(defaults.primary_key.as_ref()) {
        Some(key) => key.value.clone(),
        None => stream.key.clone(),
    };
    let write = word.options.write.as_ref().or(defaults.write.as_ref());
    let disposition = match write {
        Some(write) => write.value,
        None if key.is_empty() => Disposition::Replace,
        None => Disposition::Merge,
    };
    let span = write.map_or(word.span, |w| w.span);
    if disposition != Disposition::Replace && key.is_empty() {
        // Rows come twice: within the lookback, and when a listing that moved is read again.
        let cannot = match disposition {
            Disposition::Append => "a row that comes twice could not be told from a new one",
            _ => "its rows cannot be merged",
        };
        let message = format!("`{}` has no primary key, so {cannot}", word.name);
        complaints.add(span, message, Some("give it a `primary_key`, or `write: replace`".into()));
        return None;
    }
    if options.full_refresh && options.limit.is_some() {
        let message =
            "--limit cannot be used with --full-refresh: the new table would be a part of the listing";
        complaints.add(span, message.to_owned(), Some("leave one of them out".into()));
        return None;
    }
    if disposition == Disposition::Replace && options.limit.is_some() {
        let message =
            format!("--limit cannot be used with `{}`: it would replace the table by a part", word.name);
        complaints.add(span, message, Some("leave --limit out, or write with merge or append".into()));
        return None;
    }
    let cursor = cursor_of(pipeline, stream, word, complaints);
    let order = cursor.as_ref().and_then(|c| match c.field.as_slice() {
        [field] => Some(field.clone()),
        [path @ .., field] if stream.lift() == Some(path) => Some(field.clone()),
        _ => None,
    });
    let types_from = stream.types_from.as_ref().map(|listing| TypesFrom {
        listing: listing.clone(),
        lift: stream.lift().map(<[String]>::to_vec),
        envelope: stream.envelope(),
    });
    let columns = Columns::of(
        &columns::Of {
            pipeline,
            stream,
            options: word.options,
            span: word.span,
            key: &key,
            order: order.as_deref(),
            disposition,
            mask_key: word.mask_key,
        },
        complaints,
    );
    let name = word.name.to_owned();
    let window = word.options.backfill.as_ref().and_then(|backfill| backfill.value.chunk);
    let census = census_of(pipeline, stream, word, &key, disposition, complaints);
    Some(StreamRun { name, named: word.named, key, cursor, columns, types_from, disposition, window, census })
}

/// Whether deletions are to be found by what a complete listing has no more, and can be.
fn census_of(
    pipeline: &spec::Pipeline,
    stream: &StreamPlan,
    word: &Word<'_>,
    key: &[String],
    disposition: Disposition,
    complaints: &mut Complaints,
) -> bool {
    let own = word.options.deletes.as_ref();
    let written = own.or(pipeline.defaults.deletes.as_ref());
    let Some(deletes) = written.filter(|deletes| deletes.value.detect.is_some()) else { return false };
    let server = stream.cursor.as_ref().is_some_and(|cursor| cursor.mode == spec::CursorMode::Server);
    let (message, help) = if server {
        (
            "is asked for its changes, so what is missing from an answer tells nothing",
            "leave `detect` out, or write `replace`",
        )
    } else if key.is_empty() {
        ("has no primary key, so nobody can be missed", "give it a `primary_key`, or write `replace`")
    } else {
        // Under replace a table is what the listing is, and nothing needs to be found.
        return disposition != Disposition::Replace;
    };
    if own.is_some() {
        complaints.add(deletes.span, format!("`{}` {message}", word.name), Some(help.into()));
    }
    false
}

fn mode_word(mode: spec::CursorMode) -> &'static str {
    match mode {
        spec::CursorMode::Client => "client",
        spec::CursorMode::Server => "server",
        spec::CursorMode::Feed => "feed",
    }
}

fn cursor_of(
    pipeline: &spec::Pipeline,
    stream: &StreamPlan,
    word: &Word<'_>,
    complaints: &mut Complaints,
) -> Option<CursorOptions> {
    let written = [word.options.cursor.as_ref(), pipeline.defaults.cursor.as_ref()];
    let first = |pick: fn(&spec::PipelineCursor) -> Option<spec::FieldPath>| {
        written.into_iter().flatten().find_map(|c| pick(&c.value))
    };
    let Some(own) = &stream.cursor else {
        if let Some(cursor) = &word.options.cursor {
            let message = format!("rows of `{}` carry nothing that tells when they changed", word.name);
            complaints.add(
                cursor.span,
                message,
                Some("leave `cursor` out: each run reads the whole listing".into()),
            );
        }
        return None;
    };
    if let Some(cursor) = &word.options.cursor {
        if let Some(mode) = cursor.value.mode.filter(|mode| *mode != own.mode) {
            let message =
                format!("the changes of `{}` are not told by `mode: {}`", word.name, mode_word(mode));
            let help = format!("its connector says `{}`; leave `mode` out", mode_word(own.mode));
            complaints.add(cursor.span, message, Some(help));
        }
        let server = own.mode == spec::CursorMode::Server;
        if let Some(field) = cursor.value.field.as_ref().filter(|field| server && field.0 != own.field) {
            let message =
                format!("the provider compares `{}` of `{}`, not `{field}`", own.field.join("."), word.name);
            complaints.add(cursor.span, message, Some("leave `field` out".into()));
        }
    }
    let backfill = word.options.backfill.as_ref();
    if let Some(backfill) = backfill.filter(|_| !stream.windowed()) {
        let message = format!(
            "the API does not give `{}` by periods of time, so its past cannot be read in pieces",
            word.name
        );
        complaints.add(
            backfill.span,
            message,
            Some("write `cursor: { start: … }` for where a first read begins".into()),
        );
    }
    let start = written.into_iter().flatten().find_map(|c| c.value.start.as_ref());
    let start = backfill.map(|backfill| &backfill.value.from).or(start);
    let lookback = written.into_iter().flatten().find_map(|c| c.value.lookback);
    Some(CursorOptions {
        field: first(|c| c.field.clone()).map_or_else(|| own.field.clone(), |path| path.0),
        start: start.map(|s| s.value.clone()).or_else(|| own.start.clone()),
        lookback: lookback.unwrap_or(own.lookback),
    })
}

fn retry_of(retry: Option<&spec::Retry>) -> sync_http::Policy {
    let mut policy = sync_http::Policy::default();
    if let Some(retry) = retry {
        policy.attempts = retry.attempts.map_or(policy.attempts, std::num::NonZeroU32::get);
        policy.max_wait = retry.max_wait.unwrap_or(policy.max_wait);
    }
    policy
}

/// What is wrong with a pipeline, collected.
pub(crate) struct Complaints {
    document: Document,
    list: Vec<Finding>,
}

impl Complaints {
    pub(crate) fn new(document: &Document) -> Self {
        Self { document: document.clone(), list: Vec::new() }
    }

    /// Adds a finding.
    pub(crate) fn add(&mut self, span: Span, message: String, help: Option<String>) {
        self.list.push(Finding { span, message, help });
    }

    fn any(&self) -> bool {
        !self.list.is_empty()
    }

    /// Everything collected, as one problem.
    pub(crate) fn problem(mut self) -> Problem {
        use sync_core::Explain as _;
        self.list.sort_by_key(|finding| finding.span.start);
        Findings { document: self.document, list: self.list }.problem()
    }

    fn unknown_stream(&mut self, name: &spec::Spanned<String>, plan: &Plan) {
        let known = || plan.streams().iter().map(|s| s.name.as_str());
        let help = match spec::nearest(&name.value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", known().collect::<Vec<_>>().join(", ")),
        };
        self.add(name.span, format!("{} has no stream `{}`", plan.title(), name.value), Some(help));
    }

    /// What the connector found in its settings, at the places where they were written.
    fn of_binding(mut self, error: sync_connectors::BindError, source: &spec::Source) -> Problem {
        for complaint in error.list {
            let written = source.config.iter().find(|(n, _)| Some(&n.value) == complaint.config.as_ref());
            let span = match written {
                Some((_, value)) => value.span,
                None => source
                    .base_url
                    .as_ref()
                    .filter(|_| complaint.config.is_none())
                    .map_or(source.connector.span, |u| u.span),
            };
            self.add(span, complaint.message, complaint.help);
        }
        self.problem()
    }
}
