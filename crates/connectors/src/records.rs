//! From a page to its rows: where each is, who it is, when it changed and whether it is wanted.
//!
//! A record is the byte range of one row in its page, never a value tree.

use std::ops::Range;

use sync_spec::{Condition, FieldPath};
use xxhash_rust::xxh3::xxh3_128;

use crate::condition::holds;
use crate::cursor::Format;
use crate::json::{self, RowsError, Value};

/// What to look for in the pages of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Where the rows are.
    pub records: Vec<FieldPath>,
    /// Where the number of all rows may be.
    pub totals: Vec<FieldPath>,
    /// Paths to look up in each row: the key's fields, then the same in what is lifted, then the cursor's, then
    /// those of `keep` and `deleted_when`.
    picks: Vec<FieldPath>,
    key: usize,
    lifted: bool,
    cursor: Option<Format>,
    keep: Condition,
    deleted_when: Condition,
}

/// The rows of one page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    /// Where each row is.
    pub rows: Vec<Range<u32>>,
    /// Who each row is: a hash of its key, or of all of it where it has none.
    pub ids: Vec<u128>,
    /// When each row changed, in microseconds; empty without a cursor.
    pub moments: Vec<Option<i64>>,
    /// Whether each row is wanted; empty where all are.
    pub kept: Vec<bool>,
    /// Whether each row is a tombstone; empty where none can be.
    pub deleted: Vec<bool>,
    /// Rows that lack their key, by index, in order.
    pub keyless: Vec<usize>,
    /// The number of all rows, as the page says.
    pub total: Option<u64>,
}

impl Shape {
    pub fn new(
        records: &[FieldPath],
        totals: &[FieldPath],
        (key, lift): (&[String], Option<&[String]>),
        cursor: Option<(&[String], &Format)>,
        keep: &Condition,
        deleted_when: &Condition,
    ) -> Self {
        let mut picks: Vec<_> = key.iter().map(|name| FieldPath(vec![name.clone()])).collect();
        // A key names a column, and that may be one that is lifted.
        if let Some(lift) = lift {
            picks.extend(key.iter().map(|name| FieldPath([lift, std::slice::from_ref(name)].concat())));
        }
        picks.extend(cursor.map(|(field, _)| FieldPath(field.to_vec())));
        picks.extend(keep.0.iter().chain(&deleted_when.0).map(|(path, _)| path.clone()));
        Self {
            records: records.to_vec(),
            totals: totals.to_vec(),
            picks,
            key: key.len(),
            lifted: lift.is_some(),
            cursor: cursor.map(|(_, format)| format.clone()),
            keep: keep.clone(),
            deleted_when: deleted_when.clone(),
        }
    }

    /// The fields that are looked at in each row.
    pub fn looked_at(&self) -> impl Iterator<Item = &str> {
        self.picks.iter().filter_map(|path| path.0.first()).map(String::as_str)
    }

    /// The number of all rows, as an answer says.
    pub fn total(&self, body: &str) -> Option<u64> {
        self.totals.iter().find_map(|path| count(json::get(body, &path.0)?))
    }

    /// Finds the rows of a page.
    pub fn sheet(&self, body: &str) -> Result<Sheet, RowsError> {
        Ok(Sheet { total: self.total(body), ..self.rows_at(body, &self.records)? })
    }

    /// The rows of a text that is a list of them, whatever the answer was.
    pub fn rows_in(&self, list: &str) -> Result<Sheet, RowsError> {
        self.rows_at(list, &[])
    }

    fn rows_at(&self, body: &str, records: &[FieldPath]) -> Result<Sheet, RowsError> {
        let rows = json::rows(body, records)?;
        let mut sheet = Sheet { ids: Vec::with_capacity(rows.len()), ..Sheet::default() };
        let (mut values, mut buffer) = (Vec::new(), Vec::new());
        for range in &rows {
            let row = &body[range.start as usize..range.end as usize];
            // Not JSON inside: whoever loads the row says so with its place; here it is its own identity.
            let readable = json::pick(row, &self.picks, &mut values).is_ok();
            if !readable {
                values.fill(None);
            }
            let keyed = self.enter(row, &values, &mut buffer, &mut sheet);
            if readable && !keyed && self.key > 0 {
                sheet.keyless.push(sheet.ids.len() - 1);
            }
        }
        sheet.rows = rows;
        Ok(sheet)
    }

