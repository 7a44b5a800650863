//! Credentials as a person meets them: made, tested, used, changed, forgotten, and never seen again.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::stage::{SECRETS, Stage};
use crate::support::{Said, said};

/// `sync credentials` with a secret on its standard input.
#[track_caller]
fn with_stdin(stage: &Stage, words: &[&str], secret: &str) -> Said {
    let mut command = stage.sync(&[&["credentials"], words].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    child.stdin.take().expect("it has one").write_all(secret.as_bytes()).expect("it listens");
    child.wait_with_output().expect("it ends").into()
}

#[track_caller]
fn fine(said: &Said) {
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", said.out, said.err))
}

/// What each provider of the sandbox takes.
fn key_of(provider: &str) -> &'static str {
    let (_, key) = SECRETS
        .iter()
        .find(|(variable, _)| variable.to_lowercase().starts_with(provider))
        .expect("a provider of the sandbox");
    key
}

/// Stores the sandbox's own key of a provider under a name.
#[track_caller]
fn add(stage: &Stage, name: &str, provider: &str) {
    let base = stage.base_url(provider);
    let words = ["add", name, "--connector", provider, "--base-url", &base, "--from-stdin"];
    let said = with_stdin(stage, &words, &format!("{}\n", key_of(provider)));
    fine(&said);
    assert!(said.err.contains("the provider accepts it"), "{}", said.err);
}

#[test]
fn every_provider_is_added_tested_used_rotated_and_removed() {
    for (provider, stream) in [
        ("planhat", "companies"),
        ("flowlu", "leads"),
        ("hubplanner", "projects"),
        ("hubnity", "members"),
        ("hubspot", "owners"),
    ] {
        let stage = Stage::new();
        let (name, key) = (format!("{provider}-prod"), key_of(provider));
        add(&stage, &name, provider);
        let listed = stage.said(&["credentials", "list"]);
        fine(&listed);
        assert!(listed.out.contains(&name) && listed.out.contains("accepted"), "{}", listed.out);
        let tested = stage.said(&["credentials", "test", &name]);
        fine(&tested);
        assert_eq!(tested.out, format!("{name}: accepted\n"));

        // The pipeline says the credential's name and nothing else about where to go.
        let text = format!(
            "source: {{ connector: {provider}, credential: {name}, rate_limit: {{ limits: [1000/s] }} }}\n\
             streams: [{stream}]\ndestination: sqlite://./x.db\n"
        );
        stage.write("p.yaml", &text);
        let report = stage.run(&["p.yaml"]);
        assert!(report.done() > 0, "{}", report.err);

        let wrong = with_stdin(&stage, &["rotate", &name, "--from-stdin"], "not-the-key-at-all");
        assert_eq!(wrong.code, Some(2), "{}", wrong.err);
        assert!(
            wrong.err.contains("nothing was stored") && !wrong.err.contains("not-the-key-at-all"),
            "{}",
            wrong.err
        );
        let rotated = with_stdin(&stage, &["rotate", &name, "--from-stdin", "--overlap", "1h"], key);
        fine(&rotated);
        assert!(rotated.err.contains("the old one is kept until"), "{}", rotated.err);
        let shown = stage.said(&["credentials", "show", &name, "--json"]);
        let shown = json(&shown);
        assert_eq!(shown["connector"], provider);
        assert!(shown["previous_until"].is_string(), "{shown}");
        assert_eq!(shown["used_by"].as_array().map(Vec::len), Some(1), "{shown}");

        let removed = stage.said(&["credentials", "remove", &name]);
        fine(&removed);
        assert!(removed.err.contains("p.yaml uses"), "{}", removed.err);
        let report = stage.run(&["p.yaml"]);
        assert_eq!(report.code, Some(2), "{}", report.err);
        assert!(report.err.contains("there is no stored credential of this name"), "{}", report.err);
        let everything = [&listed, &tested, &wrong, &rotated, &removed];
        for said in everything {
            assert!(!said.out.contains(key) && !said.err.contains(key), "{}{}", said.out, said.err);
        }
    }
}

