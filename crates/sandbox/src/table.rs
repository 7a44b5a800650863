//! The rows of a stream, of which only the changes are in memory.
//!
//! The base is a number: row `i` of it has slot `8 i`, and everything else about it is computed. Rows that were
//! put in between, added at the end, changed or deleted are kept in maps; a position in a listing is found by
//! counting, so a stream of a million rows costs what was changed of it.
//!
//! The base is updated in the order of a permutation, `rank = (a i + b) mod n`, whose inverse is as cheap. Three
//! neighbours in that order share one moment, because real clocks are coarse.

use std::collections::{BTreeMap, HashMap};

use crate::draw::{Draw, mix};
use crate::field::{CREATED_FROM, CREATED_STEP, Row, SLOTS, UPDATED_FROM, UPDATED_TO, created};

/// By what a listing is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum By {
    /// Id, and with it creation.
    Id,
    /// The last change.
    Updated,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    pub(crate) by: By,
    pub(crate) descending: bool,
}

/// What is known of a row beyond its slot.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    version: u64,
    /// Where the slot does not tell it.
    created: Option<i64>,
    updated: Option<i64>,
}

/// The rows of a stream as they stand.
pub(crate) struct Table {
    pub(crate) salt: u64,
    seed: u64,
    base: u64,
    rank: Permutation,
    /// Rows of the base that were changed, and all others.
    changes: BTreeMap<u64, Change>,
    next: u64,
    /// Slots of the base that were deleted, ascending.
    dead: Vec<u64>,
    /// Slots outside the base, ascending.
    extra: Vec<u64>,
    /// Ranks of the base that were deleted or changed, ascending.
    moved: Vec<u64>,
    /// Rows changed after everything in the base, by moment and slot.
    late: Vec<(i64, u64)>,
    /// The latest moment that was written down.
    latest: i64,
    scans: HashMap<(Order, String), Scan>,
}

/// What is known of a filtered listing until the next change.
#[derive(Default)]
struct Scan {
    count: Option<u64>,
    /// Rows that passed before a position: where a later page goes on.
    marks: BTreeMap<u64, u64>,
}

/// A test of rows.
pub(crate) type Passes<'a> = &'a dyn Fn(&Row) -> bool;

/// Scans remembered of one table.
const SCANS_MAX: usize = 32;

impl Table {
    pub(crate) fn new(seed: u64, salt: u64, base: u64) -> Self {
        Self {
            salt,
            seed,
            base,
            rank: Permutation::new(base, mix(seed ^ salt)),
            changes: BTreeMap::new(),
            next: base * SLOTS,
            dead: Vec::new(),
            extra: Vec::new(),
            moved: Vec::new(),
            late: Vec::new(),
            latest: UPDATED_TO.max(CREATED_FROM + base as i64 * CREATED_STEP),
            scans: HashMap::new(),
        }
    }

    /// Rows there are.
    pub(crate) fn len(&self) -> u64 {
        self.base - self.dead.len() as u64 + self.extra.len() as u64
    }

    /// The row at a position of a listing; none behind its end.
    pub(crate) fn at(&self, order: Order, position: u64) -> Option<Row> {
        let position = if order.descending { self.len().checked_sub(position + 1)? } else { position };
        if position >= self.len() {
            return None;
        }
        Some(self.row(match order.by {
            By::Id => self.slot_by_id(position),
            By::Updated => self.slot_by_update(position),
        }))
    }

    /// The row of a slot, if it lives.
    pub(crate) fn get(&self, slot: u64) -> Option<Row> {
        let lives = if self.in_base(slot) {
            self.dead.binary_search(&slot).is_err()
        } else {
            self.extra.binary_search(&slot).is_ok()
        };
        lives.then(|| self.row(slot))
    }

    fn in_base(&self, slot: u64) -> bool {
        slot.is_multiple_of(SLOTS) && slot / SLOTS < self.base
    }

    fn row(&self, slot: u64) -> Row {
        let change = self.changes.get(&slot).copied().unwrap_or_default();
        let created = change.created.unwrap_or_else(|| created(slot));
        let Some(updated) = change.updated else {
            let (updated, updated_second) = self.base_update(slot / SLOTS);
            return Row { slot, version: change.version, created, updated, updated_second };
        };
        Row { slot, version: change.version, created, updated, updated_second: updated }
    }

    /// When a row of the base was updated, by both clocks. The second agrees for every other moment and else runs
    /// behind by less than a step, so that both give the same order.
    fn base_update(&self, index: u64) -> (i64, i64) {
        const MILLI: i64 = 1_000;
        let group = self.rank.of(index) / 3;
        let step = (UPDATED_TO - UPDATED_FROM) / (self.base as i64 / 3 + 2) / MILLI * MILLI;
        let updated = UPDATED_FROM + (group as i64 + 1) * step;
        let behind = Draw::new(mix(self.seed ^ self.salt ^ group), 0).below((step / MILLI).max(1) as u64);
        (updated, updated - (group % 2 * behind) as i64 * MILLI)
    }

