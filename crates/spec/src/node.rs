//! YAML as a tree in which every value knows where it was written.
//!
//! The subset is small on purpose: one document of maps, lists and scalars. Anchors, aliases, tags, merge
//! keys, directives and keys written twice are findings, because each of them makes a file say something else
//! than what a reader sees. A scalar keeps the text that was written, so `no` and `012` stay what they are
//! wherever a text is wanted; what a plain scalar means elsewhere follows the core schema of YAML 1.2.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::{Document, Finding, Span};

/// Maps and lists inside each other, at most. What a person writes needs eight.
const DEPTH_MAX: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub span: Span,
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Scalar(Written),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that is a finding already; readers pass over it.
    Refused,
}

/// A scalar as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub text: String,
    pub quoted: bool,
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
    /// Whether it is a finding already. It stays in the tree so that what it holds can be hidden.
    pub refused: bool,
}

impl Written {
    /// Whether it says nothing: empty, `~` or `null`, without quotes.
    pub fn is_null(&self) -> bool {
        !self.quoted && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// `true` or `false` without quotes.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if !self.quoted => Some(true),
            "false" | "False" | "FALSE" if !self.quoted => Some(false),
            _ => None,
        }
    }
}

impl Node {
    /// The scalar, unless it is a map or a list.
    pub fn scalar(&self) -> Option<&Written> {
        match &self.value {
            Value::Scalar(written) => Some(written),
            _ => None,
        }
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Written::is_null)
    }

    /// Whether it is this very word.
    pub fn is_word(&self, word: &str) -> bool {
        self.scalar().is_some_and(|s| s.text == word)
    }
}

/// A document as a tree, and what is wrong with it as YAML. The tree is absent where reading had to stop.
pub(crate) fn load(document: &Document) -> (Option<Node>, Vec<Finding>) {
    let text = document.text.strip_prefix('\u{feff}').unwrap_or(&document.text);
    let mut builder = Builder {
        text: &document.text,
        places: places(&document.text, document.text.len() - text.len()),
        stack: Vec::new(),
        root: None,
        documents: 0,
        line: 1,
        findings: Vec::new(),
    };
    let mut whole = true;
    for event in Parser::new_from_str(text) {
        let more = match event {
            Ok((event, span)) => {
                builder.line = span.start.line();
                let span = Span { start: builder.place(span.start), end: builder.place(span.end) };
                builder.event(event, span)
            }
            Err(error) => {
                builder.scan_error(&error);
                false
            }
        };
        if !more {
            whole = false;
            break;
        }
    }
    (builder.root.filter(|_| whole), builder.findings)
}

/// The byte at which every character begins, and the end. The YAML reader counts characters.
fn places(text: &str, skipped: usize) -> Vec<usize> {
    text[skipped..].char_indices().map(|(at, _)| at + skipped).chain([text.len()]).collect()
}

struct Builder<'d> {
    text: &'d str,
    places: Vec<usize>,
    stack: Vec<Frame>,
    root: Option<Node>,
    documents: u32,
    /// The line in which the last event began.
    line: usize,
    findings: Vec<Finding>,
}

/// A map or a list that is not closed yet.
struct Frame {
    start: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<(String, Span, bool)> },
}

