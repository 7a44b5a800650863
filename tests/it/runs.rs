//! What a person does on the first day: a pipeline of four lines, the same command once more, each of the ready-made
//! files.

use std::path::Path;

use sync_spec::{Connector, Document, Pipeline};

use crate::stage::Stage;
use crate::support::{files, python, read, root};

#[test]
fn four_lines_are_a_pipeline_and_the_second_run_loads_what_changed() {
    for (destination, kind) in [("sqlite://./planhat.db", "sqlite"), ("parquet://./lake", "parquet")] {
        let stage = Stage::new();
        stage.write("planhat.yaml", &stage.four_lines("planhat", "[companies, users]", destination));
        let first = stage.run(&["planhat.yaml"]);
        assert_eq!((first.done(), first.figure("fetched")), (1_000, 1_000), "{kind}");
        assert_eq!(first.json["streams"][0]["stream"], "companies");
        assert_eq!(first.json["streams"][0]["resumed_from_page"], serde_json::Value::Null);

        let mut changed = stage.sandbox.touch("planhat/companies", 30).expect("rows");
        changed.extend(stage.sandbox.add("planhat/companies", 5).expect("rows"));
        changed.sort();
        changed.dedup();
        let asked = stage.sandbox.counters().requests("planhat/companies");
        let second = stage.run(&["planhat.yaml"]);
        assert_eq!(second.done(), changed.len() as u64, "{kind}");
        assert!(second.notes().is_empty(), "the newest first was enough: {}", second.err);
        assert!(stage.sandbox.counters().requests("planhat/companies") - asked <= 3, "{kind}");

        let truth = stage.sandbox.oracle("planhat/companies").expect("rows");
        let mut truth: Vec<_> = truth.iter().map(|row| format!("{} {}", row["_id"], row["name"])).collect();
        truth.sort();
        assert_eq!(landed(&stage, kind), truth, "{kind}");
        assert_eq!(stage.run(&["planhat.yaml"]).done(), 0, "{kind}: nothing changed since");
    }
}

