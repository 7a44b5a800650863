//! The schema contract: what becomes of rows that a table cannot hold as it is.

use std::collections::HashSet;

use sync_connectors::json::{self, JsonError, Value};
use sync_core::{Column as Pinned, Schema, SchemaChange, Type};
use sync_spec::{BadRow, Contract, GivenType};

use super::observe::{self, Seen};
use super::{Decoder, Leniency, Rows, Sample};

/// What was agreed on for the table of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// A field without a column.
    pub new_columns: Contract,
    /// A value that its column cannot hold.
    pub type_change: Contract,
    /// A row that cannot land at all.
    pub bad_row: BadRow,
    /// The fields of the primary key, as the table names them.
    pub key: Vec<String>,
    /// Types that somebody gave, by field.
    pub declared: Vec<(String, GivenType)>,
    /// Those of them that are the provider's word, which its own data may overrule while a column is new.
    pub told: HashSet<String>,
}

impl Terms {
    /// The type that somebody gave a field.
    pub(super) fn given(&self, field: &str) -> Option<GivenType> {
        self.declared.iter().find(|(name, _)| name == field).map(|(_, ty)| *ty)
    }

    /// Marks the columns of a pinned table whose types somebody gave; one that held only nulls takes the type.
    /// The columns that have values of another type keep that; their names come back.
    pub fn adopt(&self, schema: &mut Schema) -> Vec<String> {
        let mut kept = Vec::new();
        for column in &mut schema.columns {
            let given = self.given(&column.field);
            if let Some(given) = given.filter(|_| !column.settled) {
                (column.ty, column.settled) = (fresh(given), true);
            }
            column.declared = given.is_some_and(|given| is_of(column.ty, given));
            if given.is_some() && !column.declared && !self.told.contains(&column.field) {
                kept.push(column.name.clone());
            }
        }
        kept
    }

    /// Takes the types that the columns of a table were given earlier, where nobody gives them one now.
    pub fn remember(&mut self, schema: &Schema) {
        for column in schema.columns.iter().filter(|column| column.declared) {
            if self.given(&column.field).is_none() {
                let given = match column.ty {
                    Type::Decimal(38, _) => GivenType::Decimal,
                    ty => GivenType::Exactly(ty),
                };
                self.declared.push((column.field.clone(), given));
            }
        }
    }

    /// What becomes of a value that its column cannot hold, and that a column of type `to` could. A type that
    /// somebody gave does not give way, but for a decimal without digits, which gets more of them; and a row without
    /// its key is no row.
    fn of_misfit(&self, column: &Pinned, to: Type) -> Contract {
        let more_digits = matches!((column.ty, to), (Type::Decimal(..), Type::Decimal(..)));
        match self.type_change {
            Contract::Evolve if column.declared && !more_digits => Contract::Quarantine,
            Contract::DropValue if self.key.contains(&column.field) => Contract::Quarantine,
            contract => contract,
        }
    }

    /// The same of a field that has no column.
    fn of_new(&self, field: &str) -> Contract {
        match self.new_columns {
            Contract::DropValue if self.key.iter().any(|name| name == field) => Contract::Quarantine,
            contract => contract,
        }
    }
}

/// The type of a column of which nothing but this is known.
pub(super) fn fresh(given: GivenType) -> Type {
    match given {
        GivenType::Exactly(ty) => ty,
        GivenType::Decimal => Type::Decimal(38, 0),
    }
}

/// Whether a column of this type is what somebody said.
fn is_of(ty: Type, given: GivenType) -> bool {
    match given {
        GivenType::Exactly(given) => ty == given,
        GivenType::Decimal => matches!(ty, Type::Decimal(38, _)),
    }
}

/// A row that does not land, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    /// Its index among the rows.
    pub row: usize,
    /// `invalid_row`, `type_change` or `new_column`.
    pub code: &'static str,
    /// The field that is to blame.
    pub field: Option<String>,
    /// Why, in a sentence.
    pub message: String,
}