#[test]
fn a_credential_named_like_its_connector_needs_no_word() {
    let stage = Stage::new();
    add(&stage, "planhat", "planhat");
    stage.write("p.yaml", "source: planhat\nstreams: [users]\ndestination: sqlite://./x.db\n");
    stage.run(&["p.yaml"]).done();
    let again = with_stdin(&stage, &["add", "planhat", "--connector", "planhat", "--from-stdin"], "x-1");
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("there is a credential `planhat` already"), "{}", again.err);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_stored() {
    let stage = Stage::new();
    let base = stage.base_url("planhat");
    let refused = |words: &[&str], secret: &str, expect: &str| {
        let said = with_stdin(&stage, words, secret);
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.err);
        assert!(said.err.contains(expect), "{words:?}: {}", said.err);
    };
    let add = ["add", "p", "--connector", "planhat", "--base-url", &base];
    let with = |more: &[&'static str]| -> Vec<String> {
        add.iter().map(|word| (*word).to_owned()).chain(more.iter().map(|word| (*word).to_owned())).collect()
    };
    let words = |words: &[String]| words.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    let stdin = words(&with(&["--from-stdin"]));
    let stdin: Vec<&str> = stdin.iter().map(String::as_str).collect();
    refused(&stdin, "wrong-key", "nothing was stored");
    refused(&stdin, "", "the secret `token` is empty");
    refused(&stdin, "two\nlines", "a line break");
    refused(&add, "", "nobody can be asked for token");
    refused(
        &["add", "P", "--connector", "planhat", "--from-stdin"],
        "x",
        "a credential is called by small letters",
    );
    refused(&["add", "p", "--connector", "planht", "--from-stdin"], "x", "did you mean `planhat`?");
    refused(
        &["add", "p", "--connector", "planhat", "--method", "x", "--from-stdin"],
        "x",
        "one kind of credential only",
    );
    refused(&["add", "p", "--connector", "flowlu", "--from-stdin"], "x", "subdomain");
    refused(&["rotate", "p", "--from-stdin"], "x", "there is no credential `p`");
    refused(&["remove", "p"], "", "there is no credential `p`");
    refused(
        &["add", "p", "--connector", "planhat", "--base-url", "http://example.com", "--from-stdin"],
        "x",
        "plain http",
    );
    let listed = stage.said(&["credentials", "list"]);
    assert!(listed.out.contains("nothing is stored yet"), "{}", listed.out);
    // A host that cannot be reached is no verdict on the key: nothing is stored unless somebody says so.
    let gone = ["add", "p", "--connector", "planhat", "--base-url", "http://127.0.0.1:9", "--from-stdin"];
    let said = with_stdin(&stage, &gone, "some-key-1");
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.contains("--no-test"), "{}", said.err);
    fine(&with_stdin(&stage, &[gone.as_slice(), &["--no-test"]].concat(), "some-key-1"));
    let listed = stage.said(&["credentials", "list"]);
    assert!(listed.out.contains("untested"), "{}", listed.out);
}

#[test]
fn a_stored_secret_goes_nowhere_else() {
    let stage = Stage::new();
    add(&stage, "planhat", "planhat");
    let text = "source: { connector: planhat, base_url: \"https://planhat.evil.test\" }\n\
                streams: [users]\ndestination: sqlite://./x.db\n";
    stage.write("p.yaml", text);
    let report = stage.run(&["p.yaml"]);
    assert_eq!(report.code, Some(2), "{}", report.err);
    assert!(report.err.contains("this credential belongs to http://127.0.0.1"), "{}", report.err);
    // A connector of one's own that calls itself like another does not get the other's key.
    fine(&with_stdin(
        &stage,
        &["add", "real", "--connector", "planhat", "--from-stdin", "--no-test"],
        "some-key-1",
    ));
    let connector = "connector: planhat\nbase_url: https://evil.test\nauth: { bearer: \"${secret.token}\" }\n\
                     streams: { users: { get: /users } }\n";
    stage.write("evil.yaml", connector);
    let text = "source: { connector: ./evil.yaml, credential: real }\nstreams: [users]\ndestination: sqlite://./x.db\n";
    stage.write("p.yaml", text);
    let report = stage.run(&["p.yaml"]);
    assert_eq!(report.code, Some(2), "{}", report.err);
    let expect = "this credential belongs to https://api.planhat.com, and this source asks https://evil.test";
    assert!(report.err.contains(expect), "{}", report.err);
}

