//! The schemas know what the readers know: the samples are valid under them, and every word of theirs is read.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Language, document};
use crate::condition::is_json_number;
use crate::node::{Node, Value, load};
use crate::schema::Json;

/// A document as JSON, by the core schema of YAML 1.2, as editors see it.
pub(super) fn json_of(node: &Node) -> Json {
    match &node.value {
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|e| (e.key.clone(), json_of(&e.value))).collect())
        }
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Scalar(w) if w.quoted => json!(w.text),
        Value::Scalar(w) if w.is_null() => Json::Null,
        Value::Scalar(w) => match w.as_bool() {
            Some(flag) => json!(flag),
            None if is_json_number(&w.text) => serde_json::from_str(&w.text).unwrap_or(Json::Null),
            None => json!(w.text),
        },
        Value::Refused => Json::Null,
    }
}

/// Whether a value is valid under a schema; the part of JSON Schema that ours are written in.
pub(super) fn valid(root: &Json, schema: &Json, value: &Json) -> bool {
    let Json::Object(rules) = schema else { panic!("{schema} is not a schema") };
    rules.iter().all(|(rule, wanted)| match rule.as_str() {
        "$ref" => {
            let name =
                wanted.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a reference into $defs");
            valid(root, root["$defs"].get(name).expect("what is referred to is there"), value)
        }
        "type" => match wanted {
            Json::Array(types) => types.iter().any(|t| is_type(t, value)),
            one => is_type(one, value),
        },
        "enum" => wanted.as_array().expect("a list").contains(value),
        "const" => wanted == value,
        "pattern" => value.as_str().is_none_or(|text| matches(wanted, text)),
        "minimum" => value.as_u64().is_none_or(|n| n >= wanted.as_u64().expect("a number")),
        "maximum" => value.as_u64().is_none_or(|n| n <= wanted.as_u64().expect("a number")),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|item| valid(root, wanted, item))),
        "minItems" => {
            value.as_array().is_none_or(|list| list.len() as u64 >= wanted.as_u64().expect("a number"))
        }
        "maxItems" => {
            value.as_array().is_none_or(|list| list.len() as u64 <= wanted.as_u64().expect("a number"))
        }
        "uniqueItems" => value.as_array().is_none_or(|l| (1..l.len()).all(|i| !l[..i].contains(&l[i]))),
        "minProperties" => {
            value.as_object().is_none_or(|m| m.len() as u64 >= wanted.as_u64().expect("a number"))
        }
        "maxProperties" => {
            value.as_object().is_none_or(|m| m.len() as u64 <= wanted.as_u64().expect("a number"))
        }
        "propertyNames" => value.as_object().is_none_or(|m| m.keys().all(|k| valid(root, wanted, &json!(k)))),
        "required" => {
            let words = wanted.as_array().expect("a list");
            value
                .as_object()
                .is_none_or(|m| words.iter().all(|w| m.contains_key(w.as_str().expect("a word"))))
        }
        "properties" => {
            let known = wanted.as_object().expect("a map");
            value
                .as_object()
                .is_none_or(|m| m.iter().all(|(k, v)| known.get(k).is_none_or(|s| valid(root, s, v))))
        }
        "additionalProperties" => {
            let known = |word: &str| rules.get("properties").is_some_and(|p| p.get(word).is_some());
            let mut others = value.as_object().into_iter().flatten().filter(|(word, _)| !known(word));
            match wanted {
                Json::Bool(false) => others.next().is_none(),
                other => others.all(|(_, v)| valid(root, other, v)),
            }
        }
        "oneOf" => wanted.as_array().expect("a list").iter().filter(|s| valid(root, s, value)).count() == 1,
        "anyOf" => wanted.as_array().expect("a list").iter().any(|s| valid(root, s, value)),
        "not" => !valid(root, wanted, value),
        "description" | "title" | "$schema" | "$defs" => true,
        other => panic!("`{other}` is not understood here"),
    })
}

fn is_type(name: &Json, value: &Json) -> bool {
    match name.as_str().expect("a type is a word") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("`{other}` is not a type"),
    }
}

fn matches(pattern: &Json, text: &str) -> bool {
    thread_local! {
        static PATTERNS: std::cell::RefCell<std::collections::HashMap<String, regex_lite::Regex>> = std::cell::RefCell::default();
    }
    let pattern = pattern.as_str().expect("a pattern is a text");
    PATTERNS.with_borrow_mut(|patterns| {
        let compile = || regex_lite::Regex::new(pattern).expect("a pattern compiles");
        patterns.entry(pattern.to_owned()).or_insert_with(compile).is_match(text)
    })
}

fn value_of(text: &str) -> Json {
    json_of(&load(&document(text)).0.expect("it is YAML"))
}

#[test]
fn every_sample_is_valid() {
    for language in [Language::Pipeline, Language::Connector] {
        let schema = language.schema();
        for sample in language.samples() {
            assert!(valid(&schema, &schema, &value_of(sample)), "{sample}");
        }
    }
}