/// The rows of a page, judged.
#[derive(Default)]
pub(crate) struct Judged {
    /// The indexes of those that land.
    pub keep: Vec<usize>,
    /// Those that do not.
    pub aside: Vec<Aside>,
    /// What they land past.
    pub lenient: Leniency,
    /// Values that are left out of rows that land.
    pub dropped: u64,
    /// Columns that would have had to change and did not.
    pub refused: Vec<SchemaChange>,
    /// The columns that may become wider.
    changing: Vec<usize>,
}

/// The stream ends before this page.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub why: Aside,
    /// What the table would have had to do.
    pub change: Option<SchemaChange>,
}

/// What is wrong with one field of a row.
enum Misfit {
    New { field: String, ty: Type },
    Change { place: usize, ty: Type },
}

impl Decoder {
    /// Looks at each row by itself. The error: the terms end the stream here.
    pub(crate) fn judge(&self, rows: &Rows<'_>, terms: &Terms, page: u64) -> Result<Judged, Box<Stopped>> {
        let mut judged = Judged::default();
        let mut scratch = self.columns(rows.ranges.len());
        let grows =
            |column: &Pinned| column.declared && terms.given(&column.field) == Some(GivenType::Decimal);
        let grows: Vec<bool> = self.schema.columns.iter().map(grows).collect();
        for (index, row) in rows.iter().enumerate() {
            let misfits = match self.misfits(row, &mut scratch, &grows) {
                Ok(misfits) => misfits,
                Err(error) => {
                    let message = match json::kind_of(row) {
                        "an object" => error.to_string(),
                        kind => format!("it is {kind}, not an object"),
                    };
                    let why = Aside { row: index, code: "invalid_row", field: None, message };
                    if terms.bad_row == BadRow::Fail {
                        return Err(Box::new(Stopped { why, change: None }));
                    }
                    judged.aside.push(why);
                    continue;
                }
            };
            self.sentence(index, row, misfits, terms, page, &mut judged)?;
        }
        Ok(judged)
    }

    /// Applies the terms to one row.
    fn sentence(
        &self,
        index: usize,
        row: &str,
        misfits: Vec<Misfit>,
        terms: &Terms,
        page: u64,
        judged: &mut Judged,
    ) -> Result<(), Box<Stopped>> {
        let mut aside = None;
        let (mut lenient, mut dropped) = (judged.lenient, 0);
        for misfit in misfits {
            let (field, contract, from, to) = match &misfit {
                Misfit::New { field, ty } => (field.as_str(), terms.of_new(field), None, *ty),
                Misfit::Change { place, ty } => {
                    let column = &self.schema.columns[*place];
                    (column.field.as_str(), terms.of_misfit(column, *ty), Some(column.ty), *ty)
                }
            };
            let code = if from.is_some() { "type_change" } else { "new_column" };
            let change = || SchemaChange {
                column: field.to_owned(),
                from,
                to,
                contract: contract.as_str().to_owned(),
                page,
            };
            let why = || Aside {
                row: index,
                code,
                field: Some(field.to_owned()),
                message: blame(row, field, from),
            };
            match contract {
                Contract::Evolve => {
                    if let Misfit::Change { place, .. } = misfit {
                        judged.changing.push(place);
                    }
                    continue;
                }
                Contract::Freeze => return Err(Box::new(Stopped { why: why(), change: Some(change()) })),
                Contract::Quarantine if terms.bad_row == BadRow::Fail => {
                    return Err(Box::new(Stopped { why: why(), change: Some(change()) }));
                }
                Contract::Quarantine => {
                    aside.get_or_insert_with(why);
                }
                Contract::DropValue => {
                    dropped += 1;
                    if from.is_some() { lenient.misfits = true } else { lenient.unknown = true }
                }
            }
            let change = change();
            let same = |c: &SchemaChange| (&c.column, &c.contract) == (&change.column, &change.contract);
            if !judged.refused.iter().any(same) {
                judged.refused.push(change);
            }
        }
        if let Some(aside) = aside {
            judged.aside.push(aside);
        } else {
            judged.keep.push(index);
            judged.lenient = lenient;
            judged.dropped += dropped;
        }
        Ok(())
    }

