//! A hand that writes to a sink in one line a step and keeps the books while it does.

use std::path::Path;
use std::sync::Arc;

use sync_core::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{
    Begin, Books, Checkpoint, Digits, Disposition, Kind, Opened, Published, Receipt, ResumePoint, RunId,
    SavedCursor, Schema, Share, Sink, SinkError, Table, TableSpec, Timestamp, Type, form, parse_date,
    parse_local, parse_timestamp, system,
};

use super::{Make, Read, Rows};

/// Where a scenario takes place.
pub(super) struct Ground<'a> {
    pub(super) make: Make<'a>,
    pub(super) read: Read<'a>,
    pub(super) dir: &'a Path,
}

impl Ground<'_> {
    /// Opens the sink and a table of it.
    #[track_caller]
    pub(super) fn open(&self, spec: &TableSpec) -> Hand {
        Hand::open((self.make)(self.dir), spec)
    }

    /// Opening the table must fail so.
    #[track_caller]
    pub(super) fn refused(&self, spec: &TableSpec, kind: Kind, code: &str) {
        let error = (self.make)(self.dir).open(spec).err().expect("opening must be refused");
        assert_eq!((error.kind, error.code), (kind, code), "{error}");
    }

    pub(super) fn rows(&self, table: &str) -> Option<Rows> {
        (self.read)(self.dir, table)
    }

    /// The table as a reader sees it has exactly these rows, in any order.
    #[track_caller]
    pub(super) fn check(&self, table: &str, expect: &[&str]) {
        self.check_with(table, &[], expect);
    }

    /// The same with some of the engine's columns at the end of each row.
    #[track_caller]
    pub(super) fn check_with<S: AsRef<str>>(&self, table: &str, engine: &[&str], expect: &[S]) {
        let rows = self.rows(table).map(|rows| rows.lines_with(engine)).unwrap_or_default();
        let mut expect: Vec<&str> = expect.iter().map(AsRef::as_ref).collect();
        expect.sort_unstable();
        assert_eq!(rows, expect, "the rows of {table:?}");
    }

    /// The history has exactly these versions, as of [`version`].
    #[track_caller]
    pub(super) fn check_versions<S: AsRef<str>>(&self, table: &str, expect: &[S]) {
        self.check_with(table, &[system::VALID_FROM, system::VALID_TO, system::CURRENT], expect);
    }
}

/// A stream's wish: pipeline `p`, run `run-1`, from where it left off.
pub fn spec(stream: &str, key: &[&str], disposition: Disposition) -> TableSpec {
    TableSpec {
        pipeline: "p".to_owned(),
        stream: stream.to_owned(),
        key: key.iter().map(ToString::to_string).collect(),
        order: None,
        disposition,
        deleted: None,
        begin: Begin::Continue,
        run: run("run-1"),
        memory: 8 << 20,
    }
}

/// A version as [`Ground::check_versions`] compares it: current where it has no end.
pub(super) fn version(row: &str, from: &str, to: &str) -> String {
    format!("{row}|{from}|{to}|{}", u8::from(to == "~"))
}

/// A second of the first hour of 2026.
pub(super) fn at(second: u32) -> String {
    format!("2026-01-01T00:{:02}:{:02}.000000Z", second / 60, second % 60)
}

/// The `_sync_at` of the row that a hand writes as its `seq`th, when it has waited so many seconds.
pub(super) fn read(seconds: i64, seq: i64) -> String {
    let mut text = String::new();
    form::timestamp(READ_AT + seconds * 1_000_000 + seq, &mut text);
    text
}

/// Microseconds at which a hand reads its first row.
const READ_AT: i64 = 1_764_000_000_000_000;

fn run(name: &str) -> RunId {
    let Ok(run) = name.parse();
    run
}

/// A wish with one thing changed.
pub trait SpecExt {
    /// The same wish of another run.
    #[must_use]
    fn run(&self, name: &str) -> TableSpec;
    /// The same wish, from nothing.
    #[must_use]
    fn anew(&self) -> TableSpec;
    /// The same wish with a column that orders versions.
    #[must_use]
    fn order(&self, column: &str) -> TableSpec;
    /// The same wish with a column that marks deleted rows.
    #[must_use]
    fn deleted(&self, column: &str) -> TableSpec;
}

