//! The arithmetic of budgets, without clocks and tasks: what processes that share an account may do at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use crate::figures::{Figures, Moment, Now};
use crate::hint::Hint;
use crate::ledger::{Decision, Ledger, Op, Why, Wish};
use crate::terms::{Bucket, Matcher, Period, Priority, Rule, Terms};

const MS: Moment = 1_000;
const SECOND: Moment = 1_000_000;
const DAY: Moment = 86_400 * SECOND;

fn sliding(count: u32, millis: u64) -> Rule {
    Rule { count, period: Period::Sliding(Duration::from_millis(millis)), account: 0, ceiling: false }
}

fn daily(count: u32) -> Rule {
    Rule { count, period: Period::Day, account: 0, ceiling: false }
}

fn terms(rules: Vec<Rule>) -> Terms {
    Terms { accounts: vec!["acme".to_owned()], rules, ..Terms::default() }
}

/// The figures of one account, and the time.
struct World {
    kept: Option<String>,
    now: Now,
    dead: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let now = Now { boot: "1".to_owned(), up: 0, wall: 20_000 * DAY };
        Self { kept: None, now, dead: BTreeSet::new() }
    }

    fn pass(&mut self, micros: Moment) {
        self.now.up += micros;
        self.now.wall += micros;
    }

    /// One step of a holder; figures go through their text, as they do in a store.
    fn step<T>(&mut self, terms: &Terms, holder: u64, act: impl FnOnce(&mut Ledger<'_>) -> T) -> T {
        let mut figures = vec![Figures::read(self.kept.as_deref()).expect("what was written")];
        figures[0].settle(&self.now, terms, &|holder| self.dead.contains(&holder));
        let mut ledger =
            Ledger { terms, figures: &mut figures, now: &self.now, holder, spans_machines: false };
        let done = act(&mut ledger);
        self.kept = Some(figures[0].write());
        done
    }

    fn take(&mut self, terms: &Terms, holder: u64, bucket: Option<usize>, cost: u32) -> Decision {
        let poll = Duration::from_millis(10);
        let wish = Wish { holder, lane: 0, bucket, cost, needed: 1, block: 0, poll };
        self.step(terms, holder, |ledger| ledger.take(&wish))
    }

    fn end(&mut self, terms: &Terms, holder: u64, bucket: Option<usize>, units: u32) {
        let op = Op::Ended { bucket, units, end: self.now.up, refused: false };
        self.step(terms, holder, |ledger| ledger.apply(&op));
    }

    /// A request that is answered at once.
    fn send(&mut self, terms: &Terms, holder: u64) -> Decision {
        let decision = self.take(terms, holder, None, 1);
        if decision == Decision::Granted(1) {
            self.end(terms, holder, None, 1);
        }
        decision
    }
}

fn rule_wait(decision: Decision) -> Moment {
    match decision {
        Decision::Wait { until, why: Why::Rule(_) } => until,
        other => panic!("{other:?}"),
    }
}

/// A request as the provider sees it: when it was counted, on a clock that never stops, and what it weighs.
struct Counted {
    at: Moment,
    units: u32,
    bucket: Option<usize>,
}

/// A process that draws on the account.
struct Process {
    holder: u64,
    /// End, units, bucket and the place among what was counted.
    under_way: Vec<(Moment, u32, Option<usize>, usize)>,
    next: Moment,
}

