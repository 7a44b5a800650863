//! Every built-in connector against the sandbox: each verified stream read to its end, changed, and read again, with its
//! requests counted and its rows compared with the truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sync_core::{BoxFuture, Clock, Timestamp};
use sync_sandbox::Options;
use sync_testkit::clock::Machine;

use crate::stage::Stage;

/// The providers and how many streams of each are verified.
const PROVIDERS: [&str; 5] = ["planhat", "flowlu", "hubplanner", "hubspot", "hubnity"];

/// A provider whose clock is a minute late, so that what changed a moment ago is old enough to be looked for: some are
/// not asked for the last half minute.
#[derive(Default)]
struct Late(Machine);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        self.0.now().minus(Duration::from_mins(1))
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

fn late_stage(set: impl FnOnce(&mut Options)) -> Stage {
    Stage::with(|options| {
        options.limits = false;
        options.clock = Arc::new(Late::default());
        set(options);
    })
}

/// What the sandbox has under another name than the connector, or not as a list of its own.
fn truth(stage: &Stage, provider: &str, stream: &str) -> Option<u64> {
    let name = match (provider, stream) {
        ("planhat", "leancompanies") => "planhat/companies".to_owned(),
        ("hubspot", "pipelines") => return Some(2),
        ("hubspot", "schemas") => return Some(1),
        (
            "hubspot",
            "properties" | "contact_companies" | "deal_contacts" | "deal_companies" | "ticket_contacts",
        )
        | ("hubplanner", "bookings_deleted") => return None,
        _ => format!("{provider}/{stream}"),
    };
    let rows = stage.sandbox.oracle(&name).unwrap_or_else(|error| panic!("{error}"));
    let empty = |row: &Value| provider == "hubplanner" && row["status"] == "EMPTY";
    Some(rows.iter().filter(|row| !empty(row)).count() as u64)
}

/// Whether the provider tells what was deleted, so that the table has exactly what there is.
fn tells_deletes(provider: &str, stream: &str) -> bool {
    const LISTS: &[&str] =
        &["owners", "lists", "forms", "marketing_emails", "campaigns", "pipelines", "schemas"];
    match provider {
        "hubspot" => !LISTS.contains(&stream),
        "hubplanner" => stream == "bookings",
        _ => false,
    }
}

/// Rows loaded of each stream, once all of them are done.
#[track_caller]
fn figures(report: &crate::stage::Report, provider: &str) -> BTreeMap<String, (u64, u64)> {
    let streams = report.json["streams"].as_array().expect("streams");
    let mut figures = BTreeMap::new();
    for stream in streams {
        let name = stream["stream"].as_str().expect("a name").to_owned();
        assert_eq!(stream["status"], "done", "{provider}.{name}: {}", stream["error"]);
        let number = |key: &str| stream[key].as_u64().expect("a number");
        figures.insert(name, (number("loaded"), number("requests")));
    }
    figures
}

#[test]
fn every_verified_stream_is_read_to_its_end_and_read_again() {
    for provider in PROVIDERS {
        let stage = late_stage(|_| {});
        let file = format!("{provider}.yaml");
        let database = format!("{provider}.db");
        stage.write(&file, &stage.four_lines(provider, "\"*\"", &format!("sqlite://./{database}")));
        let first = stage.run(&[&file]);
        let loaded = figures(&first, provider);
        assert!(loaded.len() > usize::from(provider != "hubnity") * 20, "{provider}: {loaded:?}");
        for (stream, (rows, requests)) in &loaded {
            if let Some(truth) = truth(&stage, provider, stream) {
                assert_eq!(*rows, truth, "{provider}.{stream}");
                assert!(*requests > 0, "{provider}.{stream}");
            }
        }
        // Some rows change, some come; the next run has exactly those, or finds them in a full listing.
        stage.sandbox.round();
        let second = stage.run(&[&file]);
        for (stream, (rows, _)) in figures(&second, provider) {
            let Some(truth) = truth(&stage, provider, &stream) else { continue };
            let table = format!("SELECT count(*) FROM \"{stream}\"");
            let landed = stage.one(&database, &table) as u64;
            assert!(landed >= truth, "{provider}.{stream}: {landed} of {truth}");
            assert!(rows <= truth + 2, "{provider}.{stream}: what changed, and two that were deleted");
            if tells_deletes(provider, &stream) {
                assert_eq!(landed, truth, "{provider}.{stream}");
            }
        }
        // And once more, when nothing changed: nothing is loaded.
        let third = stage.run(&[&file]);
        let again: u64 = figures(&third, provider).values().map(|(rows, _)| rows).sum();
        assert_eq!(again, 0, "{provider}: {}", third.err);
    }
}

