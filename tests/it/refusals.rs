//! What is wrong is said once, clearly, with its exit code, and leaves nothing half-done.

use std::time::Duration;

use sync_sandbox::{Astray, Fault, What, When};

use crate::stage::Stage;
use crate::support::{Said, said};

/// What was said when a pipeline was run, and that nothing landed.
#[track_caller]
fn refused(stage: &Stage, pipeline: &str, code: i32, error: &str, words: &[&str]) -> String {
    stage.write("p.yaml", pipeline);
    let report = stage.run(&["p.yaml"]);
    assert_eq!((report.code, report.error()), (Some(code), error), "{}\n{}", report.json, report.err);
    for word in words {
        assert!(report.err.contains(word), "`{word}` is missing in:\n{}", report.err);
    }
    let landed = stage.path("lake").exists()
        && std::fs::read_dir(stage.path("lake"))
            .expect("a folder")
            .any(|e| !e.expect("an entry").file_name().to_string_lossy().starts_with('.'));
    assert!(!landed, "something landed");
    report.err
}

fn lines(stage: &Stage) -> String {
    stage.four_lines("planhat", "[companies]", "parquet://./lake")
}

#[test]
fn a_misspelt_word_a_duplicate_key_and_a_literal_secret_are_found_at_once() {
    let stage = Stage::new();
    let text = "source: { connector: planhat, credental: x, credential: Tok.4711-secret }\n\
                streams: [companies]\nstreams: [users]\ndestination: parquet://./lake\n";
    let err = refused(
        &stage,
        text,
        2,
        "invalid_file",
        &["p.yaml:1:31", "^^^^^^^^^ help: did you mean `credential`?", "a literal secret", "p.yaml:3:1"],
    );
    assert!(!err.contains("4711"), "a literal secret is not echoed:\n{err}");
    assert!(!stage.path(".sync").exists(), "nothing was begun");
    assert_eq!(stage.sandbox.counters().asked.len(), 0, "nobody was asked");
}

#[test]
fn an_unknown_stream_is_named_with_the_nearest() {
    let stage = Stage::new();
    let text = stage.four_lines("planhat", "[compnies]", "parquet://./lake");
    refused(&stage, &text, 2, "invalid_file", &["p.yaml:2:11", "`compnies`", "did you mean `companies`?"]);
}

#[test]
fn a_wrong_key_is_refused_and_never_shown() {
    let stage = Stage::with(|options| {
        options.planhat_token = "the right one".to_owned();
        options.flowlu_key = "the right one".to_owned();
    });
    let err =
        refused(&stage, &lines(&stage), 2, "credential_refused", &["Planhat refused the token", "hint:"]);
    assert!(!err.contains("planhat-sandbox-token"), "{err}");
    let text = stage.four_lines("flowlu", "[accounts]", "parquet://./lake");
    let err = refused(&stage, &text, 2, "credential_refused", &["Flowlu refused the key"]);
    assert!(!err.contains("flowlu-sandbox-key"), "{err}");
}

#[test]
fn a_key_that_is_not_set_is_named() {
    let stage = Stage::new();
    let text = lines(&stage).replace("PLANHAT_TOKEN", "NO_SUCH_VARIABLE");
    refused(&stage, &text, 2, "credential_missing", &["NO_SUCH_VARIABLE"]);
}

#[test]
fn a_wrong_sub_domain_is_a_matter_of_config_and_the_key_goes_nowhere_else() {
    let other = Stage::new();
    for astray in [Astray::Page, Astray::Redirect(format!("{}/core/user/list", other.base_url("flowlu")))] {
        let stage = Stage::with(|options| options.flowlu_astray = Some(astray));
        let text = stage.four_lines("flowlu", "[accounts]", "parquet://./lake");
        refused(&stage, &text, 2, "wrong_address", &["subdomain"]);
    }
    assert_eq!(other.sandbox.counters().asked.len(), 0, "a redirect was followed");
}

