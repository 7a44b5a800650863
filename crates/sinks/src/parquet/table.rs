//! A table while a stream is written to it.

use std::fs::{self, File};
use std::mem::take;
use std::sync::Arc;

use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{
    Begin, Checkpoint, Disposition, Kind, Opened, Published, Receipt, RunId, Schema, SinkError, TableSpec,
};

use super::claim::{Claim, Visible};
use super::error::{At, Result, misuse};
use super::extras::Extras;
use super::fault;
use super::fingerprint::Identity;
use super::layout::{Layout, remove_others, sync_folder};
use super::log::{self, Header, Log, Place};
use super::manifest::{DataFile, FORMAT, Owner, Version};
use super::part::{self, Make, Names};
use super::partition::Partition;
use super::{ParquetOptions, publication, version};
use crate::contract;
use crate::tail::Tail;

/// See the module's page for how it lies on disk.
pub(super) struct Table {
    _claim: Claim,
    spec: TableSpec,
    make: Make,
    replaces: bool,
    opened: Opened,
    /// What readers see.
    version: Option<Version>,
    log: Log,
    names: Names,
    /// Committed rows that are encoded.
    parts: Vec<DataFile>,
    /// Committed rows that are being encoded.
    part: Option<part::Writer>,
    /// Written, not committed.
    pending: Pending,
    /// The schema of rows that come.
    schema: Option<Arc<Schema>>,
    /// The schema at the last commit.
    committed_schema: Option<Arc<Schema>>,
    /// The last commit that readers do not see yet.
    staged: Option<Checkpoint>,
    sequence: Option<u64>,
    /// Whether rows go to a table beside the one that readers see.
    aside: bool,
    /// Whether that table begins empty with the next commit.
    fresh: bool,
    /// Committed rows of this run that a restart threw away.
    forgotten: u64,
}

/// Rows that were written since the last commit. They are in the log too, where they do not count yet.
#[derive(Default)]
struct Pending {
    batches: Vec<(Arc<Schema>, RecordBatch, bool)>,
    /// What the batches take in memory.
    bytes: usize,
    rows: u64,
    /// Rows that a restart threw away.
    dropped: u64,
    /// Where they begin in the log.
    start: Option<(Place, Option<Schema>)>,
    /// Whether they were too many to keep, so that they have to be read back from the log.
    spilled: bool,
}

impl Table {
    pub fn open(options: &ParquetOptions, spec: &TableSpec) -> Result<Self> {
        let layout = Layout::new(&(options.folder)(&spec.stream))?;
        let owner = Owner::of(spec);
        let (claim, visible) = Claim::take(&layout, &owner)?;
        for folder in [layout.staged(), layout.keys()] {
            fault::point().and_then(|()| fs::create_dir_all(&folder)).at("make", &folder)?;
        }
        let version = match visible {
            Visible::Version(number) => Some(Version::load(&layout, number)?),
            Visible::Absent => None,
        };
        let log = log::scan(&layout.log())?;
        if let Some(found) = log.as_ref().filter(|f| f.header.format > FORMAT) {
            return Err(version::newer_log(&layout, found.header.format));
        }
        let rebuilds = spec.begin == Begin::Anew || spec.disposition == Disposition::Replace;
        let tail = tail(&layout, spec, version.as_ref(), log.as_ref())?;
        let extras = Extras::of(spec, tail);
        let sorted = version.as_ref().and_then(|v| v.manifest.partition_by.clone());
        let wanted = options.partition.as_ref().map(Partition::word);
        if version.is_some() && !rebuilds && sorted != wanted {
            return Err(partition_changed(&layout, sorted, wanted));
        }
        let make = Make {
            layout,
            owner,
            run: spec.run.clone(),
            identity: Identity::of(spec, &extras),
            extras,
            compression: options.compression,
            target: options.target_file,
            partition: options.partition.clone(),
            memory: spec.memory,
        };
        let (header, log) = recover(&make, version.as_ref(), log)?;
        Ok(Self::found(claim, make, spec, version, header, log))
    }