    /// What the schema cannot hold of a row. Columns that have had only nulls take whatever comes.
    fn misfits(
        &self,
        row: &str,
        scratch: &mut [super::Column],
        grows: &[bool],
    ) -> Result<Vec<Misfit>, JsonError> {
        let mut slots: Vec<Option<Value<'_>>> = vec![None; scratch.len()];
        let mut unknown: Vec<(String, Value<'_>)> = Vec::new();
        json::each_field(row, |name, value| {
            if let Some(place) = self.places.get(name) {
                slots[*place] = Some(value);
            } else {
                unknown.retain(|(n, _)| n != name);
                unknown.push((name.to_owned(), value));
            }
            Ok::<_, JsonError>(())
        })?;
        let mut misfits = Vec::new();
        for (place, (column, value)) in scratch.iter_mut().zip(&slots).enumerate() {
            let Some(value) = value else { continue };
            let pinned = &self.schema.columns[place];
            if !pinned.settled {
                continue;
            }
            let misfit = column.append(value).is_err();
            if grows[place] {
                misfits.extend(
                    more_digits(pinned, column, value, misfit).map(|ty| Misfit::Change { place, ty }),
                );
            } else if misfit {
                let seen = Seen::of(value);
                let ty = observe::widen(pinned.ty, seen.ty(false), pinned.digits.join(seen.digits()));
                misfits.push(Misfit::Change { place, ty });
            }
        }
        misfits.extend(
            unknown.into_iter().map(|(field, value)| Misfit::New { ty: Seen::of(&value).ty(false), field }),
        );
        Ok(misfits)
    }

    /// The schema that the rows that land need.
    pub(crate) fn widened(&self, rows: &Rows<'_>, judged: &Judged, terms: &Terms) -> Schema {
        let mut sample = Sample::default();
        sample.take(rows, terms);
        let may_add = terms.new_columns == Contract::Evolve;
        let may_change = |place: usize| {
            let column = &self.schema.columns[place];
            !column.settled || judged.changing.contains(&place)
        };
        sample.widen(&self.schema, terms, may_add, may_change)
    }
}

/// The type that a decimal without digits needs for a value that it cannot hold. `column` knows the extent of the
/// values before it, those that need more digits included, so that no two of them come to need more than there are.
fn more_digits(pinned: &Pinned, column: &mut super::Column, value: &Value<'_>, misfit: bool) -> Option<Type> {
    let seen = Seen::of_number(value);
    if misfit && seen.is_none() {
        return Some(Type::Json);
    }
    let all = pinned.digits.join(column.digits).join(seen.map(|s| s.digits()).unwrap_or_default());
    if !observe::fits_a_decimal(all) {
        return Some(Type::Json);
    }
    column.digits = column.digits.join(all);
    misfit.then(|| observe::decimal(all))
}

/// What is wrong with a field of a row, with the value as it was sent.
fn blame(row: &str, field: &str, column: Option<Type>) -> String {
    let value = json::get(row, &[field.to_owned()]);
    let sent = match &value {
        None => "nothing".to_owned(),
        Some(value) => shown(value),
    };
    match column {
        Some(ty) => format!("{field:?} is {ty}, and this row has {sent}"),
        None => format!("the table has no column {field:?}, and this row has {sent} in it"),
    }
}

/// A value as it was sent, not too long.
fn shown(value: &Value<'_>) -> String {
    const LENGTH: usize = 60;
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) | Value::Nested(text) => (*text).to_owned(),
        Value::Text(text) => format!("{text:?}"),
    };
    excerpt(&text, LENGTH)
}

/// The beginning of a text.
pub(crate) fn excerpt(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