impl Builder<'_> {
    fn place(&self, mark: Marker) -> usize {
        self.places.get(mark.index()).copied().unwrap_or(self.text.len())
    }

    fn find(&mut self, span: Span, message: impl Into<String>, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.findings.push(Finding { span, message: message.into(), help });
    }

    /// Takes one event; false where there is no sense in reading on.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::DocumentStart(_) => return self.document(span),
            Event::Alias(_) => {
                self.alias(span);
                self.put(Node { span, value: Value::Refused });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain;
                let nothing = !quoted && text.is_empty();
                let span = if nothing { self.nothing_span(span) } else { span };
                let span = self.properties(anchor, tag.as_deref(), span);
                let span = self.trimmed(span);
                let value = Value::Scalar(Written { text: text.into_owned(), quoted });
                self.put(Node { span, value });
            }
            Event::SequenceStart(anchor, tag) => {
                return self.open(anchor, tag.as_deref(), span, FrameKind::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                let map = FrameKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                return self.open(anchor, tag.as_deref(), span, map);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn document(&mut self, span: Span) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            self.find(span, "a second document begins here", "write one file for each");
            return false;
        }
        let before = &self.text[..span.start];
        if let Some(line) = before.lines().find(|line| line.starts_with('%')) {
            let start = line.as_ptr() as usize - self.text.as_ptr() as usize;
            let span = Span { start, end: start + line.len() };
            self.find(span, "directives are not used here", "leave the line out");
        }
        true
    }

    /// A stretch without the blanks at its end, which the YAML reader counts in.
    fn trimmed(&self, span: Span) -> Span {
        Span { start: span.start, end: span.start + self.text[span.start..span.end].trim_end().len() }
    }

    /// Where a value that is not there belongs: at the key it is missing from.
    fn nothing_span(&self, span: Span) -> Span {
        match self.stack.last().map(|f| &f.kind) {
            Some(FrameKind::Map { key: Some((_, key, _)), .. }) => *key,
            _ => Span { start: span.start, end: span.start },
        }
    }

    /// Refuses anchor and tag; the span of the value without them.
    fn properties(&mut self, anchor: usize, tag: Option<&Tag>, span: Span) -> Span {
        if anchor == 0 && tag.is_none() {
            return span;
        }
        let mut rest = span;
        while let Some(first @ ('&' | '!')) = self.text[rest.start..rest.end].chars().next() {
            let word = &self.text[rest.start..rest.end];
            let length = word.find(char::is_whitespace).unwrap_or(word.len());
            let stretch = Span { start: rest.start, end: rest.start + length };
            match first {
                '&' => self.find(
                    stretch,
                    "anchors are not used here",
                    "write the value out; a text with `&` needs quotes",
                ),
                _ => self.find(
                    stretch,
                    "tags are not used here",
                    "leave it out; a text that begins with `!` needs quotes",
                ),
            }
            let blank = word[length..].len() - word[length..].trim_start().len();
            rest.start = stretch.end + blank;
        }
        rest
    }

    fn alias(&mut self, span: Span) {
        self.find(
            span,
            "aliases are not used here",
            "write the value out; a text that begins with `*` needs quotes",
        );
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, span: Span, kind: FrameKind) -> bool {
        let span = self.properties(anchor, tag, span);
        if self.stack.len() == DEPTH_MAX {
            self.find(span, format!("more than {DEPTH_MAX} maps and lists inside each other"), "");
            return false;
        }
        self.stack.push(Frame { start: span.start, kind });
        true
    }

    fn close(&mut self, span: Span) {
        let Some(Frame { start, kind }) = self.stack.pop() else { return };
        let flow = self.text[start..].starts_with(['[', '{']);
        let (last, value) = match kind {
            FrameKind::List(items) => (items.last().map(|n| n.span.end), Value::List(items)),
            FrameKind::Map { entries, .. } => {
                (entries.last().map(|e| e.value.span.end.max(e.key_span.end)), Value::Map(entries))
            }
        };
        // A block ends where the next thing begins, which is lines further on; its last value tells better.
        let end = if flow { span.end } else { last.unwrap_or(span.start) };
        let span = self.trimmed(Span { start, end: end.max(start) });
        self.put(Node { span, value });
    }

    /// Puts a finished node where it belongs: as a key, as a value, into a list, or at the root.
    fn put(&mut self, node: Node) {
        match self.stack.last_mut().map(|f| &mut f.kind) {
            None => self.root = Some(node),
            Some(FrameKind::List(items)) => items.push(node),
            Some(FrameKind::Map { entries, key, .. }) => match key.take() {
                Some((key, key_span, refused)) => entries.push(Entry { key, key_span, value: node, refused }),
                None => self.key(&node),
            },
        }
    }

    fn key(&mut self, node: &Node) {
        let text = match &node.value {
            Value::Scalar(written) => Some(written.clone()),
            _ => None,
        };
        let before = match (&text, self.stack.last().map(|f| &f.kind)) {
            (Some(written), Some(FrameKind::Map { seen, .. })) => seen.get(&written.text).copied(),
            _ => None,
        };
        let refused = match (&text, before) {
            (None, _) => {
                if node.value != Value::Refused {
                    self.find(
                        node.span,
                        "a key must be a word, not a list or a map",
                        "a text with `{` or `[` needs quotes",
                    );
                }
                true
            }
            (Some(written), _) if written.text.is_empty() => {
                self.find(node.span, "a key is missing before `:`", "");
                true
            }
            (Some(written), _) if written.text == "<<" && !written.quoted => {
                self.find(node.span, "merge keys are not used here", "write the entries out");
                true
            }
            (Some(written), Some(first)) => {
                let message = format!("`{}` is written twice", crate::read::shown(&written.text));
                self.find(node.span, message, &format!("the first is in line {first}; keep one of them"));
                true
            }
            (Some(_), None) => false,
        };
        let text = text.map(|w| w.text).unwrap_or_default();
        if let Some(FrameKind::Map { seen, key, .. }) = self.stack.last_mut().map(|f| &mut f.kind) {
            seen.entry(text.clone()).or_insert(self.line);
            *key = Some((text, node.span, refused));
        }
    }

    /// What the YAML reader could not read, in words that help.
    fn scan_error(&mut self, error: &ScanError) {
        let start = self.place(*error.marker());
        let end = self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        let span = Span { start, end };
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let indent_has_tab = self.text[line_start..]
            .chars()
            .take_while(|c| c.is_whitespace() && *c != '\n')
            .any(|c| c == '\t');
        match (error.info(), self.text[start..].chars().next()) {
            (info, _) if info.contains("unknown anchor") => self.alias(span),
            (_, Some('*' | '&')) => self.alias(span),
            _ if indent_has_tab => self.find(span, "a tab cannot indent", "use blanks"),
            (_, Some(c @ ('@' | '`' | '%'))) => {
                self.find(span, format!("a text cannot begin with `{c}`"), "put it in quotes");
            }
            (info, _) => {
                let help = hint_of(info);
                self.find(span, format!("this is not YAML: {info}"), help);
            }
        }
    }
}