#[test]
fn a_web_page_where_json_was_due_is_an_address_of_something_else() {
    let stage = Stage::new();
    let html = Fault { on: String::new(), when: When::Every(1), what: What::Html };
    stage.sandbox.fault(html).expect("a fault");
    refused(&stage, &lines(&stage), 2, "not_an_api", &["web page"]);
}

#[test]
fn nobody_there_is_a_matter_of_the_environment() {
    let stage = Stage::new();
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("bound");
    let text = lines(&stage).replace(&stage.base_url("planhat"), &format!("http://{nobody}"));
    let text = text.replace("source: {", "source: { retry: { attempts: 2 },");
    refused(&stage, &text, 3, "unreachable", &[&nobody.to_string()]);
}

#[test]
fn plain_http_is_for_loopback_only() {
    let stage = Stage::new();
    let text = lines(&stage).replace(&stage.base_url("planhat"), "http://planhat.example.com");
    refused(&stage, &text, 2, "invalid_file", &["https"]);
}

/// Root may write anywhere, so the folder is a file's name.
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let stage = Stage::new();
    stage.write("taken", "a file where a folder is wanted");
    for destination in ["parquet://./taken/lake", "sqlite://./taken/x.db"] {
        let text = stage.four_lines("planhat", "[companies]", destination);
        refused(&stage, &text, 3, "not_writable", &["taken"]);
    }
    let text = lines(&stage);
    stage.write("p.yaml", &text);
    let report = stage.run(&["p.yaml", "--state", "taken/state"]);
    assert_eq!(report.code, Some(3), "{}", report.err);
}

#[test]
fn a_full_disk_is_named_and_the_run_goes_on_when_there_is_room() {
    for (destination, rows) in [("parquet://./lake", 60_000), ("sqlite://./full.db", 60_000)] {
        let stage = Stage::with(|options| {
            options.limits = false;
            options.rows.insert("planhat/companies".to_owned(), rows);
        });
        stage.write("p.yaml", &stage.four_lines("planhat", "[companies]", destination));
        // A file may not grow beyond this, as on a disk that is full: the first signal of it is ignored by `env`.
        let mut limited = std::process::Command::new("sh");
        limited.current_dir(stage.folder()).env_clear().envs(crate::stage::SECRETS);
        limited.args([
            "-c",
            "ulimit -f 20000; trap '' XFSZ; exec \"$0\" run --json p.yaml",
            env!("CARGO_BIN_EXE_sync"),
        ]);
        let report = crate::stage::Report::of(said(&mut limited));
        assert_eq!(report.code, Some(3), "{}\n{}", report.json, report.err);
        // SQLite does not tell a file that may not grow from a disk that fails.
        assert!(["disk_full", "io_failed"].contains(&report.error()), "{}", report.json);
        let report = stage.run(&["p.yaml"]);
        report.done();
        if destination.starts_with("sqlite") {
            assert_eq!(stage.one("full.db", "SELECT count(DISTINCT _id) FROM companies"), rows as i64);
        } else {
            let count = "import duckdb, sys; print(duckdb.sql(f\"select count(distinct _id) from '{sys.argv[1]}/*.parquet'\").fetchall()[0][0])";
            assert_eq!(
                crate::support::python(count, &[&stage.path("lake/companies")]).trim(),
                rows.to_string()
            );
        }
    }
}

#[test]
fn a_table_of_another_pipeline_is_refused() {
    let stage = Stage::new();
    for destination in ["parquet://./lake", "sqlite://./x.db"] {
        stage.write("first.yaml", &stage.four_lines("planhat", "[users]", destination));
        stage.run(&["first.yaml"]).done();
        stage.write("second.yaml", &stage.four_lines("planhat", "[users]", destination));
        let second = stage.run(&["second.yaml"]);
        assert_eq!((second.code, second.error()), (Some(2), "destination_owned"), "{}", second.err);
        assert!(second.err.contains("first"), "it names the owner: {}", second.err);
    }
}