/// Plays an account for a while: random loads, deaths of processes, restarts of the machine, steps of the clock.
fn play(seed: u64, terms: &Terms, seconds: i64) -> Vec<Counted> {
    let mut rng = Rng::with_seed(seed);
    let (mut world, mut counted) = (World::new(), Vec::<Counted>::new());
    // The true time runs on while the machine is off.
    let (mut truth, mut holders) = (0_i64, 10_u64);
    let mut processes: Vec<Process> =
        (0..4).map(|holder| Process { holder, under_way: Vec::new(), next: 0 }).collect();
    while truth < seconds * SECOND {
        let tick = rng.i64(1..40) * MS;
        world.pass(tick);
        truth += tick;
        if rng.u32(0..400) == 0 {
            // A step of the wall clock; moments do not care. One that nobody sees before the machine restarts is one that
            // nobody can know of.
            world.now.wall += rng.i64(-7_200..7_200) * SECOND;
            world.step(terms, processes[0].holder, |_| ());
        }
        for process in &mut processes {
            let ended: Vec<_> = process.under_way.extract_if(.., |r| r.0 <= world.now.up).collect();
            for (end, units, bucket, _) in ended {
                let op = Op::Ended { bucket, units, end, refused: false };
                world.step(terms, process.holder, |ledger| ledger.apply(&op));
            }
            if rng.u32(0..900) == 0 {
                // Killed: what it had under way is counted within moments, or was before.
                for (.., place) in process.under_way.drain(..) {
                    let last = truth + rng.i64(0..200) * MS;
                    counted[place].at = counted[place].at.min(last);
                }
                world.dead.insert(process.holder);
                holders += 1;
                (process.holder, process.next) = (holders, world.now.up);
            }
            if process.next > world.now.up || process.under_way.len() > 6 {
                continue;
            }
            let bucket = (!terms.buckets.is_empty() && rng.bool()).then_some(0);
            let cost = if rng.u32(0..6) == 0 { 3 } else { 1 };
            match world.take(terms, process.holder, bucket, cost) {
                Decision::Granted(1) => {
                    let latency = rng.i64(0..1_500) * MS;
                    let at = truth + rng.i64(0..=latency);
                    process.under_way.push((world.now.up + latency, cost, bucket, counted.len()));
                    counted.push(Counted { at, units: cost, bucket });
                }
                Decision::Wait { until, .. } => process.next = until.min(world.now.up + SECOND),
                Decision::Busy { .. } => process.next = world.now.up + 10 * MS,
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        if rng.u32(0..3_000) == 0 {
            // The machine restarts: everybody dies, and its time begins anew.
            let off = rng.i64(3..60) * SECOND;
            for process in &mut processes {
                for (.., place) in process.under_way.drain(..) {
                    counted[place].at = counted[place].at.min(truth);
                }
                world.dead.insert(process.holder);
                holders += 1;
                (process.holder, process.next) = (holders, 0);
            }
            truth += off;
            let boot = format!("{}", holders + 1_000);
            world.now = Now { boot, up: rng.i64(1..3) * SECOND, wall: world.now.wall + off };
        }
    }
    counted
}

/// The most units that any closed window of that length held.
fn most<'a>(counted: impl Iterator<Item = &'a Counted>, window: Duration) -> u32 {
    let mut counted: Vec<_> = counted.map(|c| (c.at, c.units)).collect();
    counted.sort_unstable();
    let window = window.as_micros() as Moment;
    let (mut first, mut sum, mut most) = (0, 0, 0);
    for (at, units) in &counted {
        sum += units;
        while counted[first].0 + window < *at {
            sum -= counted[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

#[test]
fn no_window_is_exceeded_over_deaths_restarts_and_steps_of_the_clock() {
    let search = Bucket {
        name: "search".to_owned(),
        matches: Matcher { method: None, path: "*/search".to_owned(), base: String::new() },
        rules: vec![sliding(4, 1_000)],
        concurrency: Some(2),
        instead: true,
    };
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed ^ 0xb0d6);
        let rules = vec![
            sliding(rng.u32(5..60), rng.u64(500..5_000)),
            sliding(rng.u32(60..300), rng.u64(20_000..60_000)),
        ];
        let mut terms = terms(rules);
        if seed % 2 == 0 {
            terms.buckets.push(search.clone());
        }
        if seed % 3 == 0 {
            terms.concurrency = Some(rng.u32(1..6));
        }
        let counted = play(seed, &terms, 240);
        assert!(counted.len() > 100, "seed {seed}: a storm in a glass, {}", counted.len());
        for rule in &terms.rules {
            let Period::Sliding(window) = rule.period else { continue };
            let most = most(counted.iter().filter(|c| c.bucket.is_none()), window);
            assert!(most <= rule.count, "seed {seed}: {most} in a window of {}", rule.label());
        }
        let most = most(counted.iter().filter(|c| c.bucket.is_some()), Duration::from_secs(1));
        assert!(most <= 4, "seed {seed}: {most} searches in a second");
    }
}

#[test]
fn a_bucket_stands_instead_of_short_limits_and_a_day_counts_everything() {
    let mut world = World::new();
    let mut terms = terms(vec![sliding(2, 10_000), daily(6)]);
    let matches = Matcher { method: None, path: "*".to_owned(), base: String::new() };
    let rules = vec![sliding(3, 1_000)];
    terms.buckets =
        vec![Bucket { name: "search".to_owned(), matches, rules, concurrency: None, instead: true }];
    for _ in 0..3 {
        assert_eq!(world.take(&terms, 1, Some(0), 1), Decision::Granted(1));
        world.end(&terms, 1, Some(0), 1);
    }
    assert_eq!(rule_wait(world.take(&terms, 1, Some(0), 1)), SECOND + MS + SECOND / 10_000);
    assert_eq!(world.send(&terms, 2), Decision::Granted(1), "searches take no place of the others");
    assert_eq!(world.send(&terms, 2), Decision::Granted(1));
    rule_wait(world.send(&terms, 2));
    world.pass(10 * SECOND + 10 * MS);
    assert_eq!(world.send(&terms, 2), Decision::Granted(1), "the sixth of the day");
    let Decision::Spent { until, rule } = world.send(&terms, 2) else { panic!("the day is used up") };
    assert_eq!((rule.as_str(), until), ("6 per day", DAY + SECOND));
    assert!(matches!(world.take(&terms, 1, Some(0), 1), Decision::Spent { .. }));
    world.pass(DAY - 9 * SECOND);
    assert_eq!(world.send(&terms, 2), Decision::Granted(1), "a new day");
}

#[test]
fn what_is_under_way_at_midnight_counts_in_both_days_and_a_step_of_the_clock_ends_none() {
    let mut world = World::new();
    let terms = terms(vec![daily(3)]);
    assert_eq!(world.take(&terms, 1, None, 2), Decision::Granted(1));
    world.now.wall += DAY;
    assert!(matches!(world.take(&terms, 1, None, 2), Decision::Spent { .. }), "only the clock has moved");
    world.now.wall -= DAY;
    world.pass(DAY + 2 * SECOND);
    assert_eq!(world.take(&terms, 1, None, 1), Decision::Granted(1));
    assert!(
        matches!(world.take(&terms, 1, None, 1), Decision::Spent { .. }),
        "two are under way since yesterday"
    );
}

#[test]
fn interactive_runs_go_first_and_scheduled_ones_give_way_but_not_for_ever() {
    let interactive = terms(vec![sliding(1, 1_000)]);
    let scheduled = Terms { priority: Priority::Scheduled, ..interactive.clone() };
    let mut world = World::new();
    world.send(&interactive, 1);
    let first = rule_wait(world.take(&scheduled, 2, None, 1));
    let mine = rule_wait(world.take(&interactive, 3, None, 1));
    assert_eq!(first, mine, "the place that was the scheduled one's is now its own");
    world.pass(mine);
    // Whoever came first has to wait until the other one was served.
    assert!(!matches!(world.take(&scheduled, 2, None, 1), Decision::Granted(_)));
    assert_eq!(world.send(&interactive, 3), Decision::Granted(1));
    let mut served = 0;
    for _ in 0..80 {
        let until = rule_wait(world.take(&interactive, 3, None, 1));
        let _ = world.take(&scheduled, 2, None, 1);
        world.pass(until - world.now.up);
        if matches!(world.take(&scheduled, 2, None, 1), Decision::Granted(_)) {
            world.end(&scheduled, 2, None, 1);
            served += 1;
        } else {
            world.send(&interactive, 3);
        }
    }
    assert!((1..=3).contains(&served), "about once a minute, {served}");
}

#[test]
fn a_reserve_is_left_a_weight_is_paid_and_a_ceiling_is_never_raised() {
    let mut world = World::new();
    let reserved = Terms { reserve: 250_000, ..terms(vec![sliding(8, 1_000)]) };
    assert_eq!(world.take(&reserved, 1, None, 5), Decision::Granted(1));
    assert!(matches!(world.take(&reserved, 1, None, 2), Decision::Busy { .. }), "six of eight are ours");
    assert_eq!(world.take(&reserved, 1, None, 1), Decision::Granted(1));
    let whole = terms(vec![sliding(8, 1_000)]);
    assert_eq!(world.take(&whole, 2, None, 2), Decision::Granted(1), "the others may have the rest");
    assert!(matches!(world.take(&whole, 2, None, 9), Decision::Never { .. }), "it weighs more than there is");

    let told = |limit, remaining| Hint { limit: Some(limit), remaining, ..Hint::default() };
    let tell = |world: &mut World, terms: &Terms, hint| {
        let op = Op::Told { bucket: None, units: 1, hint, sent: world.now.up, at: world.now.up };
        world.step(terms, 1, |ledger| ledger.apply(&op));
    };
    let mut own = terms(vec![sliding(4, 1_000)]);
    own.rules[0].ceiling = true;
    for (terms, limit, expect) in [(&own, 8, 4), (&own, 2, 2), (&terms(vec![sliding(4, 1_000)]), 8, 8)] {
        let mut world = World::new();
        tell(&mut world, terms, told(limit, None));
        let granted = (0..20).take_while(|_| world.send(terms, 1) == Decision::Granted(1)).count();
        assert_eq!(granted, expect, "told {limit}");
    }
    // What is left tells that others use the account, too.
    let mut world = World::new();
    let plain = terms(vec![sliding(4, 1_000)]);
    world.send(&plain, 1);
    tell(&mut world, &plain, told(4, Some(1)));
    assert_eq!(world.send(&plain, 1), Decision::Granted(1));
    rule_wait(world.send(&plain, 1));
}

#[test]
fn a_day_follows_what_the_provider_says_is_left_and_when_it_ends() {
    let mut world = World::new();
    let terms = terms(vec![sliding(50, 5_000), daily(6_000)]);
    world.send(&terms, 1);
    let hint = Hint {
        limit: Some(6_000),
        remaining: Some(2),
        reset: Some(Duration::from_secs(100)),
        interval: None,
    };
    let op = Op::Told { bucket: None, units: 1, hint, sent: world.now.up, at: world.now.up };
    world.step(&terms, 1, |ledger| ledger.apply(&op));
    assert_eq!(world.send(&terms, 1), Decision::Granted(1));
    assert_eq!(world.send(&terms, 1), Decision::Granted(1));
    assert!(matches!(world.send(&terms, 1), Decision::Spent { until, .. } if until == 101 * SECOND));
    world.pass(101 * SECOND);
    assert_eq!(world.send(&terms, 1), Decision::Granted(1));
    // And the next one ends a day after that.
    let ends = world.step(&terms, 1, |ledger| ledger.day().expect("a day").2);
    assert_eq!(ends - world.now.wall, DAY - SECOND);
}
