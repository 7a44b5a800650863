//! Which row of each key stays.
//!
//! The rows and tombstones of a key are taken in the order in which they were read. Each next row takes the place of
//! the one so far unless its order value is smaller, where both have one, or its content is the same; so a row that
//! did not change is not written again. A tombstone takes it away, closes or marks it.
//!
//! Keys are settled range by range of identities, as many ranges as keep the keys of the staged rows in
//! memory; only those matter, since a stored key that did not come again has nothing to settle. Every record
//! is read in order, the staged ones twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;
use std::sync::Arc;

use super::error::Result;
use super::extras::{Mark, Patch};
use super::fingerprint::Identity;
use super::keys::{Keys, Record};
use super::patches::{Gathering, Patches, Place};

/// What a key takes in memory while it is settled, room of the map included.
const KEY_BYTES: usize = 288;
/// What is changed of stored rows takes so much more.
const PATCH_BYTES: usize = 240;

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

/// What became of the staged rows.
#[derive(Default)]
pub(super) struct Settled {
    pub losers: Losers,
    /// What is changed of rows that stay.
    pub patches: Option<Arc<Patches>>,
    /// Rows and tombstones of the run that settles that did something: a row that is new or changed counts, one that
    /// takes the place of another of this run does not, and a tombstone that took a row away or closed it does.
    pub counted: u64,
}

/// How the rows of a key follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// All different ones stay.
    Append,
    /// The last one stays.
    Merge,
    /// The last one stays, and a tombstone marks it.
    Mark,
    /// All stay, the last one being current.
    History,
}

impl Rule {
    pub fn of(by: &Identity) -> Self {
        match by {
            Identity { whole: true, .. } => Self::Append,
            Identity { history: true, .. } => Self::History,
            Identity { marking: true, .. } => Self::Mark,
            _ => Self::Merge,
        }
    }
}

impl Rule {
    /// What a staged row takes in memory while its key is settled.
    fn bytes(self) -> usize {
        match self {
            Self::Append | Self::Merge => KEY_BYTES,
            Self::Mark | Self::History => KEY_BYTES + PATCH_BYTES,
        }
    }
}

/// Settles staged rows against each other and against those stored.
/// `run` is the mark of the run that settles; at `spill` waits what does not fit into memory.
pub(super) fn settle(
    inputs: &mut [Input],
    rule: Rule,
    run: u32,
    memory: usize,
    spill: &Path,
) -> Result<Settled> {
    let staged: u64 = inputs.iter().filter(|i| i.staged).map(|i| i.rows).sum();
    let ranges = (staged as usize * rule.bytes()).div_ceil(memory.max(4 * rule.bytes())).max(1) as u64;
    let rows = inputs.iter().map(|i| i.rows).collect();
    let mut patches = Gathering::new(spill);
    let mut round = Round {
        rule,
        run,
        contests: Contests::default(),
        settled: Settled::default(),
        rows,
        patches: HashMap::new(),
    };
    for range in 1..=ranges {
        let below = (range < ranges).then(|| u128::from(u64::MAX / ranges * range) << 64);
        round.settle(inputs, below)?;
        // All rows of a key are in one range, so nothing more comes to these.
        patches.take(round.patches.drain(), range == ranges)?;
    }
    round.settled.patches = Some(patches.done()?);
    Ok(round.settled)
}

/// A row that takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    at: Place,
    content: u64,
    /// From when its version holds.
    from: i64,
    /// Whether the run that settles has read it.
    mine: bool,
}

/// Where the contest for one key stands.
#[derive(Default)]
struct Contest {
    stored: Option<Row>,
    winner: Option<Row>,
    order: Order,
    /// The tombstone that the winner met.
    met: Option<Met>,
    /// To when the last version held that a tombstone closed.
    ended: Option<i64>,
}