#[test]
fn a_stream_without_permission_is_left_out_and_the_rest_goes_on() {
    let stage = Stage::with(|options| {
        options.limits = false;
        options.forbidden = vec!["planhat/tasks".to_owned(), "flowlu/tasks".to_owned()];
    });
    for (provider, other) in [("planhat", "users"), ("flowlu", "accounts")] {
        let file = format!("{provider}.yaml");
        stage.write(&file, &stage.four_lines(provider, &format!("[{other}, tasks]"), "sqlite://./x.db"));
        let report = stage.run(&[&file]);
        assert_eq!(
            (report.code, report.json["status"].as_str()),
            (Some(4), Some("partial")),
            "{}",
            report.err
        );
        assert_eq!(report.json["streams"][0]["status"], "done");
        assert_eq!(report.json["streams"][1]["status"], "unavailable");
    }
}

#[test]
fn faults_are_survived_or_named() {
    let stage = Stage::new();
    stage.write("p.yaml", &stage.four_lines("planhat", "[endusers]", "sqlite://./x.db"));
    for what in [What::Status(503, None), What::Cut, What::Reset, What::Empty, What::Object] {
        stage.sandbox.clear_faults();
        let fault = Fault { on: "planhat/endusers".to_owned(), when: When::At(1), what: what.clone() };
        stage.sandbox.fault(fault).expect("a fault");
        let report = stage.run(&["p.yaml", "--full-refresh"]);
        assert_eq!(
            report.done(),
            stage.sandbox.oracle("planhat/endusers").expect("rows").len() as u64,
            "{what:?}"
        );
        assert_eq!(report.figure("retries"), 1, "{what:?}");
    }
    stage.sandbox.clear_faults();
    let always = Fault { on: "planhat".to_owned(), when: When::Every(1), what: What::Status(500, None) };
    stage.sandbox.fault(always).expect("a fault");
    let text = stage.four_lines("planhat", "[endusers]", "sqlite://./x.db");
    stage.write("p.yaml", &text.replace("source: {", "source: { retry: { attempts: 3, max_wait: 5s },"));
    let report = stage.run(&["p.yaml"]);
    assert_eq!(report.code, Some(1), "{}", report.err);
    assert!(report.err.contains("500"), "{}", report.err);
}

#[test]
fn a_429_is_one_pause_and_the_limit_is_kept() {
    let stage = Stage::with(|options| {
        options.limits = false;
        options.rows.insert("flowlu/leads".to_owned(), 500);
    });
    let limited = Fault {
        on: "flowlu/crm/lead/list".to_owned(),
        when: When::At(2),
        what: What::Status(429, Some(sync_sandbox::RetryAfter::Seconds(1))),
    };
    stage.sandbox.fault(limited).expect("a fault");
    // The connector's own limit: 3 requests in 2 seconds.
    let text = stage
        .four_lines("flowlu", "[leads]", "sqlite://./x.db")
        .replace(", rate_limit: { limits: [1000/s] }", "");
    stage.write("p.yaml", &text);
    let report = stage.run(&["p.yaml"]);
    assert_eq!((report.done(), report.figure("retries")), (500, 1), "{}", report.err);
    let counters = stage.sandbox.counters();
    let flowlu = &counters.providers["flowlu"];
    assert_eq!((flowlu.violations, flowlu.limit, flowlu.window), (0, 3, Duration::from_secs(2)));
}

#[test]
fn data_goes_to_stdout_and_talk_to_stderr() {
    let stage = Stage::new();
    stage.write("p.yaml", &lines(&stage));
    let said: Said = stage.said(&["run", "p.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(said.err.contains("done: 1,000 rows loaded"), "{}", said.err);
    for words in [["connectors", "planhat"], ["schema", "pipeline"], ["schema", "connector"]] {
        let said = stage.said(&words);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}");
        assert!(said.out.len() > 500, "{words:?}");
    }
    stage.write("p.yaml", "source planhat");
    let report = stage.run(&["p.yaml"]);
    assert_eq!(report.json["streams"], serde_json::json!([]), "one object, whatever happens");
}
