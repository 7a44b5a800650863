//! Runs and the streams in them.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde_json::Value;
use sync_core::{Books, RunId, RunReport, StreamReport, Timestamp};

use crate::rows::{Interrupted, InterruptedStream, RunRow, RunStatus, StreamRow};

/// Runs kept. At one a minute that is the last day and a half, at one an hour the last three months.
const RUNS_MAX: u32 = 2_000;

type Result<T> = rusqlite::Result<T>;

/// Opens a run, forgets the oldest, and gives back the runs whose books are still open.
pub(crate) fn begin(tx: &Transaction, run: &RunId, at: Timestamp) -> Result<Vec<Interrupted>> {
    let orphans = orphans(tx)?;
    tx.execute("update runs set status = 'interrupted' where status = 'running'", [])?;
    tx.execute(
        "insert into runs (run, started, status) values (?1, ?2, 'running')",
        params![run.as_str(), at.to_string()],
    )?;
    tx.execute(
        "delete from runs where run in (select run from runs order by started desc, run desc limit -1 offset ?1)",
        [RUNS_MAX],
    )?;
    tx.execute("delete from streams where run not in (select run from runs)", [])?;
    Ok(orphans)
}

/// Runs that never ended, oldest first: those found dead just now, and those found earlier of which a stream
/// is still open, since a process that died before it closed them leaves them to the next one.
fn orphans(tx: &Transaction) -> Result<Vec<Interrupted>> {
    let mut runs = tx.prepare(
        "select run, started from runs
         where status = 'running' or (status = 'interrupted' and exists
               (select 1 from streams s where s.run = runs.run and s.status = 'running'))
         order by started, run",
    )?;
    let mut streams = tx.prepare(
        "select stream, destination, fetched, loaded, deduplicated, filtered, quarantined
         from streams where run = ?1 and status = 'running' order by stream",
    )?;
    let found = runs.query_map([], |row| Ok((id(row, 0)?, moment(row, 1)?)))?.collect::<Result<Vec<_>>>()?;
    let mut orphans = Vec::with_capacity(found.len());
    for (run, started) in found {
        let open = streams.query_map([run.as_str()], |row| {
            Ok(InterruptedStream { stream: row.get(0)?, destination: row.get(1)?, books: books(row, 2)? })
        })?;
        orphans.push(Interrupted { streams: open.collect::<Result<_>>()?, run, started });
    }
    Ok(orphans)
}

/// Brings the books of a stream up to a commit.
pub(crate) fn committed(
    tx: &Transaction,
    run: &RunId,
    stream: &str,
    destination: &str,
    b: &Books,
) -> Result<()> {
    tx.prepare(
        "insert into streams (run, stream, destination, status, fetched, loaded, deduplicated, filtered, quarantined)
         values (?1, ?2, ?3, 'running', ?4, ?5, ?6, ?7, ?8)
         on conflict do update set destination = ?3, fetched = ?4, loaded = ?5, deduplicated = ?6, filtered = ?7,
             quarantined = ?8 where status = 'running'",
    )?
    .execute(params![
        run.as_str(),
        stream,
        destination,
        b.fetched as i64,
        b.loaded as i64,
        b.deduplicated as i64,
        b.filtered as i64,
        b.quarantined as i64
    ])?;
    Ok(())
}

/// Closes the books of a stream.
pub(crate) fn stream_ended(tx: &Transaction, run: &RunId, report: &StreamReport) -> Result<()> {
    let b = &report.books;
    tx.execute(
        "insert into streams (run, stream, status, fetched, loaded, deduplicated, filtered, quarantined, report)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         on conflict do update set status = ?3, fetched = ?4, loaded = ?5, deduplicated = ?6, filtered = ?7,
             quarantined = ?8, report = ?9",
        params![
            run.as_str(),
            report.stream,
            report.status.as_str(),
            b.fetched as i64,
            b.loaded as i64,
            b.deduplicated as i64,
            b.filtered as i64,
            b.quarantined as i64,
            json(report)
        ],
    )?;
    // A full refresh forgets the checkpoint that would have closed the books of a process that died; what the ledger
    // had of them last is as near as can be known.
    tx.execute(
        "update streams set status = 'interrupted' where stream = ?1 and status = 'running'
         and run in (select run from runs where status = 'interrupted')",
        [&report.stream],
    )?;
    Ok(())
}

