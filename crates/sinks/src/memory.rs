//! A destination that lives as long as the process: for tests of everything that writes to a sink.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_core::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampMicrosecondArray};
use sync_core::arrow::compute::interleave_record_batch;
use sync_core::arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{
    Begin, Capability, CastError, Checkpoint, Disposition, Opened, Published, Receipt, Schema, Sink,
    SinkError, Table, TableSpec, Type, conform, form, system,
};

use crate::contract;

const PLACE: &str = "memory";

/// Tables in memory. Clones share them, so a test keeps one to look inside.
#[derive(Clone, Default)]
pub struct Memory {
    tables: Arc<Mutex<BTreeMap<String, Stored>>>,
}

impl Memory {
    /// No tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The streams that have a table or are building one.
    pub fn streams(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// The rows that a reader of a stream's table sees, as one batch; absent where there is no table.
    pub fn rows(&self, stream: &str) -> Option<RecordBatch> {
        self.lock().get(stream)?.live.as_ref().map(Version::rows)
    }

    /// The checkpoint of the table that readers see.
    pub fn checkpoint(&self, stream: &str) -> Option<Checkpoint> {
        self.lock().get(stream)?.live.as_ref()?.checkpoint.clone()
    }

    /// The checkpoint of the table being built, if one is.
    pub fn building(&self, stream: &str) -> Option<Checkpoint> {
        self.lock().get(stream)?.side.as_ref()?.checkpoint.clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's table and the one being built beside it.
struct Stored {
    pipeline: String,
    live: Option<Version>,
    side: Option<Version>,
}

/// A table as of its last commit.
#[derive(Default)]
struct Version {
    checkpoint: Option<Checkpoint>,
    schema: Schema,
    batches: Vec<RecordBatch>,
    /// The rows that are there; one that went leaves a gap.
    rows: Vec<Option<Kept>>,
    /// Where in `rows` the rows of a key are.
    keys: HashMap<String, Vec<usize>>,
    /// The engine's own columns beyond the three of every batch.
    extras: Vec<String>,
}

/// A row that is there.
#[derive(Clone, Copy)]
struct Kept {
    batch: usize,
    row: usize,
    deleted: bool,
    /// From when it holds.
    from: i64,
    /// To when it held; absent while it is current.
    to: Option<i64>,
}

/// A batch that waits for its commit.
struct Staged {
    batch: RecordBatch,
    tombstones: bool,
}

impl Sink for Memory {
    fn capability(&self) -> Capability {
        Capability {
            dispositions: &[
                Disposition::Append,
                Disposition::Replace,
                Disposition::Merge,
                Disposition::History,
            ],
        }
    }

    fn open(&self, spec: &TableSpec) -> Result<Box<dyn Table>, SinkError> {
        let mut tables = self.lock();
        let stored = tables.get(&spec.stream);
        if let Some(stored) = stored.filter(|s| s.pipeline != spec.pipeline) {
            let owner = (stored.pipeline.as_str(), spec.stream.as_str());
            return Err(contract::owned(&spec.stream, PLACE, Some(owner)));
        }
        let live = stored.and_then(|s| s.live.as_ref());
        let side = stored.and_then(|s| s.side.as_ref()).filter(|_| spec.begin == Begin::Continue);
        let found = side.or(live.filter(|_| spec.begin == Begin::Continue));
        let opened = Opened {
            checkpoint: found.and_then(|v| v.checkpoint.clone()),
            rows: live.map_or(0, Version::count),
            building: side.is_some(),
        };
        let aside = spec.begin == Begin::Anew || spec.disposition == Disposition::Replace || opened.building;
        let table = Writing {
            sink: self.clone(),
            spec: spec.clone(),
            aside,
            fresh: aside && !opened.building,
            schema: opened.checkpoint.as_ref().map(|c| c.schema.clone()).unwrap_or_default(),
            sequence: opened.checkpoint.as_ref().map(|c| c.sequence),
            opened,
            staged: Vec::new(),
            dropped: 0,
            forgotten: 0,
        };
        let unused = Stored { pipeline: spec.pipeline.clone(), live: None, side: None };
        tables.entry(spec.stream.clone()).or_insert(unused);
        Ok(Box::new(table))
    }
}

/// A table while a stream is written to it.
struct Writing {
    sink: Memory,
    spec: TableSpec,
    opened: Opened,
    /// Whether rows go to a table beside the one that readers see.
    aside: bool,
    /// Whether that table begins empty with the next commit.
    fresh: bool,
    schema: Schema,
    sequence: Option<u64>,
    staged: Vec<Staged>,
    /// Staged rows that a restart threw away.
    dropped: u64,
    /// Committed rows of this run that a restart threw away.
    forgotten: u64,
}

impl Writing {
    fn misfit(&self, error: CastError) -> SinkError {
        contract::misfit(&self.spec.stream, PLACE, error)
    }

    fn write_out(&mut self, checkpoint: &Checkpoint, last: bool) -> Result<Receipt, SinkError> {
        contract::next(self.sequence, checkpoint, PLACE)?;
        let keyed = |field: &String| self.schema.of_field(field).is_some();
        if let Some(column) = self.spec.key.iter().find(|c| !keyed(c)).filter(|_| !self.staged.is_empty()) {
            return Err(contract::key_missing(&self.spec.stream, column));
        }
        let mut tables = self.sink.lock();
        let stored = tables.get_mut(&self.spec.stream).expect("opening made it");
        let place = if self.aside { &mut stored.side } else { &mut stored.live };
        if self.fresh {
            *place = None;
        }
        let version = place.get_or_insert_default();
        version.evolve(&self.schema, &self.spec).map_err(|e| self.misfit(e))?;
        version.extras = self.spec.engine_columns()[3..].iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut receipt = Receipt { loaded: 0, deduplicated: std::mem::take(&mut self.dropped) };
        for Staged { batch, tombstones } in self.staged.drain(..) {
            version.take(&batch, tombstones, &self.spec, &mut receipt);
        }
        version.checkpoint = Some(checkpoint.clone());
        self.fresh = false;
        self.sequence = Some(checkpoint.sequence);
        if last && self.aside {
            stored.live = stored.side.take();
            self.aside = self.spec.disposition == Disposition::Replace;
            self.fresh = self.aside;
        }
        Ok(receipt)
    }
}

impl Table for Writing {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn evolve(&mut self, schema: &Schema) -> Result<(), SinkError> {
        for Staged { batch, .. } in &mut self.staged {
            *batch = conform(batch, &self.schema, schema)
                .map_err(|e| contract::misfit(&self.spec.stream, PLACE, e))?;
        }
        self.schema = schema.clone();
        Ok(())
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        assert_eq!(batch.schema(), self.schema.arrow(), "a batch has the schema it was announced with");
        self.staged.push(Staged { batch, tombstones: false });
        Ok(())
    }

    fn remove(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        let marked = self.spec.disposition != Disposition::Append || self.spec.deleted.is_some();
        contract::can_remove(&self.spec.stream, marked && !self.spec.key.is_empty())?;
        self.staged.push(Staged { batch, tombstones: true });
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<Receipt, SinkError> {
        self.write_out(checkpoint, false)
    }

    fn publish(&mut self) -> Result<Published, SinkError> {
        Ok(Published::default())
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(Receipt, Published), SinkError> {
        let receipt = self.write_out(checkpoint, true)?;
        let unchanged = std::mem::take(&mut self.forgotten);
        Ok((receipt, Published { unchanged, rewritten_bytes: 0 }))
    }

    fn restart(&mut self) -> Result<(), SinkError> {
        if self.aside {
            let staged: usize = self.staged.drain(..).map(|s| s.batch.num_rows()).sum();
            self.dropped += staged as u64;
            let tables = self.sink.lock();
            let side = tables[&self.spec.stream].side.as_ref().filter(|_| !self.fresh);
            self.forgotten += side.map_or(0, |side| side.rows_of(self.spec.run.as_str()));
            self.fresh = true;
        }
        Ok(())
    }
}

impl Version {
    /// Makes every stored batch fit the schema.
    fn evolve(&mut self, schema: &Schema, spec: &TableSpec) -> Result<(), CastError> {
        if self.schema == *schema {
            return Ok(());
        }
        self.batches =
            self.batches.iter().map(|b| conform(b, &self.schema, schema)).collect::<Result<_, _>>()?;
        self.schema = schema.clone();
        self.keys.clear();
        for (index, kept) in self.rows.iter().enumerate().filter_map(|(index, kept)| Some((index, (*kept)?)))
        {
            let key = text_of(&self.batches[kept.batch], kept.row, &self.columns(&spec.key));
            self.keys.entry(key).or_default().push(index);
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch, tombstones: bool, spec: &TableSpec, receipt: &mut Receipt) {
        let place = self.batches.len();
        self.batches.push(batch.clone());
        let key = self.columns(&spec.key);
        for row in 0..batch.num_rows() {
            let new = Kept {
                batch: place,
                row,
                deleted: tombstones,
                from: self.moment(batch, row, spec),
                to: None,
            };
            let identity = text_of(batch, row, &key);
            let taken = self.keys.get(&identity).cloned().unwrap_or_default();
            let done = match spec.disposition {
                _ if key.is_empty() => self.add(identity, new),
                Disposition::Append => {
                    let same = |at: &usize| self.rows[*at].is_some_and(|was| self.same(was, new, true));
                    !taken.iter().any(same) && self.add(identity, new)
                }
                _ => {
                    let current = |at: &&usize| self.rows[**at].is_some_and(|was| was.to.is_none());
                    match taken.iter().find(current) {
                        Some(at) => self.meet(*at, identity, new, spec),
                        None => !tombstones && self.add(identity, new),
                    }
                }
            };
            if done { receipt.loaded += 1 } else { receipt.deduplicated += 1 }
        }
    }

    fn add(&mut self, identity: String, new: Kept) -> bool {
        self.keys.entry(identity).or_default().push(self.rows.len());
        self.rows.push(Some(new));
        true
    }

    /// A row or a tombstone whose key is there; whether it counts.
    fn meet(&mut self, at: usize, identity: String, mut new: Kept, spec: &TableSpec) -> bool {
        let Some(was) = self.rows[at] else { return false };
        let history = spec.disposition == Disposition::History;
        let mark = spec.deleted.is_some() && spec.disposition == Disposition::Merge;
        let nothing_new = if new.deleted { was.deleted } else { !was.deleted && self.same(was, new, false) };
        if self.older(new, was, spec) || nothing_new {
            return false;
        }
        let taken = run_of(&self.batches[was.batch], was.row) == spec.run.as_str();
        if history {
            new.from = new.from.max(was.from);
            self.rows[at] = Some(Kept { to: Some(new.from), ..was });
            return new.deleted || self.add(identity, new);
        }
        self.rows[at] = match new.deleted {
            true if mark => Some(Kept { deleted: true, ..was }),
            true => None,
            false => Some(new),
        };
        // A row of the same run that is superseded counts once; one that goes has counted, and its going does, too.
        !taken || (new.deleted && !mark)
    }

    /// Whether two rows hold the same, and, where it matters, are both deleted or not.
    fn same(&self, a: Kept, b: Kept, marks: bool) -> bool {
        let own: Vec<_> = (0..self.schema.columns.len()).map(|i| (i, self.schema.columns[i].ty)).collect();
        let text = |kept: Kept| text_of(&self.batches[kept.batch], kept.row, &own);
        text(a) == text(b) && (!marks || a.deleted == b.deleted)
    }

    fn older(&self, new: Kept, was: Kept, spec: &TableSpec) -> bool {
        let order = self.columns(spec.order.as_slice()).first().copied();
        order.is_some_and(|(column, ty)| {
            let of = |kept: Kept| self.batches[kept.batch].column(column);
            compare(of(new), new.row, of(was), was.row, ty) == Some(Ordering::Less)
        })
    }

    /// From when a row holds.
    fn moment(&self, batch: &RecordBatch, row: usize, spec: &TableSpec) -> i64 {
        let order = self.columns(spec.order.as_slice()).first().copied();
        let order =
            order.filter(|(column, ty)| *ty == Type::Timestamp && batch.column(*column).is_valid(row));
        let column = order.map_or(batch.num_columns() - 2, |(column, _)| column);
        batch.column(column).as_primitive::<TimestampMicrosecondType>().value(row)
    }

    /// Places and types of the columns of these names that there are.
    fn columns(&self, names: &[String]) -> Vec<(usize, Type)> {
        let place = |field: &String| self.schema.columns.iter().position(|c| c.field == *field);
        names.iter().filter_map(place).map(|index| (index, self.schema.columns[index].ty)).collect()
    }

    fn rows(&self) -> RecordBatch {
        let kept: Vec<Kept> = self.rows.iter().flatten().copied().collect();
        let batches: Vec<_> = self.batches.iter().collect();
        let places: Vec<_> = kept.iter().map(|kept| (kept.batch, kept.row)).collect();
        let own = match batches.is_empty() {
            true => RecordBatch::new_empty(self.schema.arrow()),
            false => {
                interleave_record_batch(&batches, &places).expect("all batches have the version's schema")
            }
        };
        let moments = |values: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let flags = |flag: fn(&Kept) -> bool| -> ArrayRef {
            Arc::new(kept.iter().map(|kept| Some(flag(kept))).collect::<BooleanArray>())
        };
        let extra = |name: &String| match name.as_str() {
            system::VALID_FROM => moments(kept.iter().map(|kept| Some(kept.from)).collect()),
            system::VALID_TO => moments(kept.iter().map(|kept| kept.to).collect()),
            system::CURRENT => flags(|kept| kept.to.is_none()),
            _ => flags(|kept| kept.deleted),
        };
        let extras = self.extras.iter().map(|name| (name.as_str(), extra(name), true));
        let schema = own.schema();
        let columns = schema.fields().iter().zip(own.columns());
        let columns =
            columns.map(|(field, array)| (field.name().as_str(), array.clone(), field.is_nullable()));
        RecordBatch::try_from_iter_with_nullable(columns.chain(extras)).expect("one value a row")
    }

    fn count(&self) -> u64 {
        self.rows.iter().flatten().count() as u64
    }

    /// How many rows a run wrote.
    fn rows_of(&self, run: &str) -> u64 {
        let rows = self.rows.iter().flatten();
        rows.filter(|kept| run_of(&self.batches[kept.batch], kept.row) == run).count() as u64
    }
}

fn run_of(batch: &RecordBatch, row: usize) -> &str {
    batch.column(batch.num_columns() - 3).as_string::<i32>().value(row)
}

/// Some columns of a row as a text that tells any two different rows apart.
fn text_of(batch: &RecordBatch, row: usize, columns: &[(usize, Type)]) -> String {
    let (mut text, mut cell) = (String::new(), String::new());
    for (column, ty) in columns {
        let array = batch.column(*column);
        if array.is_null(row) {
            text.push('~');
            continue;
        }
        cell.clear();
        form::value(array, row, *ty, &mut cell);
        write!(text, "{}:{cell}", cell.len()).expect("a string takes every write");
    }
    text
}

/// How two values of one type are ordered; absent where one of them is null.
fn compare(a: &ArrayRef, a_row: usize, b: &ArrayRef, b_row: usize, ty: Type) -> Option<Ordering> {
    if a.is_null(a_row) || b.is_null(b_row) {
        return None;
    }
    macro_rules! primitive {
        ($t:ty) => {
            a.as_primitive::<$t>().value(a_row).partial_cmp(&b.as_primitive::<$t>().value(b_row))
        };
    }
    match ty {
        Type::Text | Type::Json => {
            Some(a.as_string::<i32>().value(a_row).cmp(b.as_string::<i32>().value(b_row)))
        }
        Type::Bool => Some(a.as_boolean().value(a_row).cmp(&b.as_boolean().value(b_row))),
        Type::Int => primitive!(Int64Type),
        Type::Float => primitive!(Float64Type),
        Type::Decimal(..) => primitive!(Decimal128Type),
        Type::Date => primitive!(Date32Type),
        Type::Timestamp | Type::Local => primitive!(TimestampMicrosecondType),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sync_testkit::sink::{Rows, conformance, rows_of};

    use super::*;

    #[test]
    fn keeps_the_contract() {
        let places: Mutex<HashMap<PathBuf, Memory>> = Mutex::default();
        let at =
            |dir: &std::path::Path| places.lock().expect("one thread").entry(dir.into()).or_default().clone();
        conformance(&|dir| Box::new(at(dir)), &|dir, table| -> Option<Rows> {
            at(dir).rows(table).map(|batch| rows_of(&[batch]))
        });
    }

    #[test]
    fn a_handle_sees_what_another_wrote() {
        use sync_testkit::sink::{Hand, spec};
        let memory = Memory::new();
        let mut hand = Hand::open(Box::new(memory.clone()), &spec("t", &[], Disposition::Replace));
        hand.evolve("n:int");
        hand.write(&["1"]);
        let page = hand.next();
        hand.commit();
        assert!(memory.rows("t").is_none());
        assert_eq!(memory.building("t"), Some(page));
        let last = hand.last();
        hand.finish();
        assert_eq!(memory.rows("t").map(|rows| rows.num_rows()), Some(1));
        assert_eq!((memory.checkpoint("t"), memory.building("t")), (Some(last), None));
        assert_eq!(memory.streams(), ["t"]);
    }
}
