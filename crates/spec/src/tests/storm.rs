//! Thousands of damaged files: no panic, every finding inside the document, nothing secret shown, and what the
//! reader takes is valid under the schema.

use super::schema::{json_of, valid};
use super::{Language, document};
use crate::node::load;

const SECRET: &str = "hush9Hush9hush";

/// Numbers that look random and are the same every time (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// Damages a text in one to three ways.
fn damage(text: &str, dice: &mut Dice) -> String {
    const PIECES: &[&str] = &[
        ":",
        ": ",
        "\n",
        "\t",
        "  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "!x ",
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "<<: ",
        "? ",
        "\r\n",
        "\r",
        "\u{feff}",
        "ä",
        "名",
        "𝄞",
        "\u{0}",
        "\u{1b}",
        "\u{2028}",
        "${",
        "${env:A}",
        "${secret.x?}",
        "null",
        "~",
        "0",
        "-1",
        "99999999999999999999",
        "*",
        "\u{85}",
    ];
    let mut text = text.to_owned();
    for _ in 0..=dice.below(3) {
        let at = crate::document::floor_boundary(&text, dice.below(text.len() + 1));
        match dice.below(7) {
            0 => {
                let mut bytes = text.into_bytes();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            1 => text.truncate(at),
            2 => text.insert_str(at, PIECES[dice.below(PIECES.len())]),
            3 => {
                let end = crate::document::floor_boundary(&text, at + dice.below(20));
                text.replace_range(at..end.max(at), "");
            }
            4 => {
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
                if !lines.is_empty() {
                    lines.swap(a, b);
                }
                text = lines.concat();
            }
            5 => {
                let lines: Vec<&str> = text.split_inclusive('\n').collect();
                let again = lines.get(dice.below(lines.len())).copied().unwrap_or_default().to_owned();
                let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
                text.insert_str(start, &again);
            }
            _ => text = text.replacen("  ", "\t", 1 + dice.below(4)),
        }
    }
    text
}

#[test]
fn damaged_files_are_complained_about_and_nothing_worse() {
    let mut dice = Dice(0x5eed_0000_2026);
    let (mut taken, mut refused) = (0, 0);
    for language in [Language::Pipeline, Language::Connector] {
        let schema = language.schema();
        for round in 0..3000 {
            let mut sample = language.samples()[usize::from(round % 4 != 0)].to_owned();
            if language == Language::Pipeline && round % 3 == 0 {
                let from = sample.find("  credential").unwrap_or(0);
                let to = from + sample[from..].find('\n').unwrap_or(0) + 1;
                sample.replace_range(from..to, &format!("  credential: {SECRET}\n"));
            }
            let text = damage(&sample, &mut dice);
            let document = document(&text);
            let Err(findings) = language.findings(&document) else {
                taken += 1;
                let value = json_of(&load(&document).0.expect("what was read is a tree"));
                assert!(valid(&schema, &schema, &value), "the reader takes what the schema refuses:\n{text}");
                continue;
            };
            refused += 1;
            assert!(!findings.list.is_empty());
            for finding in &findings.list {
                assert!(
                    finding.span.start <= finding.span.end && finding.span.end <= text.len(),
                    "{finding:?}\n{text}"
                );
                assert!(text.is_char_boundary(finding.span.start) && text.is_char_boundary(finding.span.end));
            }
            let shown = findings.to_string();
            let whole = text.lines().any(|l| l.trim_start().starts_with(&format!("credential: {SECRET}")));
            let elsewhere = text.matches("hush").count() > SECRET.matches("hush").count();
            assert!(!whole || elsewhere || !shown.contains("hush"), "{shown}\n{text}");
        }
    }
    assert!(taken > 200 && refused > 2000, "{taken} taken, {refused} refused");
}

#[test]
fn every_beginning_of_a_sample_is_read_without_harm() {
    for language in [Language::Pipeline, Language::Connector] {
        let sample = language.samples()[1];
        for end in (0..sample.len()).filter(|end| sample.is_char_boundary(*end)) {
            if let Err(findings) = language.findings(&document(&sample[..end])) {
                assert!(findings.list.iter().all(|f| f.span.end <= end), "{findings}");
                assert!(findings.to_string().starts_with("error: "));
            }
        }
    }
}
