//! What a row is told apart by.
//!
//! A row's *identity* is 128 bits over its key; two keys that share one are accepted as impossible (with ten
//! billion keys the chance is below one in 10^18). Its *content* is a sum of 64-bit hashes, one for each
//! value that is not null, seeded with the field it came from. So neither the order of columns nor a new
//! column that is null changes it. The engine's own columns do not count. Values are hashed by their type,
//! so a widened column needs its rows hashed again.

use sync_core::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use sync_core::arrow::compute::kernels::zip::zip;
use sync_core::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Disposition, Schema, SinkError, TableSpec, system};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use super::extras::{Extras, TOMBSTONE};
use crate::contract;

/// Which columns make the identity and the order of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub key: Vec<String>,
    pub order: Option<String>,
    /// Whether rows are the same only if all of them is: under `append` the versions of a key all stay.
    pub whole: bool,
    /// The column that marks deleted rows.
    pub mark: Option<String>,
    /// Whether tombstones set it; else they take the row away.
    pub marking: bool,
    /// Whether the versions of a key all stay, one of them current.
    pub history: bool,
}

impl Identity {
    /// None where the table has no key.
    pub fn of(spec: &TableSpec, extras: &Extras) -> Option<Self> {
        let whole = spec.disposition == Disposition::Append;
        let history = spec.disposition == Disposition::History;
        let order = spec.order.clone().filter(|_| !whole);
        let mark = extras.tail.mark().map(str::to_owned);
        let marking = extras.marking;
        (!spec.key.is_empty()).then(|| Self { key: spec.key.clone(), order, whole, mark, marking, history })
    }
}

/// What a batch's rows are told apart by, in the order of its rows.
pub(super) struct Marks {
    pub identity: Vec<u128>,
    /// A hash of the row; of a tombstone its order in the run.
    pub content: Vec<u64>,
    /// Whether each row is a tombstone, is marked as deleted, or is a version that is closed.
    pub gone: Option<BooleanArray>,
    /// Of a history, from when each version holds, or to when a tombstone closes; else when each row was read.
    moment: ArrayRef,
    /// Who read each row.
    pub runs: Vec<u32>,
    order: Option<ArrayRef>,
}

impl Marks {
    /// Of rows of a schema. Fails where a column of the key is missing.
    pub fn of(batch: &RecordBatch, schema: &Schema, by: &Identity, stream: &str) -> Result<Self, SinkError> {
        let column = |name: &String| schema.columns.iter().position(|c| c.field == *name);
        let mut key = Vec::new();
        for name in &by.key {
            let index = column(name).ok_or_else(|| contract::key_missing(stream, name))?;
            key.push(batch.column(index));
        }
        let mut content = contents(batch, schema);
        let gone = gone(batch, by);
        let mut identity = identities(&key, batch.num_rows());
        if by.whole {
            for (row, (identity, content)) in identity.iter_mut().zip(&content).enumerate() {
                let mut both = [0; 25];
                both[..16].copy_from_slice(&identity.to_le_bytes());
                both[16..24].copy_from_slice(&content.to_le_bytes());
                both[24] = u8::from(gone.as_ref().is_some_and(|gone| gone.value(row)));
                // One that is marked is another row; without marks the hash is what it always was.
                *identity = xxh3_128(if both[24] == 0 { &both[..24] } else { &both });
            }
        }
        if let Some(gone) = gone.as_ref().filter(|_| !by.whole && !by.history) {
            let seq = batch.column(schema.columns.len() + 2).as_primitive::<Int64Type>();
            (0..content.len())
                .filter(|row| gone.value(*row))
                .for_each(|row| content[row] = seq.value(row) as u64);
        }
        let order = by.order.as_ref().and_then(column).map(|index| batch.column(index).clone());
        let moment = moment(batch, schema, by, gone.as_ref());
        let runs = batch.column(schema.columns.len()).as_string::<i32>();
        let runs = runs.iter().map(|run| run_mark(run.unwrap_or_default())).collect();
        Ok(Self { identity, content, gone, moment, runs, order })
    }

    /// Whether a row is a tombstone, is marked, or is a version that is closed.
    pub fn is_gone(&self, row: usize) -> bool {
        self.gone.as_ref().is_some_and(|gone| gone.value(row))
    }

    /// See the field.
    pub fn moment(&self, row: usize) -> i64 {
        self.moment.as_primitive::<TimestampMicrosecondType>().value(row)
    }

    /// Appends bytes that compare as the row's order does; false where it has none.
    pub fn order(&self, row: usize, bytes: &mut Vec<u8>) -> bool {
        match &self.order {
            Some(column) if !column.is_null(row) => {
                comparable(column, row, bytes);
                true
            }
            _ => false,
        }
    }
}

