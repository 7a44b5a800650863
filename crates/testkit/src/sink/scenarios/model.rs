//! Thousands of rows and tombstones against a model that keeps the contract in the plainest way.

use std::collections::BTreeMap;

use sync_core::Disposition::{History, Merge};
use sync_core::{TableSpec, system};

use super::Story;
use crate::sink::hand::{Ground, Hand, SpecExt as _, at, read, spec, version};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("many rows and tombstones under merge", |ground| play(ground, &spec("t", &["id"], Merge), 1)),
    ("many rows and tombstones under merge, by order", |ground| {
        play(ground, &spec("t", &["id"], Merge).order("at"), 2);
    }),
    ("many rows and marks", |ground| play(ground, &spec("t", &["id"], Merge).deleted("_deleted"), 3)),
    ("many rows and marks, by order", |ground| {
        play(ground, &spec("t", &["id"], Merge).order("at").deleted("_deleted"), 4);
    }),
    ("many versions", |ground| play(ground, &spec("t", &["id"], History), 5)),
    ("many versions by order", |ground| play(ground, &spec("t", &["id"], History).order("at"), 6)),
];

const KEYS: u64 = 1500;
const RUNS: u64 = 5;
const PAGES: u64 = 4;
/// Batches of a page: rows, tombstones, and rows again.
const BATCHES: [(bool, u64); 3] = [(false, 250), (true, 60), (false, 90)];

/// What a sink must hold.
#[derive(Clone)]
struct Model {
    spec: TableSpec,
    keys: BTreeMap<String, Vec<Row>>,
    loaded: u64,
}

/// A row, or a version of one. Instants are texts, which are ordered as they are.
#[derive(Clone)]
struct Row {
    v: u64,
    order: Option<String>,
    /// A column that comes later.
    late: Option<u64>,
    run: String,
    deleted: bool,
    /// When it was read, until it is a version.
    from: String,
    to: Option<String>,
}

impl Model {
    fn take(&mut self, key: &str, new: Row, tombstone: bool) {
        let history = self.spec.disposition == History;
        let ordered = self.spec.order.is_some();
        let since = new.order.clone().filter(|_| ordered).unwrap_or_else(|| new.from.clone());
        let rows = self.keys.entry(key.to_owned()).or_default();
        let last = rows.last_mut();
        let older = |row: &Row| {
            ordered && new.order.as_ref().zip(row.order.as_ref()).is_some_and(|(new, had)| new < had)
        };
        let equal = |row: &Row| (new.v, &new.order, new.late) == (row.v, &row.order, row.late);
        self.loaded += u64::from(match (history, tombstone, last) {
            (true, false, last) => {
                let mut from = since.clone();
                let mut follows = true;
                if let Some(last) = last {
                    from = from.max(last.to.clone().unwrap_or_else(|| last.from.clone()));
                    if last.to.is_none() {
                        follows = !older(last) && !equal(last);
                        last.to = Some(from.clone()).filter(|_| follows);
                    }
                }
                if follows {
                    rows.push(Row { from, ..new });
                }
                follows
            }
            (true, true, Some(last)) if last.to.is_none() && !older(last) => {
                last.to = Some(since.max(last.from.clone()));
                true
            }
            (false, false, None) => {
                rows.push(new);
                true
            }
            (false, false, Some(row)) if !older(row) && (row.deleted || !equal(row)) => {
                let counted = row.run == new.run;
                *row = new;
                !counted
            }
            (false, true, Some(row)) if !older(row) => match self.spec.deleted {
                Some(_) if row.deleted => false,
                Some(_) => {
                    let counted = row.run == new.run;
                    (row.deleted, row.run) = (true, new.run);
                    !counted
                }
                None => {
                    rows.clear();
                    true
                }
            },
            _ => false,
        });
    }

