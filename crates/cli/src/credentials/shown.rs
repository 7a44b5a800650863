//! Credentials as they are shown: everything but the secrets.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use sync_auth::{Record, TestState, Tested};
use sync_core::Timestamp;

use crate::table::table;

/// A credential, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Shown {
    name: String,
    connector: String,
    method: Option<String>,
    description: Option<String>,
    state: &'static str,
    tested_at: Option<Timestamp>,
    created_at: Timestamp,
    changed_at: Timestamp,
    age_days: u64,
    /// Whether it is older than somebody wanted it to be.
    old: bool,
    /// The names of its secrets.
    secrets: Vec<String>,
    config: std::collections::BTreeMap<String, String>,
    home: String,
    account: Option<String>,
    /// When the secret before this one ends.
    previous_until: Option<Timestamp>,
    token_expires_at: Option<Timestamp>,
    used_by: Vec<PathBuf>,
}

/// What is shown of a record.
pub fn of(name: &str, record: &Record, now: Timestamp, uses: &[PathBuf]) -> Shown {
    let age_days = now.since(record.changed).as_secs() / 86_400;
    Shown {
        name: name.to_owned(),
        connector: record.connector.clone(),
        method: record.method.clone(),
        description: record.description.clone(),
        state: state(record.tested.as_ref()),
        tested_at: record.tested.as_ref().map(|tested| tested.at),
        created_at: record.created,
        changed_at: record.changed,
        age_days,
        old: record.max_age_days.is_some_and(|most| age_days >= u64::from(most)),
        secrets: record.secrets.iter().map(|(name, _)| name.to_owned()).collect(),
        config: record.config.clone(),
        home: record.home.clone(),
        account: record.account.clone(),
        previous_until: record.previous.as_ref().map(|previous| previous.until).filter(|until| *until > now),
        token_expires_at: record.tokens.as_ref().and_then(|tokens| tokens.expires),
        used_by: uses.to_vec(),
    }
}

/// What the last test said, in a word.
pub fn state(tested: Option<&Tested>) -> &'static str {
    match tested.map(|tested| tested.state) {
        Some(TestState::Accepted) => "accepted",
        Some(TestState::Refused) => "refused",
        Some(TestState::Unreachable) => "unreachable",
        None => "untested",
    }
}

/// A line for each.
pub fn list(all: &[Shown]) -> String {
    if all.is_empty() {
        return "nothing is stored yet: sync credentials add NAME --connector CONNECTOR\n".to_owned();
    }
    let rows = all.iter().map(|one| {
        let old = if one.old { " (old)" } else { "" };
        vec![
            one.name.clone(),
            one.connector.clone(),
            one.method.clone().unwrap_or_else(|| "-".to_owned()),
            one.state.to_owned(),
            format!("{}{old}", age(one.age_days)),
            one.description.clone().unwrap_or_default(),
        ]
    });
    table(&["name", "connector", "kind", "state", "age", "description"], rows, &[])
}

/// All about one.
pub fn page(one: &Shown) -> String {
    let mut text = format!("{}\n", one.name);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            writeln!(text, "  {name:<12} {value}").expect("a string takes text");
        }
    };
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    line("connector", &one.connector);
    line("kind", one.method.as_deref().unwrap_or_default());
    line("description", one.description.as_deref().unwrap_or_default());
    line("secrets", &format!("{} (stored, never shown)", one.secrets.join(", ")));
    let config: Vec<_> = one.config.iter().map(|(name, value)| format!("{name}={value}")).collect();
    line("config", &config.join(", "));
    line("belongs to", &one.home);
    line("account", one.account.as_deref().unwrap_or_default());
    line("state", one.state);
    line("tested", &moment(one.tested_at));
    line("made", &moment(Some(one.created_at)));
    let old = if one.old { ", older than was wanted: `sync credentials rotate` changes it" } else { "" };
    line("changed", &format!("{} ({}{old})", one.changed_at, age(one.age_days)));
    line("old secret", &one.previous_until.map(|until| format!("works until {until}")).unwrap_or_default());
    line("token until", &moment(one.token_expires_at));
    for pipeline in &one.used_by {
        line("used by", &pipeline.to_string_lossy());
    }
    text
}

fn age(days: u64) -> String {
    match days {
        0 => "today".to_owned(),
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}