#[test]
fn hubspot_reads_a_storm_of_changes_once() {
    let stage = late_stage(|options| {
        options.rows.insert("hubspot/contacts".to_owned(), 35_000);
    });
    stage.write("hubspot.yaml", &stage.four_lines("hubspot", "[contacts]", "sqlite://./h.db"));
    let first = stage.run(&["hubspot.yaml"]);
    assert_eq!(first.done(), 35_000, "{}", first.err);
    // All of them change inside one window, 23,000 in one millisecond and 12,000 in another.
    stage.sandbox.touch("hubspot/contacts", 35_000).expect("rows");
    stage.sandbox.touch("hubspot/contacts", 12_000).expect("rows");
    let requests = || stage.sandbox.counters().providers["hubspot"].requests;
    let before = requests();
    let second = stage.run(&["hubspot.yaml"]);
    assert_eq!(second.done(), 35_000, "each once: {}", second.err);
    assert_eq!(second.figure("fetched"), 35_000);
    assert!(requests() - before <= 35_000 / 200 + 5, "{}", requests() - before);
}

#[test]
fn hubspot_reads_four_hundred_properties_in_pieces() {
    let stage = late_stage(|options| {
        options.rows.insert("hubspot/contacts".to_owned(), 250);
        options.hubspot_properties = 400;
    });
    stage.write("hubspot.yaml", &stage.four_lines("hubspot", "[contacts]", "sqlite://./h.db"));
    // The sandbox refuses a URL of more than 8,000 characters, as HubSpot refuses longer ones.
    assert_eq!(stage.run(&["hubspot.yaml"]).done(), 250);
    let columns = "SELECT count(*) FROM pragma_table_info('contacts') WHERE name LIKE 'custom_property%'";
    assert_eq!(stage.one("h.db", columns), 400);
    stage.sandbox.touch("hubspot/contacts", 100).expect("rows");
    assert_eq!(stage.run(&["hubspot.yaml"]).done(), 100);
    let changed = "SELECT count(*) FROM contacts WHERE custom_property_number_399 LIKE '%change 1' AND custom_property_number_000 LIKE '%change 1'";
    assert_eq!(stage.one("h.db", changed), 100);
    assert_eq!(
        stage.one("h.db", "SELECT count(*) FROM contacts WHERE typeof(amount) = 'text' OR amount IS NULL"),
        250
    );
}

#[test]
fn hubspot_archived_rows_go_and_a_missing_scope_leaves_the_rest() {
    let stage = Stage::with(|options| {
        options.limits = false;
        options.forbidden.push("hubspot/deals".to_owned());
    });
    stage
        .write("hubspot.yaml", &stage.four_lines("hubspot", "[companies, deals, owners]", "sqlite://./h.db"));
    let first = stage.run(&["hubspot.yaml"]);
    assert_eq!(first.json["exit_code"], 4, "{}", first.err);
    assert_eq!(stage.one("h.db", "SELECT count(*) FROM companies"), 400);
    stage.sandbox.delete("hubspot/companies", 7).expect("rows");
    stage.run(&["hubspot.yaml"]);
    assert_eq!(stage.one("h.db", "SELECT count(*) FROM companies"), 393);
}