/// What a run is told by in a record: two of one table that share it would only count a row once too few.
pub(super) fn run_mark(run: &str) -> u32 {
    xxh3_64(run.as_bytes()) as u32
}

/// Which rows are tombstones or marked, or versions that are closed; none where none can be.
fn gone(batch: &RecordBatch, by: &Identity) -> Option<BooleanArray> {
    if by.history {
        let current = batch.column_by_name(system::CURRENT)?.as_boolean();
        return Some(current.iter().map(|current| current.map(|c| !c)).collect());
    }
    let apart = batch.column_by_name(TOMBSTONE);
    let marked = by.mark.as_ref().and_then(|mark| batch.column_by_name(mark));
    apart.or(marked).map(|array| array.as_boolean().clone())
}

fn moment(batch: &RecordBatch, schema: &Schema, by: &Identity, gone: Option<&BooleanArray>) -> ArrayRef {
    let at = batch.column(schema.columns.len() + 1);
    let (Some(from), Some(to)) =
        (batch.column_by_name(system::VALID_FROM), batch.column_by_name(system::VALID_TO))
    else {
        return at.clone();
    };
    match gone.filter(|_| by.history) {
        Some(gone) if gone.true_count() > 0 => zip(gone, to, from).expect("both are moments, one a row"),
        Some(_) => from.clone(),
        None => at.clone(),
    }
}

fn contents(batch: &RecordBatch, schema: &Schema) -> Vec<u64> {
    let mut sums = vec![0_u64; batch.num_rows()];
    for (column, array) in schema.columns.iter().zip(batch.columns()) {
        let seed = xxh3_64(column.field.as_bytes());
        each_value(array, |row, bytes| sums[row] = sums[row].wrapping_add(xxh3_64_with_seed(bytes, seed)));
    }
    sums
}

fn identities(key: &[&ArrayRef], rows: usize) -> Vec<u128> {
    if let [only] = key {
        // Null is a key like any other; no bytes hash to zero but by the accident that is accepted anyway.
        let mut identity = vec![0; rows];
        each_value(only, |row, bytes| identity[row] = xxh3_128(bytes));
        return identity;
    }
    // Each value behind its length, so that values cannot run into each other; null has a length of its own.
    let mut texts = vec![Vec::new(); rows];
    for array in key {
        let mut next = 0;
        each_value(array, |row, bytes| {
            texts[next..row].iter_mut().for_each(|text| text.extend_from_slice(&u64::MAX.to_le_bytes()));
            texts[row].extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            texts[row].extend_from_slice(bytes);
            next = row + 1;
        });
        texts[next..].iter_mut().for_each(|text| text.extend_from_slice(&u64::MAX.to_le_bytes()));
    }
    texts.iter().map(|text| xxh3_128(text)).collect()
}

/// Visits the bytes of each value that is not null, in the order of rows.
fn each_value(array: &ArrayRef, mut visit: impl FnMut(usize, &[u8])) {
    fn primitive<T: ArrowPrimitiveType, const N: usize>(
        array: &ArrayRef,
        bytes: impl Fn(T::Native) -> [u8; N],
        visit: &mut impl FnMut(usize, &[u8]),
    ) {
        for (row, value) in array.as_primitive::<T>().iter().enumerate() {
            if let Some(value) = value {
                visit(row, &bytes(value));
            }
        }
    }
    let visit = &mut visit;
    match array.data_type() {
        DataType::Utf8 => {
            for (row, text) in array.as_string::<i32>().iter().enumerate() {
                if let Some(text) = text {
                    visit(row, text.as_bytes());
                }
            }
        }
        DataType::Boolean => {
            for (row, value) in array.as_boolean().iter().enumerate() {
                if let Some(value) = value {
                    visit(row, &[u8::from(value)]);
                }
            }
        }
        DataType::Int64 => primitive::<Int64Type, 8>(array, i64::to_le_bytes, visit),
        DataType::Float64 => primitive::<Float64Type, 8>(array, |v| (v + 0.0).to_le_bytes(), visit),
        DataType::Date32 => primitive::<Date32Type, 4>(array, i32::to_le_bytes, visit),
        DataType::Decimal128(..) => primitive::<Decimal128Type, 16>(array, i128::to_le_bytes, visit),
        _ => primitive::<TimestampMicrosecondType, 8>(array, i64::to_le_bytes, visit),
    }
}

