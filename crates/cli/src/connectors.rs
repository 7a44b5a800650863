//! `sync connectors`: what is built in, read from the connector files themselves.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;
use sync_connectors::{Plan, StreamPlan};
use sync_core::{Explain as _, Kind, Problem};
use sync_spec::{
    Auth, AuthKind, AuthMethod, ConfigField, ConfigKind, Connector, PaginateKind, Piece, Rate, Root, Stream,
    Template,
};

use crate::args;
use crate::talk::Talk;

/// A connector as it is shown, and as `--json` prints it.
#[derive(Debug, Serialize)]
struct Shown {
    connector: String,
    title: String,
    /// What the file says of itself: what the provider is, and where to make a key.
    about: Vec<String>,
    base_url: String,
    methods: Vec<Method>,
    config: Vec<Setting>,
    limits: Vec<String>,
    concurrency: Option<u32>,
    streams: Vec<ShownStream>,
}

/// A kind of credential that it takes.
#[derive(Debug, Serialize)]
struct Method {
    /// Its name, where there are several.
    name: Option<String>,
    secrets: Vec<Secret>,
    help: Option<String>,
    warn: Option<String>,
}

#[derive(Debug, Serialize)]
struct Secret {
    secret: String,
    /// Where it is looked up unless the pipeline says otherwise.
    variable: String,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    default: Option<String>,
    required: bool,
    help: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownStream {
    stream: String,
    key: Vec<String>,
    cursor: Option<String>,
    page_size: Option<u64>,
    verified: bool,
    description: Option<String>,
}

/// Shows all connectors, or one.
pub fn connectors(args: &args::Connectors, talk: &Talk) -> Result<(), Problem> {
    match &args.name {
        None => {
            let all =
                sync_connectors::built_in().iter().map(|b| shown(b.name)).collect::<Result<Vec<_>, _>>()?;
            if args.json { talk.json(&all) } else { talk.data(&list(&all)) }
        }
        Some(name) => {
            let one = shown(name)?;
            if args.json { talk.json(&one) } else { talk.data(&page(&one)) }
        }
    }
}

fn shown(name: &str) -> Result<Shown, Problem> {
    let document = sync_connectors::built_in_document(name).ok_or_else(|| unknown(name))?;
    let connector = Connector::parse(&document).map_err(|findings| findings.problem())?;
    let plan = Plan::build(&connector).map_err(|findings| findings.problem())?;
    Ok(Shown {
        connector: plan.name().to_owned(),
        title: plan.title().to_owned(),
        about: about(&document.text),
        base_url: template(&connector.base_url.value),
        methods: methods(&connector),
        config: plan.config().iter().map(|(name, field)| setting(name, field)).collect(),
        limits: connector.rate_limit.limits.iter().map(limit).collect(),
        concurrency: connector.rate_limit.concurrency,
        streams: plan.streams().iter().map(|stream| shown_stream(stream, &connector)).collect(),
    })
}

/// A rate, and whose requests it counts where it says so.
fn limit(limit: &sync_spec::Limit) -> String {
    let rate = rate(&limit.rate);
    match limit.scope {
        None => rate,
        Some(sync_spec::Scope::Account) => format!("{rate} an account"),
        Some(sync_spec::Scope::Credential) => format!("{rate} a credential"),
        Some(sync_spec::Scope::Host) => format!("{rate} a host"),
    }
}

fn unknown(name: &str) -> Problem {
    let known: Vec<_> = sync_connectors::built_in().iter().map(|b| b.name).collect();
    let hint = match sync_spec::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("built in are {}; a file of your own is shown by reading it", known.join(", ")),
    };
    Problem::new(Kind::Refused, "unknown_connector", format!("there is no connector `{name}`")).hint(hint)
}

/// The paragraphs of the comment that a file begins with, but for the one that lists its sources.
fn about(text: &str) -> Vec<String> {
    let head = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect::<Vec<_>>();
    let paragraphs = head.split(|line| line.is_empty()).map(|lines| lines.join(" "));
    paragraphs.filter(|text| !text.is_empty() && !text.starts_with("Sources")).collect()
}

/// The kinds of credential, the usual one first.
fn methods(connector: &Connector) -> Vec<Method> {
    let of = |name: Option<&str>, method: Option<&AuthMethod>| Method {
        name: name.map(str::to_owned),
        secrets: secrets(connector, method),
        help: method.and_then(|method| method.help.clone()),
        warn: method.and_then(|method| method.warn.clone()),
    };
    match &connector.auth {
        Auth::None => vec![of(None, None)],
        Auth::One(method) => vec![of(None, Some(method))],
        Auth::OneOf(list) => list.iter().map(|(name, method)| of(Some(&name.value), Some(method))).collect(),
    }
}

