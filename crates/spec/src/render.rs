//! Findings as people see them: place, line, caret, help.

use std::fmt;

use crate::mask::Cover;
use crate::{Document, Finding, Findings, Span};

/// Findings that are shown at most. Nobody reads more of them before mending the first.
const SHOWN_MAX: usize = 200;
/// Columns of a line that are shown at most.
const WIDTH_MAX: usize = 160;
/// Columns of a long line that are shown before the caret.
const BEFORE_CARET: usize = 60;

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cover = Cover::of(&self.document);
        for (index, finding) in self.list.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write_finding(f, &self.document, finding, &cover)?;
        }
        match self.list.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => writeln!(f, "\nand {more} more"),
        }
    }
}

fn write_finding(
    f: &mut fmt::Formatter<'_>,
    document: &Document,
    finding: &Finding,
    cover: &Cover,
) -> fmt::Result {
    let (line, column) = document.place(finding.span.start);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let shown = Shown::of(document, finding.span, cover);
    writeln!(f, "error: {}", cover.words(&finding.message))?;
    writeln!(f, "{margin}--> {}:{line}:{column}", document.name)?;
    writeln!(f, "{margin} |")?;
    writeln!(f, "{}", format!("{number} | {}", shown.text).trim_end())?;
    write!(f, "{margin} | {}{}", " ".repeat(shown.caret), "^".repeat(shown.length))?;
    match &finding.help {
        Some(help) => writeln!(f, " help: {}", cover.words(help)),
        None => writeln!(f),
    }
}

/// A line ready to be printed, and where the caret goes, in columns of a terminal.
struct Shown {
    text: String,
    caret: usize,
    length: usize,
}

impl Shown {
    fn of(document: &Document, span: Span, cover: &Cover) -> Self {
        let line = document.line(span.start);
        let (mut cells, mut hidden_before) = (Vec::new(), false);
        for (at, c) in document.text[line.start..line.end].char_indices() {
            let place = line.start + at;
            let marked = (span.start..span.end.max(span.start + 1)).contains(&place);
            let hidden = cover.hides(place);
            match (hidden, hidden_before) {
                (true, false) => cells.extend(std::iter::repeat_n(Cell { c: '*', width: 1, marked }, 3)),
                (true, true) => {
                    let stars = cells.iter_mut().rev().take(3);
                    stars.for_each(|cell| cell.marked |= marked);
                }
                (false, _) if c == '\t' => {
                    cells.extend(std::iter::repeat_n(Cell { c: ' ', width: 1, marked }, 4));
                }
                (false, _) => cells.push(Cell { c: visible(c), width: width(c), marked }),
            }
            hidden_before = hidden;
        }
        Self::cut(cells)
    }

    /// The part of a long line around the caret. A caret behind the line stands at its end.
    fn cut(mut cells: Vec<Cell>) -> Self {
        let first = cells.iter().position(|cell| cell.marked).unwrap_or(cells.len());
        let columns: usize = cells.iter().map(|cell| cell.width).sum();
        let mut text = String::new();
        let mut caret = 0;
        if columns > WIDTH_MAX {
            let start = first.saturating_sub(BEFORE_CARET);
            if start > 0 {
                cells.drain(..start);
                (text, caret) = ("… ".to_owned(), 2);
            }
            if cells.len() > WIDTH_MAX {
                cells.truncate(WIDTH_MAX);
                cells.push(Cell { c: '…', width: 1, marked: false });
            }
        }
        let first = cells.iter().position(|cell| cell.marked).unwrap_or(cells.len());
        let last = cells.iter().rposition(|cell| cell.marked).unwrap_or(first);
        caret += cells[..first].iter().map(|cell| cell.width).sum::<usize>();
        let length = cells.iter().take(last + 1).skip(first).map(|cell| cell.width).sum::<usize>();
        text.extend(cells.iter().map(|cell| cell.c));
        Self { text, caret, length: length.max(1) }
    }
}

#[derive(Clone, Copy)]
struct Cell {
    c: char,
    width: usize,
    marked: bool,
}

/// A character that may be printed: no control character, nothing that turns the direction of writing.
pub(crate) fn visible(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') { '\u{fffd}' } else { c }
}

/// The columns a character takes on a terminal, by the blocks of Unicode's East Asian Width (annex 11) and
/// the marks that combine with the character before them.
fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{20d0}'..='\u{20f0}'
        | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, stretch: &str, expect: &str) {
        let document = Document::new("a.yaml", text);
        let start = text.find(stretch).expect("the stretch is in the text");
        let span = Span { start, end: start + stretch.len() };
        let shown = document.finding(span, "message", "help").to_string();
        let rest: Vec<_> = shown.lines().skip(1).filter(|line| !line.ends_with(" |")).collect();
        assert_eq!(rest.join("\n"), expect);
    }

    #[test]
    fn the_caret_stands_under_the_stretch() {
        check("a: b\nc: d\n", "d", " --> a.yaml:2:4\n2 | c: d\n  |    ^ help: help");
        check("\u{feff}a: b", "a", " --> a.yaml:1:1\n1 | a: b\n  | ^ help: help");
        check("x:\t\tbcd", "bcd", " --> a.yaml:1:5\n1 | x:        bcd\n  |           ^^^ help: help");
        check("ä€: 名前 b", "b", " --> a.yaml:1:8\n1 | ä€: 名前 b\n  |          ^ help: help");
        check("a: 名前", "名前", " --> a.yaml:1:4\n1 | a: 名前\n  |    ^^^^ help: help");
        check("a\r\nb: \u{1b}c\r\n", "c", " --> a.yaml:2:5\n2 | b: \u{fffd}c\n  |     ^ help: help");
        check(
            &format!("{}a: b", "\n".repeat(99)),
            "b",
            "   --> a.yaml:100:4\n100 | a: b\n    |    ^ help: help",
        );
    }

    #[test]
    fn stretches_may_be_empty_or_end_on_a_later_line() {
        let document = Document::new("a.yaml", "a: b\n");
        let shown = |start, end| {
            let text = document.finding(Span { start, end }, "m", "").to_string();
            text.lines().skip(3).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(shown(3, 3), "1 | a: b\n  |    ^");
        assert_eq!(shown(4, 4), "1 | a: b\n  |     ^");
        assert_eq!(shown(0, 5), "1 | a: b\n  | ^^^^");
        assert_eq!(shown(5, 5), "2 |\n  | ^");
        assert_eq!(shown(99, 999), "2 |\n  | ^");
    }

    #[test]
    fn a_flood_of_findings_is_cut_short() {
        let document = Document::new("a.yaml", "abc".repeat(300));
        let finding =
            |start| Finding { span: Span { start, end: start + 1 }, message: "m".into(), help: None };
        let shown = document.findings((0..300).map(finding).collect()).to_string();
        assert_eq!((shown.matches("error:").count(), shown.lines().last()), (200, Some("and 100 more")));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let line = format!("1 | … {}X{}…", "a".repeat(60), "b".repeat(99));
        check(&text, "X", &format!(" --> a.yaml:1:301\n{line}\n  | {}^ help: help", " ".repeat(62)));
    }
}
