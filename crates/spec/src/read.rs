//! From a tree to plain data: what every word of both languages is made with.
//!
//! A [`Form`] is one way to write a value. It reads a node and describes itself as JSON Schema, and both come
//! from one list of fields ([`record!`](crate::read::record)) or of words ([`words!`](crate::read::words)), so
//! neither can know a word that the other does not. Reading never stops at the first mistake: a form that
//! cannot read its node says why, returns nothing, and the rest is read all the same.

use std::marker::PhantomData;

use crate::node::{Entry, Node, Value};
use crate::schema::{Defs, Json};
use crate::{Document, Finding, Span, Spanned};

/// One way to write a value.
///
/// Contract: `read` returns `None` only after it added a finding, or where the node is one already. Every
/// text that `read` takes is valid under `schema`.
pub(crate) trait Form {
    /// What it is read as.
    type Value;
    /// Reads a node.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value>;
    /// The same as JSON Schema.
    fn schema(defs: &mut Defs) -> Json;
}

/// A document while it is read: what was found, and where in the tree we are.
pub(crate) struct Reader<'d> {
    pub document: &'d Document,
    /// The names under `config:` of a connector, for holes.
    pub settings: Vec<String>,
    findings: Vec<Finding>,
    keys: Vec<Spanned<String>>,
}

impl<'d> Reader<'d> {
    pub fn new(document: &'d Document, findings: Vec<Finding>) -> Self {
        Self { document, settings: Vec::new(), findings, keys: Vec::new() }
    }

    /// The value, if nothing was found.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, crate::Findings> {
        match value {
            Some(value) if self.findings.is_empty() => Ok(value),
            _ => Err(self.document.findings(self.findings)),
        }
    }

    /// Adds a finding. An empty help is none.
    pub fn find(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|h| !h.is_empty());
        self.findings.push(Finding { span, message: message.into(), help });
    }

    /// Whether anything was found so far.
    pub fn found_something(&self) -> bool {
        !self.findings.is_empty()
    }

    /// The word whose value is being read.
    pub fn word(&self) -> &str {
        self.keys.last().map_or("the file", |key| &key.value)
    }

    /// Reads the value of an entry.
    pub fn value_of<F: Form>(&mut self, entry: &Entry) -> Option<F::Value> {
        self.keys.push(Spanned { value: entry.key.clone(), span: entry.key_span });
        let value = F::read(&entry.value, self);
        self.keys.pop();
        value
    }

    /// Reads an item of the list under the word that is being read. What it lacks is said at the item.
    pub fn item_of<F: Form>(&mut self, item: &Node) -> Option<F::Value> {
        self.keys.push(Spanned { value: self.word().to_owned(), span: item.span });
        let value = F::read(item, self);
        self.keys.pop();
        value
    }

    /// Refuses a node that is not what was wanted. `what` follows "is not" and "must be".
    pub fn refuse<T>(&mut self, node: &Node, what: &str, help: impl Into<String>) -> Option<T> {
        let word = match self.keys.last() {
            Some(key) => format!("`{}`", shown(&key.value)),
            None => "the file".to_owned(),
        };
        let message = match &node.value {
            Value::Refused => return None,
            Value::Scalar(written) if written.is_null() => format!("{word} has no value; it must be {what}"),
            Value::Scalar(written) => format!("`{}` is not {what}", shown(&written.text)),
            Value::List(_) => format!("{word} must be {what}, not a list"),
            Value::Map(_) => format!("{word} must be {what}, not a map"),
        };
        self.find(node.span, message, help);
        None
    }

    /// Refuses a scalar where this word or something longer was wanted.
    pub fn refuse_near<T>(&mut self, node: &Node, what: &str, word: &str, help: &str) -> Option<T> {
        let text = node.scalar().map_or("", |written| written.text.as_str());
        let near = nearest(text, [word].into_iter()).map(|near| format!("did you mean `{near}`?"));
        self.refuse(node, what, near.unwrap_or_else(|| help.to_owned()))
    }

    /// Refuses a word that is not known.
    pub fn unknown<T>(&mut self, span: Span, message: String, word: &str, known: &[&str]) -> Option<T> {
        let help = suggestion(word, known.iter().copied());
        self.find(span, message, help);
        None
    }

    /// The text of a scalar that says something.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match node.scalar() {
            Some(written) if !written.is_null() => Some(&written.text),
            _ => self.refuse(node, what, ""),
        }
    }

    /// The entries of a map.
    pub fn map<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
    ) -> Option<impl Iterator<Item = &'n Entry> + use<'n>> {
        match &node.value {
            Value::Map(entries) => Some(entries.iter().filter(|e| !e.refused)),
            _ => self.refuse(node, what, ""),
        }
    }

    /// The entries of a map whose words are all known.
    pub fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let entries: Vec<&Entry> = self.map(node, what)?.collect();
        let written = |word: &str| entries.iter().any(|e| e.key == word);
        let (mut fields, mut strange) = (Vec::new(), false);
        for entry in &entries {
            if known.contains(&entry.key.as_str()) {
                fields.push((entry.key.clone(), *entry));
                continue;
            }
            let message = format!("unknown word `{}`", shown(&entry.key));
            self.unknown::<()>(entry.key_span, message, &entry.key, known);
            // What it surely meant is read under that name, so that mistakes inside are found now.
            if let Some(near) = nearest(&entry.key, known.iter().copied())
                && !written(near)
                && !fields.iter().any(|(word, _)| word == near)
            {
                fields.push((near.to_owned(), *entry));
            } else {
                strange = true;
            }
        }
        Some(Fields { span: node.span, entries: fields, strange })
    }

    /// The stretch of the document for a part of a scalar's text; all of it where escapes or folding make
    /// that unknown.
    pub fn stretch(&self, node: &Node, part: std::ops::Range<usize>) -> Span {
        let Some(written) = node.scalar() else { return node.span };
        let raw = &self.document.text[node.span.start..node.span.end];
        let at = usize::from(raw.starts_with(['"', '\'']));
        if raw.get(at..).is_some_and(|raw| raw.starts_with(&written.text)) {
            Span { start: node.span.start + at + part.start, end: node.span.start + at + part.end }
        } else {
            node.span
        }
    }
}