/// Every secret that signs a request, once, in the order of the file.
fn secrets(connector: &Connector, method: Option<&AuthMethod>) -> Vec<Secret> {
    let mut names: Vec<String> = Vec::new();
    let auth: Vec<&Template> = match method.map(|method| &method.kind) {
        None => Vec::new(),
        Some(AuthKind::Bearer(template)) => vec![template],
        Some(AuthKind::Header(list) | AuthKind::Query(list)) => list.iter().map(|(_, t)| t).collect(),
        Some(AuthKind::Basic { username, password }) => vec![username, password],
        Some(AuthKind::At(at)) => vec![&at.value],
        Some(AuthKind::OAuth(oauth)) => {
            let wanted = if oauth.grant == sync_core::Grant::Client { 2 } else { 3 };
            names.extend(sync_connectors::CLIENT_SECRETS[..wanted].iter().map(|&name| name.to_owned()));
            Vec::new()
        }
    };
    let headers = connector.headers.iter().map(|(_, t)| t);
    for piece in auth.into_iter().chain(headers).flat_map(|t| &t.0) {
        let Piece::Hole(hole) = piece else { continue };
        let name = hole.path.0.join(".");
        if hole.root == Root::Secret && !names.contains(&name) {
            names.push(name);
        }
    }
    let variable = |name: &String| sync_auth::default_variable(&connector.connector.value, name);
    names.into_iter().map(|secret| Secret { variable: variable(&secret), secret }).collect()
}

fn setting(name: &str, field: &ConfigField) -> Setting {
    let kind = match &field.kind {
        ConfigKind::Text => "text".to_owned(),
        ConfigKind::Int => "int".to_owned(),
        ConfigKind::Bool => "bool".to_owned(),
        ConfigKind::Date => "date".to_owned(),
        ConfigKind::Url => "url".to_owned(),
        ConfigKind::HostLabel => "host label".to_owned(),
        ConfigKind::Enum(values) => values.join(" | "),
    };
    Setting {
        name: name.to_owned(),
        kind,
        default: field.default.clone(),
        required: !field.optional && field.default.is_none(),
        help: field.help.clone(),
    }
}

fn shown_stream(plan: &StreamPlan, connector: &Connector) -> ShownStream {
    let written =
        connector.streams.iter().find(|(name, _)| name.value == plan.name).map(|(_, stream)| stream);
    ShownStream {
        stream: plan.name.clone(),
        key: plan.key.clone(),
        cursor: plan.cursor.as_ref().map(|cursor| cursor.field.join(".")),
        page_size: written.and_then(|stream| page_size(stream, &connector.defaults)),
        verified: !plan.unverified,
        description: plan.description.clone(),
    }
}

/// Rows of a page: the stream's own word, else the one it inherits, unless it is not paged at all.
fn page_size(stream: &Stream, defaults: &Stream) -> Option<u64> {
    let own = stream.paginate.as_ref();
    if own.and_then(|p| p.kind.as_ref()) == Some(&PaginateKind::None) {
        return None;
    }
    let size = |p: &sync_spec::Paginate| p.size.as_ref().map(|size| size.rows);
    own.and_then(size).or_else(|| defaults.paginate.as_ref().and_then(size))
}

/// A template as it was written.
fn template(template: &Template) -> String {
    // The only templates shown are base URLs, which look up settings alone.
    let root = |root: Root| if root == Root::Config { "config" } else { "…" };
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Hole(hole) if hole.path.0.is_empty() => format!("${{{}}}", root(hole.root)),
        Piece::Hole(hole) => format!("${{{}.{}}}", root(hole.root), hole.path.0.join(".")),
    };
    template.0.iter().map(piece).collect()
}

/// A rate in the language's own words: `50/5s`, `200/min`, `6000/day`.
fn rate(rate: &Rate) -> String {
    let seconds = rate.period.as_secs();
    let period = match seconds {
        86_400 if rate.calendar_day => "day".to_owned(),
        60 => "min".to_owned(),
        s if s > 0 && s.is_multiple_of(3600) => unit(s / 3600, "h"),
        s if s > 0 && s.is_multiple_of(60) => unit(s / 60, "min"),
        s if rate.period == Duration::from_secs(s) => unit(s, "s"),
        _ => format!("{}ms", rate.period.as_millis()),
    };
    format!("{}/{period}", rate.count)
}

fn unit(n: u64, unit: &str) -> String {
    if n == 1 { unit.to_owned() } else { format!("{n}{unit}") }
}

fn list(all: &[Shown]) -> String {
    let mut table = table(&["connector", "title", "streams", "credential", "limits"]);
    for one in all {
        let streams = one.streams.iter().filter(|s| s.verified).count();
        let usual = one.methods.iter().take(1).flat_map(|method| &method.secrets);
        let variables: Vec<_> = usual.map(|s| s.variable.as_str()).collect();
        table.add_row([
            one.connector.clone(),
            one.title.clone(),
            streams.to_string(),
            variables.join(" "),
            one.limits.join(" "),
        ]);
    }
    let first = all.first().map_or("NAME", |one| &one.connector);
    format!("{}more about one: sync connectors {first}\n", lines(&table))
}

