//! Every word of the fullest samples, misspelt in turn, is found where it stands, with the word that was meant.

use std::collections::BTreeSet;

use super::{Language, document};
use crate::node::{Node, Value, load};
use crate::schema::Json;

/// Where a word of a language stands in a sample.
fn words(node: &Node, known: &BTreeSet<String>, found: &mut Vec<(usize, String)>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                if known.contains(&entry.key) {
                    found.push((entry.key_span.start, entry.key.clone()));
                }
                words(&entry.value, known, found);
            }
        }
        Value::List(items) => items.iter().for_each(|item| words(item, known, found)),
        Value::Scalar(written) if !written.quoted && known.contains(&written.text) => {
            found.push((node.span.start, written.text.clone()));
        }
        Value::Scalar(_) | Value::Refused => {}
    }
}

/// The words that a schema knows: names of properties, and values of enums and constants.
pub(super) fn known(schema: &Json, words: &mut BTreeSet<String>) {
    match schema {
        Json::Object(map) => {
            if let Some(Json::Object(properties)) = map.get("properties") {
                words.extend(properties.keys().cloned());
            }
            let constants =
                map.get("enum").and_then(Json::as_array).into_iter().flatten().chain(map.get("const"));
            words.extend(constants.filter_map(Json::as_str).map(str::to_owned));
            map.values().for_each(|value| known(value, words));
        }
        Json::Array(list) => list.iter().for_each(|value| known(value, words)),
        _ => {}
    }
}

/// A slip of the finger: two letters change places, one is lost, or one is there twice.
fn slips(word: &str) -> Vec<String> {
    let at = word.len() / 2;
    let (mut swapped, mut lost, mut twice) = (word.as_bytes().to_vec(), word.to_owned(), word.to_owned());
    swapped.swap(at - 1, at);
    lost.remove(at);
    twice.insert(at, word.as_bytes()[at] as char);
    [String::from_utf8(swapped).expect("words are ASCII"), lost, twice]
        .into_iter()
        .filter(|s| s != word)
        .collect()
}

#[test]
fn a_slip_of_the_finger_is_named_where_it_stands() {
    for language in [Language::Pipeline, Language::Connector] {
        let mut known_words = BTreeSet::new();
        known(&language.schema(), &mut known_words);
        let sample = language.samples()[1];
        let mut found = Vec::new();
        words(&load(&document(sample)).0.expect("the sample is YAML"), &known_words, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for (start, word) in found {
            for slip in slips(&word) {
                if known_words.contains(&slip) {
                    continue; // `lt` and `lte` are both words
                }
                let text = format!("{}{slip}{}", &sample[..start], &sample[start + word.len()..]);
                let findings =
                    language.findings(&document(&text)).expect_err(&format!("`{slip}` is no word"));
                let here = findings.list.iter().find(|f| f.span.start == start);
                let help = here.and_then(|f| f.help.as_deref()).unwrap_or_default();
                assert!(
                    help.contains(&format!("did you mean `{word}`?")),
                    "`{slip}` for `{word}`: {findings}"
                );
            }
        }
    }
}