    #[track_caller]
    fn compare(&self, ground: &Ground, late: bool) {
        let each = || self.keys.iter().flat_map(|(key, rows)| rows.iter().map(move |row| (key, row)));
        let engine: &[&str] = match (self.spec.disposition, &self.spec.deleted) {
            (History, _) => &[system::RUN, system::VALID_FROM, system::VALID_TO, system::CURRENT],
            (_, Some(_)) => &[system::RUN, system::DELETED],
            (_, None) => &[system::RUN],
        };
        let line = |(key, row): (&String, &Row)| {
            let line = format!("{}|{}", row.line(key, late), row.run);
            match (self.spec.disposition, &self.spec.deleted) {
                (History, _) => version(&line, &row.from, row.to.as_deref().unwrap_or("~")),
                (_, Some(_)) => format!("{line}|{}", u8::from(row.deleted)),
                (_, None) => line,
            }
        };
        ground.check_with(&self.spec.stream, engine, &each().map(line).collect::<Vec<_>>());
    }
}

impl Row {
    /// The provider's columns.
    fn line(&self, key: &str, late: bool) -> String {
        let order = self.order.as_deref().unwrap_or("~");
        let late = match (late, self.late) {
            (false, _) => String::new(),
            (true, None) => "|~".to_owned(),
            (true, Some(n)) => format!("|{n}"),
        };
        format!("{key}|{}|{order}{late}", self.v)
    }
}

/// Runs of random pages; some are cut before a commit, as by a kill.
fn play(ground: &Ground, spec: &TableSpec, seed: u64) {
    let mut dice = Dice(seed);
    let mut model = Model { spec: spec.clone(), keys: BTreeMap::new(), loaded: 0 };
    for run in 0..RUNS {
        let name = format!("run-{run}");
        let mut hand = ground.open(&spec.run(&name));
        let late = run >= RUNS / 2;
        hand.evolve(if late { "id:int v:int at:timestamp late:int" } else { "id:int v:int at:timestamp" });
        hand.wait(run as i64 * 100);
        model.loaded = 0;
        let (mut seq, mut cut) = (0, false);
        for page in 0..PAGES {
            let before = model.clone();
            for (tombstone, rows) in BATCHES {
                let first = read(run as i64 * 100, seq);
                let rows: Vec<_> =
                    (0..rows).map(|_| dice.row(run * PAGES + page, late, &first, &name)).collect();
                let lines: Vec<&str> = rows.iter().map(|(line, ..)| line.as_str()).collect();
                stage(&mut hand, tombstone, &lines);
                seq += lines.len() as i64;
                for (_, key, row) in rows {
                    model.take(&key, row, tombstone);
                }
                if dice.one_in(8) {
                    hand.restart();
                }
            }
            cut = page > 0 && dice.one_in(6);
            if cut {
                model = before;
                break;
            }
            match page == PAGES - 1 {
                true => hand.finish(),
                false => drop(hand.commit()),
            }
            if dice.one_in(3) {
                hand.publish();
                model.compare(ground, late);
            }
        }
        if !cut {
            assert_eq!(hand.loaded, model.loaded, "loaded by {name} of seed {seed}");
            model.compare(ground, late);
        }
    }
    let mut hand = ground.open(&spec.run("last"));
    hand.finish();
    hand.books(0, 0);
    drop(hand);
    model.compare(ground, true);
}

fn stage(hand: &mut Hand, tombstone: bool, lines: &[&str]) {
    match tombstone {
        true => hand.remove(lines),
        false => hand.write(lines),
    }
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    /// A row as a line and as the model has it, with its key; later pages tend to have later rows.
    fn row(&mut self, page: u64, late: bool, read: &str, run: &str) -> (String, String, Row) {
        let key = match self.roll(KEYS) {
            0 => "~".to_owned(),
            n => (n * n / KEYS).to_string(), // some come often
        };
        let v = self.roll(3);
        let order = (!self.one_in(20)).then(|| at((page * 100 + self.roll(200)) as u32));
        let value = Some(self.roll(2)).filter(|_| late && self.one_in(4));
        let row = Row {
            v,
            order,
            late: value,
            run: run.to_owned(),
            deleted: false,
            from: read.to_owned(),
            to: None,
        };
        (row.line(&key, late), key, row)
    }
}
