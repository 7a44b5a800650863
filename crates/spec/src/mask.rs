//! What must not be shown, even while a file is being complained about.
//!
//! A finding prints the line it is about, and people put keys where they do not belong: as the credential
//! itself, under a misspelt word, in a URL. So before anything is printed, the whole document is searched for
//! stretches that may be a secret; they appear as `***`, and so does their text wherever a message repeats it.
//! A stretch too many is hidden rather than one too few.

use std::collections::HashSet;

use crate::node::{Entry, Node, Value, load};
use crate::read::{Reader, nearest};
use crate::reference::reference;
use crate::{Document, Span};

/// The stretches of a document that are not shown.
pub(crate) struct Cover {
    stretches: Vec<Span>,
    texts: Vec<String>,
}

/// Texts shorter than this are not searched for in messages: they would be found everywhere.
const TEXT_MIN: usize = 4;

impl Cover {
    pub fn of(document: &Document) -> Self {
        let mut cover = Self { stretches: Vec::new(), texts: Vec::new() };
        match load(document).0 {
            Some(root) => {
                cover.top(&root);
                let mut keys = HashSet::new();
                gather_keys(&root, &mut keys);
                cover.lines(&document.text, Some(&keys));
            }
            None => cover.lines(&document.text, None),
        }
        cover.stretches.extend(url_secrets(&document.text));
        for span in &cover.stretches {
            cover.texts.push(document.text[span.start..span.end].trim_matches(['"', '\'']).to_owned());
        }
        cover.texts.retain(|text| text.chars().count() >= TEXT_MIN);
        cover.texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        cover
    }

    /// Whether the character that begins at this byte is hidden.
    pub fn hides(&self, byte: usize) -> bool {
        self.stretches.iter().any(|span| (span.start..span.end).contains(&byte))
    }

    /// A message without what is hidden.
    pub fn words(&self, message: &str) -> String {
        let mut words = message.to_owned();
        for text in &self.texts {
            if words.contains(text.as_str()) {
                words = words.replace(text.as_str(), "***");
            }
            // Messages cut long texts short, so the beginning of a secret may stand before an ellipsis.
            let cut = words.contains('…');
            let ends = text.char_indices().skip(TEXT_MIN).take(60).map(|(at, _)| &text[..at]);
            for beginning in ends.filter(|_| cut) {
                words = words.replace(&format!("{beginning}…"), "***…");
            }
        }
        for span in url_secrets(&words).into_iter().rev() {
            words.replace_range(span.start..span.end, "***");
        }
        words
    }

    fn top(&mut self, root: &Node) {
        let Value::Map(entries) = &root.value else { return };
        for entry in entries {
            match entry.key.as_str() {
                "auth" => self.texts_without_holes(&entry.value),
                "source" => self.source(&entry.value),
                _ => self.entry(entry),
            }
        }
    }

    /// Under `source` a word that is not known hides its value: it is where people try to put keys.
    fn source(&mut self, node: &Node) {
        let Value::Map(entries) = &node.value else { return self.walk(node) };
        for entry in entries {
            if crate::pipeline::SourceMap::WORDS.contains(&entry.key.as_str()) {
                self.entry(entry);
            } else {
                self.all(&entry.value);
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        if is_credential_word(&entry.key) || is_secret_word(&entry.key) {
            self.all(&entry.value);
        } else {
            self.walk(&entry.value);
        }
    }

    fn walk(&mut self, node: &Node) {
        match &node.value {
            Value::Map(entries) => entries.iter().for_each(|entry| self.entry(entry)),
            Value::List(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Scalar(_) | Value::Refused => {}
        }
    }

    /// Hides every text below that is not a reference.
    fn all(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar(w) if w.is_null() || reference(&w.text).is_some() => {}
            Value::Scalar(w) if is_secret_hole(&w.text) => {}
            Value::Scalar(written) => self.hide(node, &written.text),
            Value::List(items) => items.iter().for_each(|item| self.all(item)),
            Value::Map(entries) => {
                for entry in entries {
                    let name =
                        entry.key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'_')) && entry.key.len() < 24;
                    if !name {
                        self.stretches.push(entry.key_span);
                    }
                    self.all(&entry.value);
                }
            }
            Value::Refused => {}
        }
    }