fn hint_of(info: &str) -> &'static str {
    if info.contains("quoted scalar") {
        "a quote that is opened must be closed"
    } else if info.contains("flow") || info.contains("bracket") || info.contains("placement") {
        "every `[` and `{` is closed, with commas between the entries; a text with such a sign in it needs quotes"
    } else if info.contains("mapping values") || info.contains("simple key") || info.contains("expected ':'")
    {
        "an entry is `word: value`; a value with `: ` in it needs quotes"
    } else if info.contains("block mapping") || info.contains("block collection") || info.contains("indent") {
        "entries of one map begin in the same column"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::new("a.yaml", text)
    }

    /// The tree in one line, with every scalar's own stretch of the document.
    fn tree(document: &Document, node: &Node) -> String {
        match &node.value {
            Value::Scalar(s) if s.is_null() => "null".into(),
            Value::Scalar(s) if s.quoted => format!("'{}'", s.text),
            Value::Scalar(s) => {
                assert_eq!(&document.text[node.span.start..node.span.end], s.text);
                s.text.clone()
            }
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|n| tree(document, n)).collect();
                format!("[{}]", items.join(","))
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|e| {
                        let refused = if e.refused { "!" } else { "" };
                        format!("{refused}{}:{}", e.key, tree(document, &e.value))
                    })
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
            Value::Refused => "!".into(),
        }
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let document = document(text);
        let (node, findings) = load(&document);
        let tree = node.map_or_else(|| "-".into(), |n| tree(&document, &n));
        let line = |f: &Finding| {
            format!(" | {} {}", document.text[f.span.start..f.span.end].escape_debug(), f.message)
        };
        let findings = findings.iter().map(line).collect::<Vec<_>>().concat();
        assert_eq!(format!("{tree}{findings}"), expect);
    }

    #[test]
    fn values_keep_the_text_that_was_written() {
        check("a: no\nb: 012\nc: 'x'\nd: \"y\\n\"\ne:\nf: ~", "{a:no,b:012,c:'x',d:'y\n',e:null,f:null}");
        check("\u{feff}a: ä€𝄞\r\nü: [ö, 1]\r\n", "{a:ä€𝄞,ü:[ö,1]}");
        check("a:\n  - b\n  - {c: d, e}\nf: >\n  g\n  h\n", "{a:[b,{c:d,e:null}],f:'g h\n'}");
        check("--- # comment\na: b # more\n...\n", "{a:b}");
        check("", "-");
    }

    #[test]
    fn what_hides_meaning_is_refused() {
        check("a: &x 1\nb: *x", "{a:1,b:!} | &x anchors are not used here | *x aliases are not used here");
        check("b: *x", "- | * aliases are not used here");
        check("a: !!int 1", "{a:1} | !!int tags are not used here");
        check("a: !x {b: &y c}", "{a:{b:c}} | !x tags are not used here | &y anchors are not used here");
        check("a: {<<: {b: c}}", "{a:{!<<:{b:c}}} | << merge keys are not used here");
        check("a: 1\nb: 2\na: 3", "{a:1,b:2,!a:3} | a `a` is written twice");
        check("a: 1\n---\nb: 2", "- | --- a second document begins here");
        check("%YAML 1.1\n---\na: 1", "{a:1} | %YAML 1.1 directives are not used here");
        check("{a: b}: c", "{!:c} | {a: b} a key must be a word, not a list or a map");
        check(": c", "{!:c} |  a key is missing before `:`");
        check("a: [b", "- |  this is not YAML: while parsing a flow sequence, expected ',' or ']'");
        check("a: @b", "- | @ a text cannot begin with `@`");
        check("a:\n\tb: c", "- | b a tab cannot indent");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(load(&document(&deep(64))).1.is_empty());
        let (node, findings) = load(&document(&deep(65)));
        assert_eq!((node, findings.len(), findings[0].span), (None, 1, Span { start: 64, end: 65 }));
    }
}