    /// The position by id of the first live row from a slot on.
    pub(crate) fn position(&self, slot: u64) -> u64 {
        self.count_below(slot)
    }

    /// Live rows with a slot below.
    fn count_below(&self, slot: u64) -> u64 {
        let base = slot.div_ceil(SLOTS).min(self.base);
        let below = |slots: &[u64]| slots.partition_point(|s| *s < slot) as u64;
        base - below(&self.dead) + below(&self.extra)
    }

    fn slot_by_id(&self, position: u64) -> u64 {
        if self.dead.is_empty() && self.extra.is_empty() {
            return position * SLOTS;
        }
        // The last live slot that has `position` rows below it.
        let (mut low, mut high) = (0, self.next.max(self.base * SLOTS));
        while low + 1 < high {
            let middle = low.midpoint(high);
            if self.count_below(middle) <= position { low = middle } else { high = middle }
        }
        low
    }

    fn slot_by_update(&self, position: u64) -> u64 {
        let early = self.base - self.moved.len() as u64;
        if position >= early {
            return self.late[(position - early) as usize].1;
        }
        let (mut low, mut high) = (0, self.base);
        while low + 1 < high {
            let middle = low.midpoint(high);
            let live_below = middle - self.moved.partition_point(|rank| *rank < middle) as u64;
            if live_below <= position { low = middle } else { high = middle }
        }
        self.rank.inverse(low) * SLOTS
    }

    /// A page of the rows that pass, and how many pass in all where `count` asks for it.
    ///
    /// `filter` names the test; the same name must mean the same test.
    pub(crate) fn page(
        &mut self,
        order: Order,
        filter: Option<(&str, Passes)>,
        offset: u64,
        limit: u64,
        count: bool,
    ) -> (Vec<Row>, u64) {
        let Some((name, test)) = filter else {
            let rows = (offset..offset.saturating_add(limit)).map_while(|p| self.at(order, p)).collect();
            return (rows, self.len());
        };
        if self.scans.len() >= SCANS_MAX {
            self.scans.clear();
        }
        let mut scan = self.scans.remove(&(order, name.to_owned())).unwrap_or_default();
        let (mut passed, mut position) =
            scan.marks.range(..=offset).next_back().map_or((0, 0), |(passed, position)| (*passed, *position));
        let mut rows = Vec::new();
        while (rows.len() as u64) < limit
            && let Some(row) = self.at(order, position)
        {
            position += 1;
            if test(&row) {
                if passed >= offset {
                    rows.push(row);
                }
                passed += 1;
            }
        }
        scan.marks.insert(passed, position);
        if count && scan.count.is_none() {
            let total = (0..self.len()).filter_map(|p| self.at(order, p)).filter(|row| test(row)).count();
            scan.count = Some(total as u64);
        }
        let total = scan.count.unwrap_or(0);
        self.scans.insert((order, name.to_owned()), scan);
        (rows, total)
    }

    /// Changes `count` rows by chance. Gives them, ascending, as do the other changes.
    pub(crate) fn touch(&mut self, count: u64, now: i64, draw: &mut Draw) -> Vec<Row> {
        let now = self.moment(now);
        let slots = self.choose(count, u64::MAX, draw);
        for slot in &slots {
            let change = self.changes.entry(*slot).or_default();
            change.version += 1;
            change.updated = Some(now);
        }
        self.settle();
        self.rows(&slots)
    }

    /// Adds rows at the end, as created now.
    pub(crate) fn add(&mut self, count: u64, now: i64) -> Vec<Row> {
        let now = self.moment(now);
        let slots: Vec<u64> = (0..count).map(|n| self.next + n * SLOTS).collect();
        for slot in &slots {
            self.changes.insert(*slot, Change { version: 0, created: Some(now), updated: Some(now) });
        }
        self.next += count * SLOTS;
        self.extra.extend(&slots);
        self.settle();
        self.rows(&slots)
    }

    /// Deletes rows by chance among the first `before` by id. Gives them as they were.
    pub(crate) fn delete(&mut self, count: u64, before: u64, draw: &mut Draw) -> Vec<Row> {
        let slots = self.choose(count, before, draw);
        let rows = self.rows(&slots);
        for slot in &slots {
            self.changes.remove(slot);
            if self.in_base(*slot) {
                self.dead.push(*slot);
            }
        }
        self.dead.sort_unstable();
        self.extra.retain(|slot| slots.binary_search(slot).is_err());
        self.settle();
        rows
    }