    /// Enters a row; whether it has a key.
    fn enter(
        &self,
        row: &str,
        values: &[Option<Value<'_>>],
        buffer: &mut Vec<u8>,
        sheet: &mut Sheet,
    ) -> bool {
        let (key, rest) = values.split_at(self.key);
        let (lifted, rest) = rest.split_at(if self.lifted { self.key } else { 0 });
        let id = identity(key, lifted, buffer);
        sheet.ids.push(id.unwrap_or_else(|| xxh3_128(row.as_bytes())));
        let (moment, rest) = rest.split_at(usize::from(self.cursor.is_some()));
        let (keep, gone) = rest.split_at(self.keep.0.len());
        if let (Some(format), [value]) = (&self.cursor, moment) {
            sheet.moments.push(value.as_ref().and_then(|v| format.parse(v)));
        }
        if !self.keep.0.is_empty() {
            let mut values = keep.iter();
            sheet.kept.push(holds(&self.keep, |_| values.next().cloned().flatten()));
        }
        if !self.deleted_when.0.is_empty() {
            let mut values = gone.iter();
            sheet.deleted.push(holds(&self.deleted_when, |_| values.next().cloned().flatten()));
        }
        id.is_some()
    }
}

/// A hash of the key's values; nothing, if one of them is missing.
fn identity(key: &[Option<Value<'_>>], lifted: &[Option<Value<'_>>], buffer: &mut Vec<u8>) -> Option<u128> {
    if key.is_empty() {
        return None;
    }
    buffer.clear();
    for (place, value) in key.iter().enumerate() {
        let value = value.as_ref().or_else(|| lifted.get(place)?.as_ref());
        let (kind, text) = match value? {
            Value::Null => return None,
            Value::Bool(value) => (b'b', if *value { "true" } else { "false" }),
            Value::Number(digits) => (b'n', *digits),
            Value::Text(text) => (b't', text.as_ref()),
            Value::Nested(raw) => (b'j', *raw),
        };
        buffer.push(kind);
        buffer.extend((text.len() as u64).to_le_bytes()); // so that ("ab", "c") is not ("a", "bc")
        buffer.extend(text.as_bytes());
    }
    Some(xxh3_128(buffer))
}

/// A number of rows, in quotes or not. Zero says nothing: servers that do not count send it.
fn count(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(text) => text.parse().ok(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use sync_spec::{Scalar, Test};

    use super::*;

    fn path(text: &str) -> FieldPath {
        FieldPath(text.split('.').map(str::to_owned).collect())
    }

    fn shape(key: &[&str]) -> Shape {
        let key: Vec<_> = key.iter().map(|k| (*k).to_owned()).collect();
        Shape::new(&[], &[], (&key, None), None, &Condition::default(), &Condition::default())
    }

    #[test]
    fn a_row_is_who_its_key_says() {
        let ids = |key: &[&str], body| shape(key).sheet(body).expect("rows").ids;
        let same = ids(&["id"], r#"[{"id":"a","n":1},{"n":2,"id":"a"},{"id":"b"}]"#);
        assert_eq!(same[0], same[1]);
        assert_ne!(same[0], same[2]);
        let kinds = ids(&["id"], r#"[{"id":1},{"id":"1"},{"id":true},{"id":"true"}]"#);
        assert_eq!(kinds.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        let pairs = ids(&["x", "y"], r#"[{"x":"ab","y":"c"},{"x":"a","y":"bc"}]"#);
        assert_ne!(pairs[0], pairs[1]);
        let keyless = ids(&["id"], r#"[{"id":null,"n":1},{"id":null,"n":2},{"n":2},{"n":2}]"#);
        assert_ne!(keyless[0], keyless[1]);
        assert_eq!(keyless[2], keyless[3]);
    }

    #[test]
    fn a_key_may_be_lifted() {
        let (key, lift) = (["mail".to_owned()], ["properties".to_owned()]);
        let shape =
            Shape::new(&[], &[], (&key, Some(&lift)), None, &Condition::default(), &Condition::default());
        let body = r#"[{"properties":{"mail":"a"}},{"properties":{"mail":"a"},"mail":"b"},{"mail":"b"},
            {"mail":null,"properties":{"mail":"a"}},{"properties":{}}]"#;
        let sheet = shape.sheet(body).expect("rows");
        assert_ne!(sheet.ids[0], sheet.ids[1]);
        assert_eq!(sheet.ids[1], sheet.ids[2], "the row's own field comes first");
        assert_eq!(sheet.keyless, [3, 4]);
    }

    #[test]
    fn moments_and_wishes_are_looked_up_in_one_pass() {
        let keep = Condition(vec![
            (path("type"), Test::OneOf(vec![Scalar::Text("note".into())])),
            (path("custom.x"), Test::Present),
        ]);
        let gone = Condition(vec![(path("custom.gone"), Test::OneOf(vec![Scalar::Bool(true)]))]);
        let field = ["updatedAt".to_owned()];
        let shape = Shape::new(&[], &[], (&["_id".into()], None), Some((&field, &Format::Iso)), &keep, &gone);
        let body = r#"[{"_id":"a","type":"note","custom":{"x":1,"gone":true},"updatedAt":"1970-01-01T00:00:01Z"},
            {"_id":"b","type":"note","custom":{},"updatedAt":""},{"_id":"c","type":"call","custom":{"gone":true}}]"#;
        let sheet = shape.sheet(body).expect("rows");
        assert_eq!(sheet.moments, [Some(1_000_000), None, None]);
        assert_eq!(sheet.kept, [true, false, false]);
        assert_eq!(sheet.deleted, [true, false, true]);
    }

    #[test]
    fn the_total_is_the_first_number_that_counts() {
        let shape = Shape::new(
            &[path("response.items")],
            &[path("response.total_result"), path("response.total")],
            (&[], None),
            None,
            &Condition::default(),
            &Condition::default(),
        );
        let total = |fields: &str| {
            let body = format!(r#"{{"response":{{{fields}"items":[]}}}}"#);
            shape.sheet(&body).expect("a list").total
        };
        assert_eq!(total(r#""total":9,"total_result":3,"#), Some(3));
        assert_eq!(total(r#""total":9,"total_result":"3","#), Some(3));
        assert_eq!(total(r#""total":9,"total_result":null,"#), Some(9));
        assert_eq!(total(r#""total":9,"total_result":0,"#), Some(9));
        assert_eq!(total(r#""total":-1,"#), None);
        assert_eq!(total(""), None);
    }

    #[test]
    fn a_row_that_is_not_json_inside_is_left_to_whoever_loads_it() {
        let sheet = shape(&["id"]).sheet(r#"[{"id":nul},{"id":1}]"#).expect("brackets close");
        assert_eq!(sheet.rows.len(), 2);
    }
}
