//! The staging log: what is committed and not yet visible.
//!
//! One file. Its first entry, the header, says what went before: the parts that are sealed, and where the
//! table stood. After it come, in the order in which things happened, the schema in force, rows and tombstones as
//! Arrow IPC messages, and commits; and the mark that a table begins to be built from nothing, which voids everything
//! before it. Each entry carries its length and an xxh3 checksum that is seeded with the one before, so the
//! valid part of a log is the longest prefix whose chain holds; what counts of it ends with the last commit.
//! What lies behind, a mark as well as rows, never happened.
//!
//! The log is for recovery alone. While the process lives, rows are encoded into a part as they are
//! committed; when parts are sealed a new log takes the place of the old one by a rename, with the parts in
//! its header instead of their rows. So a log is never longer than one part's rows.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sync_core::arrow::buffer::Buffer;
use sync_core::arrow::error::ArrowError;
use sync_core::arrow::ipc::MetadataVersion;
use sync_core::arrow::ipc::reader::StreamDecoder;
use sync_core::arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Checkpoint, Schema};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::error::{At, Result, misuse};
use super::fault;
use super::layout::sync_folder;
use super::manifest::{DataFile, FORMAT};
use super::syncer::Syncer;

const MAGIC: &[u8; 8] = b"synclog1";
/// Length, kind and checksum.
const FRAME: usize = 17;
/// A batch is cut so that an entry has about this many bytes at most: recovery holds one in memory.
const ENTRY_BYTES: usize = 2 << 20;
/// Small entries gather up to this many bytes before the kernel is asked.
const GATHER_BYTES: usize = 128 << 10;

/// Where a log begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub format: u32,
    /// Grows with every version and every new beginning; the version that takes the log in records it.
    pub epoch: u64,
    /// The version its rows add to; absent before the first one.
    pub base: Option<u64>,
    /// Whether its rows are a new table that takes the place of the visible one when it is whole.
    pub building: bool,
    /// The next number for a part's name.
    pub next_part: u64,
    /// Parts that are complete and on disk.
    pub parts: Vec<DataFile>,
    /// The engine's own columns of the table beyond the three that every table has.
    #[serde(default)]
    pub extras: Vec<String>,
    /// The schema in force; absent on a new table.
    pub schema: Option<Schema>,
    /// The last commit before the log.
    pub checkpoint: Option<Checkpoint>,
}

impl Header {
    /// A log with nothing in it.
    pub fn empty(epoch: u64, base: Option<u64>, extras: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            epoch,
            base,
            building: false,
            next_part: 1,
            parts: Vec::new(),
            extras,
            schema: None,
            checkpoint: None,
        }
    }
}

/// A place between two entries, and the checksum that the next one is seeded with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub offset: u64,
    chain: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Header = 1,
    Build = 2,
    Schema = 3,
    Rows = 4,
    Commit = 5,
    Tombstones = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::{Build, Commit, Header, Rows, Schema, Tombstones};
        [Header, Build, Schema, Rows, Commit, Tombstones].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The log while it is written.
pub(super) struct Log {
    path: PathBuf,
    file: Arc<File>,
    syncer: Syncer,
    place: Place,
    /// Entries not yet handed to the kernel.
    gathered: Vec<u8>,
    /// Bytes since the last commit.
    fresh: u64,
    /// The schema that the log has been told of.
    schema: Option<Schema>,
    encoder: Option<StreamWriter<Vec<u8>>>,
}

