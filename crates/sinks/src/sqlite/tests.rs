use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sync_testkit::sink::{Rows, conformance};

use super::sql::quote;
use super::*;

fn at(dir: &Path) -> PathBuf {
    dir.join("test.db")
}

/// A table as a program sees it that knows nothing of us.
fn read(dir: &Path, table: &str) -> Option<Rows> {
    let connection = Connection::open_with_flags(at(dir), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let mut select = connection.prepare(&format!("SELECT * FROM {}", quote(table))).ok()?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let text = |value: ValueRef| match value {
        ValueRef::Null => None,
        ValueRef::Integer(int) => Some(int.to_string()),
        ValueRef::Real(float) => Some(float.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).expect("text is UTF-8")),
        ValueRef::Blob(_) => panic!("nothing is stored as a blob"),
    };
    let cells = |row: &rusqlite::Row| (0..columns.len()).map(|i| row.get_ref(i).map(text)).collect();
    let rows = select.query_map([], cells).expect("a query").collect::<Result<_, _>>().expect("rows");
    Some(Rows { columns, rows })
}

#[test]
fn keeps_the_contract() {
    conformance(&|dir| Box::new(Sqlite::open(&at(dir)).expect("a new database")), &read);
}