/// A tombstone that the winner met.
#[derive(Clone, Copy)]
enum Met {
    /// Before.
    Stored,
    /// Just now; whether the run that settles has read it.
    Staged(Mark, bool),
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
    rule: Rule,
    /// The run that settles.
    run: u32,
    contests: Contests,
    settled: Settled,
    patches: HashMap<Place, Patch>,
    rows: Vec<u64>,
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
                    let was = contest.get_mut().store(file as u32, record, self.rule, self.run);
                    self.lose_stored(was);
                }
            })?;
        }
        let mut contests = std::mem::take(&mut self.contests);
        for contest in contests.drain().map(|c| c.1) {
            self.end(&contest);
        }
        self.contests = contests;
        Ok(())
    }

    fn challenge(&mut self, file: u32, record: Record) {
        let mine = record.run == self.run;
        let mut contests = std::mem::take(&mut self.contests);
        let contest = contests.entry(record.identity).or_default();
        let at = (file, record.row);
        let older = matches!((record.order, contest.order.bytes()), (Some(new), Some(was)) if new < was);
        // Under append a tombstone is a row as any other.
        let counts = if record.gone && self.rule != Rule::Append {
            self.lose(at);
            !older && self.strike(contest, file, record, mine)
        } else {
            let new = Row { at, content: record.content, from: record.moment, mine };
            self.follow(contest, new, older, record.order)
        };
        self.settled.counted += u64::from(mine && counts);
        self.contests = contests;
    }

    /// A row that comes after those so far; whether it counts.
    fn follow(&mut self, contest: &mut Contest, mut new: Row, older: bool, order: Option<&[u8]>) -> bool {
        let Some(winner) = contest.winner else {
            self.begin(&mut new, contest.ended);
            (contest.winner, contest.order) = (Some(new), Order::of(order));
            return true;
        };
        if older || (winner.content == new.content && contest.met.is_none()) {
            self.lose(new.at);
            return false;
        }
        contest.order = Order::of(order);
        if self.rule == Rule::History {
            self.begin(&mut new, Some(winner.from));
            self.close(winner, new.from);
            contest.winner = Some(new);
            return true;
        }
        if contest.winner != contest.stored {
            self.lose(winner.at);
        }
        let taken = winner.mine || matches!(contest.met, Some(Met::Staged(_, true)));
        (contest.winner, contest.met) = (Some(new), None);
        !taken
    }

    /// A tombstone that comes after the rows so far; whether it counts.
    fn strike(&mut self, contest: &mut Contest, file: u32, record: Record, mine: bool) -> bool {
        let Some(winner) = contest.winner else { return false };
        match self.rule {
            Rule::Append => false,
            Rule::History => {
                let to = record.moment.max(winner.from);
                self.close(winner, to);
                (contest.winner, contest.order, contest.ended) = (None, Order::None, Some(to));
                true
            }
            Rule::Merge => {
                if contest.winner != contest.stored {
                    self.lose(winner.at);
                }
                (contest.winner, contest.order, contest.met) = (None, Order::None, None);
                true
            }
            Rule::Mark if contest.met.is_some() => false,
            Rule::Mark => {
                let mark = Mark { at: record.moment, seq: record.content as i64, file };
                contest.met = Some(Met::Staged(mark, mine));
                !winner.mine
            }
        }
    }

    /// What the contest comes to.
    fn end(&mut self, contest: &Contest) {
        if !matches!(self.rule, Rule::Merge | Rule::Mark) {
            return;
        }
        if contest.stored != contest.winner {
            self.lose_stored(contest.stored);
        }
        if let (Some(winner), Some(Met::Staged(mark, _))) = (contest.winner, contest.met) {
            self.patch(winner.at).mark = Some(mark);
        }
    }

    /// No version begins before the one that it follows.
    fn begin(&mut self, version: &mut Row, after: Option<i64>) {
        if let Some(after) = after.filter(|after| self.rule == Rule::History && *after > version.from) {
            version.from = after;
            self.patch(version.at).from = Some(after);
        }
    }

    /// A version does not hold any more from this moment on.
    fn close(&mut self, version: Row, to: i64) {
        self.patch(version.at).to = Some(to);
    }

    fn patch(&mut self, at: Place) -> &mut Patch {
        self.patches.entry(at).or_default()
    }

    fn lose(&mut self, at: Place) {
        lose(&mut self.settled.losers, &self.rows, at);
    }

    fn lose_stored(&mut self, stored: Option<Row>) {
        if let Some(row) = stored.filter(|_| self.rule != Rule::Append) {
            self.lose(row.at);
        }
    }
}

impl Contest {
    /// Takes a stored row; hands back the one it takes the place of. (A table has two for one key if they
    /// were written before it had a key.)
    fn store(&mut self, file: u32, record: Record, rule: Rule, run: u32) -> Option<Row> {
        if rule == Rule::History && record.gone {
            self.ended = self.ended.max(Some(record.moment));
            return None;
        }
        let row = Row {
            at: (file, record.row),
            content: record.content,
            from: record.moment,
            mine: record.run == run,
        };
        let was = self.stored.replace(row);
        self.winner = self.stored;
        self.order = Order::of(record.order);
        self.met = (record.gone && matches!(rule, Rule::Mark | Rule::Merge)).then_some(Met::Stored);
        was.filter(|_| rule != Rule::History)
    }
}

fn lose(losers: &mut Losers, rows: &[u64], (file, row): Place) {
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

    use super::super::extras::Extras;
    use super::super::fingerprint::{Marks, run_mark};
    use super::super::keys::Writer;
    use super::*;
    use crate::tail::Tail;

    fn input(folder: &Path, spec: &TableSpec, number: usize, lines: &[&str], staged: bool) -> Input {
        let schema = schema("id:int v:text o:int");
        let by = Identity::of(spec, &Extras::of(spec, Tail::of(spec))).expect("a key");
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
            let rule = Rule::of(&Identity::of(spec, &Extras::of(spec, Tail::of(spec))).expect("a key"));
            let Settled { losers, .. } =
                settle(&mut inputs, rule, run_mark("run-1"), memory, &place.path().join("patches"))
                    .expect("settled");
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
