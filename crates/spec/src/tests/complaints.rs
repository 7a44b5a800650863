//! What is said about mistakes: the full samples, a patch, and the complaint.

mod connector;
mod pipeline;

use sync_core::{Explain as _, Kind};

use super::{CONNECTOR, Language, PIPELINE, document};

/// The complaints about a text, each as `line:column stretch | message | help`.
fn complaints(language: Language, text: &str) -> String {
    let document = document(text);
    let Err(findings) = language.findings(&document) else { return String::new() };
    let line = |f: &crate::Finding| {
        let (line, column) = document.place(f.span.start);
        let stretch = &text[f.span.start..f.span.end];
        let stretch = stretch.lines().next().unwrap_or_default();
        format!("{line}:{column} {stretch} | {} | {}", f.message, f.help.as_deref().unwrap_or("-"))
    };
    findings.list.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Replaces the first `from` in a sample by `to`, and compares the complaints.
#[track_caller]
fn patch(language: Language, from: &str, to: &str, expect: &str) {
    let sample = if language == Language::Pipeline { PIPELINE } else { CONNECTOR };
    assert!(sample.contains(from), "the sample has `{from}`");
    assert_eq!(complaints(language, &sample.replacen(from, to, 1)), expect);
}

#[test]
fn yaml_itself() {
    let check = |text: &str, expect: &str| assert_eq!(complaints(Language::Pipeline, text), expect);
    check("", "1:1  | the file is empty | -");
    check("# only a comment\n", "1:1  | the file is empty | -");
    check("- a\n", "1:1 - a | the file must be a map, not a list | -");
    check(
        "source: a\nsource: b\n",
        "1:1 source | `streams` is missing | -\n1:1 source | `destination` is missing | -\n2:1 source | `source` is written twice | the first is in line 1; keep one of them",
    );
    check(
        "source: &a x\nstreams: [b]\ndestination: *a\n",
        "1:9 &a | anchors are not used here | write the value out; a text with `&` needs quotes\n3:14 *a | aliases are not used here | write the value out; a text that begins with `*` needs quotes",
    );
    check(
        "source: a\n streams: [b]\n",
        "2:9 : | this is not YAML: mapping values are not allowed in this context | an entry is `word: value`; a value with `: ` in it needs quotes",
    );
    check(
        "source: [a\nstreams: b\n",
        "2:8 : | this is not YAML: illegal placement of ':' indicator | every `[` and `{` is closed, with commas between the entries; a text with such a sign in it needs quotes",
    );
    check(
        "source: \"a\nstreams: b\n",
        "1:9 \" | this is not YAML: invalid indentation in quoted scalar | a quote that is opened must be closed",
    );
    check(
        "streams: *\n",
        "1:10 * | aliases are not used here | write the value out; a text that begins with `*` needs quotes",
    );
    check(
        "source: a: b\n",
        "1:10 : | this is not YAML: mapping values are not allowed in this context | an entry is `word: value`; a value with `: ` in it needs quotes",
    );
}

#[test]
fn all_of_it_is_shown_at_once() {
    let text = "source: { connector: planhat, credential: sk-LIVE-1 }\nstreams: [a]\n\
                destnation: parquet://./lake\nschedule: every 1 hour\n";
    let findings = Language::Pipeline.findings(&document(text)).expect_err("it has mistakes");
    assert_eq!(
        findings.to_string(),
        "error: a literal secret; a file is read by more people than should know it\n --> dir/pipeline.yaml:1:43\n  |\n1 | source: { connector: planhat, credential: *** }\n  |                                           ^^^ help: put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here\n\nerror: unknown word `destnation`\n --> dir/pipeline.yaml:3:1\n  |\n3 | destnation: parquet://./lake\n  | ^^^^^^^^^^ help: did you mean `destination`?\n\nerror: ` hour` is not a unit of time\n --> dir/pipeline.yaml:4:17\n  |\n4 | schedule: every 1 hour\n  |                 ^^^^^^ help: such as `every 1h`\n"
    );
    let problem = findings.problem();
    assert_eq!((findings.kind(), findings.code()), (Kind::Refused, "invalid_file"));
    assert_eq!(
        problem.message,
        "dir/pipeline.yaml:1:43: a literal secret; a file is read by more people than should know it\n\
         dir/pipeline.yaml:3:1: unknown word `destnation`\n\
         dir/pipeline.yaml:4:17: ` hour` is not a unit of time"
    );
    assert_eq!(
        problem.hint.as_deref(),
        Some("put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here")
    );
}

#[test]
fn secrets_are_never_shown() {
    let shown = |language: Language, text: &str| {
        let findings = language.findings(&document(text)).expect_err("it has mistakes");
        let shown = format!("{findings}{:?}", findings.problem());
        assert!(!shown.contains("hush"), "{shown}");
    };
    // One that looks like the name of a stored credential is told apart, and hidden, where it is looked for.
    for credential in [
        "Hush-hush",
        "Hush.hush.hush",
        "\"Hush\\x2dhush\"",
        "{ token: hush }",
        "[hush]",
        "{ hush-hush-9: a }",
        "|\n    hush hush\n    hush",
        "&a hush-1",
        "!x hush-1",
        "hush: hush",
        "\"hush",
        "{ a: hush",
        "*hush",
    ] {
        let rest = "\nstreams: [a]\ndestination: parquet://./l\n";
        shown(Language::Pipeline, &format!("source:\n  connector: a\n  credential: {credential}{rest}"));
        shown(Language::Pipeline, &format!("source:\n  connector: a\n  credentail: {credential}{rest}"));
        shown(Language::Pipeline, &format!("source:\n  connector: a\n  token: {credential}{rest}"));
        shown(Language::Pipeline, &format!("credential: {credential}{rest}"));
    }
    for pipeline in [
        "source: { connector: a, base_url: \"https://me:hush@h/\" }",
        "source: { connector: a, base_url: \"https://hush@h/\" }",
        "source: { connector: a, base_url: \"https://h/?api_key=hush\" }",
        "source: { connector: a, config: { url: \"https://me:hush@h/\" } }",
        "source: { connector: a, config: { api_key: hush-hush } }",
        "source: { connector: a, key: hush-hush }",
        "source: https://me:hush@h/",
        "destination: postgres://me:hush@h/db",
        "destination: postgres://me:hu/hush@h/db",
        "source: { connector: a, credential: \"${env:A}\", credential: hush-hush }",
    ] {
        shown(Language::Pipeline, pipeline);
    }
    for connector in [
        "auth: { bearer: hush-hush }",
        "auth: hush-hush",
        "auth: { header: { Authorization: Bearer hush } }",
        "auth: { basic: { username: hush, password: hush } }",
        "headers: { X-Api-Key: hush-hush }",
        "base_url: https://me:hush@h/",
        "check: { get: \"/x?token=hush\" }",
        "check: { get: /x, query: { access_token: hush } }",
    ] {
        shown(Language::Connector, connector);
    }
}