    fn found(
        claim: Claim,
        make: Make,
        spec: &TableSpec,
        version: Option<Version>,
        header: Header,
        log: Log,
    ) -> Self {
        let goes_on = spec.begin == Begin::Continue;
        let manifest = version.as_ref().map(|v| &v.manifest);
        let checkpoint = header.checkpoint.as_ref().or(manifest.map(|m| &m.checkpoint)).filter(|_| goes_on);
        let opened = Opened {
            checkpoint: checkpoint.cloned(),
            rows: manifest.map_or(0, |m| m.rows),
            building: header.building && goes_on,
        };
        let schema = header.schema.or_else(|| manifest.map(|m| m.schema.clone())).map(Arc::new);
        let replaces = spec.disposition == Disposition::Replace;
        let aside = replaces || !goes_on || opened.building;
        Self {
            _claim: claim,
            spec: spec.clone(),
            names: Names { epoch: header.epoch, next: header.next_part, run: make.run.clone() },
            make,
            replaces,
            version,
            log,
            parts: header.parts,
            part: None,
            pending: Pending::default(),
            schema: schema.clone().filter(|_| goes_on),
            committed_schema: schema,
            staged: header.checkpoint,
            sequence: opened.checkpoint.as_ref().map(|c| c.sequence),
            aside,
            fresh: aside && !opened.building,
            forgotten: 0,
            opened,
        }
    }

    /// The mark that a new table begins; what was staged before counts until the commit that follows.
    fn begin_if_fresh(&mut self) -> Result<()> {
        if !take(&mut self.fresh) {
            return Ok(());
        }
        self.log.build(&self.make.extras.names())?;
        self.parts.clear();
        self.part = None;
        Ok(())
    }

    fn stage(&mut self, batch: RecordBatch, tombstones: bool) -> Result<()> {
        let schema = self.schema.clone().ok_or_else(|| misuse("rows came before their schema"))?;
        if batch.schema() != schema.arrow() {
            return Err(misuse(format!("rows of {:?} came for the schema {schema:?}", batch.schema())));
        }
        contract::columns(&self.spec, &schema, batch.num_rows() == 0)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if tombstones && self.make.identity.is_none() && self.spec.disposition != Disposition::Append {
            // No row can be found by them.
            self.pending.dropped += batch.num_rows() as u64;
            return Ok(());
        }
        self.begin_if_fresh()?;
        self.pending.start.get_or_insert_with(|| self.log.place());
        self.log.schema(&schema)?;
        self.log.rows(&batch, tombstones)?;
        self.keep(schema, batch, tombstones);
        Ok(())
    }

    fn keep(&mut self, schema: Arc<Schema>, batch: RecordBatch, tombstones: bool) {
        let pending = &mut self.pending;
        pending.rows += batch.num_rows() as u64;
        pending.bytes += batch.get_array_memory_size();
        pending.spilled |= pending.bytes > self.make.memory / 8;
        if pending.spilled {
            pending.batches.clear();
        } else {
            pending.batches.push((schema, batch, tombstones));
        }
    }

    fn take_in(&mut self, checkpoint: &Checkpoint) -> Result<Receipt> {
        contract::next(self.sequence, checkpoint, &self.make.layout.visible.display().to_string())?;
        self.begin_if_fresh()?;
        if let Some(schema) = &self.schema {
            self.log.schema(schema)?;
        }
        let end = self.log.place().0.offset;
        self.log.commit(checkpoint)?;
        self.committed_schema.clone_from(&self.schema);
        self.staged = Some(checkpoint.clone());
        self.sequence = Some(checkpoint.sequence);
        let pending = take(&mut self.pending);
        let receipt = Receipt { loaded: pending.rows, deduplicated: pending.dropped };
        self.encode_all(pending, end)?;
        Ok(receipt)
    }

