//! Rows that were set aside.
//!
//! A reject is written before the commit that leaves its row out, so that no row is ever in neither place. Whether
//! that commit came about, the destination's checkpoint tells: until then the reject is pending, and if its process
//! dies, the next one keeps it or drops it by that proof ([`Store::settle_rejects`]).
//!
//! The same row set aside again takes the place of the entry before. One whose key has landed since is out of date
//! and goes, since to load it later would put old values over new ones.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use sync_core::{Checkpoint, Reject, RunId};

use crate::ledger::{id, moment};
use crate::rows::{RejectCount, RejectRow};
use crate::{History, StateError, Store};

type Result<T> = rusqlite::Result<T>;

/// Which rejects.
#[derive(Clone, Debug, Default)]
pub struct Rejects {
    /// Of this stream; of all where none is named.
    pub stream: Option<String>,
    /// Set aside by this run.
    pub run: Option<RunId>,
    /// Kept from this destination.
    pub destination: Option<String>,
    /// After this one, in the order of their numbers.
    pub after: i64,
    /// So many at most.
    pub limit: u32,
}

impl Store {
    /// Sets rows aside, before the sink commits the checkpoint of this sequence that leaves them out.
    pub fn quarantine(
        &self,
        run: &RunId,
        stream: &str,
        destination: &str,
        sequence: u64,
        rejects: &[Reject],
    ) -> std::result::Result<(), StateError> {
        self.write(|tx| add(tx, run, stream, destination, sequence, rejects))
    }

    /// Decides about pending rejects of a stream when its table is opened: those stay whose commit the table's
    /// checkpoint proves, the pages of the others will be asked for again.
    pub fn settle_rejects(
        &self,
        stream: &str,
        destination: &str,
        proof: Option<&Checkpoint>,
    ) -> std::result::Result<(), StateError> {
        self.write(|tx| {
            if let Some(proof) = proof {
                committed(tx, &proof.run, stream, destination, proof.sequence)?;
            }
            tx.execute(
                "delete from rejects where stream = ?1 and destination = ?2 and committed = 0",
                [stream, destination],
            )?;
            Ok(())
        })
    }

    /// Who the rows are that were set aside: hashes of their keys.
    pub fn open_rejects_identities(
        &self,
        stream: &str,
        destination: &str,
    ) -> std::result::Result<Vec<String>, StateError> {
        self.history().read(|c| {
            let mut query = c.prepare(
                "select identity from rejects where stream = ?1 and destination = ?2 and identity is not null",
            )?;
            query.query_map([stream, destination], |row| row.get(0))?.collect()
        })
    }

    /// Forgets rejects whose keys have landed since.
    pub fn supersede_rejects(
        &self,
        stream: &str,
        destination: &str,
        identities: &[String],
    ) -> std::result::Result<(), StateError> {
        self.write(|tx| {
            let mut delete = tx.prepare(
                "delete from rejects where stream = ?1 and destination = ?2 and identity = ?3 and committed = 1",
            )?;
            identities.iter().try_for_each(|identity| {
                delete.execute([stream, destination, identity.as_str()]).map(drop)
            })
        })
    }

    /// Forgets rejects by their numbers: they have landed.
    pub fn forget_rejects(&self, ids: &[i64]) -> std::result::Result<(), StateError> {
        self.write(|tx| {
            let mut delete = tx.prepare("delete from rejects where id = ?1")?;
            ids.iter().try_for_each(|id| delete.execute([id]).map(drop))
        })
    }

    /// Forgets the rejects of a table that was rebuilt: those of every run up to the last one that read the stream
    /// to its end before. Later ones, killed or stopped, were at work on this table.
    pub fn forget_rejects_of_the_table_before(
        &self,
        stream: &str,
        destination: &str,
    ) -> std::result::Result<(), StateError> {
        self.write(|tx| {
            tx.execute(
                "delete from rejects where stream = ?1 and destination = ?2 and run in
                 (select run from runs where (started, run) <=
                  (select r.started, r.run from runs r join streams s on s.run = r.run
                   where s.stream = ?1 and s.status = 'done' order by r.started desc, r.run desc limit 1))",
                [stream, destination],
            )?;
            Ok(())
        })
    }
}

impl History {
    /// Rows that were set aside and are waiting, in the order in which they were.
    pub fn rejects(&self, which: &Rejects) -> std::result::Result<Vec<RejectRow>, StateError> {
        if !self.has_rejects() {
            return Ok(Vec::new());
        }
        self.read(|c| {
            let mut query = c.prepare(&format!(
                "{COLUMNS} where committed = 1 and id > ?1 and (?2 is null or stream = ?2) and (?3 is null or run = ?3)
                 and (?4 is null or destination = ?4) order by id limit ?5"
            ))?;
            let run = which.run.as_ref().map(RunId::as_str);
            query.query_map(params![which.after, which.stream, run, which.destination, which.limit], read)?.collect()
        })
    }

