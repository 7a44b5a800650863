//! The walls of the house. Most of good architecture is what is absent, so it is looked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{files, read, root};

/// The crates of each floor, from the ground up. A crate may use those below it, and none beside it.
const FLOORS: &[&[&str]] = &[
    &["core"],
    &["spec"],
    &["connectors", "sinks", "state", "quota", "auth", "http"],
    &["engine"],
    &["scheduler"],
    &["cli"],
];

/// Crates beside the house, and all that they may use of it.
const ANNEXES: &[(&str, &[&str])] = &[
    ("sandbox", &["core", "http"]),
    ("testkit", &["core"]),
    ("xtask", &["core", "http", "sinks", "sandbox"]),
];

/// Guests from outside that are at home in certain crates only.
const GUESTS: &[(&str, &[&str])] = &[
    ("arrow", &["core"]),
    ("parquet", &["sinks"]),
    ("sonic-rs", &["connectors"]),
    ("rusqlite", &["state", "sinks", "xtask"]),
    ("saphyr-parser", &["spec"]),
    ("reqwest", &["http"]),
    ("hyper", &["http"]),
    ("hyper-util", &["http"]),
    ("http-body-util", &["http"]),
    ("rustls", &["http"]),
    ("chacha20poly1305", &["auth"]),
    ("argon2", &["auth"]),
    ("oauth2", &["auth"]),
    ("clap", &["cli"]),
    ("rpassword", &["cli"]),
    ("indicatif", &["cli"]),
    ("tracing-subscriber", &["cli"]),
    ("comfy-table", &["cli", "xtask"]),
];

/// Words that only certain crates, or files, may say in their sources.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("println!", &["cli", "xtask"], "only the command line prints"),
    ("eprintln!", &["cli", "xtask"], "only the command line prints"),
    ("SystemTime::now", &["cli/src/hands.rs", "xtask"], "only the clock tells time"),
    ("Instant::now", &["cli/src/hands.rs", "xtask"], "only the clock tells time"),
    ("thread::sleep", &["xtask"], "waiting is the clock's"),
    ("env::var", &["cli", "auth", "xtask"], "only the command line and its `auth` read the environment"),
    ("env::args", &["cli", "xtask"], "only the command line reads arguments"),
    ("process::exit", &["cli"], "only the command line ends the process"),
    ("TcpStream", &["http"], "only http connects"),
    ("TcpListener", &["http"], "only http listens"),
    ("UdpSocket", &["http"], "only http listens"),
];

struct Crate {
    name: String,
    manifest: String,
}

impl Crate {
    /// The names in a section such as `[dependencies]`.
    fn uses(&self, section: &str) -> Vec<String> {
        let mut inside = false;
        let mut names = Vec::new();
        for line in self.manifest.lines() {
            if line.starts_with('[') {
                inside = line.trim_end().trim_matches(['[', ']']) == section;
            } else if inside && !line.trim_start().starts_with('#') {
                let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
                names.extend((!name.is_empty()).then(|| name.to_owned()));
            }
        }
        names
    }

    /// The crates of this workspace that it uses, without their prefix.
    fn rooms(&self) -> Vec<String> {
        let own = |name: String| name.strip_prefix("sync-").map(str::to_owned);
        self.uses("dependencies").into_iter().filter_map(own).collect()
    }
}

