//! Which row of each key stays.
//!
//! The rows of a key are taken in the order in which they were read. Each next one wins over the one so far
//! unless its order value is smaller, where both have one, or its content is the same. When what wins in the
//! end is equal to the row that is stored already, the stored one stays, so that nothing is rewritten for a
//! row that did not change.
//!
//! Keys are settled range by range of identities, as many ranges as keep the keys of the staged rows in
//! memory; only those matter, since a stored key that did not come again has nothing to settle. Every record
//! is read in order, the staged ones twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use super::error::Result;
use super::keys::{Keys, Record};

/// What a key takes in memory while it is settled, room of the map included.
const KEY_BYTES: usize = 192;

/// A data file whose rows are settled.
pub(super) struct Input {
    pub keys: Keys,
    pub rows: u64,
    /// Whether its rows are not visible yet. The others come first.
    pub staged: bool,
}

/// Rows of one file, one bit each.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    /// How many are set.
    pub count: u64,
}

impl Bits {
    fn set(&mut self, row: u32, rows: u64) {
        self.words.resize(rows.div_ceil(64) as usize, 0);
        let (word, bit) = (&mut self.words[row as usize / 64], 1 << (row % 64));
        if *word & bit == 0 {
            *word |= bit;
            self.count += 1;
        }
    }

    pub fn has(&self, row: u64) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }
}

/// The rows that do not stay, by the place of their file among the inputs.
pub(super) type Losers = HashMap<usize, Bits>;

/// Settles staged rows against each other and against those stored. `stored_lose` says whether a stored row
/// can be one of the losers.
pub(super) fn losers(inputs: &mut [Input], stored_lose: bool, memory: usize) -> Result<Losers> {
    let staged: u64 = inputs.iter().filter(|i| i.staged).map(|i| i.rows).sum();
    let ranges = (staged as usize * KEY_BYTES).div_ceil(memory.max(4 * KEY_BYTES)).max(1) as u64;
    let mut round =
        Round { contests: Contests::default(), losers: Losers::new(), rows: Vec::new(), stored_lose };
    round.rows = inputs.iter().map(|i| i.rows).collect();
    for range in 1..=ranges {
        let below = (range < ranges).then(|| u128::from(u64::MAX / ranges * range) << 64);
        round.settle(inputs, below)?;
    }
    Ok(round.losers)
}

/// A row's file and number.
type At = (u32, u32);

/// Where the contest for one key stands.
#[derive(Default)]
struct Contest {
    stored: Option<(At, u64)>,
    winner: Option<(At, u64)>,
    order: Order,
}

/// The winner's order value.
#[derive(Default)]
enum Order {
    #[default]
    None,
    Short(u8, [u8; 16]),
    Long(Box<[u8]>),
}

impl Order {
    fn of(bytes: Option<&[u8]>) -> Self {
        match bytes {
            None => Self::None,
            Some(bytes) if bytes.len() <= 16 => {
                let mut short = [0; 16];
                short[..bytes.len()].copy_from_slice(bytes);
                Self::Short(bytes.len() as u8, short)
            }
            Some(bytes) => Self::Long(bytes.into()),
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Short(length, bytes) => Some(&bytes[..usize::from(*length)]),
            Self::Long(bytes) => Some(bytes),
        }
    }
}

type Contests = HashMap<u128, Contest, BuildHasherDefault<Low>>;

struct Round {
    contests: Contests,
    losers: Losers,
    rows: Vec<u64>,
    stored_lose: bool,
}

impl Round {
    fn settle(&mut self, inputs: &mut [Input], below: Option<u128>) -> Result<()> {
        if inputs.iter().any(|i| !i.staged) {
            for input in inputs.iter().filter(|i| i.staged) {
                input.keys.peek(below, |record| {
                    self.contests.entry(record.identity).or_default();
                })?;
            }
        }
        for (file, input) in inputs.iter_mut().enumerate() {
            let staged = input.staged;
            input.keys.range(below, |record| {
                if staged {
                    self.challenge(file as u32, record);
                } else if let Entry::Occupied(mut contest) = self.contests.entry(record.identity) {
                    let was = contest.get_mut().store(file as u32, record);
                    self.lose_stored(was);
                }
            })?;
        }
        let mut contests = std::mem::take(&mut self.contests);
        for contest in contests.drain().map(|c| c.1) {
            if contest.stored != contest.winner {
                self.lose_stored(contest.stored);
            }
        }
        self.contests = contests;
        Ok(())
    }

    fn challenge(&mut self, file: u32, record: Record) {
        let contest = self.contests.entry(record.identity).or_default();
        let new = ((file, record.row), record.content);
        let Some(winner) = contest.winner else {
            contest.winner = Some(new);
            contest.order = Order::of(record.order);
            return;
        };
        let older = matches!((record.order, contest.order.bytes()), (Some(new), Some(was)) if new < was);
        if older || winner.1 == new.1 {
            lose(&mut self.losers, &self.rows, new.0);
            return;
        }
        if contest.winner != contest.stored {
            lose(&mut self.losers, &self.rows, winner.0);
        }
        contest.order = Order::of(record.order);
        match contest.stored.filter(|stored| stored.1 == new.1) {
            Some(stored) => {
                contest.winner = Some(stored);
                lose(&mut self.losers, &self.rows, new.0);
            }
            None => contest.winner = Some(new),
        }
    }

