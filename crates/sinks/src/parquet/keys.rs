//! The record of what a data file holds, by key: `keys/part-….keys` beside the table.
//!
//! One record a row: identity (16 bytes, big-endian, so that bytes sort as numbers do), row number (4), content
//! (8), moment (8), who read it (4), length of the order value (4; all ones for none; the bit below the highest says
//! that the row is gone), and its bytes. Records lie in runs, each sorted by
//! identity and covering the rows after those of the run before; a footer in JSON says where runs end and what
//! the records were made by, and its length and a mark close the file.
//!
//! Such a file can always be made again from its data file, which is done when it is missing or was made by
//! another key or for other types.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sync_core::{Schema, Type};

use super::error::{At, Result};
use super::fault;
use super::fingerprint::{Identity, Marks};

const MAGIC: &[u8; 8] = b"synckeys";
const FORMAT: u32 = 2;
/// Bytes of a record before those of its order.
const HEAD: usize = 44;
const NO_ORDER: u32 = u32::MAX >> 2;
/// A row that is gone: a tombstone, one that is marked, a version that is closed.
const GONE: u32 = 1 << 30;
/// What one record costs while its run gathers.
const ENTRY: usize = size_of::<Entry>();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Footer {
    format: u32,
    rows: u64,
    key: Vec<String>,
    order: Option<String>,
    whole: bool,
    mark: Option<String>,
    history: bool,
    /// Field and type of each column; no type where every value was null.
    columns: Vec<(String, Option<Type>)>,
    /// The offsets at which runs end.
    runs: Vec<u64>,
}

impl Footer {
    fn of(by: &Identity, schema: &Schema) -> Self {
        Self {
            format: FORMAT,
            rows: 0,
            key: by.key.clone(),
            order: by.order.clone(),
            whole: by.whole,
            mark: by.mark.clone(),
            history: by.history,
            columns: columns(schema),
            runs: Vec::new(),
        }
    }

    /// Whether the rows would get the same marks under a schema that may be wider.
    fn serves(&self, by: &Identity, schema: &Schema) -> bool {
        let same = |(had, want): (&(String, Option<Type>), &sync_core::Column)| {
            had.0 == want.field && had.1.is_none_or(|ty| ty == want.ty)
        };
        // An order that was no column yet is none in every row, and so it is in a column that is null.
        (&self.key, &self.order, self.whole) == (&by.key, &by.order, by.whole)
            && (&self.mark, self.history) == (&by.mark, by.history)
            && self.columns.len() <= schema.columns.len()
            && self.columns.iter().zip(&schema.columns).all(same)
    }
}

fn columns(schema: &Schema) -> Vec<(String, Option<Type>)> {
    schema.columns.iter().map(|c| (c.field.clone(), c.settled.then_some(c.ty))).collect()
}

struct Entry {
    identity: u128,
    content: u64,
    moment: i64,
    run: u32,
    row: u32,
    gone: bool,
    /// Where its order lies among those of the run.
    order: (u32, u32),
}

/// Writes the record while its data file is written.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    footer: Footer,
    offset: u64,
    entries: Vec<Entry>,
    orders: Vec<u8>,
    /// Bytes that a run may take in memory.
    memory: usize,
}

impl Writer {
    pub fn create(path: &Path, by: &Identity, schema: &Schema, memory: usize) -> Result<Self> {
        let file = BufWriter::new(File::create(path).at("make", path)?);
        let footer = Footer::of(by, schema);
        let path = path.to_owned();
        Ok(Self { path, file, footer, offset: 0, entries: Vec::new(), orders: Vec::new(), memory })
    }

    /// Adds the next rows.
    pub fn add(&mut self, marks: &Marks) -> Result<()> {
        for (row, (identity, content)) in marks.identity.iter().zip(&marks.content).enumerate() {
            let from = self.orders.len();
            let order = if marks.order(row, &mut self.orders) {
                (from as u32, (self.orders.len() - from) as u32)
            } else {
                (0, NO_ORDER)
            };
            let number =
                u32::try_from(self.footer.rows).expect("a data file is cut before four billion rows");
            self.entries.push(Entry {
                identity: *identity,
                content: *content,
                moment: marks.moment(row),
                run: marks.runs[row],
                row: number,
                gone: marks.is_gone(row),
                order,
            });
            self.footer.rows += 1;
            if self.entries.len() * ENTRY + self.orders.len() >= self.memory {
                self.end_run()?;
            }
        }
        Ok(())
    }

    /// Rows added from now on have values in columns that were null before, of the same types.
    pub fn settle(&mut self, schema: &Schema) {
        self.footer.columns = columns(schema);
    }