    /// Puts rows in among the first `before` by id, as if they had always been there but were changed now. Fewer
    /// where there is no room.
    pub(crate) fn insert(&mut self, count: u64, before: u64, now: i64, draw: &mut Draw) -> Vec<Row> {
        let now = self.moment(now);
        let room = before.min(self.base);
        let mut slots = Vec::new();
        for _ in 0..count * 64 {
            if slots.len() as u64 == count || room == 0 {
                break;
            }
            let slot = draw.below(room) * SLOTS + 1 + draw.below(SLOTS - 1);
            if self.extra.binary_search(&slot).is_err() && !slots.contains(&slot) {
                slots.push(slot);
                self.changes.insert(slot, Change { version: 0, created: None, updated: Some(now) });
            }
        }
        self.extra.extend(&slots);
        self.extra.sort_unstable();
        self.settle();
        slots.sort_unstable();
        self.rows(&slots)
    }

    /// Different live rows among the first `before` by id; all of them if there are not enough. Ascending.
    fn choose(&self, count: u64, before: u64, draw: &mut Draw) -> Vec<u64> {
        let span = before.min(self.len());
        let shuffle = Permutation::new(span, draw.bits());
        let mut slots: Vec<u64> = (0..count.min(span)).map(|n| self.slot_by_id(shuffle.of(n))).collect();
        slots.sort_unstable();
        slots
    }

    fn rows(&self, slots: &[u64]) -> Vec<Row> {
        slots.iter().map(|slot| self.row(*slot)).collect()
    }

    /// Now; not before anything that was written down, since the orders rely on it.
    fn moment(&mut self, now: i64) -> i64 {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Sorts what listings count in. Called after every change.
    fn settle(&mut self) {
        self.scans.clear();
        let touched = self.changes.keys().filter(|slot| self.in_base(**slot));
        let mut moved: Vec<u64> = touched.chain(&self.dead).map(|slot| self.rank.of(slot / SLOTS)).collect();
        moved.sort_unstable();
        self.moved = moved;
        self.late = self.changes.iter().filter_map(|(slot, c)| Some((c.updated?, *slot))).collect();
        self.late.sort_unstable();
    }
}

/// The numbers below `n` in another order, both ways at no cost.
struct Permutation {
    n: u64,
    factor: u64,
    shift: u64,
    inverse: u64,
}

impl Permutation {
    fn new(n: u64, bits: u64) -> Self {
        if n < 2 {
            return Self { n, factor: 0, shift: 0, inverse: 0 };
        }
        // Near the golden section neighbours land far apart.
        let start = (n as f64 * 0.618_033_988) as u64;
        let factor = (start.max(1)..n).chain(1..=start).find(|a| gcd(*a, n) == 1).expect("1 has no divisors");
        Self { n, factor, shift: bits % n, inverse: inverse(factor, n) }
    }

    fn of(&self, number: u64) -> u64 {
        self.times(number, self.factor, self.shift)
    }

    fn inverse(&self, number: u64) -> u64 {
        self.times(number + self.n - self.shift, self.inverse, 0)
    }