    /// Hides every text below that has no hole: `auth` is made of holes.
    fn texts_without_holes(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar(w) if w.is_null() || w.text == "none" || w.text.contains("${") => {}
            Value::Scalar(written) => self.hide(node, &written.text),
            Value::List(items) => items.iter().for_each(|item| self.texts_without_holes(item)),
            Value::Map(entries) => entries.iter().for_each(|entry| self.texts_without_holes(&entry.value)),
            Value::Refused => {}
        }
    }

    fn hide(&mut self, node: &Node, text: &str) {
        self.stretches.push(node.span);
        self.texts.push(text.to_owned()); // what an escape in quotes stands for
    }

    /// Line by line: everything behind a secret word. Where there is a tree, its keys were judged already, and
    /// this is about comments and texts; without one, what stands deeper below such a word is hidden too.
    fn lines(&mut self, text: &str, keys: Option<&HashSet<usize>>) {
        let mut below = None;
        let mut start = 0;
        for line in text.split_inclusive(['\n', '\r']) {
            let indent = line.len() - line.trim_start().len();
            let content = line.trim_end().len();
            let blank = line.trim().is_empty();
            if below.is_some_and(|depth| indent <= depth && !blank) {
                below = None;
            }
            let judged = |word: usize| keys.is_some_and(|keys| keys.contains(&(start + word)));
            if let Some(at) = secret_value(line, judged) {
                let at = at.min(content);
                let value = &line[at..content];
                if reference(value.trim_matches(['"', '\''])).is_none() {
                    self.stretches.push(Span { start: start + at, end: start + content });
                    below = below.or(keys.is_none().then_some(indent));
                }
            } else if below.is_some() && !blank {
                self.stretches.push(Span { start: start + indent, end: start + content });
            }
            start += line.len();
        }
        self.stretches.retain(|span| span.start < span.end);
    }
}

/// Where every key of a tree begins.
fn gather_keys(node: &Node, keys: &mut HashSet<usize>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                keys.insert(entry.key_span.start);
                gather_keys(&entry.value, keys);
            }
        }
        Value::List(items) => items.iter().for_each(|item| gather_keys(item, keys)),
        Value::Scalar(_) | Value::Refused => {}
    }
}

/// Where the value begins behind the first secret word of a line that was not judged yet.
fn secret_value(line: &str, judged: impl Fn(usize) -> bool) -> Option<usize> {
    line.match_indices(':').find_map(|(at, _)| {
        let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let word = &before[before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8))..];
        let begin = before.len() - word.len();
        let quoted = line[..begin].ends_with(['"', '\'']);
        if judged(begin - usize::from(quoted)) {
            return None;
        }
        let secret =
            is_credential_word(word) || is_secret_word(word) || nearest(word, ["auth"].into_iter()).is_some();
        let rest = &line[at + 1..];
        secret.then_some(line.len() - rest.trim_start_matches([' ', '\t']).len())
    })
}

/// `credential`, however it is spelt.
fn is_credential_word(word: &str) -> bool {
    nearest(word, ["credential", "credentials"].into_iter()).is_some()
}

/// Whether a word names a secret by custom: `api_key`, `X-Auth-Token`, `password`.
pub(crate) fn is_secret_word(word: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "authkey",
        "maskkey",
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "authorization",
        "bearer",
        "cookie",
        "jwt",
    ];
    let bare: String =
        word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    bare == "hapikey" || ENDINGS.iter().any(|ending| bare.ends_with(ending))
}

/// `${secret.x}` or `${config.x}` and at most a word before it, such as `Bearer`.
fn is_secret_hole(text: &str) -> bool {
    match text.split_once("${") {
        Some((before, inside)) => {
            inside.ends_with('}') && !inside.starts_with("env:") && before.trim().len() <= 12
        }
        None => false,
    }
}

/// The secrets in the URLs of a text: user and password, and parameters that are named like keys.
pub(crate) fn url_secrets(text: &str) -> Vec<Span> {
    let mut stretches = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = &text[start..];
        let rest = &rest[..rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'))
            .unwrap_or(rest.len())];
        if let Some(length) = userinfo(rest) {
            stretches.push(Span { start, end: start + length });
        }
    }
    for (at, _) in text.match_indices(['?', '&']) {
        let rest = &text[at + 1..];
        let rest = &rest[..rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '&' | '#'))
            .unwrap_or(rest.len())];
        if let Some((name, value)) = rest.split_once('=')
            && is_secret_parameter(name)
            && reference(value).is_none()
            && !value.is_empty()
        {
            let start = at + 1 + name.len() + 1;
            stretches.push(Span { start, end: start + value.len() });
        }
    }
    stretches.sort_by_key(|span| span.start);
    stretches.dedup_by(|later, first| {
        let inside = later.start < first.end;
        first.end = if inside { first.end.max(later.end) } else { first.end };
        inside
    });
    stretches
}

/// How long user and password are in what follows `://`. A password may hold a slash, a path may hold an `@`:
/// what has a colon that no port follows counts as a password.
fn userinfo(rest: &str) -> Option<usize> {
    let at = rest.rfind('@')?;
    let before = &rest[..at];
    let Some(slash) = before.find(['/', '?', '#']) else { return Some(at) };
    let host = &before[..slash];
    if host.contains('@') {
        return Some(at);
    }
    let (_, port) = host.rsplit_once(':')?;
    let port_like = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) || host.ends_with(']');
    (!port_like).then_some(at)
}

