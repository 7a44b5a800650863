//! What lands of a row: which fields, of which types, and what happens to a row that does not fit.

use crate::forms::ListOf;
use crate::node::Node;
use crate::path::read_part;
use crate::read::{Form, Located, Reader, record, words};
use crate::schema::{self, Defs, Json};
use crate::{BadRow, Contract, Deletes, Detect, FieldPath, Percent, SchemaContract, SelectPattern};
use serde_json::json;

record! {
    /// What happens when a table's columns would have to change.
    ContractMap -> SchemaContract, "schema" {
        /// A row has a field that the table has no column for. Default `evolve`.
        may new_columns: Contract,
        /// A value is not of its column's type. Default `evolve`.
        may type_change: Contract,
    }
    |reader, fields| Some(SchemaContract { new_columns, type_change })
}

words!(Contract, "a schema contract" {
    "evolve" => Contract::Evolve, "the table follows.";
    "freeze" => Contract::Freeze, "the stream stops before that page, exit code 5.";
    "quarantine" => Contract::Quarantine, "the row is set aside.";
    "drop_value" => Contract::DropValue, "the row lands without that value, and the run counts it.";
});

words!(BadRow, "what happens to a bad row" {
    "quarantine" => BadRow::Quarantine, "it is set aside, with the reason.";
    "fail" => BadRow::Fail, "the stream stops before its page, exit code 5.";
});

record! {
    /// What becomes of rows that the provider deleted.
    DeletesMap -> Deletes, "deletes" {
        /// The row stays, and this column of it says that it is deleted: `_deleted`. Without it the row goes.
        may r#as: Located<ColumnName>,
        /// How deletions are found where the provider tells none: `snapshot`, by what a complete listing has no more.
        may detect: Detect,
    }
    |reader, fields| Some(Deletes { mark: r#as, detect })
}

words!(Detect, "a way to find deletions" {
    "snapshot" => Detect::Snapshot, "by what a complete listing has no more; each run reads all of it.";
});

/// The name of a column of the engine's own.
pub(super) struct ColumnName;

impl Form for ColumnName {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let name = reader.text(node, "the name of a column")?;
        if name.is_empty() || name.starts_with("_sync_") || name.contains(['\n', '\0']) {
            return reader.refuse(node, "the name of a column", "such as `_deleted`");
        }
        Some(name.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^.+$", "The name of a column, such as `_deleted`.")
    }
}

/// A share, such as `1%`.
impl Form for Percent {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const WHAT: &str = "a share from `0%` to `100%`";
        let text = reader.text(node, WHAT)?;
        match percent(text) {
            Some(share) => Some(share),
            None => reader.refuse(node, WHAT, "such as `1%` or `0.5%`"),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(r"^(100|[1-9]?[0-9])(\.[0-9]{1,4})?%$", "Such as `1%` or `0.5%`.")
    }
}

fn percent(text: &str) -> Option<Percent> {
    let (whole, fraction) = match text.strip_suffix('%')?.split_once('.') {
        Some((whole, fraction)) if (1..=4).contains(&fraction.len()) => (whole, fraction),
        Some(_) => return None,
        None => (text.strip_suffix('%')?, ""),
    };
    let fraction: u32 = match fraction.bytes().all(|b| b.is_ascii_digit()) {
        true => format!("{fraction:0<4}").parse().ok()?,
        false => return None,
    };
    let millionths =
        u32::try_from(crate::forms::whole(whole)?).ok()?.checked_mul(10_000)?.checked_add(fraction)?;
    (millionths <= 1_000_000).then_some(Percent { millionths })
}

/// `select:`, a list of paths with `*` in them, those behind a `!` left out.
pub(super) struct SelectWord;

impl Form for SelectWord {
    type Value = Vec<SelectPattern>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        ListOf::<SelectPattern>::read(node, reader)
    }

    fn schema(defs: &mut Defs) -> Json {
        ListOf::<SelectPattern>::schema(defs)
    }
}

impl Form for SelectPattern {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a path such as `custom.*`, or `!` and a path")?;
        let (keeps, path) = text.strip_prefix('!').map_or((true, text), |rest| (false, rest));
        let path = read_part(node, text.len() - path.len(), FieldPath::parse(path), reader)?;
        Some(Self { keeps, path, span: node.span })
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({
            "type": "string",
            "description": "A path; `*` stands for any part of a name. Behind a `!` it is left out. The last one that fits decides.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millionths: Option<u32>) {
        assert_eq!(percent(text).map(|p| p.millionths), millionths, "{text}");
    }

    #[test]
    fn shares_are_exact() {
        check("1%", Some(10_000));
        check("0%", Some(0));
        check("0.5%", Some(5_000));
        check("0.0001%", Some(1));
        check("100%", Some(1_000_000));
        check("100.1%", None);
        check("101%", None);
        check("1", None);
        check("-1%", None);
        check("1.%", None);
        check(".5%", None);
        check("1.00001%", None);
        check("01%", None);
        check("1.x%", None);
    }
}