/// Id and name of every company, as JSON texts, sorted.
fn landed(stage: &Stage, kind: &str) -> Vec<String> {
    let mut rows: Vec<String> = if kind == "sqlite" {
        let database = stage.database("planhat.db");
        let mut select =
            database.prepare("SELECT json_quote(_id), json_quote(name) FROM companies").expect("a table");
        let rows = select
            .query_map([], |row| Ok(format!("{} {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    } else {
        let script = "
import json, sys, polars
rows = polars.read_parquet(sys.argv[1] + '/*.parquet').select('_id', 'name').rows()
print('\\n'.join(json.dumps(i, ensure_ascii=False) + ' ' + json.dumps(n, ensure_ascii=False) for i, n in rows))";
        python(script, &[&stage.path("lake/companies")]).lines().map(str::to_owned).collect()
    };
    rows.sort();
    rows
}

#[test]
fn flowlu_is_read_in_full_and_says_so() {
    let stage = Stage::new();
    stage.write("flowlu.yaml", &stage.four_lines("flowlu", "[accounts, tasks, users]", "sqlite://./f.db"));
    let first = stage.run(&["flowlu.yaml"]);
    first.done();
    assert!(!first.notes().contains(&"full_listing"), "the first run reads everything anyway");
    stage.sandbox.touch("flowlu/accounts", 7).expect("rows");
    let second = stage.run(&["flowlu.yaml"]);
    assert_eq!(second.done(), 7, "{}", second.err);
    assert!(second.notes().contains(&"full_listing"), "{}", second.err);
    let rows = stage.sandbox.oracle("flowlu/accounts").expect("rows").len() as u64;
    assert_eq!(second.figure("fetched"), rows);
    assert_eq!(stage.one("f.db", "SELECT count(DISTINCT id) FROM accounts"), rows as i64);
}

#[test]
fn every_stream_is_read_to_its_end() {
    let stage = Stage::new();
    for (provider, least) in [("planhat", 26), ("flowlu", 26)] {
        let file = format!("{provider}.yaml");
        stage.write(&file, &stage.four_lines(provider, "\"*\"", &format!("sqlite://./{provider}.db")));
        let report = stage.run(&[&file]);
        report.done();
        let streams = report.json["streams"].as_array().expect("streams");
        assert!(streams.len() >= least, "{} streams", streams.len());
        for stream in streams {
            let name = stream["stream"].as_str().expect("a name");
            let of = if name == "leancompanies" { "companies" } else { name };
            let truth = stage.sandbox.oracle(&format!("{provider}/{of}")).expect(name).len() as u64;
            let key = if provider == "flowlu" { "id" } else { "_id" };
            let rows =
                stage.one(&format!("{provider}.db"), &format!("SELECT count(DISTINCT {key}) FROM {name}"));
            assert_eq!((rows as u64, stream["loaded"].as_u64()), (truth, Some(truth)), "{provider}/{name}");
        }
    }
}

/// A ready-made pipeline runs as it lies there, but for the address.
#[test]
fn the_ready_made_pipelines_run() {
    let pipelines = files(&root().join("pipelines"), ".yaml");
    assert_eq!(pipelines.len(), 6);
    for path in pipelines {
        let (stage, text) = (Stage::new(), read(&path));
        let provider = ["planhat", "flowlu", "hubplanner"]
            .into_iter()
            .find(|name| text.contains(&format!("connector: {name}\n")))
            .expect("a provider");
        let line = format!("  connector: {provider}\n");
        let turned =
            format!("{line}  base_url: {}\n  rate_limit: {{ limits: [1000/s] }}\n", stage.base_url(provider));
        assert!(text.contains(&line), "{}", path.display());
        stage.write("p.yaml", &text.replace(&line, &turned));
        let mut command = stage.sync(&["run", "--json", "p.yaml"]);
        command
            .env("SYNC_PLANHAT_TOKEN", "planhat-sandbox-token")
            .env("SYNC_FLOWLU_API_KEY", "flowlu-sandbox-key")
            .env("SYNC_HUBPLANNER_API_KEY", "hubplanner.sandbox.key");
        let report = crate::stage::Report::of(crate::support::said(&mut command));
        assert!(report.done() > 0, "{}", path.display());
    }
}

#[test]
fn the_examples_can_be_read() {
    for path in files(&root().join("examples"), ".yaml") {
        let document = Document::new(path.to_string_lossy(), read(&path));
        let is_connector = read(&path).lines().any(|line| line.starts_with("connector:"));
        let complaints = if is_connector {
            Connector::parse(&document).err().map(|f| f.to_string())
        } else {
            Pipeline::parse(&document).err().map(|f| f.to_string())
        };
        assert_eq!(complaints, None, "{}", path.display());
    }
    let stage = Stage::new();
    copy(&root().join("examples/own-api"), stage.folder());
    let checked = stage.said(&["check", "--json", "orders.yaml"]);
    assert!(checked.out.contains("SYNC_ACME_TOKEN"), "the credential is what is missing: {}", checked.out);
}

fn copy(from: &Path, to: &Path) {
    for path in files(from, "") {
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

#[test]
fn dispositions_and_flags_do_what_they_say() {
    let stage = Stage::new();
    let base = stage.four_lines("planhat", "STREAMS", "sqlite://./x.db");
    let file = |name: &str, streams: &str| stage.write(name, &base.replace("STREAMS", streams));

    file("replace.yaml", "{ companies: { write: replace } }");
    assert_eq!(stage.run(&["replace.yaml"]).done(), 1_000);
    stage.sandbox.delete("planhat/companies", 10).expect("rows");
    assert_eq!(stage.run(&["replace.yaml"]).done(), 990);
    assert_eq!(
        stage.one("x.db", "SELECT count(*) FROM companies"),
        990,
        "deleted rows are gone under replace"
    );
    let limited = stage.run(&["replace.yaml", "--limit", "5"]);
    assert_eq!(limited.code, Some(2), "a part may not replace the whole: {}", limited.err);

    file("append.yaml", "{ endusers: { write: append } }");
    let first = stage.run(&["append.yaml"]).done();
    assert_eq!(stage.run(&["append.yaml"]).done(), 0, "what was taken within the lookback is left out");
    let mut touched = stage.sandbox.touch("planhat/endusers", 4).expect("rows");
    let seen = stage.sandbox.oracle("planhat/endusers").expect("rows");
    touched.retain(|id| seen.iter().any(|row| row["_id"] == **id)); // archived ones are not listed
    let touched = touched.len() as u64;
    assert_eq!(stage.run(&["append.yaml"]).done(), touched);
    assert_eq!(stage.one("x.db", "SELECT count(*) FROM endusers") as u64, first + touched);

    file("merge.yaml", "[users]");
    assert_eq!(stage.run(&["merge.yaml", "--limit", "5"]).done(), 5);
    let all = stage.run(&["merge.yaml"]);
    all.done();
    assert!(all.json["streams"][0]["resumed_from_page"].is_null(), "a limited run left no checkpoint");
}

#[test]
fn an_empty_listing_changes_nothing_unless_it_is_believed() {
    let stage = Stage::new();
    for write in ["merge", "replace"] {
        let file = format!("{write}.yaml");
        let streams = format!("{{ companies: {{ write: {write} }} }}");
        stage.write(&file, &stage.four_lines("planhat", &streams, &format!("sqlite://./{write}.db")));
        stage.sandbox.reset();
        assert_eq!(stage.run(&[&file]).done(), 1_000);
        stage.sandbox.set_rows("planhat/companies", 0).expect("rows");
        let empty = stage.run(&[&file]);
        assert_eq!((empty.code, empty.error()), (Some(5), "suspicious_empty"), "{}", empty.err);
        assert_eq!(stage.one(&format!("{write}.db"), "SELECT count(*) FROM companies"), 1_000);
        stage.run(&[&file, "--allow-empty"]).done();
        let left = if write == "replace" { 0 } else { 1_000 };
        assert_eq!(stage.one(&format!("{write}.db"), "SELECT count(*) FROM companies"), left, "{write}");
    }
}