/// Bytes that compare as values of one type do.
fn comparable(array: &ArrayRef, row: usize, bytes: &mut Vec<u8>) {
    const SIGN: u64 = 1 << 63;
    let signed = |v: i64| ((v as u64) ^ SIGN).to_be_bytes();
    match array.data_type() {
        DataType::Utf8 => bytes.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Boolean => bytes.push(u8::from(array.as_boolean().value(row))),
        DataType::Int64 => bytes.extend_from_slice(&signed(array.as_primitive::<Int64Type>().value(row))),
        DataType::Float64 => {
            let bits = (array.as_primitive::<Float64Type>().value(row) + 0.0).to_bits();
            let flipped = if bits & SIGN == 0 { bits | SIGN } else { !bits };
            bytes.extend_from_slice(&flipped.to_be_bytes());
        }
        DataType::Date32 => {
            bytes.extend_from_slice(&signed(array.as_primitive::<Date32Type>().value(row).into()));
        }
        DataType::Decimal128(..) => {
            let value = array.as_primitive::<Decimal128Type>().value(row) as u128;
            bytes.extend_from_slice(&(value ^ (1 << 127)).to_be_bytes());
        }
        _ => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            bytes.extend_from_slice(&signed(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use sync_core::Type;
    use sync_testkit::sink::{batch, schema, spec};

    use super::*;
    use crate::tail::Tail;

    fn extras(spec: &TableSpec) -> Extras {
        Extras::of(spec, Tail::of(spec))
    }

    fn marks(columns: &str, key: &[&str], order: Option<&str>, lines: &[&str]) -> Marks {
        let (schema, spec) = (schema(columns), spec("t", key, Disposition::Merge));
        let batch = batch(&schema, &spec.run, 0, lines);
        let by = Identity {
            order: order.map(str::to_owned),
            ..Identity::of(&spec, &extras(&spec)).expect("a key")
        };
        Marks::of(&batch, &schema, &by, "t").expect("the key is there")
    }

    #[test]
    fn a_null_column_changes_nothing_and_a_value_everything() {
        let narrow = marks("id:int v:text", &["id"], None, &["1|a", "2|~"]);
        let wide = marks("id:int v:text w:int", &["id"], None, &["1|a|~", "2|~|0"]);
        assert_eq!(narrow.identity, wide.identity);
        assert_eq!(narrow.content[0], wide.content[0]);
        assert_ne!(narrow.content[1], wide.content[1]);
        let swapped = marks("v:text id:int", &["id"], None, &["a|1", "~|2"]);
        assert_eq!((narrow.identity, narrow.content), (swapped.identity, swapped.content));
        let other = marks("a:text b:text", &["a"], None, &["x|y", "y|x"]);
        assert_ne!(other.content[0], other.content[1]);
    }

    #[test]
    fn keys_do_not_run_together() {
        let lines = ["a|bc", "ab|c", "abc|", "|abc", "~|abc", "abc|~", "~|~", "|"];
        let mut seen = marks("x:text y:text", &["x", "y"], None, &lines).identity;
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), lines.len());
    }

    #[test]
    fn a_key_that_is_not_there_is_an_error() {
        let spec = spec("t", &["gone"], Disposition::Merge);
        let schema = schema("id:int");
        let batch = batch(&schema, &spec.run, 0, &["1"]);
        let by = Identity::of(&spec, &extras(&spec)).expect("a key");
        assert_eq!(Marks::of(&batch, &schema, &by, "t").err().expect("an error").code, "key_missing");
    }

    /// The values rise, so their bytes do.
    #[track_caller]
    fn check(ty: &str, rising: &[&str]) {
        let parsed: Type = ty.parse().expect("a type");
        let marks = marks(&format!("o:{parsed}"), &["o"], Some("o"), rising);
        let bytes: Vec<Vec<u8>> = (0..rising.len())
            .map(|row| {
                let mut bytes = Vec::new();
                assert!(marks.order(row, &mut bytes));
                bytes
            })
            .collect();
        assert!(bytes.is_sorted_by(|a, b| a < b), "{ty}: {bytes:?}");
    }

    #[test]
    fn bytes_compare_as_values_do() {
        check("int", &["-9223372036854775808", "-1", "0", "9", "10", "9223372036854775807"]);
        check("float", &["-1e300", "-1.5", "-0.1", "0", "0.1", "2", "10"]);
        check("decimal(38,2)", &["-100.00", "-0.01", "0.00", "9.50", "10.00"]);
        check("date", &["0001-01-01", "1969-12-31", "2026-01-01"]);
        check("local", &["1969-12-31 23:59:59", "1970-01-01 00:00:00.000001"]);
        check("timestamp", &["1969-12-31T23:59:59Z", "2026-01-01T00:00:00Z"]);
        check("text", &["", "10", "9", "a", "ab", "b"]);
        check("bool", &["0", "1"]);
    }
}
