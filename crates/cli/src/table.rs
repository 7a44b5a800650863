//! Tables without lines, for a terminal or a pipe.

use comfy_table::{CellAlignment, Table, presets};

/// A table of these columns. Those of the places in `figures` are aligned to the right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, figures: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for (place, column) in table.column_iter_mut().enumerate() {
        if figures.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}
