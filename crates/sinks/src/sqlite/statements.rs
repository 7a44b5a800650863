//! The statements that write rows and tombstones.
//!
//! All but the plain insert and the upsert number their parameters: `?N` is the `N`th column of a batch, of one
//! row.

use sync_core::{Type, system};

use super::sql::{list, quote};
use crate::tail::Tail;

/// The SQL of one table. Its alias is `_sync_t`, so that no table or column name can be mistaken for another.
pub(super) struct Statements<'a> {
    pub(super) table: &'a str,
    pub(super) names: &'a [&'a str],
    /// Places of the key's columns in `names`.
    pub(super) key: &'a [usize],
    /// The place of the column that orders versions, and its type.
    pub(super) order: Option<(usize, Type)>,
    pub(super) tail: &'a Tail,
}

impl<'a> Statements<'a> {
    /// Inserts rows that are known to be new.
    pub(super) fn insert(&self, rows: usize) -> String {
        let width = self.names.len() + 3;
        let row = |first: usize| match self.tail {
            // A mark is false where nothing else is said.
            Tail::Bare | Tail::Mark(_) => format!("({})", vec!["?"; width].join(",")),
            Tail::Period => {
                let parameters: Vec<_> = (first..first + width).map(|n| format!("?{}", n + 1)).collect();
                format!("({},{},NULL,1)", parameters.join(","), self.since(first))
            }
        };
        let rows: Vec<_> = (0..rows).map(|n| row(n * width)).collect();
        format!("{} VALUES {}", self.into(&self.period()), rows.join(","))
    }

    /// Inserts rows, or lets them take the place of stored ones.
    pub(super) fn upsert(&self, rows: usize) -> String {
        let key = list(self.key.iter().map(|index| self.names[*index]));
        let new = |index: usize| format!("excluded.{}", quote(self.name(index)));
        match self.changed(new) {
            None => format!("{} ON CONFLICT ({key}) DO NOTHING", self.insert(rows)),
            Some(changed) => format!(
                "{} ON CONFLICT ({key}) DO UPDATE SET {} WHERE {changed}",
                self.insert(rows),
                self.set(new)
            ),
        }
    }

    /// Updates the row with the same key, nulls being equal.
    pub(super) fn update(&self) -> String {
        let changed = self.changed(parameter).unwrap_or_else(|| "0".to_owned());
        let (table, same) = (quote(self.table), self.same_key());
        format!("UPDATE {table} AS _sync_t SET {} WHERE {same} AND {changed}", self.set(parameter))
    }

    /// Inserts a row unless one with the same key is there.
    pub(super) fn insert_unless_key(&self) -> String {
        self.insert_unless("", &self.same_key())
    }

    /// Inserts a row unless one is there that is the same altogether.
    pub(super) fn insert_unless_whole(&self) -> String {
        let unmarked = self.mark().map(|mark| format!(" AND NOT {mark}")).unwrap_or_default();
        self.insert_unless("", &format!("{}{unmarked}", self.same_row()))
    }

    /// Inserts a tombstone as a row.
    pub(super) fn insert_tombstone(&self) -> String {
        let mark = self.mark().expect("a table that is appended to has a mark if it takes tombstones");
        match self.key {
            [] => format!("{} VALUES ({},1)", self.into(&[self.tail_name()]), self.parameters()),
            _ => self.insert_unless(",1", &format!("{} AND {mark}", self.same_row())),
        }
    }

    /// Removes the row that a tombstone means.
    pub(super) fn delete(&self) -> String {
        let (table, same) = (quote(self.table), self.same_key());
        format!("DELETE FROM {table} AS _sync_t WHERE {same}{}", self.and_not_older(parameter))
    }

    /// Marks the row that a tombstone means.
    pub(super) fn mark_deleted(&self) -> String {
        let mark = self.mark().expect("somebody wished for it");
        format!(
            "UPDATE {} AS _sync_t SET {} = 1, {} WHERE {} AND NOT {mark}{}",
            quote(self.table),
            quote(self.tail_name()),
            self.stamp(parameter),
            self.same_key(),
            self.and_not_older(parameter)
        )
    }

    /// Ends the current version that another row follows.
    pub(super) fn close(&self) -> String {
        let changed = self.changed(parameter).unwrap_or_else(|| "0".to_owned());
        self.end_current(&format!(" AND {changed}"))
    }

    /// Ends the current version that a tombstone means.
    pub(super) fn close_deleted(&self) -> String {
        self.end_current(&self.and_not_older(parameter))
    }

    /// Inserts a row as the current version unless there is one. It holds from no earlier than the end of the
    /// one before.
    pub(super) fn open(&self) -> String {
        let (table, same, to) = (quote(self.table), self.same_key(), quote(system::VALID_TO));
        format!(
            "{} SELECT {}, max({}, ifnull((SELECT {to} FROM {table} AS _sync_t WHERE {same} ORDER BY {to} DESC LIMIT 1), '')), NULL, 1
             WHERE NOT EXISTS (SELECT 1 FROM {table} AS _sync_t WHERE {same} AND {to} IS NULL)",
            self.into(&self.period()),
            self.parameters(),
            self.since(0)
        )
    }

