//! Paths into records and answers: `a.b`, `custom."# Open Tickets"`.

use std::fmt;
use std::ops::Range;

use crate::FieldPath;
use crate::node::Node;
use crate::read::{Form, Reader, shown};
use crate::schema::{self, Defs, Json};

/// What is wrong with a path, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

impl FieldPath {
    /// Reads names with dots between them. A name with other characters stands in double quotes, in which
    /// `\` escapes as in JSON.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let (path, end) = leading(text, 0)?;
        if end < text.len() {
            return Err(stray(text, end));
        }
        Ok(path)
    }
}

/// Paths with commas between them.
pub(crate) fn parse_list(text: &str) -> Result<Vec<FieldPath>, PathError> {
    let (mut paths, mut at) = (Vec::new(), 0);
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let (path, end) = leading(text, at)?;
        paths.push(path);
        at = end + (text[end..].len() - text[end..].trim_start().len());
        match text[at..].chars().next() {
            None => return Ok(paths),
            Some(',') => at += 1,
            Some(_) => return Err(stray(text, at)),
        }
    }
}

/// The path that begins here, and where it ends.
fn leading(text: &str, start: usize) -> Result<(FieldPath, usize), PathError> {
    let (mut names, mut at) = (Vec::new(), start);
    loop {
        let (name, end) = segment(text, at)?;
        names.push(name);
        if !text[end..].starts_with('.') {
            return Ok((FieldPath(names), end));
        }
        at = end + 1;
    }
}

fn segment(text: &str, at: usize) -> Result<(String, usize), PathError> {
    let rest = &text[at..];
    if rest.starts_with('"') {
        let end = closing_quote(rest).ok_or_else(|| PathError {
            at: at..text.len(),
            message: "a name in quotes is not closed".into(),
            help: "end it with `\"`",
        })?;
        let name = serde_json::from_str(&rest[..end]).map_err(|_| PathError {
            at: at..at + end,
            message: format!("`{}` cannot be read", shown(&rest[..end])),
            help: "`\\` escapes as in JSON: `\\\"`, `\\\\`, `\\u0041`",
        })?;
        return Ok((name, at + end));
    }
    let length = rest.find(|c: char| !is_plain(c)).unwrap_or(rest.len());
    if length == 0 {
        return Err(match rest.chars().next() {
            None | Some('.') => PathError {
                at: at..at,
                message: format!("`{}` has an empty name", shown(text)),
                help: "names stand between the dots: `a.b`",
            },
            Some(_) => stray(text, at),
        });
    }
    Ok((rest[..length].to_owned(), at + length))
}

/// Characters of a name that needs no quotes.
fn is_plain(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !matches!(c, '.' | '"' | ',' | ':' | '?' | '[' | ']' | '{' | '}' | '(' | ')')
}

/// Behind the quote that closes the one at the beginning.
pub(crate) fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn stray(text: &str, at: usize) -> PathError {
    let c = text[at..].chars().next().unwrap_or(' ');
    let help = match c {
        '[' | ']' => "a path names fields; lists cannot be entered",
        _ => "a name with other characters stands in double quotes: `custom.\"# Open\"`",
    };
    let message = format!("`{}` in a path", crate::render::visible(c));
    PathError { at: at..at + c.len_utf8().min(text.len() - at), message, help }
}

impl fmt::Display for FieldPath {
    /// As it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            if !name.is_empty() && name.chars().all(is_plain) {
                write!(f, "{dot}{name}")?;
            } else {
                write!(f, "{dot}{}", serde_json::Value::from(name.as_str()))?;
            }
        }
        Ok(())
    }
}

impl Form for FieldPath {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a path")?;
        read_part(node, 0, FieldPath::parse(text), reader)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}

/// A path, or `.` for the whole answer, which is the path without names.
pub(crate) struct RowsPath;

impl Form for RowsPath {
    type Value = FieldPath;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<FieldPath> {
        if node.is_word(".") { Some(FieldPath(Vec::new())) } else { FieldPath::read(node, reader) }
    }

    fn schema(defs: &mut Defs) -> Json {
        FieldPath::schema(defs)
    }
}

/// What was read from a part of a scalar's text; its error becomes a finding at the very place.
pub(crate) fn read_part<T>(
    node: &Node,
    offset: usize,
    parsed: Result<T, PathError>,
    reader: &mut Reader<'_>,
) -> Option<T> {
    match parsed {
        Ok(value) => Some(value),
        Err(error) => {
            let span = reader.stretch(node, error.at.start + offset..error.at.end + offset);
            reader.find(span, error.message, error.help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let shown = match FieldPath::parse(text) {
            Ok(path) => {
                assert_eq!(
                    FieldPath::parse(&path.to_string()),
                    Ok(path.clone()),
                    "what is written reads back"
                );
                path.0.join("|")
            }
            Err(error) => format!("{:?} {}", error.at, error.message),
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn paths_are_names_with_dots() {
        check("a", "a");
        check("a.b.c", "a|b|c");
        check("_id", "_id");
        check("x-y.$ref", "x-y|$ref");
        check("größe.名", "größe|名");
        check("custom.\"# Open Tickets\"", "custom|# Open Tickets");
        check(r#""a\"b.c".d"#, "a\"b.c|d");
        check("\"\".a", "|a");
    }

    #[test]
    fn what_is_not_a_path_says_where() {
        check("", "0..0 `` has an empty name");
        check("a..b", "2..2 `a..b` has an empty name");
        check("a.", "2..2 `a.` has an empty name");
        check("a[].b", "1..2 `[` in a path");
        check("custom.Open Tickets", "11..12 ` ` in a path");
        check("a.\"b", "2..4 a name in quotes is not closed");
        check("a.\"\\q\"", "2..6 `\"\\q\"` cannot be read");
        check("a:iso", "1..2 `:` in a path");
    }

    #[test]
    fn lists_of_paths_have_commas() {
        let list =
            |text: &str| parse_list(text).map(|l| l.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(list("a.b, \"c,d\" ,e"), Ok(vec!["a.b".into(), "\"c,d\"".into(), "e".into()]));
        assert_eq!(list("a b").map_err(|e| e.at), Err(2..3));
        assert_eq!(list("").map_err(|e| e.at), Err(0..0));
        assert_eq!(list("a,").map_err(|e| e.at), Err(2..2));
    }
}