impl SpecExt for TableSpec {
    fn run(&self, name: &str) -> TableSpec {
        TableSpec { run: run(name), ..self.clone() }
    }
    fn anew(&self) -> TableSpec {
        TableSpec { begin: Begin::Anew, ..self.clone() }
    }
    fn order(&self, column: &str) -> TableSpec {
        TableSpec { order: Some(column.to_owned()), ..self.clone() }
    }
    fn deleted(&self, column: &str) -> TableSpec {
        TableSpec { deleted: Some(column.to_owned()), ..self.clone() }
    }
}

/// A schema as `"id:int name:text price:decimal(9,2) later:?"`; `?` is a column that had only nulls so far.
///
/// # Panics
///
/// Where a type is not one.
pub fn schema(text: &str) -> Schema {
    let mut schema = Schema::default();
    for column in text.split_whitespace() {
        let (name, ty) = column.split_once(':').expect("name:type");
        let parsed = if ty == "?" { Type::Text } else { ty.parse().expect("a type") };
        schema.add(name, parsed, ty != "?", Digits::default());
    }
    schema
}

/// A checkpoint that covers `pages` of an unfinished slice.
pub fn checkpoint(sequence: u64, pages: u64, run: &RunId, schema: &Schema) -> Checkpoint {
    Checkpoint {
        format: Checkpoint::FORMAT,
        sequence,
        run: run.clone(),
        at: Timestamp::from_micros(READ_AT + sequence as i64),
        cursor: None,
        resume: Some(ResumePoint(serde_json::json!({ "page": pages, "odd \u{0} \"text\"": [1.5, null] }))),
        pages,
        books: Books::default(),
        key: Vec::new(),
        schema: schema.clone(),
        slice: Share { fetched: sequence, quarantined: 0 },
        shaping: String::new(),
    }
}

/// A batch with one line a row, cells split at `|`, `~` for null.
///
/// # Panics
///
/// Where a cell is not of its column's type.
pub fn batch(schema: &Schema, run: &RunId, first_seq: i64, lines: &[&str]) -> RecordBatch {
    batch_at(READ_AT + first_seq, schema, run, first_seq, lines)
}