    fn end_run(&mut self) -> Result<()> {
        self.entries.sort_unstable_by_key(|e| (e.identity, e.row));
        for entry in &self.entries {
            let (from, length) = (entry.order.0 as usize, entry.order.1);
            let order = if length == NO_ORDER { &[] } else { &self.orders[from..from + length as usize] };
            let mut head = [0; HEAD];
            head[..16].copy_from_slice(&entry.identity.to_be_bytes());
            head[16..20].copy_from_slice(&entry.row.to_le_bytes());
            head[20..28].copy_from_slice(&entry.content.to_le_bytes());
            head[28..36].copy_from_slice(&entry.moment.to_le_bytes());
            let flags = if entry.gone { GONE } else { 0 };
            head[36..40].copy_from_slice(&entry.run.to_le_bytes());
            head[40..].copy_from_slice(&(length | flags).to_le_bytes());
            self.file.write_all(&head).and_then(|()| self.file.write_all(order)).at("write", &self.path)?;
            self.offset += (HEAD + order.len()) as u64;
        }
        if !self.entries.is_empty() {
            self.footer.runs.push(self.offset);
        }
        self.entries.clear();
        self.orders.clear();
        Ok(())
    }

    /// Ends the file. On disk when this returns.
    pub fn close(mut self) -> Result<()> {
        self.end_run()?;
        let footer = serde_json::to_vec(&self.footer).at("write", &self.path)?;
        let written = self.file.write_all(&footer).and_then(|()| {
            self.file.write_all(&(footer.len() as u32).to_le_bytes())?;
            self.file.write_all(MAGIC)?;
            self.file.flush()?;
            fault::sync(self.file.get_ref())
        });
        written.at("write", &self.path)
    }
}

/// One row as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub identity: u128,
    pub row: u32,
    pub content: u64,
    pub moment: i64,
    /// Who read it, by [`super::fingerprint::run_mark`].
    pub run: u32,
    /// Whether it is a tombstone, is marked, or is a version that is closed.
    pub gone: bool,
    pub order: Option<&'a [u8]>,
}

/// The record of a data file, ready to be read in ranges of identities.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    /// Of each run, where the next range begins, and where the run ends.
    runs: Vec<(u64, u64)>,
}

impl Keys {
    /// Opens the record; none where it has to be made (again).
    pub fn open(path: &Path, rows: u64, by: &Identity, schema: &Schema) -> Result<Option<Self>> {
        let found = match footer(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("read", path)?,
        };
        let serves = |f: &Footer| f.format == FORMAT && f.rows == rows && f.serves(by, schema);
        let Some(footer) = found.filter(serves) else { return Ok(None) };
        let starts = std::iter::once(0).chain(footer.runs.iter().copied());
        Ok(Some(Self { path: path.to_owned(), runs: starts.zip(footer.runs.iter().copied()).collect() }))
    }

    /// Visits the records below a bound that no range before has visited, in the order of rows for each
    /// identity.
    pub fn range(&mut self, below: Option<u128>, visit: impl FnMut(Record)) -> Result<()> {
        self.runs = self.walk(below, visit)?;
        Ok(())
    }

    /// As [`Self::range`], which will visit the same records again.
    pub fn peek(&self, below: Option<u128>, visit: impl FnMut(Record)) -> Result<()> {
        self.walk(below, visit).map(drop)
    }

    fn walk(&self, below: Option<u128>, mut visit: impl FnMut(Record)) -> Result<Vec<(u64, u64)>> {
        let file = File::open(&self.path).at("read", &self.path)?;
        let mut reader = BufReader::with_capacity(16 << 10, file);
        let mut behind = Vec::with_capacity(self.runs.len());
        let mut order = Vec::new();
        for &(mut at, end) in &self.runs {
            reader.seek(SeekFrom::Start(at)).at("read", &self.path)?;
            while at < end {
                let record = read_record(&mut reader, &mut order).at("read", &self.path)?;
                if below.is_some_and(|bound| record.identity >= bound) {
                    break;
                }
                at += (HEAD + record.order.map_or(0, <[u8]>::len)) as u64;
                visit(record);
            }
            behind.push((at, end));
        }
        Ok(behind)
    }
}

fn read_record<'a>(reader: &mut impl Read, order: &'a mut Vec<u8>) -> io::Result<Record<'a>> {
    let mut head = [0; HEAD];
    reader.read_exact(&mut head)?;
    let flags = u32::from_le_bytes(head[40..].try_into().expect("four bytes"));
    let length = flags & !GONE;
    let some = length != NO_ORDER;
    order.resize(if some { length as usize } else { 0 }, 0);
    reader.read_exact(order)?;
    Ok(Record {
        identity: u128::from_be_bytes(head[..16].try_into().expect("sixteen bytes")),
        row: u32::from_le_bytes(head[16..20].try_into().expect("four bytes")),
        content: u64::from_le_bytes(head[20..28].try_into().expect("eight bytes")),
        moment: i64::from_le_bytes(head[28..36].try_into().expect("eight bytes")),
        run: u32::from_le_bytes(head[36..40].try_into().expect("four bytes")),
        gone: flags & GONE != 0,
        order: some.then_some(order),
    })
}

