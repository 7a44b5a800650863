//! A destination that lives as long as the process: for tests of everything that writes to a sink.

mod version;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{
    Begin, Capability, Checkpoint, Disposition, Opened, Published, Receipt, Schema, Sink, SinkError, Table,
    TableSpec,
};

use crate::contract;
use crate::staged::{Means, Staged};
use crate::tail::Tail;
use version::Version;

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
        self.lock().get(stream)?.live.as_ref().map(Version::batch)
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

impl Sink for Memory {
    fn capability(&self) -> Capability {
        use Disposition::{Append, History, Merge, Replace};
        Capability { dispositions: &[Append, Replace, Merge, History] }
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
        if let Some(found) = found {
            found.tail.next(spec, found.is_empty(), PLACE)?;
        }
        let opened = Opened {
            checkpoint: found.and_then(|v| v.checkpoint.clone()),
            rows: live.map_or(0, Version::rows),
            building: side.is_some(),
        };
        let aside = spec.begin == Begin::Anew || spec.disposition == Disposition::Replace || opened.building;
        let table = Writing {
            sink: self.clone(),
            spec: spec.clone(),
            aside,
            fresh: aside && !opened.building,
            staged: Staged::new(opened.checkpoint.as_ref().map(|c| c.schema.clone()).unwrap_or_default()),
            sequence: opened.checkpoint.as_ref().map(|c| c.sequence),
            opened,
            built: 0,
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
    sequence: Option<u64>,
    staged: Staged,
    /// What this run loaded into the table beside.
    built: u64,
    /// What a restart threw away of that.
    forgotten: u64,
}

impl Writing {
    fn write_out(&mut self, checkpoint: &Checkpoint, last: bool) -> Result<Receipt, SinkError> {
        contract::next(self.sequence, checkpoint, PLACE)?;
        contract::columns(&self.spec, self.staged.schema(), self.staged.is_empty())?;
        let mut tables = self.sink.lock();
        let stored = tables.get_mut(&self.spec.stream).expect("opening made it");
        let place = if self.aside { &mut stored.side } else { &mut stored.live };
        if self.fresh {
            *place = None;
        }
        let version = place.get_or_insert_default();
        if version.is_empty() {
            *version = Version::new(Tail::of(&self.spec));
        }
        version.tail = version.tail.next(&self.spec, false, PLACE)?;
        version
            .evolve(self.staged.schema(), &self.spec.key)
            .map_err(|e| contract::misfit(&self.spec.stream, PLACE, e))?;
        let (batches, written) = self.staged.take();
        let loaded = batches.into_iter().map(|(means, batch)| version.take(batch, means, &self.spec)).sum();
        version.checkpoint = Some(checkpoint.clone());
        self.fresh = false;
        self.sequence = Some(checkpoint.sequence);
        self.built += loaded;
        if last && self.aside {
            stored.live = stored.side.take();
            self.aside = self.spec.disposition == Disposition::Replace;
            self.fresh = self.aside;
            self.built = 0;
        }
        Ok(Receipt { loaded, deduplicated: written - loaded })
    }
}

impl Table for Writing {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn evolve(&mut self, schema: &Schema) -> Result<(), SinkError> {
        let evolved = self.staged.evolve(schema);
        evolved.map(drop).map_err(|e| contract::misfit(&self.spec.stream, PLACE, e))
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        self.staged.push(Means::Rows, batch);
        Ok(())
    }

    fn remove(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        contract::takes_tombstones(&self.spec, PLACE)?;
        self.staged.push(Means::Tombstones, batch);
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
            self.staged.forget();
            self.forgotten += std::mem::take(&mut self.built);
            self.fresh = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
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