/// The same, read at some moment.
fn batch_at(micros: i64, schema: &Schema, run: &RunId, first_seq: i64, lines: &[&str]) -> RecordBatch {
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split('|').collect()).collect();
    if let Some(line) = cells.iter().find(|cells| cells.len() != schema.columns.len()) {
        assert!(schema.columns.is_empty() && line == &[""], "{line:?} does not fit {schema:?}");
    }
    let own = schema.columns.iter().enumerate().map(|(index, column)| {
        let values: Vec<_> = cells.iter().map(|row| Some(row[index]).filter(|c| *c != "~")).collect();
        array(column.ty, &values)
    });
    let count = lines.len();
    let at = TimestampMicrosecondArray::from(vec![micros; count]);
    let engine: [ArrayRef; 3] = [
        Arc::new(StringArray::from(vec![run.as_str(); count])),
        Arc::new(at.with_timezone("UTC")),
        Arc::new((first_seq..).take(count).map(Some).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(schema.arrow(), own.chain(engine).collect()).expect("arrays of the schema's types")
}

fn array(ty: Type, values: &[Option<&str>]) -> ArrayRef {
    let each = || values.iter().copied();
    match ty {
        Type::Text | Type::Json => Arc::new(each().collect::<StringArray>()),
        Type::Int => {
            Arc::new(each().map(|v| v.map(|v| v.parse::<i64>().expect("int"))).collect::<Int64Array>())
        }
        Type::Float => {
            Arc::new(each().map(|v| v.map(|v| v.parse::<f64>().expect("float"))).collect::<Float64Array>())
        }
        Type::Decimal(_, scale) => {
            let array: Decimal128Array = each().map(|v| v.map(|v| unscaled(v, scale))).collect();
            Arc::new(array.with_data_type(ty.arrow()))
        }
        Type::Bool => Arc::new(each().map(|v| v.map(|v| v == "1")).collect::<BooleanArray>()),
        Type::Date => {
            let days = each().map(|v| v.map(|v| parse_date(v.as_bytes()).expect("date")));
            Arc::new(days.collect::<Date32Array>())
        }
        Type::Timestamp => {
            let micros = each().map(|v| v.map(|v| parse_timestamp(v.as_bytes()).expect("timestamp")));
            Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Type::Local => {
            let micros = each().map(|v| v.map(|v| parse_local(v.as_bytes()).expect("local")));
            Arc::new(micros.collect::<TimestampMicrosecondArray>())
        }
    }
}

fn unscaled(text: &str, scale: u8) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert_eq!(fraction.len(), usize::from(scale), "{text} has another scale");
    [whole, fraction].concat().parse().expect("decimal")
}

/// One table while a scenario writes to it.
///
/// Drops the table before its sink, as the engine does.
pub struct Hand {
    table: Box<dyn Table>,
    /// Kept alive for as long as the table is.
    _sink: Box<dyn Sink>,
    run: RunId,
    schema: Schema,
    sequence: u64,
    pages: u64,
    seq: i64,
    /// Microseconds that it waited.
    waited: i64,
    pending: u64,
    /// Rows loaded so far, less those that a publication took back.
    pub loaded: u64,
    /// Rows deduplicated so far, those of publications included.
    pub deduplicated: u64,
}

impl Hand {
    /// Opens a table of a sink.
    ///
    /// # Panics
    ///
    /// Where it cannot be opened.
    #[track_caller]
    pub fn open(sink: Box<dyn Sink>, spec: &TableSpec) -> Self {
        let table =
            sink.open(spec).unwrap_or_else(|e| panic!("cannot open {:?}: {}", spec.stream, chain(&e)));
        let checkpoint = table.opened().checkpoint.as_ref();
        Self {
            run: spec.run.clone(),
            schema: checkpoint.map(|c| c.schema.clone()).unwrap_or_default(),
            sequence: checkpoint.map_or(0, |c| c.sequence),
            pages: checkpoint.map_or(0, |c| c.pages),
            table,
            _sink: sink,
            seq: 0,
            waited: 0,
            pending: 0,
            loaded: 0,
            deduplicated: 0,
        }
    }

    /// What was found when the table was opened.
    pub fn opened(&self) -> &Opened {
        self.table.opened()
    }

    /// The checkpoint that the next commit will write.
    pub fn next(&self) -> Checkpoint {
        checkpoint(self.sequence + 1, self.pages + 1, &self.run, &self.schema)
    }

    /// When the rows that are written next were read, in microseconds.
    pub(super) fn moment(&self) -> i64 {
        READ_AT + self.waited + self.seq
    }

    /// Evolves the table to a schema written as in [`schema`].
    #[track_caller]
    pub fn evolve(&mut self, text: &str) {
        self.evolve_to(schema(text));
    }

    /// Evolves the table.
    ///
    /// # Panics
    ///
    /// Where the sink cannot.
    #[track_caller]
    pub fn evolve_to(&mut self, schema: Schema) {
        self.schema = schema;
        self.table.evolve(&self.schema).unwrap_or_else(|e| panic!("cannot evolve: {}", chain(&e)));
    }

    /// Writes rows as in [`batch`].
    ///
    /// # Panics
    ///
    /// Where the sink cannot.
    #[track_caller]
    pub fn write(&mut self, lines: &[&str]) {
        let batch = self.batch(lines);
        self.table.write(batch).unwrap_or_else(|e| panic!("cannot write: {}", chain(&e)));
    }

    /// Stages tombstones, written as rows in [`batch`].
    ///
    /// # Panics
    ///
    /// Where the sink cannot.
    #[track_caller]
    pub fn remove(&mut self, lines: &[&str]) {
        let batch = self.batch(lines);
        self.table.remove(batch).unwrap_or_else(|e| panic!("cannot remove: {}", chain(&e)));
    }

    /// Stages tombstones, which may be refused.
    pub fn try_remove(&mut self, lines: &[&str]) -> Result<(), SinkError> {
        let batch = self.batch(lines);
        self.table.remove(batch)
    }

    /// Reads the rows that follow so many seconds later.
    pub fn wait(&mut self, seconds: i64) {
        self.waited += seconds * 1_000_000;
    }

    fn batch(&mut self, lines: &[&str]) -> RecordBatch {
        let at = READ_AT + self.waited + self.seq;
        let batch = batch_at(at, &self.schema, &self.run, self.seq, lines);
        self.seq += lines.len() as i64;
        self.pending += lines.len() as u64;
        batch
    }

    /// Commits with a checkpoint of this sequence, which may be a wrong one.
    pub fn try_commit(&mut self, sequence: u64) -> Result<Receipt, SinkError> {
        let checkpoint = Checkpoint { sequence, ..self.next() };
        self.table.commit(&checkpoint)
    }

    /// Commits a page.
    ///
    /// # Panics
    ///
    /// Where the sink cannot, or where its receipt does not add up.
    #[track_caller]
    pub fn commit(&mut self) -> Receipt {
        let checkpoint = self.next();
        let receipt = self.table.commit(&checkpoint);
        let receipt = receipt.unwrap_or_else(|e| panic!("cannot commit: {}", chain(&e)));
        self.sequence += 1;
        self.pages += 1;
        self.book(receipt);
        receipt
    }

    /// Publishes what was committed.
    ///
    /// # Panics
    ///
    /// Where the sink cannot.
    #[track_caller]
    pub fn publish(&mut self) {
        let published = self.table.publish();
        self.take_back(published.unwrap_or_else(|e| panic!("cannot publish: {}", chain(&e))));
    }

    /// The checkpoint of a complete slice that [`Hand::finish`] writes next.
    pub fn last(&self) -> Checkpoint {
        let cursor = Some(SavedCursor(serde_json::json!({ "at": self.sequence + 1 })));
        Checkpoint { cursor, resume: None, pages: 0, ..self.next() }
    }

    /// Finishes the slice.
    ///
    /// # Panics
    ///
    /// Where the sink cannot, or where its receipt does not add up.
    #[track_caller]
    pub fn finish(&mut self) {
        let checkpoint = self.last();
        let finished = self.table.finish(&checkpoint);
        let (receipt, published) = finished.unwrap_or_else(|e| panic!("cannot finish: {}", chain(&e)));
        self.sequence += 1;
        self.pages = 0;
        self.book(receipt);
        self.take_back(published);
    }

    /// Starts the slice again.
    ///
    /// # Panics
    ///
    /// Where the sink cannot.
    #[track_caller]
    pub fn restart(&mut self) {
        self.table.restart().unwrap_or_else(|e| panic!("cannot restart: {}", chain(&e)));
        self.pages = 0;
    }

    /// Compares the books of the run so far.
    ///
    /// # Panics
    ///
    /// Where they differ.
    #[track_caller]
    pub fn books(&self, loaded: u64, deduplicated: u64) {
        assert_eq!((self.loaded, self.deduplicated), (loaded, deduplicated), "(loaded, deduplicated)");
    }

    #[track_caller]
    fn book(&mut self, receipt: Receipt) {
        let Receipt { loaded, deduplicated } = receipt;
        assert_eq!(loaded + deduplicated, self.pending, "{receipt:?} for {} rows", self.pending);
        self.pending = 0;
        self.loaded += loaded;
        self.deduplicated += deduplicated;
    }

    #[track_caller]
    fn take_back(&mut self, published: Published) {
        let loaded = self.loaded.checked_sub(published.unchanged);
        self.loaded = loaded.expect("no more rows are taken back than were loaded");
        self.deduplicated += published.unchanged;
    }
}

fn chain(error: &SinkError) -> String {
    use sync_core::Explain as _;
    let problem = error.problem();
    format!("{}: {}", problem.code, problem.message)
}