fn crates() -> Vec<Crate> {
    let mut crates: Vec<_> = std::fs::read_dir(root().join("crates"))
        .expect("crates/ is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.is_dir())
        .map(|path| Crate {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            manifest: read(&path.join("Cargo.toml")),
        })
        .collect();
    crates.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(crates.len() > 10, "the crates were found");
    crates
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

/// Lines of a source that are code and not tests: comments are left out, and a module of tests ends a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The sources of a crate that are compiled into what is shipped.
fn sources(name: &str) -> Vec<PathBuf> {
    let tests = |path: &PathBuf| path.iter().any(|part| part == "tests" || part == "tests.rs");
    files(&root().join("crates").join(name).join("src"), ".rs").into_iter().filter(|p| !tests(p)).collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn dependencies_flow_down() {
    let mut complaints = Vec::new();
    for one in crates() {
        let annex = ANNEXES.iter().find(|(name, _)| *name == one.name);
        let Some(own) = floor(&one.name).or(annex.map(|_| 0)) else {
            complaints.push(format!("crates/{} has no floor; give it one in this test", one.name));
            continue;
        };
        for used in one.rooms() {
            let allowed = match (annex, floor(&used)) {
                (Some((_, allowed)), _) => allowed.contains(&used.as_str()),
                (None, Some(below)) => below < own,
                (None, None) => used == "sandbox" && one.name == "cli",
            };
            if !allowed {
                complaints.push(format!("crates/{} may not use {used}", one.name));
            }
        }
    }
    none(&complaints);
}

#[test]
fn guests_stay_where_they_were_invited() {
    let mut complaints = Vec::new();
    for one in crates() {
        let used = one.uses("dependencies");
        for (guest, homes) in GUESTS {
            if used.iter().any(|name| name == guest) && !homes.contains(&one.name.as_str()) {
                complaints.push(format!(
                    "crates/{} uses {guest}, which belongs in {}",
                    one.name,
                    homes.join(", ")
                ));
            }
        }
        if used.iter().any(|name| name == "sync-testkit") {
            complaints.push(format!("crates/{}: testkit is a dev-dependency only", one.name));
        }
    }
    none(&complaints);
}

#[test]
fn every_version_stands_in_the_root_manifest() {
    let mut complaints = Vec::new();
    for one in crates() {
        let lines = one.manifest.lines();
        complaints.extend(
            lines
                .skip_while(|line| *line != "[dependencies]")
                .filter(|line| !line.is_empty() && !line.starts_with(['[', '#']))
                .filter(|line| !line.contains("workspace = true") && !is_target(line))
                .map(|line| format!("crates/{}: `{line}` names its own version", one.name)),
        );
        if !one.manifest.contains("[lints]\nworkspace = true") {
            complaints.push(format!("crates/{} does not take the lints of the workspace", one.name));
        }
    }
    none(&complaints);
}

/// A line of a `[[bin]]` or `[[test]]`.
fn is_target(line: &str) -> bool {
    ["name = ", "path = ", "harness = "].iter().any(|key| line.starts_with(key))
}

#[test]
fn some_words_are_said_in_one_place_only() {
    let mut complaints = Vec::new();
    for one in crates() {
        for path in sources(&one.name) {
            let (text, place) = (read(&path), relative(&path));
            let home = |homes: &[&str]| {
                homes.iter().any(|h| *h == one.name || place == format!("crates/{h}"))
                    || one.name == "testkit"
            };
            for (number, line) in code(&text) {
                for (word, homes, reason) in WORDS {
                    if says(line, word) && !home(homes) {
                        complaints.push(format!("{place}:{number}: `{word}`: {reason}"));
                    }
                }
            }
        }
    }
    none(&complaints);
}

/// Whether a line holds the word, and not merely as the end of a longer one.
fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn no_provider_is_named_outside_its_folder() {
    let providers: Vec<String> = std::fs::read_dir(root().join("crates/connectors/providers"))
        .expect("the providers are there")
        .map(|entry| entry.expect("its entries can be read").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(providers.len() >= 2, "the providers were found: {providers:?}");
    let mut complaints = Vec::new();
    // The sandbox plays the providers and xtask shows them; both know them by profession.
    for one in crates().iter().filter(|one| !matches!(one.name.as_str(), "sandbox" | "xtask" | "testkit")) {
        for path in sources(&one.name) {
            let text = read(&path);
            for (number, line) in code(&text) {
                let line = line.to_lowercase();
                let named = providers.iter().find(|name| line.contains(name.as_str()));
                complaints.extend(named.map(|name| format!("{}:{number}: names {name}", relative(&path))));
            }
        }
    }
    none(&complaints);
}

#[test]
fn the_map_shows_every_crate() {
    let map = read(&root().join("crates/README.md"));
    let missing = crates().into_iter().filter(|one| !map.contains(&format!("`{}`", one.name)));
    none(&missing.map(|one| format!("crates/README.md does not mention `{}`", one.name)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_unfinished() {
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let words = words.into_iter().chain([concat!("#[", "ignore")]);
    let mut complaints = Vec::new();
    for path in files(&root(), ".rs") {
        let text = read(&path);
        for word in words.clone().filter(|word| text.contains(word)) {
            complaints.push(format!("{}: `{word}`", relative(&path)));
        }
    }
    none(&complaints);
}

#[test]
fn no_file_speaks_of_the_machine_it_was_written_on() {
    let here = format!("{}/", root().display());
    let homes = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];
    let mut complaints = Vec::new();
    let kinds = [".rs", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", "Makefile", "run", "needs"];
    for path in kinds.iter().flat_map(|kind| files(&root(), kind)) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (i, line) in text.lines().enumerate() {
            let whole = |place: &str| {
                line.match_indices(place).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "-_.}".contains(c))
                })
            };
            if whole(&here) || homes.iter().any(|home| whole(home)) {
                complaints.push(format!("{}:{}: {}", relative(&path), i + 1, line.trim()));
            }
        }
    }
    none(&complaints);
}

#[test]
fn ready_made_files_are_well_formed() {
    let mut seen = BTreeMap::new();
    let mut complaints = Vec::new();
    for folder in ["pipelines", "examples"] {
        for path in files(&root().join(folder), ".yaml") {
            let (name, text) = (relative(&path), read(&path));
            let document = sync_spec::Document::new(&*path.to_string_lossy(), &*text);
            let is_connector = text.lines().any(|line| line.starts_with("connector:"));
            let wrong = if is_connector {
                let parsed = sync_spec::Connector::parse(&document);
                parsed.and_then(|connector| sync_connectors::Plan::build(&connector).map(|_| ())).err()
            } else {
                sync_spec::Pipeline::parse(&document).err()
            };
            complaints.extend(wrong.map(|findings| format!("{name}:\n{findings}")));
            *seen.entry((folder, is_connector)).or_insert(0) += 1;
        }
    }
    assert!(seen.get(&("pipelines", false)).is_some_and(|n| *n >= 4), "{seen:?}");
    assert!(seen.get(&("examples", true)).is_some_and(|n| *n >= 1), "{seen:?}");
    none(&complaints);
}
