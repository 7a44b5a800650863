//! A file somebody wrote, and what is wrong with it.

use std::sync::Arc;

use sync_core::{Explain, Kind, Problem};

/// A file: its name as people know it, and its text.
#[derive(Clone, Debug)]
pub struct Document {
    /// The path as it was given.
    pub name: Arc<str>,
    /// All of it.
    pub text: Arc<str>,
}

impl Document {
    /// A document of this name and text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The one thing that is wrong with it, for stages that stop at the first. An empty help is none.
    pub fn finding(&self, span: Span, message: impl Into<String>, help: impl Into<String>) -> Findings {
        let help = Some(help.into()).filter(|h| !h.is_empty());
        self.findings(vec![Finding { span, message: message.into(), help }])
    }

    /// Everything that is wrong with it, in the order of the file.
    pub fn findings(&self, mut list: Vec<Finding>) -> Findings {
        list.sort_by_key(|finding| finding.span.start);
        list.dedup();
        Findings { document: self.clone(), list }
    }

    /// The byte at this place of a scalar's text; all of the scalar where escapes or folding hide where that is.
    pub fn part_of(&self, span: Span, at: usize) -> Span {
        let raw = &self.text[span.start..span.end];
        let quote = usize::from(raw.starts_with(['"', '\'']));
        if raw.contains(['\\', '\n']) || raw.contains("''") {
            return span;
        }
        let start = floor_boundary(&self.text, (span.start + quote + at).min(span.end));
        let length = self.text[start..span.end].chars().next().map_or(0, char::len_utf8);
        Span { start, end: start + length }
    }

    /// Line and column of a byte, both from 1. Columns count characters, as editors do.
    pub fn place(&self, byte: usize) -> (usize, usize) {
        let byte = self.settle(byte);
        let start = self.line_start(byte);
        let column = self.text[start..byte].trim_start_matches('\u{feff}').chars().count();
        (1 + breaks(&self.text[..byte]), 1 + column)
    }

    /// The stretch of the line that holds this byte, without its end.
    pub(crate) fn line(&self, byte: usize) -> Span {
        let start = self.line_start(self.settle(byte));
        let line = &self.text[start..];
        let line = &line[..line.find(['\n', '\r']).unwrap_or(line.len())];
        let mark = line.len() - line.trim_start_matches('\u{feff}').len();
        Span { start: start + mark, end: start + line.len() }
    }

    /// The nearest byte before it that begins a character, and does not part `\r\n`.
    fn settle(&self, byte: usize) -> usize {
        let byte = floor_boundary(&self.text, byte);
        let parted = self.text[..byte].ends_with('\r') && self.text[byte..].starts_with('\n');
        byte - usize::from(parted)
    }

    fn line_start(&self, byte: usize) -> usize {
        self.text[..byte].rfind(['\n', '\r']).map_or(0, |at| at + 1)
    }
}

/// Line ends in a text: `\n`, `\r\n` or a lone `\r`.
fn breaks(text: &str) -> usize {
    text.matches(['\n', '\r']).count() - text.matches("\r\n").count()
}

/// The greatest character boundary that is not behind this byte.
pub(crate) fn floor_boundary(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// A stretch of a document, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything that is wrong with a document.
///
/// `Display` shows all of it for people: each finding with line and column, the line itself and a caret under
/// the stretch. [`Explain::problem`] has a line for each. Neither shows a secret that the file holds.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The document.
    pub document: Document,
    /// At least one.
    pub list: Vec<Finding>,
}

impl std::error::Error for Findings {}

impl Explain for Findings {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn code(&self) -> &'static str {
        "invalid_file"
    }

    fn hint(&self) -> Option<String> {
        let cover = crate::mask::Cover::of(&self.document);
        self.list.first()?.help.as_deref().map(|help| cover.words(help))
    }

    /// A line for each finding, with its place; people are shown more.
    fn problem(&self) -> Problem {
        let cover = crate::mask::Cover::of(&self.document);
        let line = |finding: &Finding| {
            let (line, column) = self.document.place(finding.span.start);
            format!("{}:{line}:{column}: {}", self.document.name, cover.words(&finding.message))
        };
        let message = self.list.iter().map(line).collect::<Vec<_>>().join("\n");
        let shown = Some(self.to_string());
        Problem { kind: self.kind(), code: self.code(), message, hint: self.hint(), shown }
    }
}