    /// Encodes what was committed. The log has it already; a part that is complete takes its place there.
    fn encode_all(&mut self, pending: Pending, end: u64) -> Result<()> {
        let sealed = self.parts.len();
        let run = Some(self.make.run.clone());
        let mut encoder = Encoder {
            make: &self.make,
            names: &mut self.names,
            parts: &mut self.parts,
            part: &mut self.part,
            run,
        };
        if pending.spilled {
            let start = pending.start.expect("spilled rows begin somewhere");
            let file = self.log.reader()?;
            let path = self.make.layout.log();
            log::replay(&path, file, start, end, |schema, batch, gone| encoder.encode(schema, &batch, gone))?;
        } else {
            for (schema, batch, tombstones) in &pending.batches {
                encoder.encode(schema, batch, *tombstones)?;
            }
        }
        if self.parts.len() > sealed {
            self.seal()?;
            self.roll()?;
        }
        Ok(())
    }

    /// Closes the part that is open.
    fn seal(&mut self) -> Result<()> {
        if let Some(part) = self.part.take() {
            self.parts.push(part.close(&self.make)?);
        }
        Ok(())
    }

    /// Begins a new log with the parts in its header instead of their rows.
    fn roll(&mut self) -> Result<()> {
        // The log is about to name its parts, so their names have to last as long.
        sync_folder(&self.make.layout.staged())?;
        let header = Header {
            format: FORMAT,
            epoch: self.names.epoch,
            base: self.version.as_ref().map(|v| v.number),
            building: self.aside,
            next_part: self.names.next,
            parts: self.parts.clone(),
            extras: self.make.extras.names(),
            schema: self.committed_schema.as_deref().cloned(),
            checkpoint: self.staged.clone(),
        };
        self.log.roll(&header)?;
        clean(&self.make.layout, &self.parts, self.version.as_ref())
    }

    /// Makes a version of everything that is committed.
    fn show(&mut self, tidy: bool) -> Result<Published> {
        let checkpoint = self.staged.clone().expect("only what was committed is shown");
        self.seal()?;
        let schema = self.committed_schema.clone().unwrap_or_default();
        let base = self.version.as_ref().filter(|_| !self.aside);
        let wanted = publication::Wanted { base, parts: &self.parts, schema: &schema, tidy };
        let planned = publication::plan(&self.make, &mut self.names, &wanted)?;
        let manifest = planned.manifest(&self.make, self.names.epoch, &schema, checkpoint);
        self.version = Some(version::publish(&self.make.layout, manifest, &planned.paths)?);
        self.spend_log()?;
        let unchanged = planned.unchanged + take(&mut self.forgotten);
        Ok(Published { unchanged, rewritten_bytes: planned.rewritten_bytes })
    }

    /// Everything in the log is in the version now.
    fn spend_log(&mut self) -> Result<()> {
        let before =
            if self.pending.spilled { Some((self.log.reader()?, self.log.place().0.offset)) } else { None };
        self.staged = None;
        self.parts.clear();
        self.names.epoch += 1;
        self.names.next = 1;
        self.aside = self.replaces;
        self.fresh = self.aside;
        let number = self.version.as_ref().map(|v| v.number);
        self.log.roll(&Header::empty(self.names.epoch, number, self.make.extras.names()))?;
        self.carry(before)?;
        clean(&self.make.layout, &[], self.version.as_ref())?;
        version::prune(&self.make.layout)
    }

    /// Brings rows that are not committed from the log that is spent into the new one.
    fn carry(&mut self, before: Option<(File, u64)>) -> Result<()> {
        let Some(start) = self.pending.start.take() else { return Ok(()) };
        self.begin_if_fresh()?;
        self.pending.start = Some(self.log.place());
        let log = &mut self.log;
        for (schema, batch, tombstones) in &self.pending.batches {
            log.schema(schema)?;
            log.rows(batch, *tombstones)?;
        }
        if let Some((file, end)) = before {
            log::replay(&self.make.layout.log(), file, start, end, |schema, batch, tombstones| {
                log.schema(schema)?;
                log.rows(&batch, tombstones)
            })?;
        }
        Ok(())
    }

