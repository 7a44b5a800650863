//! Rows from Arrow arrays into a table, many to a statement.

use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection};
use sync_core::arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use sync_core::arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Disposition, Schema, TableSpec, Type, form, system};

use super::shape::Own;
use super::sql::{list, quote};

/// Rows a statement; more gain nothing.
const ROWS: usize = 20;

/// How rows of one schema are written into one table.
pub(super) struct Insert {
    types: Vec<Type>,
    key: Vec<usize>,
    /// For rows that are known to be new.
    new: Statement,
    /// For rows whose key may be there already. The same where there is no key.
    known: Statement,
    /// For rows with a null in their key, which a unique index does not hold together.
    nulls: Option<Nulls>,
    /// For rows of a history, and for what closes their versions.
    versions: Option<Versions>,
    /// For tombstones.
    remove: Remove,
}

/// What a tombstone does.
enum Remove {
    /// It changes the row of its key, or takes it out.
    Row(String),
    /// It is a row itself.
    Add(Statement),
    /// There is no key by which a row could be found.
    Nothing,
}

/// How a version follows another.
struct Versions {
    close: String,
    open: String,
    /// For a version behind the one that was closed for it.
    follow: String,
}

/// One way to write rows, many at a time.
struct Statement {
    rows: usize,
    many: String,
    one: String,
}

struct Nulls {
    update: String,
    insert: String,
}

impl Insert {
    pub(super) fn new(
        table: &str,
        schema: &Schema,
        spec: &TableSpec,
        own: &Own,
        variables_max: usize,
    ) -> Self {
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        let types: Vec<Type> = schema.columns.iter().map(|c| c.ty).collect();
        let place = |field: &String| schema.columns.iter().position(|c| c.field == *field);
        let key: Vec<usize> = spec.key.iter().filter_map(place).collect();
        let order = spec.order.as_ref().and_then(place).map(|index| (names[index], types[index]));
        let history = spec.disposition == Disposition::History;
        let statements = Statements { table, names: &names, key: &key, order, marks: &own.marks, history };
        let rows = (variables_max / (types.len() + 3)).clamp(1, ROWS);
        let plain = |rows| statements.insert(rows);
        let (known, nulls) = match spec.disposition {
            _ if key.is_empty() => (Statement::new(rows, plain), None),
            Disposition::Append => (Statement::new(1, |_| statements.insert_unless(true, false)), None),
            Disposition::History => (Statement::new(1, |_| String::new()), None),
            Disposition::Merge | Disposition::Replace => {
                let nulls =
                    Nulls { update: statements.update(), insert: statements.insert_unless(false, false) };
                (Statement::new(rows, |rows| statements.upsert(rows)), Some(nulls))
            }
        };
        let remove = match spec.disposition {
            _ if key.is_empty() => Remove::Nothing,
            Disposition::Append => Remove::Add(Statement::new(1, |_| statements.insert_unless(true, true))),
            Disposition::History => Remove::Row(statements.close(false)),
            Disposition::Merge | Disposition::Replace => {
                Remove::Row(statements.remove(spec.deleted.as_deref()))
            }
        };
        let versions = history.then(|| Versions {
            close: statements.close(true),
            open: statements.open(),
            follow: statements.follow(),
        });
        Self {
            versions,
            remove,
            new: Statement::new(rows, plain),
            known,
            nulls,
            types: types.into_iter().chain([Type::Text, Type::Timestamp, Type::Int]).collect(),
            key,
        }
    }

