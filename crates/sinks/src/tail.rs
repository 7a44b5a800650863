//! The columns behind `_sync_seq`, which tell what kind of table this is.

use sync_core::{Disposition, Kind, SinkError, TableSpec, Type, system};

/// What a table has behind its `_sync_seq`; see [`TableSpec::engine_columns`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    #[default]
    Bare,
    /// The column that marks deleted rows.
    Mark(String),
    /// From when to when a version holds, and whether it does now.
    Period,
}

impl Tail {
    /// What a new table has.
    pub(crate) fn of(spec: &TableSpec) -> Self {
        match (spec.disposition, &spec.deleted) {
            (Disposition::History, _) => Self::Period,
            (_, Some(name)) => Self::Mark(name.clone()),
            (_, None) => Self::Bare,
        }
    }

    pub(crate) fn columns(&self) -> Vec<(&str, Type)> {
        match self {
            Self::Bare => Vec::new(),
            Self::Mark(name) => vec![(name, Type::Bool)],
            Self::Period => vec![
                (system::VALID_FROM, Type::Timestamp),
                (system::VALID_TO, Type::Timestamp),
                (system::CURRENT, Type::Bool),
            ],
        }
    }

    /// The column that marks deleted rows.
    pub(crate) fn mark(&self) -> Option<&str> {
        match self {
            Self::Mark(name) => Some(name),
            Self::Bare | Self::Period => None,
        }
    }

    /// What a table that goes on has from now on: this, or a mark beside it. `empty` where it has no rows; then
    /// it may become anything.
    ///
    /// The mark stays when nobody wishes for it any longer, and says the truth about rows that come: they are
    /// not deleted. A table under replace has its columns from when it was begun.
    pub(crate) fn next(&self, spec: &TableSpec, empty: bool, place: &str) -> Result<Self, SinkError> {
        let wanted = Self::of(spec);
        match (self, &wanted) {
            _ if empty => Ok(wanted),
            (Self::Period, Self::Bare | Self::Mark(_)) | (Self::Bare | Self::Mark(_), Self::Period) => {
                Err(disposition_changed(spec, place))
            }
            (Self::Mark(had), Self::Mark(name))
                if had != name && spec.disposition != Disposition::Replace =>
            {
                Err(mark_changed(spec, had, name, place))
            }
            (Self::Mark(_), _) => Ok(self.clone()),
            _ => Ok(wanted),
        }
    }
}

/// The table holds versions and is to hold rows, or the other way round.
pub(crate) fn disposition_changed(spec: &TableSpec, place: &str) -> SinkError {
    let (has, wants) = match spec.disposition {
        Disposition::History => ("no history", "one"),
        Disposition::Append | Disposition::Replace | Disposition::Merge => ("a history", "none"),
    };
    SinkError {
        kind: Kind::Refused,
        code: "disposition_changed",
        message: format!("the table {:?} in {place} holds {has}, and the pipeline wants {wants}", spec.stream),
        hint: Some(
            "name another destination, or rebuild the table with --full-refresh, which loses what the provider no longer has"
                .to_owned(),
        ),
        source: None,
    }
}

fn mark_changed(spec: &TableSpec, had: &str, name: &str, place: &str) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "deleted_column_changed",
        message: format!(
            "the table {:?} in {place} marks deleted rows in {had:?}, and the pipeline names {name:?}",
            spec.stream
        ),
        hint: Some(format!("write {had:?}, or rebuild the table with --full-refresh")),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use sync_testkit::sink::{SpecExt as _, spec};

    use super::*;

    #[test]
    fn a_new_table_has_the_columns_that_the_engine_counts_on() {
        for disposition in
            [Disposition::Append, Disposition::Replace, Disposition::Merge, Disposition::History]
        {
            for spec in [spec("t", &["id"], disposition), spec("t", &["id"], disposition).deleted("gone")] {
                assert_eq!(Tail::of(&spec).columns(), spec.engine_columns()[3..]);
            }
        }
    }

    #[test]
    fn a_table_with_rows_keeps_what_it_is() {
        let rows = spec("t", &["id"], Disposition::Merge);
        let versions = spec("t", &["id"], Disposition::History);
        let mark = |name: &str| Tail::Mark(name.to_owned());
        let next = |tail: &Tail, spec: &TableSpec, empty| tail.next(spec, empty, "here").map_err(|e| e.code);

        assert_eq!(next(&Tail::Bare, &rows.deleted("a"), false), Ok(mark("a")));
        assert_eq!(next(&mark("a"), &rows, false), Ok(mark("a")));
        assert_eq!(next(&mark("a"), &rows.deleted("b"), false), Err("deleted_column_changed"));
        assert_eq!(next(&Tail::Period, &versions.deleted("a"), false), Ok(Tail::Period));
        for (tail, spec) in [(Tail::Bare, &versions), (mark("a"), &versions), (Tail::Period, &rows)] {
            assert_eq!(next(&tail, spec, false), Err("disposition_changed"));
            assert_eq!(next(&tail, spec, true), Ok(Tail::of(spec)));
        }
    }
}
