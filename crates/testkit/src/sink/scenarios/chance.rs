//! Sinks against a model that anybody can check by reading it: rows and tombstones at random, in commits, runs and
//! publications at random, under each disposition.

use sync_core::{Disposition, TableSpec, Timestamp, system};

use super::Story as Named;
use crate::sink::hand::{Ground, Hand, SpecExt as _, spec};

/// The stories with their names.
pub(super) const ALL: &[Named] = &[("whatever comes, in whatever order", like_the_model)];

/// Whatever is done, the table is what the model is.
fn like_the_model(ground: &Ground) {
    let dispositions = (ground.make)(ground.dir).capability().dispositions;
    for (number, story) in STORIES.iter().enumerate().filter(|(_, s)| dispositions.contains(&s.disposition)) {
        for seed in 0..12 {
            let dir = ground.dir.join(format!("{number}-{seed}"));
            std::fs::create_dir(&dir).expect("a folder");
            story.play(&Ground { dir: &dir, ..*ground }, seed);
        }
    }
}

/// What a table is wished to be.
struct Story {
    disposition: Disposition,
    order: bool,
    mark: Option<&'static str>,
    tombstones: bool,
}

const fn story(disposition: Disposition, order: bool, mark: Option<&'static str>) -> Story {
    Story { disposition, order, mark, tombstones: true }
}

const STORIES: &[Story] = &[
    story(Disposition::Merge, false, None),
    story(Disposition::Merge, true, None),
    story(Disposition::Merge, false, Some(system::DELETED)),
    story(Disposition::Merge, true, Some("is_gone")),
    story(Disposition::History, false, None),
    story(Disposition::History, true, None),
    story(Disposition::Append, false, Some(system::DELETED)),
    story(Disposition::Replace, false, None),
    Story { tombstones: false, ..story(Disposition::History, true, None) },
];

/// A row of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    key: u64,
    value: Option<u64>,
    order: Option<i64>,
    /// A column that came later.
    late: Option<u64>,
    deleted: bool,
    from: i64,
    to: Option<i64>,
}

impl Row {
    fn same(&self, other: &Self) -> bool {
        (self.value, self.order, self.late) == (other.value, other.order, other.late)
    }

    fn line(&self, wide: bool) -> String {
        let cell = |value: Option<String>| value.unwrap_or_else(|| "~".to_owned());
        let mut cells = vec![self.key.to_string(), cell(self.value.map(|v| format!("v{v}")))];
        cells.push(cell(self.order.map(moment)));
        if wide {
            cells.push(cell(self.late.map(|v| v.to_string())));
        }
        cells.join("|")
    }
}