    /// Committed rows of this run in the table that is being built.
    fn built(&self) -> u64 {
        let parts = self.parts.iter().map(|p| (&p.run, p.rows));
        let open = self.part.iter().map(|p| (p.run(), p.rows()));
        let mine = |run: Option<&RunId>| run == Some(&self.make.run);
        parts
            .map(|(run, rows)| (run.as_ref(), rows))
            .chain(open)
            .filter(|(run, _)| mine(*run))
            .map(|p| p.1)
            .sum()
    }
}

impl sync_core::Table for Table {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn evolve(&mut self, schema: &Schema) -> std::result::Result<(), SinkError> {
        self.schema = Some(Arc::new(schema.clone()));
        Ok(())
    }

    fn write(&mut self, batch: RecordBatch) -> std::result::Result<(), SinkError> {
        self.stage(batch, false)
    }

    fn remove(&mut self, batch: RecordBatch) -> std::result::Result<(), SinkError> {
        contract::takes_tombstones(&self.spec, &self.make.layout.visible.display().to_string())?;
        self.stage(batch, true)
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> std::result::Result<Receipt, SinkError> {
        self.take_in(checkpoint)
    }

    fn publish(&mut self) -> std::result::Result<Published, SinkError> {
        if self.aside || self.staged.is_none() {
            return Ok(Published::default());
        }
        self.show(false)
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> std::result::Result<(Receipt, Published), SinkError> {
        let receipt = self.take_in(checkpoint)?;
        Ok((receipt, self.show(true)?))
    }

    fn restart(&mut self) -> std::result::Result<(), SinkError> {
        if self.aside {
            if !self.fresh {
                self.forgotten += self.built();
            }
            let dropped = self.pending.dropped + self.pending.rows;
            self.pending = Pending { dropped, ..Pending::default() };
            self.fresh = true;
        }
        Ok(())
    }
}

/// Encodes rows into parts.
struct Encoder<'a> {
    make: &'a Make,
    names: &'a mut Names,
    parts: &'a mut Vec<DataFile>,
    part: &'a mut Option<part::Writer>,
    run: Option<RunId>,
}

impl Encoder<'_> {
    fn encode(&mut self, schema: &Arc<Schema>, batch: &RecordBatch, tombstones: bool) -> Result<()> {
        let mut apart = tombstones && self.make.extras.tells_tombstones_apart();
        if let Some(part) = self.part.as_mut()
            && !part.adopt(self.make, schema, apart)?
        {
            // Where there were tombstones there will be more.
            apart |= part.apart();
            self.close()?;
        }
        let fresh = || part::Writer::new(self.make, self.names, self.run.clone(), schema.clone(), apart);
        let part = self.part.get_or_insert_with(fresh);
        let dressed = self.make.extras.dress(batch, schema, tombstones, part.apart());
        part.write(self.make, &dressed)?;
        if part.full(self.make) { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        let closed = self.part.take().map(|part| part.close(self.make)).transpose()?;
        self.parts.extend(closed);
        Ok(())
    }
}

/// Whether what a log holds is still to be shown, on top of a version.
fn is_live(found: &log::Found, version: Option<&Version>) -> bool {
    let spent = version.map_or(0, |v| v.manifest.epoch);
    found.header.epoch > spent && found.header.base == version.map(|v| v.number)
}

/// The columns of our own that a table has from now on.
fn tail(
    layout: &Layout,
    spec: &TableSpec,
    version: Option<&Version>,
    log: Option<&log::Found>,
) -> Result<Tail> {
    let place = layout.visible.display().to_string();
    let committed = log.filter(|found| is_live(found, version) && found.header.checkpoint.is_some());
    let of_log = |found: &log::Found| Extras::found(&found.header.extras).next(spec, false, &place);
    match (committed, version) {
        _ if spec.begin == Begin::Anew => Ok(Tail::of(spec)),
        (Some(found), _) if found.header.building => of_log(found),
        (_, version) if spec.disposition == Disposition::Replace => {
            // Nor is a past replaced by a listing of today.
            version
                .map(|v| Extras::found(&v.manifest.extras).next(spec, v.manifest.rows == 0, &place))
                .transpose()?;
            Ok(Tail::of(spec))
        }
        (_, Some(v)) => {
            let empty = v.manifest.rows == 0 && committed.is_none();
            Extras::found(&v.manifest.extras).next(spec, empty, &place)
        }
        (Some(found), None) => of_log(found),
        (None, None) => Ok(Tail::of(spec)),
    }
}

/// All files of a table are sorted in one way, or readers would find rows of one day in two folders.
fn partition_changed(layout: &Layout, sorted: Option<String>, wanted: Option<String>) -> SinkError {
    let by = |by: Option<String>| by.map_or("into no folders".to_owned(), |by| format!("by {by}"));
    SinkError {
        kind: Kind::Refused,
        code: "partition_changed",
        message: format!(
            "the files of {} are sorted {}, and by the pipeline they would be sorted {}",
            layout.visible.display(),
            by(sorted),
            by(wanted)
        ),
        hint: Some("undo that, or rebuild the table with --full-refresh".to_owned()),
        source: None,
    }
}

/// Finds what was committed and is not visible, encodes it, and begins a log that says so.
fn recover(make: &Make, version: Option<&Version>, found: Option<log::Found>) -> Result<(Header, Log)> {
    let path = make.layout.log();
    let number = version.map(|v| v.number);
    let spent = version.map_or(0, |v| v.manifest.epoch);
    let last = found.as_ref().map_or(0, |f| f.header.epoch);
    let live = found.filter(|f| is_live(f, version));
    version::remove_unshown(&make.layout, number, live.as_ref().map(|f| f.header.epoch))?;
    let Some(found) = live else {
        let header = Header::empty(last.max(spent) + 1, number, make.extras.names());
        let log = Log::create(&path, &header)?;
        clean(&make.layout, &[], version)?;
        return Ok((header, log));
    };
    let mut header = found.header;
    check_parts(make, &header.parts)?;
    clean(&make.layout, &header.parts, version)?;
    if found.end == found.start.0.offset {
        let log = Log::resume(&path, found.start.0)?;
        return Ok((header, log));
    }
    let mut names = Names { epoch: header.epoch, next: header.next_part, run: make.run.clone() };
    let run = header.checkpoint.as_ref().map(|c| c.run.clone());
    let mut part = None;
    let mut encoder = Encoder { make, names: &mut names, parts: &mut header.parts, part: &mut part, run };
    let file = File::open(&path).at("read", &path)?;
    log::replay(&path, file, found.start, found.end, |schema, batch, gone| {
        encoder.encode(schema, &batch, gone)
    })?;
    encoder.close()?;
    header.next_part = names.next;
    let log = Log::create(&path, &header)?;
    Ok((header, log))
}

/// Parts were on disk before the log named them.
fn check_parts(make: &Make, parts: &[DataFile]) -> Result<()> {
    for part in parts {
        let path = make.layout.staged().join(&part.name);
        let found = fs::metadata(&path).at("look at", &path)?.len();
        if found != part.bytes {
            let what = format!("{} has {found} bytes and had {}", path.display(), part.bytes);
            return Err(super::error::damaged(&make.layout.visible, what));
        }
    }
    Ok(())
}

/// Removes what a process left that died, or that is in a version now.
fn clean(layout: &Layout, parts: &[DataFile], version: Option<&Version>) -> Result<()> {
    let staged = |name: &str| parts.iter().any(|p| p.name == name);
    remove_others(&layout.staged(), staged)?;
    let stored = version.map(|v| v.manifest.files.as_slice()).unwrap_or_default();
    let data = |name: &str| name.strip_suffix(".keys").map(|stem| format!("{stem}.parquet"));
    let named: std::collections::HashSet<&str> =
        parts.iter().chain(stored).map(|f| f.name.as_str()).collect();
    remove_others(&layout.keys(), |name| data(name).is_some_and(|data| named.contains(data.as_str())))
}
