//! Whose rows a stream had when it was last listed in full: what a listing has no more was deleted.
//!
//! Each complete listing is a generation. Who is seen in it belongs to it from then on; who is left over from an earlier
//! one when it is complete was deleted since. A listing that is interrupted goes on in its generation, one that begins
//! again begins a new one, so that nobody counts as seen who was there before and not after.

use rusqlite::{OptionalExtension as _, params};

use crate::{StateError, Store};

impl Store {
    /// The generation of a listing that goes on, or a new one.
    pub fn census_begins(&self, stream: &str, destination: &str, goes_on: bool) -> Result<i64, StateError> {
        self.write(|tx| {
            let query = "select generation from censuses where stream = ?1 and destination = ?2";
            let last: Option<i64> =
                tx.query_row(query, [stream, destination], |row| row.get(0)).optional()?;
            let now = match last {
                Some(last) if goes_on => last,
                last => last.unwrap_or(0) + 1,
            };
            let upsert = "insert into censuses values (?1, ?2, ?3) on conflict do update set generation = ?3";
            tx.execute(upsert, params![stream, destination, now])?;
            Ok(now)
        })
    }

    /// Enters who was listed: hashes of keys, and the keys.
    pub fn census_saw<'a>(
        &self,
        stream: &str,
        destination: &str,
        generation: i64,
        seen: impl IntoIterator<Item = (u128, &'a str)>,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            let mut upsert = tx.prepare_cached(
                "insert into census values (?1, ?2, ?3, ?4, ?5) on conflict do update set generation = ?4",
            )?;
            for (identity, key) in seen {
                upsert.execute(params![stream, destination, identity.to_be_bytes(), generation, key])?;
            }
            Ok(())
        })
    }

    /// Who was not listed in this generation, behind an identity, so many at most: hashes and keys, in order.
    pub fn census_misses(
        &self,
        stream: &str,
        destination: &str,
        generation: i64,
        after: Option<u128>,
        limit: u32,
    ) -> Result<Vec<(u128, String)>, StateError> {
        self.history().read(|c| {
            let mut query = c.prepare(
                "select identity, key from census where stream = ?1 and destination = ?2 and generation < ?3
                 and (?4 is null or identity > ?4) order by identity limit ?5",
            )?;
            let after = after.map(u128::to_be_bytes);
            let rows = query.query_map(params![stream, destination, generation, after, limit], |row| {
                Ok((u128::from_be_bytes(row.get(0)?), row.get(1)?))
            })?;
            rows.collect()
        })
    }

    /// Whether anybody was listed in this generation.
    pub fn census_saw_any(
        &self,
        stream: &str,
        destination: &str,
        generation: i64,
    ) -> Result<bool, StateError> {
        self.history().read(|c| {
            let query = "select exists (select 1 from census where stream = ?1 and destination = ?2 and generation = ?3)";
            c.query_row(query, params![stream, destination, generation], |row| row.get(0))
        })
    }

    /// Forgets who was not listed: their deletion has landed.
    pub fn census_ends(&self, stream: &str, destination: &str, generation: i64) -> Result<(), StateError> {
        self.write(|tx| {
            let delete = "delete from census where stream = ?1 and destination = ?2 and generation < ?3";
            tx.execute(delete, params![stream, destination, generation])?;
            Ok(())
        })
    }
}