/// A map whose words are known, while its values are read.
pub(crate) struct Fields<'n> {
    pub span: Span,
    entries: Vec<(String, &'n Entry)>,
    /// Whether there is a word that means nothing here: it may stand for one that seems to be missing.
    strange: bool,
}

impl Fields<'_> {
    /// Whether the word is there.
    pub fn has(&self, word: &str) -> bool {
        self.get(word).is_some()
    }

    fn get(&self, word: &str) -> Option<&Entry> {
        self.entries.iter().find(|(name, _)| name == word).map(|(_, entry)| *entry)
    }

    /// Where the value of a word stands.
    pub fn span_of(&self, word: &str) -> Span {
        self.get(word).map_or(self.span, |entry| entry.value.span)
    }

    /// Where the word itself stands.
    pub fn key_span_of(&self, word: &str) -> Span {
        self.get(word).map_or(self.span, |entry| entry.key_span)
    }

    /// The value of a word that may be absent.
    pub fn may<F: Form>(&self, word: &str, reader: &mut Reader<'_>) -> Option<F::Value> {
        reader.value_of::<F>(self.get(word)?)
    }

    /// The value of a word that must be there.
    pub fn need<F: Form>(&self, word: &str, reader: &mut Reader<'_>) -> Option<F::Value> {
        if !self.has(word) {
            let message = match reader.keys.last() {
                Some(key) => format!("`{}` needs `{word}`", shown(&key.value)),
                None => format!("`{word}` is missing"),
            };
            reader.find(self.first_line(reader), message, "");
        }
        self.may::<F>(word, reader)
    }

    /// Where to say that something is missing: at the word that owns the map, else at the map's first word.
    fn first_line(&self, reader: &Reader<'_>) -> Span {
        match (reader.keys.last(), self.entries.first()) {
            (Some(key), _) => key.span,
            (None, Some((_, entry))) => entry.key_span,
            (None, None) => Span { start: self.span.start, end: self.span.start },
        }
    }
}