#[test]
fn secrets_come_from_the_environment_and_from_commands() {
    let stage = Stage::new();
    let base = stage.base_url("planhat");
    let mut command =
        stage.sync(&["credentials", "add", "p", "--connector", "planhat", "--base-url", &base, "--from-env"]);
    fine(&said(command.env("SYNC_PLANHAT_TOKEN", key_of("planhat"))));
    let words = [
        "credentials",
        "add",
        "q",
        "--connector",
        "planhat",
        "--base-url",
        &base,
        "--from-env",
        "MINE",
        "--json",
    ];
    let added = said(stage.sync(&words).env("MINE", key_of("planhat")));
    fine(&added);
    assert_eq!(json(&added)["state"], "accepted");
    // A password manager: a program that prints the secret.
    stage.write("key", &format!("{}\n", key_of("planhat")));
    let text = stage
        .four_lines("planhat", "[users]", "sqlite://./x.db")
        .replace("${env:PLANHAT_TOKEN}", "${cmd:cat key}");
    stage.write("p.yaml", &text);
    stage.run(&["p.yaml"]).done();
    stage.write("p.yaml", &text.replace("cat key", "cat no-such-key"));
    let report = stage.run(&["p.yaml"]);
    assert_eq!((report.code, report.error()), (Some(2), "credential_command"), "{}", report.err);
}

#[test]
fn credentials_travel_and_the_vault_is_locked_anew() {
    let (here, there) = (Stage::new(), Stage::new());
    add(&here, "planhat", "planhat");
    let export = |stage: &Stage, phrase: &str| {
        said(stage.sync(&["credentials", "export", "out.vault"]).env("SYNC_EXPORT_PASSPHRASE", phrase))
    };
    let said_nothing = here.said(&["credentials", "export", "out.vault"]);
    assert_eq!(said_nothing.code, Some(2), "{}", said_nothing.err);
    fine(&export(&here, "correct horse"));
    std::fs::copy(here.path("out.vault"), there.path("in.vault")).expect("copied");
    let import = |phrase: &str| {
        said(there.sync(&["credentials", "import", "in.vault"]).env("SYNC_EXPORT_PASSPHRASE", phrase))
    };
    let wrong = import("incorrect horse");
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
    assert!(wrong.err.contains("the passphrase does not open"), "{}", wrong.err);
    fine(&import("correct horse"));
    let listed = there.said(&["credentials", "list", "--json"]);
    assert_eq!(json(&listed)[0]["name"], "planhat");

    let key = std::fs::read(here.path(".home/vault/master.key")).expect("a key");
    fine(&here.said(&["credentials", "rekey"]));
    assert_ne!(std::fs::read(here.path(".home/vault/master.key")).expect("a key"), key);
    fine(&here.said(&["credentials", "test", "planhat"]));
    std::fs::write(here.path(".home/vault/master.key"), key).expect("written");
    let wrong = here.said(&["credentials", "list"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
    assert!(wrong.err.contains("master.key does not open the vault"), "{}", wrong.err);
}

#[test]
fn a_retired_key_works_as_far_as_the_provider_lets_it_and_is_warned_about() {
    let stage = Stage::new();
    let base = stage.base_url("hubspot");
    let add = ["--connector", "hubspot", "--base-url", &base, "--from-stdin", "--no-test"];
    fine(&with_stdin(
        &stage,
        &[&["add", "old", "--method", "hapikey"], add.as_slice()].concat(),
        "old-key-1",
    ));
    let any = ["--method", "any", "--config", "place=query", "--config", "key_name=hapikey"];
    fine(&with_stdin(&stage, &[&["add", "any"], any.as_slice(), add.as_slice()].concat(), "old-key-1"));
    let named = ["--method", "any", "--config", "place=header", "--config", "key_name=authorization"];
    let token = format!("Bearer {}", key_of("hubspot"));
    fine(&with_stdin(&stage, &[&["add", "named"], named.as_slice(), add.as_slice()].concat(), &token));
    for (name, accepted) in [("old", false), ("any", false), ("named", true)] {
        let tested = stage.said(&["credentials", "test", name]);
        assert_eq!(tested.code, Some(if accepted { 0 } else { 2 }), "{name}: {}{}", tested.out, tested.err);
        assert_eq!(tested.out.contains("30 November 2022"), !accepted, "{}", tested.out);
        assert!(!tested.out.contains("old-key-1") && !tested.err.contains("old-key-1"));
    }
}