/// Whether a parameter of a URL carries a key.
fn is_secret_parameter(name: &str) -> bool {
    name.eq_ignore_ascii_case("key") || is_secret_word(name)
}

/// Refuses a URL that carries user, password or key. True where there is none.
pub(crate) fn check_url(node: &Node, text: &str, reader: &mut Reader<'_>) -> bool {
    let secrets = url_secrets(text);
    for secret in &secrets {
        let span = reader.stretch(node, secret.start..secret.end);
        let help = "take it out of the URL; `credential` says where secrets are";
        let user = text[..secret.start].ends_with("://");
        let what =
            if user { "a URL must not carry a user or a password" } else { "a URL must not carry a key" };
        reader.find(span, what, help);
    }
    secrets.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document with everything hidden that is hidden.
    fn masked(text: &str) -> String {
        let cover = Cover::of(&Document::new("a.yaml", text));
        let mut shown = String::new();
        let mut before = false;
        for (at, c) in text.char_indices() {
            match (cover.hides(at), before) {
                (false, _) => shown.push(c),
                (true, false) => shown.push_str("***"),
                (true, true) => {}
            }
            before = cover.hides(at);
        }
        shown
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(masked(text), expect);
    }

    #[test]
    fn credentials_are_hidden_unless_they_are_references() {
        check("source: {credential: sk-1}", "source: {credential: ***}");
        check("source: {credential: '${env:A}'}", "source: {credential: '${env:A}'}");
        check("source: {credential: 'x${env:A}'}", "source: {credential: ***}");
        check("source:\n  credentail: sk-1 # c", "source:\n  credentail: *** # c");
        check("credential: {key: a, b: [c]}", "credential: {key: ***, b: [***]}");
        check("credential:\n  sk-12_34: x\n", "credential:\n  ***: ***\n");
        check("credential: |\n  line1\n  line2\na: b\n", "credential: |\n  ***\na: b\n");
        check("credential: &a sk-1", "credential: &a ***");
        check("credential: !x sk-1", "credential: !x ***");
        check("a: {credential: 1, credential: sk-2}", "a: {credential: ***, credential: ***}");
        check("source: {token_file: sk-1}", "source: {token_file: ***}");
        check("source: {config: {api_key: sk-1, host: h}}", "source: {config: {api_key: ***, host: h}}");
        check("auth: {bearer: sk-1}", "auth: {bearer: ***}");
        check(
            "auth: {bearer: '${secret.x}'}\nheaders: {X-Api-Key: abc}",
            "auth: {bearer: '${secret.x}'}\nheaders: {X-Api-Key: ***}",
        );
        check(
            "headers: {Authorization: 'Bearer ${secret.x}'}",
            "headers: {Authorization: 'Bearer ${secret.x}'}",
        );
        check("key: _id\nprimary_key: id", "key: _id\nprimary_key: id");
        check("a: b # credential: sk-1", "a: b # credential: ***");
        check("a: 'x\n  token: sk-1'", "a: 'x\n  token: ***");
    }

    #[test]
    fn what_is_not_yaml_is_hidden_by_the_line() {
        check("credential: \"sk-1\nb: [", "credential: ***\nb: [");
        check("s: {credential: sk-1, b: [", "s: {credential: ***");
        check("credential:\n  a: sk-1\n  b\nc: [", "credential:\n  ***\n  ***\nc: [");
        check("credential: ${env:A}\nc: [", "credential: ${env:A}\nc: [");
        check("password : x y\nc: [", "password : ***\nc: [");
        check("auth:\n  bearer: a\nc: [", "auth:\n  bearer: ***\nc: [");
    }

    #[test]
    fn urls_lose_user_password_and_keys() {
        check("a: https://u:p@h/x", "a: https://***@h/x");
        check("a: https://tok@h", "a: https://***@h");
        check("a: https://u:p/w@h/x", "a: https://***@h/x");
        check("a: https://h:80/x@y", "a: https://h:80/x@y");
        check("a: https://[::1]:80/x@y", "a: https://[::1]:80/x@y");
        check("a: sqlite://./a@b.db", "a: sqlite://./a@b.db");
        check("a: https://h/?x=1&api_key=abc&token=d", "a: https://h/?x=1&api_key=***&token=***");
        check("a: https://h/?key=${env:A}", "a: https://h/?key=${env:A}");
        check("a: [\"https://u:p@h\", 'b@c']", "a: [\"https://***@h\", 'b@c']");
    }

    #[test]
    fn messages_lose_what_the_document_hides() {
        let document = Document::new("a.yaml", "credential: \"sk\\x2d12345\"\nurl: x\n");
        let cover = Cover::of(&document);
        assert_eq!(cover.words("`sk-12345` and https://u:p@h?key=v"), "`***` and https://***@h?key=***");
        assert_eq!(cover.words("a sk-12… b"), "a ***… b");
        assert_eq!(cover.words("nothing"), "nothing");
    }
}