    fn end_current(&self, and: &str) -> String {
        format!(
            "UPDATE {} AS _sync_t SET {to} = max({}, _sync_t.{}), {} = 0 WHERE {} AND _sync_t.{to} IS NULL{and}",
            quote(self.table),
            self.since(0),
            quote(system::VALID_FROM),
            quote(system::CURRENT),
            self.same_key(),
            to = quote(system::VALID_TO),
        )
    }

    /// From when a row holds by its own word; `first` parameters are those of rows before it.
    fn since(&self, first: usize) -> String {
        let at = parameter(first + self.names.len() + 1);
        match self.order {
            Some((index, Type::Timestamp)) => format!("ifnull({},{at})", parameter(first + index)),
            _ => at,
        }
    }

    /// `OR FAIL`, because every error ends the transaction: SQLite then keeps no journal of each statement.
    fn into(&self, tail: &[&str]) -> String {
        let all = self.names.iter().chain([&system::RUN, &system::AT, &system::SEQ]).chain(tail);
        format!("INSERT OR FAIL INTO {} AS _sync_t ({})", quote(self.table), list(all.copied()))
    }

    fn insert_unless(&self, tail: &str, there: &str) -> String {
        let mark = if tail.is_empty() { vec![] } else { vec![self.tail_name()] };
        format!(
            "{} SELECT {}{tail} WHERE NOT EXISTS (SELECT 1 FROM {} AS _sync_t WHERE {there})",
            self.into(&mark),
            self.parameters(),
            quote(self.table)
        )
    }

    fn parameters(&self) -> String {
        (0..self.names.len() + 3).map(parameter).collect::<Vec<_>>().join(",")
    }

    fn period(&self) -> Vec<&str> {
        match self.tail {
            Tail::Period => self.tail.columns().into_iter().map(|(name, _)| name).collect(),
            Tail::Bare | Tail::Mark(_) => Vec::new(),
        }
    }

    fn tail_name(&self) -> &str {
        self.tail.mark().expect("there is a mark")
    }

    /// The stored mark, where the table has one.
    fn mark(&self) -> Option<String> {
        self.tail.mark().map(|name| format!("_sync_t.{}", quote(name)))
    }

    /// A column of a batch by its place.
    fn name(&self, index: usize) -> &'a str {
        let own = self.names.len();
        self.names.get(index).copied().unwrap_or_else(|| [system::RUN, system::AT, system::SEQ][index - own])
    }

    fn same_key(&self) -> String {
        let same = |index: &usize| format!("_sync_t.{} IS ?{}", quote(self.names[*index]), index + 1);
        self.key.iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    fn same_row(&self) -> String {
        match self.pairs(parameter) {
            None => self.same_key(),
            Some((stored, new)) => format!("{} AND ({stored}) IS ({new})", self.same_key()),
        }
    }

    /// Places of columns outside the key.
    fn values(&self) -> impl Iterator<Item = usize> {
        (0..self.names.len()).filter(|index| !self.key.contains(index))
    }

    /// The stored values outside the key and the new ones, as two lists; absent where there are none.
    fn pairs(&self, new: impl Fn(usize) -> String) -> Option<(String, String)> {
        let stored: Vec<_> =
            self.values().map(|index| format!("_sync_t.{}", quote(self.name(index)))).collect();
        let new: Vec<_> = self.values().map(new).collect();
        (!stored.is_empty()).then(|| (stored.join(","), new.join(",")))
    }

    /// When the new row takes the place of the stored one: it differs, or that is marked, and it is not older.
    /// Absent where that cannot be.
    fn changed(&self, new: impl Fn(usize) -> String) -> Option<String> {
        let differs = self.pairs(&new).map(|(stored, new)| format!("({stored}) IS NOT ({new})"));
        let changed = match (differs, self.mark()) {
            (Some(differs), Some(mark)) => format!("({differs} OR {mark})"),
            (differs, mark) => differs.or(mark)?,
        };
        Some(format!("{changed}{}", self.and_not_older(new)))
    }

    /// That what comes is not older than the stored row, as a further condition.
    fn and_not_older(&self, new: impl Fn(usize) -> String) -> String {
        let Some((index, ty)) = self.order else { return String::new() };
        let (stored, new) = (format!("_sync_t.{}", quote(self.name(index))), new(index));
        let not_older = match ty {
            Type::Decimal(..) => format!("sync_decimal({new}, {stored}) >= 0"),
            _ => format!("{new} >= {stored}"),
        };
        format!(" AND ifnull({not_older}, 1)")
    }

    fn set(&self, new: impl Fn(usize) -> String) -> String {
        let mut set: Vec<_> =
            self.values().map(|index| format!("{} = {}", quote(self.name(index)), new(index))).collect();
        set.extend(self.tail.mark().map(|name| format!("{} = 0", quote(name))));
        set.push(self.stamp(new));
        set.join(", ")
    }

    /// Sets who wrote the row, and counts it where this run did before.
    fn stamp(&self, new: impl Fn(usize) -> String) -> String {
        let first = self.names.len();
        let [run, at, seq] = [0, 1, 2].map(|n| new(first + n));
        format!("_sync_run = {run}, _sync_at = {at}, _sync_seq = sync_taken(_sync_t._sync_run, {run}, {seq})")
    }
}

fn parameter(index: usize) -> String {
    format!("?{}", index + 1)
}