    fn times(&self, number: u64, factor: u64, plus: u64) -> u64 {
        let product = u128::from(number) * u128::from(factor) + u128::from(plus);
        u64::try_from(product % u128::from(self.n.max(1))).expect("a remainder is smaller than its divisor")
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The number that `factor` times gives 1 modulo `n` (extended Euclid).
fn inverse(factor: u64, n: u64) -> u64 {
    let (mut r, mut next_r) = (i128::from(n), i128::from(factor));
    let (mut t, mut next_t) = (0, 1);
    while next_r != 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    t.rem_euclid(i128::from(n)) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;

    fn order(by: By, descending: bool) -> Order {
        Order { by, descending }
    }

    fn rows(table: &Table, order: Order) -> Vec<Row> {
        (0..).map_while(|position| table.at(order, position)).collect()
    }

    /// What every table promises, whatever was done to it.
    fn check(table: &Table) {
        let by_id = rows(table, order(By::Id, false));
        assert_eq!(by_id.len() as u64, table.len());
        assert!(by_id.is_sorted_by(|a, b| a.slot < b.slot && a.created <= b.created), "by id");
        let by_update = rows(table, order(By::Updated, false));
        assert!(by_update.is_sorted_by_key(|r| r.updated), "by update");
        assert!(by_update.is_sorted_by_key(|r| r.updated_second), "by the second clock");
        assert!(by_update.iter().all(|r| r.updated_second <= r.updated && r.created <= r.updated));
        let slots = |rows: &[Row]| rows.iter().map(|r| r.slot).collect::<BTreeSet<_>>();
        assert_eq!(slots(&by_id), slots(&by_update), "both orders have the same rows");
        assert_eq!(slots(&by_update).len(), by_update.len(), "each once");
        for (by, mut up) in [(By::Id, by_id.clone()), (By::Updated, by_update)] {
            up.reverse();
            assert_eq!(rows(table, order(by, true)), up, "descending is the same backwards");
        }
        assert!(by_id.iter().all(|r| table.get(r.slot) == Some(*r)));
    }

    #[test]
    fn every_size_is_whole_in_every_order() {
        for base in (0..40).chain([97, 128, 1_000]) {
            check(&Table::new(1, 2, base));
        }
    }

    #[test]
    fn changes_of_every_kind_keep_the_orders() {
        for seed in 0..60 {
            let mut draw = Draw::new(mix(seed), 0);
            let mut table = Table::new(seed, 7, draw.below(60));
            for round in 0..8 {
                let (count, before) = (draw.below(9), draw.below(70));
                let now = NOW + draw.between(-1_000, 1_000) + round;
                match draw.below(4) {
                    0 => table.touch(count, now, &mut draw),
                    1 => table.add(count, now),
                    2 => table.delete(count, before, &mut draw),
                    _ => table.insert(count, before, now, &mut draw),
                };
                check(&table);
            }
        }
    }

    #[test]
    fn a_change_shows_and_goes_to_the_end_of_the_updates() {
        let mut table = Table::new(1, 2, 1_000);
        let before = table.len();
        let touched = table.touch(25, NOW, &mut Draw::new(5, 0));
        assert_eq!((touched.len(), table.len()), (25, before));
        let newest: Vec<_> = (0..26).filter_map(|p| table.at(order(By::Updated, true), p)).collect();
        assert!(newest[..25].iter().all(|r| r.updated == NOW && r.version == 1));
        assert_eq!(newest[25].version, 0);
        let mut found = newest[..25].to_vec();
        found.sort_unstable_by_key(|r| r.slot);
        assert_eq!(found, touched);
    }

    #[test]
    fn rows_are_inserted_and_deleted_before_a_position() {
        let mut table = Table::new(1, 2, 100);
        let at_50 = table.at(order(By::Id, false), 50);
        assert_eq!(table.insert(3, 20, NOW, &mut Draw::new(5, 0)).len(), 3);
        assert_eq!(table.at(order(By::Id, false), 53), at_50);
        assert_eq!(table.delete(4, 20, &mut Draw::new(6, 0)).len(), 4);
        assert_eq!(table.at(order(By::Id, false), 49), at_50);
        assert_eq!(table.insert(10_000, 2, NOW, &mut Draw::new(7, 0)).len(), 14, "two gaps of seven");
        assert_eq!(table.delete(10_000, u64::MAX, &mut Draw::new(8, 0)).len(), 113);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn updates_are_monotone_in_the_order_and_have_ties() {
        let table = Table::new(1, 2, 999);
        let moments: BTreeSet<_> =
            rows(&table, order(By::Updated, false)).iter().map(|r| r.updated).collect();
        assert_eq!(moments.len(), 333);
        assert!(moments.iter().all(|m| (UPDATED_FROM..UPDATED_TO).contains(m)));
    }

    #[test]
    fn filtered_pages_join_to_the_filtered_listing() {
        let mut table = Table::new(1, 2, 1_000);
        let passes = |row: &Row| row.slot / SLOTS % 7 == 3;
        let all: Vec<Row> = rows(&table, order(By::Id, true)).into_iter().filter(passes).collect();
        for limit in [1, 10, 64, 5_000] {
            let mut found = Vec::new();
            loop {
                let offset = found.len() as u64;
                let (page, total) =
                    table.page(order(By::Id, true), Some(("x", &passes)), offset, limit, true);
                assert_eq!(total, all.len() as u64);
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
            assert_eq!(found, all);
        }
        let (page, _) = table.page(order(By::Id, true), Some(("x", &passes)), 100, 10, false);
        assert_eq!(page, all[100..110], "a jump into the middle");
        table.touch(1, NOW, &mut Draw::new(1, 0));
        let (page, _) = table.page(order(By::Id, true), Some(("y", &|_| false)), 0, 10, false);
        assert_eq!(page, []);
    }

    #[test]
    fn a_hundred_million_rows_cost_nothing() {
        let table = Table::new(1, 2, 100_000_000);
        let newest = table.at(order(By::Updated, true), 0).expect("a row");
        let older = table.at(order(By::Updated, true), 50_000_000).expect("a row");
        assert!(newest.updated > older.updated);
        assert_eq!(table.at(order(By::Id, false), 99_999_999).expect("a row").slot, 799_999_992);
    }
}