    /// One of them.
    pub fn reject(&self, id: i64) -> std::result::Result<Option<RejectRow>, StateError> {
        if !self.has_rejects() {
            return Ok(None);
        }
        self.read(|c| {
            c.query_row(&format!("{COLUMNS} where committed = 1 and id = ?1"), [id], read).optional()
        })
    }

    /// How many a run has set aside that are still waiting.
    pub fn count_rejects_of(&self, run: &RunId) -> std::result::Result<u64, StateError> {
        if !self.has_rejects() {
            return Ok(0);
        }
        self.read(|c| {
            let count = "select count(*) from rejects where committed = 1 and run = ?1";
            c.query_row(count, [run.as_str()], |row| row.get::<_, i64>(0)).map(|count| count as u64)
        })
    }

    /// How many there are of each stream and reason.
    pub fn count_rejects(&self) -> std::result::Result<Vec<RejectCount>, StateError> {
        if !self.has_rejects() {
            return Ok(Vec::new());
        }
        self.read(|c| {
            let mut query = c.prepare(
                "select stream, code, field, count(*) from rejects where committed = 1
                 group by stream, code, field order by stream, count(*) desc, code, field",
            )?;
            let count = |row: &Row| {
                let rows: i64 = row.get(3)?;
                Ok(RejectCount {
                    stream: row.get(0)?,
                    code: row.get(1)?,
                    field: row.get(2)?,
                    rows: rows as u64,
                })
            };
            query.query_map([], count)?.collect()
        })
    }
}

const COLUMNS: &str =
    "select id, stream, destination, run, page, row, code, field, message, raw, bytes, hash,
    identity, at from rejects";

fn read(row: &Row) -> Result<RejectRow> {
    let count = |at| row.get::<_, i64>(at).map(|n| n as u64);
    Ok(RejectRow {
        id: row.get(0)?,
        stream: row.get(1)?,
        destination: row.get(2)?,
        run: id(row, 3)?,
        reject: Reject {
            page: count(4)?,
            row: count(5)?,
            code: row.get(6)?,
            field: row.get(7)?,
            message: row.get(8)?,
            raw: row.get(9)?,
            bytes: count(10)?,
            hash: row.get(11)?,
            identity: row.get(12)?,
            at: moment(row, 13)?,
        },
    })
}

fn add(
    tx: &Transaction,
    run: &RunId,
    stream: &str,
    destination: &str,
    sequence: u64,
    rejects: &[Reject],
) -> Result<()> {
    let mut insert = tx.prepare(
        "insert into rejects (stream, destination, run, sequence, committed, page, row, code, field, message, raw,
             bytes, hash, identity, at)
         values (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for reject in rejects {
        insert.execute(params![
            stream,
            destination,
            run.as_str(),
            sequence as i64,
            reject.page as i64,
            reject.row as i64,
            reject.code,
            reject.field,
            reject.message,
            reject.raw,
            reject.bytes as i64,
            reject.hash,
            reject.identity,
            reject.at.to_string(),
        ])?;
    }
    Ok(())
}

/// The commits of a run up to this sequence have come about: its pending rejects are rejects, and take the place of
/// those of the same rows, or of the same keys, that were there before.
pub(crate) fn committed(
    tx: &Transaction,
    run: &RunId,
    stream: &str,
    destination: &str,
    sequence: u64,
) -> Result<()> {
    let mine = params![stream, destination, run.as_str(), sequence as i64];
    let pending: bool = tx
        .prepare(
            "select exists (select 1 from rejects where stream = ?1 and destination = ?2 and run = ?3
             and committed = 0 and sequence <= ?4)",
        )?
        .query_row(mine, |row| row.get(0))?;
    if !pending {
        return Ok(());
    }
    tx.execute(
        "delete from rejects where stream = ?1 and destination = ?2 and exists
         (select 1 from rejects n where n.stream = ?1 and n.destination = ?2 and n.run = ?3 and n.committed = 0
          and n.sequence <= ?4 and n.id > rejects.id
          and (n.hash = rejects.hash or n.identity = rejects.identity))",
        mine,
    )?;
    tx.execute(
        "update rejects set committed = 1
         where stream = ?1 and destination = ?2 and run = ?3 and committed = 0 and sequence <= ?4",
        mine,
    )?;
    Ok(())
}
