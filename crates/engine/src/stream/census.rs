//! Deletions that nothing tells: found when a complete listing has no more what the one before it had.

use std::sync::Arc;

use bytes::Bytes;
use sync_connectors::{Page, ReadError, Row, RowKind};
use sync_core::{Disposition, Explain as _, ResumePoint};

use super::Context;
use crate::plan::StreamRun;

/// Tombstones a page.
const ROWS: u32 = 1_000;

/// Who is listed, and who is not any more.
pub(super) struct Census {
    store: Arc<sync_state::Store>,
    stream: String,
    destination: String,
    generation: Result<i64, ReadError>,
    /// Rows of those who are missing are removed; a new table has none of them.
    sweeps: bool,
    /// What the last page left behind.
    last: Option<(u64, ResumePoint)>,
    /// How far the missing were told.
    told: Option<u128>,
    clock: Arc<dyn sync_core::Clock>,
}

impl Census {
    /// The census of a stream, if there is to be one. `goes_on` says that a listing goes on where it was interrupted.
    pub fn of(context: &Context<'_>, stream: &StreamRun, goes_on: bool) -> Option<Self> {
        let limited = context.options.limit.is_some();
        if !stream.census || limited {
            return None;
        }
        let destination = context.plan.destination.to_string();
        let anew = context.options.full_refresh && stream.disposition != Disposition::History;
        let generation = context.store.census_begins(&stream.name, &destination, goes_on);
        Some(Self {
            generation: generation.map_err(|error| failed(&error)),
            store: context.store.clone(),
            stream: stream.name.clone(),
            destination,
            sweeps: !anew,
            last: None,
            told: None,
            clock: context.hands.clock.clone(),
        })
    }

    /// Enters whose rows a page has. What goes wrong ends the stream: with a hole in the census, rows would be removed
    /// that are there.
    pub fn saw(&mut self, page: &Page) -> Option<ReadError> {
        self.last = Some((page.number, page.resume.clone()));
        let generation = match &self.generation {
            Ok(generation) => *generation,
            Err(error) => return Some(error.clone()),
        };
        let seen = page.seen.iter().map(|seen| (seen.id, seen.key.as_str()));
        self.store.census_saw(&self.stream, &self.destination, generation, seen).err().map(|e| failed(&e))
    }

    /// The listing begins again: who was there before may be gone.
    pub fn begins_again(&mut self) -> Option<ReadError> {
        self.last = None;
        match self.store.census_begins(&self.stream, &self.destination, false) {
            Ok(generation) => {
                self.generation = Ok(generation);
                None
            }
            Err(error) => Some(failed(&error)),
        }
    }

    /// A page of tombstones for those who were not listed; nothing, when there are no more. A listing without anybody in it
    /// removes nobody: whether it may be so is decided elsewhere.
    pub fn missed(&mut self) -> Result<Option<Page>, ReadError> {
        let (Ok(generation), Some((number, resume)), true) =
            (&self.generation, self.last.clone(), self.sweeps)
        else {
            return Ok(None);
        };
        let (stream, destination) = (self.stream.as_str(), self.destination.as_str());
        let any = self.store.census_saw_any(stream, destination, *generation).map_err(|e| failed(&e))?;
        let missed = self.store.census_misses(stream, destination, *generation, self.told, ROWS);
        let missed = missed.map_err(|e| failed(&e))?;
        if missed.is_empty() || !any {
            return Ok(None);
        }
        self.told = missed.last().map(|(id, _)| *id);
        let (mut body, mut rows) = (String::from("["), Vec::with_capacity(missed.len()));
        for (id, key) in missed {
            if !rows.is_empty() {
                body.push(',');
            }
            let start = body.len() as u32;
            body.push_str(&key);
            let number = rows.len() as u32 + 1;
            rows.push(Row { range: start..body.len() as u32, number, id, kind: RowKind::Tombstone });
        }
        body.push(']');
        self.last = Some((number + 1, resume.clone()));
        Ok(Some(Page {
            number: number + 1,
            body: Bytes::from(body),
            fetched: rows.len() as u64,
            rows,
            seen: Vec::new(),
            filtered: 0,
            deduplicated: 0,
            resume,
            asked_at: self.clock.now(),
            bytes: 0,
            requests: 0,
            retries: 0,
            waited: std::time::Duration::ZERO,
            notes: Vec::new(),
        }))
    }
}

fn failed(error: &sync_state::StateError) -> ReadError {
    ReadError::of(error.kind(), "state_not_written", error.to_string())
}