fn moment(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

impl Story {
    fn spec(&self) -> TableSpec {
        let spec = spec("t", &["id"], self.disposition);
        let spec = if self.order { spec.order("o") } else { spec };
        match self.mark {
            Some(mark) => spec.deleted(mark),
            None => spec,
        }
    }

    fn play(&self, ground: &Ground, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut rows, mut wide) = (Vec::new(), false);
        for run in 0..3 + seed % 3 {
            let mut hand = ground.open(&self.spec().run(&format!("run-{run}")));
            hand.evolve(if wide { WIDE } else { NARROW });
            if self.disposition == Disposition::Replace {
                rows.clear();
            }
            for _ in 0..random.usize(1..6) {
                if !wide && random.u8(..10) == 0 {
                    wide = true;
                    hand.evolve(WIDE);
                }
                for _ in 0..random.usize(1..4) {
                    self.batch(&mut hand, &mut rows, &mut random, wide);
                }
                hand.commit();
                if random.bool() {
                    hand.publish();
                }
            }
            if random.u8(..4) == 0 && self.disposition != Disposition::Replace {
                // What was committed counts, what was written after it does not.
                let mut scrap = rows.clone();
                self.batch(&mut hand, &mut scrap, &mut random, wide);
                continue;
            }
            hand.finish();
            drop(hand);
            self.compare(ground, &rows, wide, seed);
        }
        let mut hand = ground.open(&self.spec().run("last"));
        if self.disposition != Disposition::Replace {
            hand.evolve(if wide { WIDE } else { NARROW });
            hand.finish();
            drop(hand);
            self.compare(ground, &rows, wide, seed);
        }
    }

    /// Writes a few rows or tombstones, and does the same to the model.
    fn batch(&self, hand: &mut Hand, rows: &mut Vec<Row>, random: &mut fastrand::Rng, wide: bool) {
        let tombstones = self.tombstones && random.u8(..4) == 0;
        let at = hand.moment();
        let mut lines = Vec::new();
        for _ in 0..random.usize(1..8) {
            let order = (random.u8(..5) > 0).then(|| at + random.i64(-40..40) * 1_000_000);
            let new = Row {
                key: random.u64(..9),
                value: (!tombstones).then(|| random.u64(..3)),
                order,
                late: (wide && !tombstones && random.bool()).then(|| random.u64(..2)),
                deleted: tombstones,
                from: order.filter(|_| self.order).unwrap_or(at),
                to: None,
            };
            lines.push(new.line(wide));
            if tombstones { self.remove(rows, new) } else { self.write(rows, new) }
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        if tombstones { hand.remove(&lines) } else { hand.write(&lines) }
    }

    /// The row that a new one meets.
    fn met(rows: &[Row], new: &Row) -> Option<usize> {
        rows.iter().position(|row| row.key == new.key && row.to.is_none())
    }

    fn older(&self, new: &Row, was: &Row) -> bool {
        self.order && matches!((new.order, was.order), (Some(new), Some(was)) if new < was)
    }

    fn write(&self, rows: &mut Vec<Row>, mut new: Row) {
        if self.disposition == Disposition::Append {
            return Self::append(rows, new);
        }
        let Some(place) = Self::met(rows, &new) else {
            let ended = rows.iter().filter(|row| row.key == new.key).filter_map(|row| row.to).max();
            new.from =
                new.from.max(ended.filter(|_| self.disposition == Disposition::History).unwrap_or(new.from));
            return rows.push(new);
        };
        let was = &mut rows[place];
        if self.older(&new, was) || (was.same(&new) && !was.deleted) {
            return;
        }
        if self.disposition == Disposition::History {
            new.from = new.from.max(was.from);
            was.to = Some(new.from);
            rows.push(new);
        } else {
            *was = new;
        }
    }

    fn remove(&self, rows: &mut Vec<Row>, new: Row) {
        if self.disposition == Disposition::Append {
            return Self::append(rows, new);
        }
        let Some(place) = Self::met(rows, &new).filter(|place| !self.older(&new, &rows[*place])) else {
            return;
        };
        match self.disposition {
            Disposition::History => rows[place].to = Some(new.from.max(rows[place].from)),
            _ if self.mark.is_some() => rows[place].deleted = true,
            _ => drop(rows.remove(place)),
        }
    }

    fn append(rows: &mut Vec<Row>, new: Row) {
        if !rows.iter().any(|row| row.key == new.key && row.same(&new) && row.deleted == new.deleted) {
            rows.push(new);
        }
    }

    #[track_caller]
    fn compare(&self, ground: &Ground, rows: &[Row], wide: bool, seed: u64) {
        let mut expect: Vec<_> = rows
            .iter()
            .map(|row| {
                let mut line = row.line(wide);
                if self.mark.is_some() {
                    line.push_str(if row.deleted { "|1" } else { "|0" });
                }
                if self.disposition == Disposition::History {
                    let to = row.to.map_or("~".to_owned(), moment);
                    let current = u8::from(row.to.is_none());
                    line.extend(["|", &moment(row.from), "|", &to, "|", &current.to_string()]);
                }
                line
            })
            .collect();
        expect.sort();
        let mut columns = vec!["id", "v", "o"];
        columns.extend(wide.then_some("w"));
        columns.extend(self.mark);
        if self.disposition == Disposition::History {
            columns.extend([system::VALID_FROM, system::VALID_TO, system::CURRENT]);
        }
        let got = ground.rows("t").map(|rows| rows.lines_of(&columns)).unwrap_or_default();
        assert_eq!(got, expect, "{:?} {:?} {}, seed {seed}", self.disposition, self.mark, self.order);
    }
}

const NARROW: &str = "id:int v:text o:timestamp";
const WIDE: &str = "id:int v:text o:timestamp w:int";