    fn lose_stored(&mut self, stored: Option<(At, u64)>) {
        if let Some((at, _)) = stored.filter(|_| self.stored_lose) {
            lose(&mut self.losers, &self.rows, at);
        }
    }
}

impl Contest {
    /// Takes a stored row; hands back the one it takes the place of. (A table has two for one key if they
    /// were written before it had a key.)
    fn store(&mut self, file: u32, record: Record) -> Option<(At, u64)> {
        let was = self.stored.replace(((file, record.row), record.content));
        self.winner = self.stored;
        self.order = Order::of(record.order);
        was
    }
}

fn lose(losers: &mut Losers, rows: &[u64], (file, row): At) {
    losers.entry(file as usize).or_default().set(row, rows[file as usize]);
}

/// The low half of an identity, which is a hash already.
#[derive(Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, identity: u128) {
        self.0 = identity as u64;
    }
}

#[cfg(test)]
mod tests {
    use sync_core::{Disposition, TableSpec};
    use sync_testkit::sink::{SpecExt, batch, schema, spec};

    use super::super::fingerprint::{Identity, Marks};
    use super::super::keys::Writer;
    use super::*;

    fn input(
        folder: &std::path::Path,
        spec: &TableSpec,
        number: usize,
        lines: &[&str],
        staged: bool,
    ) -> Input {
        let schema = schema("id:int v:text o:int");
        let by = Identity::of(spec).expect("a key");
        let path = folder.join(format!("{number}.keys"));
        let mut writer = Writer::create(&path, &by, &schema, 200).expect("made");
        let batch = batch(&schema, &spec.run, 0, lines);
        writer.add(&Marks::of(&batch, &schema, &by, "t").expect("marks")).expect("added");
        writer.close().expect("closed");
        let rows = lines.len() as u64;
        let keys = Keys::open(&path, rows, &by, &schema).expect("read").expect("it serves");
        Input { keys, rows, staged }
    }

    /// Stored rows and files of staged ones: what stays.
    #[track_caller]
    fn check(spec: &TableSpec, stored: &[&str], staged: &[&[&str]], expect: &[&str]) {
        for memory in [0, 1 << 24] {
            let place = tempfile::tempdir().expect("a folder");
            let mut all = vec![stored];
            all.extend(staged);
            let mut inputs: Vec<_> =
                all.iter().enumerate().map(|(n, lines)| input(place.path(), spec, n, lines, n > 0)).collect();
            let losers =
                losers(&mut inputs, spec.disposition == Disposition::Merge, memory).expect("settled");
            let stays = |file: usize, row: usize| !losers.get(&file).is_some_and(|b| b.has(row as u64));
            let left: Vec<&str> = all
                .iter()
                .enumerate()
                .flat_map(|(file, lines)| {
                    lines.iter().enumerate().filter(move |(row, _)| stays(file, *row)).map(|(_, line)| *line)
                })
                .collect();
            assert_eq!(left, expect);
            let lost: u64 = losers.values().map(|b| b.count).sum();
            assert_eq!(lost as usize + left.len(), all.iter().map(|f| f.len()).sum::<usize>());
        }
    }

    #[test]
    fn the_last_row_of_a_key_stays() {
        let merge = spec("t", &["id"], Disposition::Merge);
        check(&merge, &[], &[&["1|a|~", "2|a|~"], &["1|b|~"]], &["2|a|~", "1|b|~"]);
        check(&merge, &["1|a|~", "2|a|~"], &[&["1|b|~", "3|a|~"]], &["2|a|~", "1|b|~", "3|a|~"]);
        // Equal to the stored one, in the end: that one stays, whatever came between.
        check(&merge, &["1|a|~"], &[&["1|a|~"], &["1|a|~"]], &["1|a|~"]);
        check(&merge, &["1|a|~"], &[&["1|b|~", "1|c|~"], &["1|a|~"]], &["1|a|~"]);
        check(&merge, &["1|a|~"], &[&["1|b|~", "1|a|~"], &["1|b|~"]], &["1|b|~"]);
        // Two stored rows of one key.
        check(&merge, &["1|a|~", "1|b|~"], &[&["1|b|~"]], &["1|b|~"]);
        check(&merge, &["1|a|~", "1|b|~", "2|a|~", "2|b|~"], &[&["1|c|~"]], &["2|a|~", "2|b|~", "1|c|~"]);
    }

    #[test]
    fn the_order_decides_where_there_is_one() {
        let merge = spec("t", &["id"], Disposition::Merge).order("o");
        check(&merge, &["1|a|5"], &[&["1|b|4"]], &["1|a|5"]);
        check(&merge, &["1|a|5"], &[&["1|b|5"]], &["1|b|5"]);
        check(&merge, &["1|a|5"], &[&["1|b|-1", "1|c|~", "1|d|1"]], &["1|d|1"]);
        check(&merge, &["1|a|5"], &[&["1|b|9"], &["1|a|5"]], &["1|b|9"]);
        check(&merge, &["1|a|5"], &[&["1|b|~"], &["1|a|5"]], &["1|a|5"]);
    }

    #[test]
    fn under_append_only_a_row_already_taken_goes() {
        let append = spec("t", &["id"], Disposition::Append);
        let staged: &[&[&str]] = &[&["1|a|~", "1|b|~", "2|a|~"], &["1|b|~", "2|a|1"]];
        check(&append, &["1|a|~", "1|a|~"], staged, &["1|a|~", "1|a|~", "1|b|~", "2|a|~", "2|a|1"]);
    }
}