    /// Whether rows have a key.
    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Writes a batch and returns how many rows it changed or added; `new` if none of its keys is there.
    pub(super) fn write(
        &self,
        connection: &Connection,
        batch: &RecordBatch,
        new: bool,
    ) -> rusqlite::Result<u64> {
        let columns = self.types.iter().zip(batch.columns()).map(|(ty, array)| Cells::new(array, *ty));
        let mut row = Row { columns: columns.collect(), scratch: String::new() };
        let rows = 0..batch.num_rows();
        if new {
            return self.new.write(connection, &mut row, &rows.collect::<Vec<_>>());
        }
        if let Some(versions) = &self.versions {
            return versions.write(connection, &mut row, rows);
        }
        let null_key = |at: &usize| self.key.iter().any(|column| batch.column(*column).is_null(*at));
        let apart =
            self.nulls.is_some() && self.key.iter().any(|column| batch.column(*column).null_count() > 0);
        let (nulls, whole): (Vec<_>, Vec<_>) = rows.partition(|at| apart && null_key(at));
        let mut changed = self.known.write(connection, &mut row, &whole)?;
        if let Some(statements) = self.nulls.as_ref().filter(|_| !nulls.is_empty()) {
            changed += statements.write(connection, &mut row, &nulls)?;
        }
        Ok(changed)
    }
}

impl Insert {
    /// Applies tombstones and returns how many of them changed or added a row.
    pub(super) fn remove(&self, connection: &Connection, batch: &RecordBatch) -> rusqlite::Result<u64> {
        let columns = self.types.iter().zip(batch.columns()).map(|(ty, array)| Cells::new(array, *ty));
        let mut row = Row { columns: columns.collect(), scratch: String::new() };
        let rows: Vec<_> = (0..batch.num_rows()).collect();
        match &self.remove {
            Remove::Nothing => Ok(0),
            Remove::Add(statement) => statement.write(connection, &mut row, &rows),
            Remove::Row(sql) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut changed = 0;
                for at in rows {
                    changed += row.execute(&mut statement, &[at])?;
                }
                Ok(changed)
            }
        }
    }
}

impl Versions {
    fn write(
        &self,
        connection: &Connection,
        row: &mut Row,
        rows: std::ops::Range<usize>,
    ) -> rusqlite::Result<u64> {
        let mut close = connection.prepare_cached(&self.close)?;
        let mut open = connection.prepare_cached(&self.open)?;
        let mut follow = connection.prepare_cached(&self.follow)?;
        let mut changed = 0;
        for at in rows {
            row.bind(&mut close, &[at])?;
            let closed: Option<String> = close.raw_query().next()?.map(|row| row.get(0)).transpose()?;
            changed += match closed {
                None => row.execute(&mut open, &[at])?,
                Some(moment) => {
                    row.bind(&mut follow, &[at])?;
                    follow.raw_bind_parameter(row.columns.len() + 1, moment)?;
                    follow.raw_execute()? as u64
                }
            };
        }
        Ok(changed)
    }
}

impl Statement {
    fn new(rows: usize, sql: impl Fn(usize) -> String) -> Self {
        Self { rows, many: sql(rows), one: sql(1) }
    }

    fn write(&self, connection: &Connection, row: &mut Row, rows: &[usize]) -> rusqlite::Result<u64> {
        let mut changed = 0;
        let chunks = rows.chunks_exact(self.rows);
        let rest = chunks.remainder();
        if rows.len() >= self.rows {
            let mut many = connection.prepare_cached(&self.many)?;
            for chunk in chunks {
                changed += row.execute(&mut many, chunk)?;
            }
        }
        if !rest.is_empty() {
            let mut one = connection.prepare_cached(&self.one)?;
            for at in rest {
                changed += row.execute(&mut one, &[*at])?;
            }
        }
        Ok(changed)
    }
}

impl Nulls {
    fn write(&self, connection: &Connection, row: &mut Row, rows: &[usize]) -> rusqlite::Result<u64> {
        let mut update: CachedStatement = connection.prepare_cached(&self.update)?;
        let mut insert: CachedStatement = connection.prepare_cached(&self.insert)?;
        let mut changed = 0;
        for at in rows {
            let updated = row.execute(&mut update, &[*at])?;
            changed += if updated == 0 { row.execute(&mut insert, &[*at])? } else { updated };
        }
        Ok(changed)
    }
}

/// The SQL of one table. Its alias is `_sync_t`, so that no table or column name can be mistaken for another.
struct Statements<'a> {
    table: &'a str,
    names: &'a [&'a str],
    /// Places of the key's columns in `names`.
    key: &'a [usize],
    order: Option<(&'a str, Type)>,
    /// Columns that say whether a row is deleted.
    marks: &'a [String],
    history: bool,
}