fn page(one: &Shown) -> String {
    let mut text = format!("{} ({})\n\n", one.title, one.connector);
    for paragraph in &one.about {
        text += &fold(paragraph, 100);
        text += "\n\n";
    }
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            writeln!(text, "  {name:<12} {value}").expect("a string takes text");
        }
    };
    line("base URL", &one.base_url);
    for method in &one.methods {
        let secrets = method.secrets.iter().map(|s| format!("{} from ${}", s.secret, s.variable));
        let kind = method.name.as_ref().map_or_else(String::new, |name| format!("{name}: "));
        let secrets = secrets.collect::<Vec<_>>().join(", ");
        line("credential", &if secrets.is_empty() { secrets } else { kind + &secrets });
        line("", method.help.as_deref().unwrap_or_default());
        line("", method.warn.as_deref().unwrap_or_default());
    }
    let concurrency = one.concurrency.map(|n| format!("at most {n} requests at once"));
    line("limits", &one.limits.iter().cloned().chain(concurrency).collect::<Vec<_>>().join(", "));
    if !one.config.is_empty() {
        text += "\nsettings, under `source.config`\n";
        text += &lines(&settings(&one.config));
    }
    text += "\nstreams\n";
    text += &lines(&streams(&one.streams));
    if one.streams.iter().any(|s| !s.verified) {
        text.push_str("\nUnverified streams are read only when a pipeline names them.\n");
    }
    text
}

/// The text in lines of at most so many characters, broken at blanks.
fn fold(text: &str, width: usize) -> String {
    let mut folded = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            folded.push('\n');
            used = 0;
        } else if used > 0 {
            folded.push(' ');
            used += 1;
        }
        folded.push_str(word);
        used += length;
    }
    folded
}

fn settings(config: &[Setting]) -> Table {
    let mut table = table(&["name", "type", "default", "what it is"]);
    for setting in config {
        let default = match (&setting.default, setting.required) {
            (Some(default), _) => default.clone(),
            (None, true) => "(required)".to_owned(),
            (None, false) => "(optional)".to_owned(),
        };
        let help = setting.help.clone().unwrap_or_default();
        table.add_row([setting.name.clone(), setting.kind.clone(), default, help]);
    }
    table
}

fn streams(streams: &[ShownStream]) -> Table {
    let mut table = table(&["name", "key", "cursor", "page", "verified", "what it is"]);
    for stream in streams {
        table.add_row([
            stream.stream.clone(),
            stream.key.join(", "),
            stream.cursor.clone().unwrap_or_else(|| "-".to_owned()),
            stream.page_size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
            if stream.verified { "yes" } else { "no" }.to_owned(),
            stream.description.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}

fn lines(table: &Table) -> String {
    let lines: Vec<_> = table.lines().map(|line| format!(" {}", line.trim_end())).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_files_write_them() {
        let check = |count, seconds, calendar_day, expect: &str| {
            assert_eq!(rate(&Rate { count, period: Duration::from_secs(seconds), calendar_day }), expect);
        };
        check(50, 5, false, "50/5s");
        check(3, 1, false, "3/s");
        check(200, 60, false, "200/min");
        check(9, 600, false, "9/10min");
        check(10, 3600, false, "10/h");
        check(6000, 86_400, true, "6000/day");
        check(6000, 86_400, false, "6000/24h");
    }

    #[test]
    fn the_opening_comment_is_what_a_file_says_of_itself() {
        let text = "# Acme: a thing.\n# Two lines.\n#\n# The key: there.\n#\n# Sources: x.\n\n# not this\nconnector: acme\n";
        assert_eq!(about(text), ["Acme: a thing. Two lines.", "The key: there."]);
        assert!(about("connector: acme\n# later\n").is_empty());
        assert_eq!(fold("aa bb cc dddddd e", 5), "aa bb\ncc\ndddddd\ne");
    }

    #[test]
    fn every_built_in_connector_can_be_shown() {
        assert!(!sync_connectors::built_in().is_empty());
        for built_in in sync_connectors::built_in() {
            let one = shown(built_in.name).expect(built_in.name);
            assert_eq!(one.connector, built_in.name);
            assert!(!one.streams.is_empty(), "{} has streams", built_in.name);
            let text = page(&one);
            for stream in &one.streams {
                assert!(text.contains(&stream.stream), "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_name_brings_the_nearest() {
        let problem = unknown("planhta");
        assert_eq!(problem.hint.as_deref(), Some("did you mean `planhat`?"));
        assert!(unknown("zzzzzzzz").hint.expect("there is a hint").contains("planhat"));
    }
}