/// How many of some words may stand in one map.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// One, and not none.
    Exactly(&'static [&'static str]),
    /// One or none.
    AtMost(&'static [&'static str]),
}

impl Choice {
    /// Finds too many, or none.
    pub fn check(self, fields: &Fields<'_>, reader: &mut Reader<'_>) {
        let (Self::Exactly(words) | Self::AtMost(words)) = self;
        let mut there: Vec<_> = words.iter().filter(|word| fields.has(word)).collect();
        there.sort_by_key(|word| fields.key_span_of(word).start);
        match there.as_slice() {
            [first, second, ..] => {
                let message = format!("`{first}` and `{second}` exclude each other");
                reader.find(fields.key_span_of(second), message, "keep one of them");
            }
            [] if matches!(self, Self::Exactly(_)) && !fields.strange => {
                let message = format!("`{}` needs one of {}", reader.word(), listed(words.iter().copied()));
                reader.find(fields.first_line(reader), message, "");
            }
            _ => {}
        }
    }
}

/// A word as it is written: without the mark that makes a Rust keyword a name.
pub(crate) const fn plain(word: &'static str) -> &'static str {
    match word.as_bytes() {
        [b'r', b'#', ..] => word.split_at(2).1,
        _ => word,
    }
}

/// A map with a fixed set of words: one list of fields that is reader and schema at once.
///
/// `need` words must be there, `may` words may; a choice says which exclude each other. In the last part every
/// word is a local: the value of a `need` word, an option for a `may` word.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        $form:ident -> $value:ty, $name:literal {
            $( $(#[doc = $doc:literal])+ $kind:ident $field:ident: $of:ty, )+
        }
        $( $choice:ident [ $( $alternative:literal ),+ ] )?
        |$reader:ident, $fields:ident| $build:expr
    ) => {
        $(#[doc = $about])+
        pub(crate) struct $form;

        impl $form {
            /// Its words, in the order of the list.
            pub(crate) const WORDS: &[&str] = &[$( $crate::read::plain(stringify!($field)) ),+];
        }

        impl $crate::read::Form for $form {
            type Value = $value;

            fn read(node: &$crate::node::Node, $reader: &mut $crate::read::Reader<'_>) -> Option<$value> {
                let $fields = $reader.fields(node, "a map", Self::WORDS)?;
                $( $crate::read::Choice::$choice(&[$( $alternative ),+]).check(&$fields, $reader); )?
                $(
                    let word = $crate::read::plain(stringify!($field));
                    let $field = $fields.$kind::<$of>(word, $reader);
                )+
                $( $crate::read::record!(@$kind $field); )+
                $build
            }

            fn schema(defs: &mut $crate::schema::Defs) -> $crate::schema::Json {
                let choice: Option<$crate::read::Choice> = None;
                $( let choice = choice.or(Some($crate::read::Choice::$choice(&[$( $alternative ),+]))); )?
                defs.record($name, &[$( $about ),+], choice, |defs| {
                    vec![$( $crate::schema::Field {
                        word: $crate::read::plain(stringify!($field)),
                        needed: stringify!($kind) == "need",
                        doc: &[$( $doc ),+],
                        schema: <$of as $crate::read::Form>::schema(defs),
                    } ),+]
                })
            }
        }
    };
    (@need $field:ident) => { let $field = $field?; };
    (@may $field:ident) => {};
}
pub(crate) use record;

/// A closed list of words, each with what it stands for and a line about it.
macro_rules! words {
    ($value:ty, $what:literal { $( $word:literal => $variant:expr, $doc:literal; )+ }) => {
        impl $crate::read::Form for $value {
            type Value = $value;

            fn read(node: &$crate::node::Node, reader: &mut $crate::read::Reader<'_>) -> Option<$value> {
                const WORDS: &[&str] = &[$( $word ),+];
                let text = reader.text(node, $what)?;
                match text {
                    $( $word => Some($variant), )+
                    other => {
                        let message = format!("`{}` is not {}", $crate::read::shown(other), $what);
                        reader.unknown(node.span, message, other, WORDS)
                    }
                }
            }

            fn schema(_defs: &mut $crate::schema::Defs) -> $crate::schema::Json {
                $crate::schema::words(&[$( ($word, $doc) ),+])
            }
        }
    };
}
pub(crate) use words;

/// A value with its place.
pub(crate) struct Located<F>(PhantomData<F>);

impl<F: Form> Form for Located<F> {
    type Value = Spanned<F::Value>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        Some(Spanned { value: F::read(node, reader)?, span: node.span })
    }

    fn schema(defs: &mut Defs) -> Json {
        F::schema(defs)
    }
}