impl Log {
    /// Puts a new log in the place of the one there is, if any. On disk when this returns.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        let (file, place) = create(path, header)?;
        Self::on(path, file, place)
    }

    /// Goes on with the log there is, from a place behind which nothing counts.
    pub fn resume(path: &Path, place: Place) -> Result<Self> {
        let file = File::options().append(true).open(path).at("open", path)?;
        fault::point().and_then(|()| file.set_len(place.offset)).at("cut", path)?;
        Self::on(path, Arc::new(file), place)
    }

    fn on(path: &Path, file: Arc<File>, place: Place) -> Result<Self> {
        let syncer = Syncer::start().at("start the thread that syncs", path)?;
        syncer.follow(file.clone());
        let path = path.to_owned();
        Ok(Self { path, file, syncer, place, gathered: Vec::new(), fresh: 0, schema: None, encoder: None })
    }

    /// Goes on in a new log that takes the place of this one. On disk when this returns.
    pub fn roll(&mut self, header: &Header) -> Result<()> {
        let (file, place) = create(&self.path, header)?;
        self.syncer.follow(file.clone());
        self.file = file;
        self.place = place;
        self.gathered.clear();
        self.fresh = 0;
        (self.schema, self.encoder) = (None, None);
        Ok(())
    }

    /// The place behind everything appended so far, and the schema in force there.
    pub fn place(&self) -> (Place, Option<Schema>) {
        (self.place, self.schema.clone())
    }

    /// A table with these columns of ours begins to be built from nothing. Counts once a commit follows, as rows do.
    pub fn build(&mut self, extras: &[String]) -> Result<()> {
        (self.schema, self.encoder) = (None, None);
        let text = serde_json::to_vec(extras).at("write", &self.path)?;
        self.append(Kind::Build, &text)
    }

    /// Rows appended from now on have this schema.
    pub fn schema(&mut self, schema: &Schema) -> Result<()> {
        if self.schema.as_ref() == Some(schema) {
            return Ok(());
        }
        let text = serde_json::to_vec(schema).at("write", &self.path)?;
        self.append(Kind::Schema, &text)?;
        self.encoder = Some(encoder(schema).at("write", &self.path)?);
        self.schema = Some(schema.clone());
        Ok(())
    }

    /// Appends rows, or tombstones. They count once a commit follows.
    pub fn rows(&mut self, batch: &RecordBatch, tombstones: bool) -> Result<()> {
        let kind = if tombstones { Kind::Tombstones } else { Kind::Rows };
        for slice in slices(batch, ENTRY_BYTES) {
            let encoder = self.encoder.as_mut().ok_or_else(|| misuse("rows came before their schema"))?;
            encoder.write(&slice).at("write", &self.path)?;
            let mut body = std::mem::take(encoder.get_mut());
            self.append(kind, &body)?;
            body.clear();
            if let Some(encoder) = &mut self.encoder {
                *encoder.get_mut() = body;
            }
        }
        Ok(())
    }

    /// Makes everything appended so far count, together with its checkpoint. Survives the death of the
    /// process when it returns, and a power cut within a second.
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let text = serde_json::to_vec(checkpoint).at("write", &self.path)?;
        self.append(Kind::Commit, &text)?;
        self.flush()?;
        let fresh = std::mem::take(&mut self.fresh);
        self.syncer.committed(fresh).at("sync", &self.path)
    }

    /// The file up to here, to read rows back from: it stays readable when another log takes its place.
    pub fn reader(&mut self) -> Result<File> {
        self.flush()?;
        File::open(&self.path).at("read", &self.path)
    }

    fn append(&mut self, kind: Kind, body: &[u8]) -> Result<()> {
        let (frame, place) = frame(self.place, kind, body);
        if body.len() >= GATHER_BYTES {
            self.flush()?;
            let mut file = &*self.file;
            let written = file.write_all(&frame).and_then(|()| {
                fault::point()?;
                file.write_all(body)
            });
            written.at("write", &self.path)?;
        } else {
            self.gathered.extend_from_slice(&frame);
            self.gathered.extend_from_slice(body);
        }
        self.fresh += place.offset - self.place.offset;
        self.place = place;
        if self.gathered.len() >= GATHER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let mut file = &*self.file;
        let written = fault::torn(&self.gathered, |bytes| file.write_all(bytes));
        written.at("write", &self.path)?;
        self.gathered.clear();
        Ok(())
    }
}

fn create(path: &Path, header: &Header) -> Result<(Arc<File>, Place)> {
    let start = Place { offset: MAGIC.len() as u64, chain: 0 };
    let body = serde_json::to_vec(header).at("write", path)?;
    let (frame, place) = frame(start, Kind::Header, &body);
    let fresh = path.with_extension("new");
    fault::point().at("make", &fresh)?;
    let mut file = File::create(&fresh).at("make", &fresh)?;
    let written = file.write_all(MAGIC).and_then(|()| {
        file.write_all(&frame)?;
        file.write_all(&body)?;
        fault::sync(&file)
    });
    written.at("write", &fresh)?;
    fault::point().and_then(|()| fs::rename(&fresh, path)).at("replace", path)?;
    sync_folder(path.parent().expect("the log lies in a folder"))?;
    Ok((Arc::new(file), place))
}

fn frame(place: Place, kind: Kind, body: &[u8]) -> ([u8; FRAME], Place) {
    let chain = chain(place, kind as u8, body);
    let mut frame = [0; FRAME];
    frame[..8].copy_from_slice(&(body.len() as u64).to_le_bytes());
    frame[8] = kind as u8;
    frame[9..].copy_from_slice(&chain.to_le_bytes());
    (frame, Place { offset: place.offset + (FRAME + body.len()) as u64, chain })
}

fn chain(place: Place, kind: u8, body: &[u8]) -> u64 {
    let mut seed = Xxh3::with_seed(place.chain);
    seed.update(&[kind]);
    seed.update(&place.offset.to_le_bytes());
    xxh3_64_with_seed(body, seed.digest())
}

/// Writes messages without the schema message, which is the same for every stream of one schema.
fn encoder(schema: &Schema) -> std::result::Result<StreamWriter<Vec<u8>>, ArrowError> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut encoder = StreamWriter::try_new_with_options(Vec::new(), &schema.arrow(), options)?;
    encoder.get_mut().clear();
    Ok(encoder)
}

fn slices(batch: &RecordBatch, bytes: usize) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let pieces = (batch.get_array_memory_size() / bytes + 1).min(rows.max(1));
    let step = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(step).map(move |at| batch.slice(at, step.min(rows - at)))
}