impl<'a> Statements<'a> {
    fn all(&self) -> impl Iterator<Item = &'a str> {
        self.names.iter().copied().chain([system::RUN, system::AT, system::SEQ])
    }

    /// Columns outside the key, with their places.
    fn values(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.names.iter().copied().enumerate().filter(|(index, _)| !self.key.contains(index))
    }

    /// `OR FAIL`, because every error ends the transaction: SQLite then keeps no journal of each statement.
    fn into(&self) -> String {
        let more: &[&str] =
            if self.history { &[system::VALID_FROM, system::VALID_TO, system::CURRENT] } else { &[] };
        self.into_with(more)
    }

    fn into_with(&self, more: &[&str]) -> String {
        let columns = list(self.all().chain(more.iter().copied()));
        format!("INSERT OR FAIL INTO {} AS _sync_t ({columns})", quote(self.table))
    }

    fn insert(&self, rows: usize) -> String {
        let width = self.names.len() + 3;
        if !self.history {
            let row = format!("({})", vec!["?"; width].join(","));
            return format!("{} VALUES {}", self.into(), vec![row; rows].join(","));
        }
        let row = |at: usize| {
            let values: Vec<_> = (1..=width).map(|n| format!("?{}", at * width + n)).collect();
            format!("({},{},NULL,1)", values.join(","), self.moment(at * width))
        };
        format!("{} VALUES {}", self.into(), (0..rows).map(row).collect::<Vec<_>>().join(","))
    }

    /// From when a version holds, its values being the parameters behind so many others.
    fn moment(&self, before: usize) -> String {
        let at = format!("?{}", before + self.names.len() + 2);
        match self.order {
            Some((name, Type::Timestamp)) => {
                let index = self.names.iter().position(|n| *n == name).expect("it is one of them");
                format!("ifnull(?{}, {at})", before + index + 1)
            }
            _ => at,
        }
    }

    /// Closes the current version of a key: `for_another` if the row differs from it and is not older, else, for a
    /// tombstone, if that is not older.
    fn close(&self, for_another: bool) -> String {
        let parameter = |index: usize, _: &str| format!("?{}", index + 1);
        let when = match for_another {
            true => self.changed(parameter).unwrap_or_else(|| "0".to_owned()),
            false => self.not_older(parameter).unwrap_or_else(|| "1".to_owned()),
        };
        format!(
            "UPDATE {} AS _sync_t SET _valid_to = max({}, _sync_t._valid_from), _current = 0
             WHERE {} AND _sync_t._current AND {when}{}",
            quote(self.table),
            self.moment(0),
            self.same_key(),
            if for_another { " RETURNING _valid_to" } else { "" }
        )
    }

    /// Adds the first version of a key, where it has no current one.
    fn open(&self) -> String {
        let (table, key, from) = (quote(self.table), self.same_key(), self.moment(0));
        let current = format!("SELECT 1 FROM {table} AS _sync_t WHERE {key} AND _sync_t._current");
        format!("{} SELECT {}, {from}, NULL, 1 WHERE NOT EXISTS ({current})", self.into(), self.parameters())
    }

    /// Adds the version behind the one that was closed for it, from the moment in the last parameter.
    fn follow(&self) -> String {
        format!("{} VALUES ({}, ?{}, NULL, 1)", self.into(), self.parameters(), self.names.len() + 4)
    }

    fn parameters(&self) -> String {
        (1..=self.names.len() + 3).map(|n| format!("?{n}")).collect::<Vec<_>>().join(",")
    }

    /// What a tombstone does to the row of its key.
    fn remove(&self, mark: Option<&str>) -> String {
        let parameter = |index: usize, _: &str| format!("?{}", index + 1);
        let not_older = self.not_older(parameter).unwrap_or_else(|| "1".to_owned());
        let (table, key) = (quote(self.table), self.same_key());
        match mark {
            None => format!("DELETE FROM {table} AS _sync_t WHERE {key} AND {not_older}"),
            Some(mark) => {
                let mark = quote(mark);
                let set = self.stamp(parameter);
                format!(
                    "UPDATE {table} AS _sync_t SET {mark} = 1, {set} WHERE {key} AND NOT _sync_t.{mark} AND {not_older}"
                )
            }
        }
    }

    fn upsert(&self, rows: usize) -> String {
        let key = list(self.key.iter().map(|index| self.names[*index]));
        let changed = self.changed(|_, name| format!("excluded.{}", quote(name)));
        let Some(changed) = changed else {
            return format!("{} ON CONFLICT ({key}) DO NOTHING", self.insert(rows));
        };
        let set = self.set(|_, name| format!("excluded.{}", quote(name)));
        format!("{} ON CONFLICT ({key}) DO UPDATE SET {set} WHERE {changed}", self.insert(rows))
    }

    /// Updates the row with the same key, nulls being equal.
    fn update(&self) -> String {
        let parameter = |index: usize, _: &str| format!("?{}", index + 1);
        let set = self.set(parameter);
        let changed = self.changed(parameter).unwrap_or_else(|| "0".to_owned());
        format!("UPDATE {} AS _sync_t SET {set} WHERE {} AND {changed}", quote(self.table), self.same_key())
    }

    /// Inserts a row unless one with the same key is there, or, if `whole`, one that is the same altogether.
    fn insert_unless(&self, whole: bool, deleted: bool) -> String {
        let mut values = self.parameters();
        let (stored, new) = self.pairs(|index, _| format!("?{}", index + 1));
        let mut same = self.same_key();
        if whole && !stored.is_empty() {
            same.push_str(&format!(" AND ({stored}) IS ({new})"));
        }
        let mut into = self.into();
        for mark in self.marks.iter().filter(|_| whole) {
            let sign = if deleted { "" } else { "NOT " };
            same.push_str(&format!(" AND {sign}_sync_t.{}", quote(mark)));
        }
        if let Some(mark) = self.marks.first().filter(|_| deleted) {
            into = self.into_with(&[mark.as_str()]);
            values.push_str(",1");
        }
        format!(
            "{into} SELECT {values} WHERE NOT EXISTS (SELECT 1 FROM {} AS _sync_t WHERE {same})",
            quote(self.table)
        )
    }

    fn same_key(&self) -> String {
        let same = |index: &usize| format!("_sync_t.{} IS ?{}", quote(self.names[*index]), index + 1);
        self.key.iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// The stored values outside the key and the new ones, as two lists.
    fn pairs(&self, new: impl Fn(usize, &str) -> String) -> (String, String) {
        let stored: Vec<_> = self.values().map(|(_, name)| format!("_sync_t.{}", quote(name))).collect();
        let new: Vec<_> = self.values().map(|(index, name)| new(index, name)).collect();
        (stored.join(","), new.join(","))
    }

    /// When the new row takes the place of the stored one: it differs and is not older. Absent where there is
    /// nothing outside the key that could differ.
    fn changed(&self, new: impl Fn(usize, &str) -> String) -> Option<String> {
        let (stored, values) = self.pairs(&new);
        let mut changed: Vec<_> = self.marks.iter().map(|mark| format!("_sync_t.{}", quote(mark))).collect();
        if !stored.is_empty() {
            changed.push(format!("({stored}) IS NOT ({values})"));
        }
        if changed.is_empty() {
            return None;
        }
        let changed = format!("({})", changed.join(" OR "));
        match self.not_older(new) {
            Some(not_older) => Some(format!("{changed} AND {not_older}")),
            None => Some(changed),
        }
    }

    /// When a row is not older than the stored one; absent where nothing tells.
    fn not_older(&self, new: impl Fn(usize, &str) -> String) -> Option<String> {
        let (name, ty) = self.order?;
        let index = self.names.iter().position(|n| *n == name).expect("it is one of them");
        let (stored, new) = (format!("_sync_t.{}", quote(name)), new(index, name));
        let not_older = match ty {
            Type::Decimal(..) => format!("sync_decimal({new}, {stored}) >= 0"),
            _ => format!("{new} >= {stored}"),
        };
        Some(format!("ifnull({not_older}, 1)"))
    }

    fn set(&self, new: impl Fn(usize, &str) -> String) -> String {
        let mut set: Vec<_> =
            self.values().map(|(index, name)| format!("{} = {}", quote(name), new(index, name))).collect();
        set.extend(self.marks.iter().map(|mark| format!("{} = 0", quote(mark))));
        set.push(self.stamp(new));
        set.join(", ")
    }

    /// Says by which run the row is as it is.
    fn stamp(&self, new: impl Fn(usize, &str) -> String) -> String {
        let first = self.names.len();
        let [run, at, seq] =
            [(0, system::RUN), (1, system::AT), (2, system::SEQ)].map(|(n, name)| new(first + n, name));
        format!("_sync_run = {run}, _sync_at = {at}, _sync_seq = sync_taken(_sync_t._sync_run, {run}, {seq})")
    }
}