/// The known word that is nearest to this one, if one is near enough to be meant.
///
/// Case, hyphens and underscores do not count. Otherwise a third of the letters may be wrong, at least one; two
/// letters that changed places are one mistake. Of words that are equally near, the one made of the same letters
/// is meant: fingers change places more often than they invent.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bare = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let (asked, limit) = (bare(word), (word.chars().count() / 3).max(1));
    known
        .filter_map(|candidate| {
            let near = bare(candidate);
            let distance = if near == asked { 0 } else { strsim::damerau_levenshtein(&asked, &near) };
            // A word of one letter is near to every other; that would be guessing.
            let meant = distance <= limit && distance < near.chars().count().max(asked.chars().count());
            meant.then(|| (distance, letters_apart(&asked, &near), near, candidate))
        })
        .min_by(|a, b| {
            let likeness = |near: &str| strsim::jaro_winkler(&asked, near);
            (a.0, a.1).cmp(&(b.0, b.1)).then(likeness(&b.2).total_cmp(&likeness(&a.2)))
        })
        .map(|(.., candidate)| candidate)
}

/// How many letters one word has and the other has not.
fn letters_apart(a: &str, b: &str) -> usize {
    let mut rest: Vec<char> = b.chars().collect();
    let mut apart = 0;
    for letter in a.chars() {
        match rest.iter().position(|c| *c == letter) {
            Some(at) => _ = rest.swap_remove(at),
            None => apart += 1,
        }
    }
    apart + rest.len()
}

/// What to say about an unknown word: the nearest known one, else all of them.
pub(crate) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match listed(known).as_str() {
            "" => "none are known here".to_owned(),
            words => format!("known here: {words}"),
        },
    }
}

/// Words in a row, in quotes.
pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{}`", shown(word))).collect::<Vec<_>>().join(", ")
}

/// A text of the file as it may stand in a message: its first line, without control characters, not too long.
pub(crate) fn shown(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let mut short: String = line.chars().take(LENGTH_MAX).map(crate::render::visible).collect();
    if short.chars().count() < text.chars().count() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(word: &str, expect: Option<&str>) {
        let known = ["destination", "source", "write", "primary_key", "get", "lt", "gt", "is", "x"];
        assert_eq!(nearest(word, known.into_iter()), expect);
    }

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        near("destnation", Some("destination"));
        near("primaryKey", Some("primary_key"));
        near("primary-key", Some("primary_key"));
        near("WRITE", Some("write"));
        near("wirte", Some("write"));
        near("gte", Some("get"));
        near("tl", Some("lt"));
        near("si", Some("is"));
        near("target", None);
        near("y", None);
        near("", None);
        assert_eq!(nearest("a", std::iter::empty()), None);
    }

    #[test]
    fn a_text_in_a_message_is_short_and_plain() {
        assert_eq!(shown("a\u{1b}[1m"), "a\u{fffd}[1m");
        assert_eq!(shown("a\nb"), "a…");
        assert_eq!(shown(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
    }
}