/// Closes a run and whatever of its streams is still open. A run that was never begun is entered whole.
pub(crate) fn end(tx: &Transaction, report: &RunReport, at: Timestamp) -> Result<()> {
    for stream in &report.streams {
        stream_ended(tx, &report.run, stream)?;
    }
    tx.execute(
        "insert into runs (run, started, ended, status, error, report) values (?1, ?2, ?2, ?3, ?4, ?5)
         on conflict do update set ended = ?2, status = ?3, error = ?4, report = ?5",
        params![
            report.run.as_str(),
            at.to_string(),
            report.status.as_str(),
            report.error.as_ref().map(json),
            json(report)
        ],
    )?;
    Ok(())
}

/// Closes the books of a stream of an interrupted run; false if there was nothing to close.
pub(crate) fn close(tx: &Transaction, run: &RunId, stream: &str, b: &Books) -> Result<bool> {
    let changed = tx.execute(
        "insert into streams (run, stream, status, fetched, loaded, deduplicated, filtered, quarantined)
         select run, ?2, 'interrupted', ?3, ?4, ?5, ?6, ?7 from runs where run = ?1 and status = 'interrupted'
         on conflict do update set status = 'interrupted', fetched = ?3, loaded = ?4, deduplicated = ?5,
             filtered = ?6, quarantined = ?7 where status = 'running'",
        params![
            run.as_str(),
            stream,
            b.fetched as i64,
            b.loaded as i64,
            b.deduplicated as i64,
            b.filtered as i64,
            b.quarantined as i64
        ],
    )?;
    Ok(changed > 0)
}

const RUN_COLUMNS: &str = "select run, started, ended, status, error from runs";

/// The newest runs, newest first.
pub(crate) fn runs(connection: &Connection, limit: u32) -> Result<Vec<RunRow>> {
    let mut query = connection.prepare(&format!("{RUN_COLUMNS} order by started desc, run desc limit ?1"))?;
    let rows = query.query_map([limit], run_row)?.collect::<Result<Vec<_>>>()?;
    rows.into_iter().map(|row| with_streams(connection, row)).collect()
}

/// One run.
pub(crate) fn run(connection: &Connection, run: &RunId) -> Result<Option<RunRow>> {
    let row =
        connection.query_row(&format!("{RUN_COLUMNS} where run = ?1"), [run.as_str()], run_row).optional()?;
    row.map(|row| with_streams(connection, row)).transpose()
}

fn run_row(row: &Row) -> Result<RunRow> {
    let ended: Option<String> = row.get(2)?;
    Ok(RunRow {
        run: id(row, 0)?,
        started: moment(row, 1)?,
        ended: ended.map(|_| moment(row, 2)).transpose()?,
        status: status(row, 3)?,
        error: value(row, 4)?,
        streams: Vec::new(),
    })
}

fn with_streams(connection: &Connection, mut run: RunRow) -> Result<RunRow> {
    let mut query = connection.prepare(
        "select stream, destination, status, report, fetched, loaded, deduplicated, filtered, quarantined
         from streams where run = ?1 order by stream",
    )?;
    let rows = query.query_map([run.run.as_str()], |row| {
        Ok(StreamRow {
            stream: row.get(0)?,
            destination: row.get(1)?,
            status: status(row, 2)?,
            report: value(row, 3)?,
            books: books(row, 4)?,
        })
    })?;
    run.streams = rows.collect::<Result<_>>()?;
    Ok(run)
}

fn books(row: &Row, at: usize) -> Result<Books> {
    let count = |i: usize| row.get::<_, i64>(at + i).map(|n| n as u64);
    Ok(Books {
        fetched: count(0)?,
        loaded: count(1)?,
        deduplicated: count(2)?,
        filtered: count(3)?,
        quarantined: count(4)?,
    })
}

fn status(row: &Row, at: usize) -> Result<RunStatus> {
    let text: String = row.get(at)?;
    RunStatus::parse(&text).ok_or_else(|| unreadable(at, format!("`{text}` is no status")))
}

pub(crate) fn id(row: &Row, at: usize) -> Result<RunId> {
    let text: String = row.get(at)?;
    text.parse().map_err(|_: std::convert::Infallible| unreadable(at, text))
}

pub(crate) fn moment(row: &Row, at: usize) -> Result<Timestamp> {
    let text: String = row.get(at)?;
    Timestamp::parse(&text).ok_or_else(|| unreadable(at, format!("`{text}` is no moment")))
}

fn value(row: &Row, at: usize) -> Result<Option<Value>> {
    let text: Option<String> = row.get(at)?;
    text.map(|t| serde_json::from_str(&t).map_err(|e| unreadable(at, e.to_string()))).transpose()
}

/// A value that this release would not have written.
pub(crate) fn unreadable(column: usize, why: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("reports and checkpoints have text keys")
}