/// What counts of a log, found without a look at its rows.
pub(super) struct Found {
    /// The header, brought up to the last commit: its parts, checkpoint and schema are those that count.
    pub header: Header,
    /// Where the rows begin that are in no part, and the schema in force there.
    pub start: (Place, Option<Schema>),
    /// Behind the last commit.
    pub end: u64,
}

/// Looks a log through, up to its last whole commit. None where there is no log, or not even its header.
pub(super) fn scan(path: &Path) -> Result<Option<Found>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.at("read", path)?,
    };
    let mut entries = Entries::new(file).at("read", path)?;
    let Some((Kind::Header, body)) = entries.next().at("read", path)? else { return Ok(None) };
    let header: Header = serde_json::from_slice(&body).at("read the header of", path)?;
    let mut found = Found { start: (entries.place, None), end: entries.place.offset, header };
    let (mut built, mut schema) = (None, None);
    while let Some((kind, body)) = entries.next().at("read", path)? {
        match kind {
            Kind::Header | Kind::Rows | Kind::Tombstones => {}
            Kind::Build => {
                // One of the first form has none to tell.
                let extras: Vec<String> = serde_json::from_slice(&body).unwrap_or_default();
                (built, schema) = (Some((entries.place, extras)), None);
            }
            Kind::Schema => schema = Some(serde_json::from_slice(&body).at("read", path)?),
            Kind::Commit => {
                if let Some((place, extras)) = built.take() {
                    found.header.extras = extras;
                    found.start = (place, None);
                    found.header.building = true;
                    found.header.parts.clear();
                    found.header.schema = None;
                }
                found.header.schema = schema.take().or(found.header.schema);
                found.header.checkpoint = Some(serde_json::from_slice(&body).at("read", path)?);
                found.end = entries.place.offset;
            }
        }
    }
    Ok(Some(found))
}

/// Hands over the rows of a log between two places, each batch with its schema. One entry at a time is in
/// memory.
pub(super) fn replay(
    path: &Path,
    file: File,
    (from, schema): (Place, Option<Schema>),
    end: u64,
    mut visit: impl FnMut(&Arc<Schema>, RecordBatch, bool) -> Result<()>,
) -> Result<()> {
    let mut entries = Entries::new(file).at("read", path)?;
    entries.seek(from).at("read", path)?;
    let mut reading = schema.map(Reading::new).transpose().at("read", path)?;
    while entries.place.offset < end {
        let Some((kind, body)) = entries.next().at("read", path)? else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).at("read", path);
        };
        match (kind, &mut reading) {
            (Kind::Schema, _) => {
                let schema = serde_json::from_slice(&body).at("read", path)?;
                reading = Some(Reading::new(schema).at("read", path)?);
            }
            (Kind::Rows | Kind::Tombstones, Some(Reading { schema, decoder })) => {
                let mut body = Buffer::from_vec(body);
                while !body.is_empty() {
                    if let Some(batch) = decoder.decode(&mut body).at("read", path)? {
                        visit(schema, batch, kind == Kind::Tombstones)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the messages of one schema.
struct Reading {
    schema: Arc<Schema>,
    decoder: StreamDecoder,
}

impl Reading {
    fn new(schema: Schema) -> std::result::Result<Self, ArrowError> {
        // The log leaves the schema message out, so the decoder gets one made here.
        let opening = StreamWriter::try_new(Vec::new(), &schema.arrow())?.get_ref().clone();
        let mut decoder = StreamDecoder::new();
        decoder.decode(&mut Buffer::from_vec(opening))?;
        Ok(Self { schema: Arc::new(schema), decoder })
    }
}

/// Reads whole entries whose chain holds.
struct Entries {
    reader: BufReader<File>,
    length: u64,
    place: Place,
}

impl Entries {
    fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(GATHER_BYTES, file);
        let mut magic = [0; MAGIC.len()];
        let whole = length >= magic.len() as u64;
        if whole {
            reader.read_exact(&mut magic)?;
        }
        let length = if whole && &magic == MAGIC { length } else { 0 };
        Ok(Self { reader, length, place: Place { offset: MAGIC.len() as u64, chain: 0 } })
    }

    fn seek(&mut self, place: Place) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(place.offset))?;
        self.place = place;
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let left = self.length.saturating_sub(self.place.offset);
        let Some(left) = left.checked_sub(FRAME as u64) else { return Ok(None) };
        let mut found = [0; FRAME];
        self.reader.read_exact(&mut found)?;
        let length = u64::from_le_bytes(found[..8].try_into().expect("eight bytes"));
        let (Some(kind), true) = (Kind::of(found[8]), length <= left) else { return Ok(None) };
        let mut body = vec![0; length as usize];
        self.reader.read_exact(&mut body)?;
        let (expected, place) = frame(self.place, kind, &body);
        if expected != found {
            return Ok(None);
        }
        self.place = place;
        Ok(Some((kind, body)))
    }
}
