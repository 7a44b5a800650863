//! A look into a table: as many columns as the terminal is wide, and how many more there are.

use std::path::Path;
use std::process::{Command, Stdio};

use comfy_table::{Table, presets};

use crate::Result;
use crate::glimpse::{Glimpse, glimpse};

/// Longer values are cut.
const WIDEST: usize = 26;

/// What to show.
pub struct Options {
    /// Rows of each table.
    pub rows: usize,
    /// The only table to show.
    pub table: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rows: 5, table: None }
    }
}

/// Shows the first rows of a Parquet folder or of the tables of a SQLite database.
pub fn show(path: &Path, options: &Options) -> Result<()> {
    let tables = glimpse(path, options.table.as_deref(), options.rows)?;
    if tables.is_empty() {
        println!("{} has no tables yet", path.display());
    }
    for table in &tables {
        println!("{}", text(table, terminal_width()));
    }
    Ok(())
}

/// The table as text, at most so wide.
fn text(glimpse: &Glimpse, width: usize) -> String {
    // The engine's own columns come last: they are the least telling.
    let (own, fields): (Vec<usize>, Vec<usize>) =
        (0..glimpse.columns.len()).partition(|i| glimpse.columns[*i].starts_with("_sync_"));
    let mut left = width;
    let shown: Vec<usize> = fields
        .into_iter()
        .chain(own)
        .take_while(|i| {
            let needed = column_width(glimpse, *i) + 3;
            let fits = needed <= left;
            left = left.saturating_sub(needed);
            fits
        })
        .collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(shown.iter().map(|i| cut(&glimpse.columns[*i])));
    for row in &glimpse.head {
        table.add_row(shown.iter().map(|i| row[*i].as_deref().map_or_else(|| "∅".to_owned(), cut)));
    }
    let hidden = glimpse.columns.len() - shown.len();
    let more = if hidden > 0 { format!(", {hidden} more columns") } else { String::new() };
    format!("{} · {} rows{more}\n{table}", glimpse.name, glimpse.rows)
}

fn column_width(glimpse: &Glimpse, column: usize) -> usize {
    let values = glimpse.head.iter().map(|row| row[column].as_deref().map_or(1, |v| cut(v).chars().count()));
    values.chain([cut(&glimpse.columns[column]).chars().count()]).max().unwrap_or(0)
}

/// One line, and not too long a one.
fn cut(value: &str) -> String {
    let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= WIDEST {
        return line;
    }
    line.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// Columns of the terminal; 120 where nobody knows.
fn terminal_width() -> usize {
    let asked = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
    let answer = asked.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    answer.split_whitespace().nth(1).and_then(|n| n.parse().ok()).filter(|n| *n > 20).unwrap_or(120)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let glimpse = Glimpse {
            name: "t".into(),
            rows: 7,
            columns: vec!["_sync_at".into(), "id".into(), "name".into(), "notes".into()],
            head: vec![vec![Some("now".into()), Some("1".into()), None, Some("a\n".repeat(40))]],
        };
        let narrow = text(&glimpse, 20);
        assert!(narrow.starts_with("t · 7 rows, 2 more columns\n"), "{narrow}");
        assert!(narrow.contains(" 1 ") && narrow.contains('∅') && !narrow.contains("now"), "{narrow}");
        let wide = text(&glimpse, 200);
        assert!(wide.starts_with("t · 7 rows\n"), "{wide}");
        assert!(wide.contains("a a a") && wide.contains('…'), "{wide}");
    }
}
