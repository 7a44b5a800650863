//! The first rows of tables as text, whatever they are kept in.

use std::path::Path;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sync_core::arrow::array::{ArrayRef, TimestampMicrosecondArray};
use sync_core::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Result;

/// A table's beginning.
pub struct Glimpse {
    /// The folder's or table's name.
    pub name: String,
    /// Rows in all.
    pub rows: u64,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The first rows; `None` is null.
    pub head: Vec<Vec<Option<String>>>,
}

/// The tables of a SQLite database, or the one table of a Parquet folder. A folder that holds such folders is
/// shown folder by folder.
pub fn glimpse(path: &Path, table: Option<&str>, rows: usize) -> Result<Vec<Glimpse>> {
    if path.is_file() {
        return sqlite(path, table, rows);
    }
    if has_data(path) {
        return Ok(vec![parquet(path, rows)?]);
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if table.is_none_or(|table| table == name) && !name.starts_with('.') && has_data(&entry.path()) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    folders.iter().map(|folder| parquet(folder, rows)).collect()
}

fn has_data(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|e| e == "parquet"))
}

fn parquet(folder: &Path, rows: usize) -> Result<Glimpse> {
    let options = FormatOptions::default();
    let mut glimpse = Glimpse {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        rows: 0,
        columns: Vec::new(),
        head: Vec::new(),
    };
    for batch in sync_sinks::parquet::read_folder(folder)? {
        let batch = batch?;
        if glimpse.columns.is_empty() {
            glimpse.columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        }
        let columns: Vec<ArrayRef> = batch.columns().iter().map(in_utc).collect();
        let cells = columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let cells = cells.collect::<std::result::Result<Vec<_>, _>>()?;
        let wanted = rows.saturating_sub(glimpse.head.len()).min(batch.num_rows());
        for row in 0..wanted {
            let value = |(i, cell): (usize, &ArrayFormatter<'_>)| {
                (!batch.column(i).is_null(row)).then(|| cell.value(row).to_string())
            };
            glimpse.head.push(cells.iter().enumerate().map(value).collect());
        }
        glimpse.rows += batch.num_rows() as u64;
    }
    Ok(glimpse)
}

/// A column whose instants can be printed without a table of time zones: ours are UTC throughout.
fn in_utc(column: &ArrayRef) -> ArrayRef {
    match column.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        Some(instants) => Arc::new(instants.clone().with_timezone_opt(None::<Arc<str>>)),
        None => column.clone(),
    }
}

fn sqlite(path: &Path, table: Option<&str>, rows: usize) -> Result<Vec<Glimpse>> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut names = database.prepare(
        "select name from sqlite_schema where type = 'table' \
         and name not like '\\_sync\\_%' escape '\\' and name not like 'sqlite\\_%' escape '\\' order by name",
    )?;
    let names = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let names = names.into_iter().filter(|name| table.is_none_or(|table| table == name));
    names.map(|name| sqlite_table(&database, name, rows)).collect()
}

fn sqlite_table(database: &Connection, name: String, rows: usize) -> Result<Glimpse> {
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let total: i64 = database.query_row(&format!("select count(*) from {quoted}"), [], |row| row.get(0))?;
    let mut select = database.prepare(&format!("select * from {quoted} limit {rows}"))?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let head = select.query_map([], |row| (0..width).map(|i| Ok(value(row.get_ref(i)?))).collect())?;
    let head = head.collect::<rusqlite::Result<_>>()?;
    Ok(Glimpse { name, rows: u64::try_from(total)?, columns, head })
}

fn value(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(n) => Some(n.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Some(format!("{} bytes", bytes.len())),
    }
}