#[test]
fn hubplanner_finds_a_few_changes_among_many_bookings_with_a_few_requests() {
    let stage = Stage::with(|options| {
        options.limits = false;
        options.rows.insert("hubplanner/bookings".to_owned(), 50_000);
    });
    stage.write("hp.yaml", &stage.four_lines("hubplanner", "[bookings]", "sqlite://./hp.db"));
    let first = stage.run(&["hp.yaml"]);
    assert_eq!(first.done(), 50_000, "{}", first.err);
    let nulls = stage.one("hp.db", "SELECT count(*) FROM bookings WHERE updatedDate IS NULL");
    assert!(nulls > 10_000, "rows without a time of change are there, too: {nulls}");

    let mut changed = stage.sandbox.touch("hubplanner/bookings", 20).expect("rows");
    changed.extend(stage.sandbox.add("hubplanner/bookings", 10).expect("rows"));
    changed.sort();
    changed.dedup();
    let requests = || stage.sandbox.counters().providers["hubplanner"].requests;
    let before = requests();
    let second = stage.run(&["hp.yaml"]);
    assert_eq!(second.done(), changed.len() as u64, "{}", second.err);
    assert!(requests() - before <= 3, "{}", requests() - before);

    stage.sandbox.delete("hubplanner/bookings", 5).expect("rows");
    stage.run(&["hp.yaml"]);
    let truth = stage.sandbox.oracle("hubplanner/bookings").expect("rows").len() as i64;
    assert_eq!(stage.one("hp.db", "SELECT count(*) FROM bookings"), truth);
}

#[test]
fn rows_that_a_complete_listing_has_no_more_are_deleted() {
    for (options, query) in [
        ("{ deletes: { detect: snapshot } }", "SELECT count(*) FROM companies"),
        (
            "{ deletes: { detect: snapshot, as: gone } }",
            "SELECT count(*) FROM companies WHERE coalesce(gone, 0) = 0",
        ),
    ] {
        let stage = Stage::new();
        stage.write(
            "p.yaml",
            &stage.four_lines("planhat", &format!("{{ companies: {options} }}"), "sqlite://./p.db"),
        );
        assert_eq!(stage.run(&["p.yaml"]).done(), 1_000);
        let alive = || stage.one("p.db", query);
        assert_eq!(alive(), 1_000);
        stage.sandbox.delete("planhat/companies", 13).expect("rows");
        // A listing that breaks off removes nobody, and neither does one with a limit.
        stage.run(&["--limit", "10", "p.yaml"]);
        assert_eq!(alive(), 1_000);
        stage.sandbox.touch("planhat/companies", 5).expect("rows");
        let run = stage.run(&["p.yaml"]);
        assert_eq!(run.done(), 18, "{}", run.err);
        assert_eq!(alive(), 987);
        assert_eq!(stage.run(&["p.yaml"]).done(), 0, "nobody is missed twice");
        // Nobody listed at all is no reason to remove everybody.
        stage.sandbox.delete("planhat/companies", 987).expect("rows");
        assert_eq!(stage.run(&["p.yaml"]).code, Some(5));
        assert_eq!(alive(), 987);
    }
}

/// `SYNC_WRITE_DOCS=1 cargo test … the_table_of_providers` writes the page anew.
#[test]
fn the_table_of_providers_is_what_the_files_say() {
    let mut page = String::from(
        "# The built-in providers\n\nMade from the connector files; a test keeps it so. Streams with a * are read only where a pipeline names them.\n",
    );
    for built_in in sync_connectors::built_in() {
        let document = sync_connectors::built_in_document(built_in.name).expect("it is built in");
        let connector = sync_spec::Connector::parse(&document).expect("a good file");
        let plan = sync_connectors::Plan::build(&connector).expect("a good file");
        page.push('\n');
        page.push_str(&sync_connectors::reference(&plan));
    }
    let path = crate::support::root().join("docs/providers.md");
    if std::env::var_os("SYNC_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    assert_eq!(
        crate::support::read(&path),
        page,
        "run this test with SYNC_WRITE_DOCS=1, and look at what changed"
    );
}

#[test]
fn no_provider_file_is_longer_than_a_person_reads() {
    let folder = crate::support::root().join("crates/connectors/providers");
    for file in crate::support::files(&folder, "connector.yaml") {
        let lines = crate::support::read(&file).lines().count();
        assert!(lines <= 120, "{}: {lines} lines", file.display());
        assert!(file.with_file_name("hooks.rs").metadata().is_err(), "no hook is needed so far");
    }
}