/// The columns of a batch while its rows are bound.
struct Row<'a> {
    columns: Vec<Cells<'a>>,
    scratch: String,
}

impl Row<'_> {
    /// Binds rows and runs the statement.
    fn execute(&mut self, statement: &mut rusqlite::Statement, rows: &[usize]) -> rusqlite::Result<u64> {
        self.bind(statement, rows)?;
        statement.raw_execute().map(|changed| changed as u64)
    }

    fn bind(&mut self, statement: &mut rusqlite::Statement, rows: &[usize]) -> rusqlite::Result<()> {
        // A statement that looks at the key alone has no place for what comes behind it.
        let most = statement.parameter_count();
        let mut parameter = 1;
        for row in rows {
            for column in &self.columns {
                if parameter > most {
                    return Ok(());
                }
                column.bind(statement, parameter, *row, &mut self.scratch)?;
                parameter += 1;
            }
        }
        Ok(())
    }
}

/// An array by the type of its column.
enum Cells<'a> {
    Text(&'a StringArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Bool(&'a BooleanArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Local(&'a TimestampMicrosecondArray),
}

impl<'a> Cells<'a> {
    fn new(array: &'a dyn Array, ty: Type) -> Self {
        match ty {
            Type::Text | Type::Json => Self::Text(array.as_string()),
            Type::Int => Self::Int(array.as_primitive::<Int64Type>()),
            Type::Float => Self::Float(array.as_primitive::<Float64Type>()),
            Type::Decimal(_, scale) => Self::Decimal(array.as_primitive::<Decimal128Type>(), scale),
            Type::Bool => Self::Bool(array.as_boolean()),
            Type::Date => Self::Date(array.as_primitive::<Date32Type>()),
            Type::Timestamp => Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>()),
            Type::Local => Self::Local(array.as_primitive::<TimestampMicrosecondType>()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::Bool(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Timestamp(array) | Self::Local(array) => array.is_null(row),
        }
    }

    fn bind(
        &self,
        statement: &mut rusqlite::Statement,
        parameter: usize,
        row: usize,
        scratch: &mut String,
    ) -> rusqlite::Result<()> {
        if self.is_null(row) {
            return statement.raw_bind_parameter(parameter, Null);
        }
        scratch.clear();
        match self {
            Self::Text(array) => return statement.raw_bind_parameter(parameter, text(array.value(row))),
            Self::Int(array) => return statement.raw_bind_parameter(parameter, array.value(row)),
            Self::Float(array) => return statement.raw_bind_parameter(parameter, array.value(row)),
            Self::Bool(array) => return statement.raw_bind_parameter(parameter, array.value(row)),
            Self::Decimal(array, scale) => form::decimal(array.value(row), *scale, scratch),
            Self::Date(array) => form::date(array.value(row), scratch),
            Self::Timestamp(array) => form::timestamp(array.value(row), scratch),
            Self::Local(array) => form::local(array.value(row), scratch),
        }
        statement.raw_bind_parameter(parameter, text(scratch))
    }
}

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}