#[test]
fn what_the_reader_refuses_for_its_form_is_not_valid() {
    let check = |language: Language, from: &str, to: &str| {
        let text = language.samples()[1].replacen(from, to, 1);
        let schema = language.schema();
        assert!(language.findings(&document(&text)).is_err(), "{to}");
        assert!(!valid(&schema, &schema, &value_of(&text)), "{to}");
    };
    let pipeline = |from: &str, to: &str| check(Language::Pipeline, from, to);
    pipeline("every: 1h", "every: 1h\n  cron: 1 2 3 4 5");
    pipeline("every: 1h", "jitter: 1h");
    pipeline("150/min", "150");
    pipeline("write: merge", "write: upsert");
    pipeline("0.5%", "0.5");
    pipeline("decimal(18,2)", "decimal");
    pipeline("web: hmac", "web: hash");
    pipeline("{ keep_if: status", "{ keep_if: x, set: { a: b }, x: status");
    pipeline("concurrency: 4", "concurrency: 0");
    pipeline("port: 8080", "port:");
    pipeline("./connectors/acme.yaml", "acme/x");
    pipeline("\"${env:PLANHAT_TOKEN}\"", "secret");
    let connector = |from: &str, to: &str| check(Language::Connector, from, to);
    connector("page: { param: p", "offset: { param: o }, page: { param: p");
    connector("status: 429", "status: 42");
    connector("key: id", "key: []");
    connector("get: /licenses", "get: licenses");
    connector("{ count: 100 }", "{ count: 100, b: 1 }");
    connector("{ gt: 1 }", "{ gt: 1, lt: 2 }");
    connector("X-View: wide", "X View: wide");
}

/// Every word of a schema: names of properties, and values of enums and constants.
fn words_of(schema: &Json) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    super::spelling::known(schema, &mut words);
    words
}

fn words_in(node: &Node, words: &mut BTreeSet<String>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                words.insert(entry.key.clone());
                words_in(&entry.value, words);
            }
        }
        Value::List(items) => items.iter().for_each(|item| words_in(item, words)),
        Value::Scalar(written) => _ = words.insert(written.text.clone()),
        Value::Refused => {}
    }
}

#[test]
fn every_word_of_the_schema_is_read_and_no_other() {
    for language in [Language::Pipeline, Language::Connector] {
        let schema = language.schema();
        let mut written = BTreeSet::new();
        let roots = language.samples().iter().map(|sample| load(&document(sample)).0.expect("it is YAML"));
        roots.for_each(|root| words_in(&root, &mut written));
        let root = load(&document(language.samples()[1])).0.expect("it is YAML");
        // Alternatives of one place, of which a file can hold one.
        let others = [
            [
                "sqlite",
                "cron",
                "replace",
                "append",
                "merge",
                "snappy",
                "none",
                "queue",
                "skip",
                "run_once",
                "*",
                "history",
                "freeze",
                "drop_value",
                "fail",
            ]
            .as_slice(),
            [
                "bearer",
                "header",
                "basic",
                "username",
                "password",
                "same_host",
                "none",
                "text",
                "int",
                "bool",
                "url",
            ]
            .as_slice(),
            [
                "ok",
                "empty",
                "gone",
                "auth",
                "quota",
                "retry",
                "reject",
                "smaller_page",
                "smaller_window",
                "iso",
                "iso_ms",
                "epoch",
            ]
            .as_slice(),
            ["epoch_ms", "date", "short", "config", "type", "enum"].as_slice(),
            [
                "detect", "snapshot", "backfill", "from", "chunk", "feed", "server", "time", "error", "json",
                "csv", "read", "fields",
            ]
            .as_slice(),
        ]
        .concat();
        for word in words_of(&schema) {
            assert!(written.contains(&word) || others.contains(&word.as_str()), "`{word}` is in no sample");
        }
        // A word that one side does not know, the other does not know either: at every map of the sample.
        let mut maps = Vec::new();
        gather_maps(&root, &mut maps);
        assert!(maps.len() > 5);
        for at in maps {
            let sample = language.samples()[1];
            let text = format!("{}zzz: 1, {}", &sample[..at], &sample[at..]);
            let Some(node) = load(&document(&text)).0 else { continue };
            let refused = language.findings(&document(&text)).is_err();
            assert_eq!(refused, !valid(&schema, &schema, &json_of(&node)), "{text}");
        }
    }
}

/// Behind the opening brace of every map in braces.
fn gather_maps(node: &Node, maps: &mut Vec<usize>) {
    match &node.value {
        Value::Map(entries) => {
            if entries.first().is_some_and(|first| first.key_span.start > node.span.start) {
                maps.push(node.span.start + 1);
            }
            for entry in entries {
                gather_maps(&entry.value, maps);
            }
        }
        Value::List(items) => items.iter().for_each(|item| gather_maps(item, maps)),
        Value::Scalar(_) | Value::Refused => {}
    }
}

#[test]
fn every_property_is_described() {
    fn walk(schema: &Json, path: &str) {
        let Json::Object(map) = schema else { return };
        if let Some(Json::Object(properties)) = map.get("properties") {
            for (word, property) in properties {
                let about = property["description"].as_str().unwrap_or_default();
                assert!(about.len() > 5, "{path}.{word} has no description");
                assert_eq!(map["additionalProperties"], json!(false), "{path} takes other words");
            }
        }
        map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}")));
        map.values().filter_map(Json::as_array).flatten().for_each(|value| walk(value, path));
    }
    for language in [Language::Pipeline, Language::Connector] {
        let schema = language.schema();
        assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
        walk(&schema, "");
    }
}