/// The footer; none where the file does not end as one of ours does.
fn footer(path: &Path) -> io::Result<Option<Footer>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(tail) = length.checked_sub(12) else { return Ok(None) };
    let mut close = [0; 12];
    file.seek(SeekFrom::Start(tail))?;
    file.read_exact(&mut close)?;
    let size = u32::from_le_bytes(close[..4].try_into().expect("four bytes")).into();
    let (true, Some(start)) = (&close[4..] == MAGIC, tail.checked_sub(size)) else { return Ok(None) };
    let mut text = vec![0; size as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut text)?;
    let footer: Option<Footer> = serde_json::from_slice(&text).ok();
    Ok(footer.filter(|f| f.runs.last().copied().unwrap_or(0) == start))
}

/// Puts a record that was made again in the place of the one before.
pub(super) fn replace(fresh: &Path, path: &Path) -> Result<()> {
    fs::rename(fresh, path).at("replace", path)
}

#[cfg(test)]
mod tests {
    use sync_core::Disposition;
    use sync_testkit::sink::{SpecExt, batch, schema, spec};

    use super::super::extras::Extras;
    use super::*;
    use crate::tail::Tail;

    fn by_of(spec: &sync_core::TableSpec) -> Option<Identity> {
        Identity::of(spec, &Extras::of(spec, Tail::of(spec)))
    }

    #[test]
    fn ranges_visit_every_row_once_and_in_order() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("a.keys");
        let spec = spec("t", &["id"], Disposition::Merge).order("o");
        let (by, schema) = (by_of(&spec).expect("a key"), schema("id:int o:text"));
        let mut writer = Writer::create(&path, &by, &schema, 10 * ENTRY).expect("made");
        for page in 0..7 {
            let lines: Vec<_> = (0..13).map(|n| format!("{}|{}", n % 5, ["~", "x", ""][n % 3])).collect();
            let batch =
                batch(&schema, &spec.run, page, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            writer.add(&Marks::of(&batch, &schema, &by, "t").expect("marks")).expect("added");
        }
        writer.close().expect("closed");
        let mut keys = Keys::open(&path, 91, &by, &schema).expect("read").expect("it serves");
        assert!(keys.runs.len() >= 9, "{keys:?}");
        let mut seen: Vec<(u128, u32)> = Vec::new();
        for range in 1..=4_u128 {
            let below = (range < 4).then(|| (u128::MAX / 4) * range);
            let mut peeked = Vec::new();
            keys.peek(below, |r| peeked.push((r.identity, r.row))).expect("read");
            let from = seen.len();
            let visit = |r: Record| {
                assert_eq!(r.order, [None, Some(b"x" as &[u8]), Some(b"")][r.row as usize % 13 % 3]);
                assert!(below.is_none_or(|b| r.identity < b));
                seen.push((r.identity, r.row));
            };
            keys.range(below, visit).expect("read");
            assert_eq!(peeked, seen[from..]);
        }
        let mut rows: Vec<_> = seen.iter().map(|s| s.1).collect();
        let mut last = std::collections::HashMap::new();
        for (identity, row) in seen {
            assert!(last.insert(identity, row).is_none_or(|before| before < row), "rows of a key rise");
        }
        rows.sort_unstable();
        assert_eq!(rows, (0..91).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_serves_only_what_it_was_made_for() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("a.keys");
        let merge = spec("t", &["id"], Disposition::Merge);
        let by = by_of(&merge).expect("a key");
        Writer::create(&path, &by, &schema("id:int later:?"), 1 << 20)
            .expect("made")
            .close()
            .expect("closed");
        let serves = |by: &Identity, columns: &str| {
            Keys::open(&path, 0, by, &schema(columns)).expect("read").is_some()
        };
        assert!(serves(&by, "id:int later:?"));
        assert!(serves(&by, "id:int later:bool new:text"));
        assert!(!serves(&by, "id:json later:?"));
        assert!(!serves(&by, "id:int"));
        for other in [merge.order("later"), spec("t", &["later"], Disposition::Merge)] {
            assert!(!serves(&by_of(&other).expect("a key"), "id:int later:?"));
        }
        let append = by_of(&spec("t", &["id"], Disposition::Append)).expect("a key");
        assert!(!serves(&append, "id:int later:?"));
        assert!(Keys::open(&path, 1, &by, &schema("id:int later:?")).expect("read").is_none(), "other rows");
        let whole = fs::read(&path).expect("read");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            assert!(!serves(&by, "id:int later:?"), "cut at {cut}");
        }
    }
}
