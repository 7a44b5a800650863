use std::sync::Mutex;

use fastrand::Rng;
use sync_core::Pause;
use sync_testkit::clock::{EPOCH, Virtual};
use sync_testkit::fetch::{Scripted, failure, get, response};

use super::*;
use crate::{Budgets, Period, Rule, Terms};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rule(count: u32, window: Duration) -> Rule {
    Rule { count, period: Period::Sliding(window), account: 0, ceiling: false }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Watch for Told {
    fn event(&self, event: Event) {
        let Event::Waiting { reason, duration } = event else { panic!("{event:?}") };
        self.0.lock().expect("no holder panics").push(format!("{reason}: {duration:?}"));
    }
}

struct House {
    clock: Arc<Virtual>,
    budget: Arc<Budget>,
    paced: Paced,
    told: Arc<Told>,
    stop: Stop,
}

/// A budget in front of an `inner` that is given the clock.
fn house(
    rules: Vec<Rule>,
    concurrency: Option<u32>,
    inner: impl FnOnce(Arc<Virtual>) -> Arc<dyn Fetch>,
) -> House {
    let (clock, told, stop) = (Arc::new(Virtual::new()), Arc::new(Told::default()), Stop::default());
    let terms = Terms { accounts: vec!["acme".to_owned()], rules, concurrency, ..Terms::default() };
    let budget = Budgets::new(clock.clone()).open(terms);
    let (inner, label) = (inner(clock.clone()), "Acme".to_owned());
    let paced = Paced::new(inner, budget.clone(), label, told.clone(), stop.clone(), clock.clone());
    House { clock, budget, paced, told, stop }
}

fn answering_after(latency: Duration) -> impl FnOnce(Arc<Virtual>) -> Arc<dyn Fetch> {
    move |clock| Arc::new(Scripted::timed(clock, move |_| (latency, Ok(response(200, "")))))
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_told_and_counted() {
    let house = house(vec![rule(2, s(10)), rule(100, s(60))], None, answering_after(ms(100)));
    let request = get("https://acme.test/");
    let mut waited = Vec::new();
    for _ in 0..3 {
        waited.push(house.paced.fetch(&request).await.expect("answered").waited);
    }
    // The first answer came at 100 ms, so its place is free at 10,102; by then 200 ms have passed.
    assert_eq!(waited, [ms(0), ms(0), ms(9902)]);
    assert_eq!(*house.told.0.lock().expect("no holder panics"), ["Acme 2 per 10 s: 9.902s"]);
    let report = house.budget.report();
    assert_eq!((report.requests, report.waits[0].rule.as_str()), (3, "2 per 10 s"));
    assert_eq!(report.waits[0].waited_ms, 9_902);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everyone_back_and_a_shorter_one_changes_nothing() {
    let house = house(vec![], None, answering_after(ms(0)));
    let request = get("https://acme.test/");
    house.budget.limited(&request, s(30)).await;
    house.budget.limited(&request, s(2)).await;
    house.paced.fetch(&request).await.expect("answered");
    assert_eq!(house.clock.monotonic(), s(30));
    assert_eq!(*house.told.0.lock().expect("no holder panics"), ["Acme asked for a pause: 30s"]);
}

#[tokio::test(start_paused = true)]
async fn a_spent_day_is_a_clean_stop_and_a_spent_hour_is_waited_out() {
    let house = house(vec![rule(2, s(86_400)), rule(1, s(3_600))], None, answering_after(ms(0)));
    let request = get("https://acme.test/");
    for _ in 0..2 {
        house.paced.fetch(&request).await.expect("one each hour");
        house.clock.advance(ms(1)).await;
    }
    house.clock.advance(s(3_600)).await;
    let error = house.paced.fetch(&request).await.expect_err("the day is spent");
    assert_eq!(error.kind, FetchErrorKind::Quota);
    assert_eq!(
        error.message,
        "Acme 2 per 24 h: used up; the next request is possible at 2026-01-02 00:00:08 UTC, in 23 h"
    );
    assert!(house.clock.monotonic() < s(7_300));
    let nothing = self::house(vec![rule(0, s(1))], None, answering_after(ms(0)));
    let error = nothing.paced.fetch(&request).await.expect_err("nothing is allowed");
    assert_eq!(error.message, "Acme 0 per 1 s: no request is ever possible");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_the_wait() {
    let house = house(vec![rule(1, s(60))], None, answering_after(ms(0)));
    let request = get("https://acme.test/");
    house.paced.fetch(&request).await.expect("the first");
    let (result, ()) = tokio::join!(house.paced.fetch(&request), async {
        house.clock.sleep(s(1)).await;
        house.stop.ask();
    });
    assert_eq!(result.expect_err("stopped").kind, FetchErrorKind::Stopped);
    assert_eq!(house.clock.monotonic(), s(1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_failed_or_was_dropped_keeps_its_place_for_one_window() {
    let fail = |clock: Arc<Virtual>| -> Arc<dyn Fetch> {
        Arc::new(Scripted::timed(clock, |_| (s(3), Err(failure(FetchErrorKind::Timeout)))))
    };
    let house = house(vec![rule(1, s(10))], None, fail);
    let request = get("https://acme.test/");
    house.paced.fetch(&request).await.expect_err("a time-out at 3 s");
    tokio::time::timeout(ms(11_001), house.paced.fetch(&request)).await.expect_err("dropped at 14.001 s");
    // What was dropped may have been on its way for a quarter of a second more.
    house.paced.fetch(&request).await.expect_err("sent at 24.253 s, a time-out at 27.253 s");
    assert_eq!(house.clock.monotonic(), ms(27_253));
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_queue_costs_nothing_and_the_rest_keep_their_order() {
    let house = house(vec![rule(1, s(10))], None, answering_after(ms(0)));
    let order = Mutex::new(Vec::new());
    let one = async |name: u32, patience: Duration| {
        let request = get("https://acme.test/");
        if tokio::time::timeout(patience, house.paced.fetch(&request)).await.is_ok() {
            order.lock().expect("no holder panics").push((name, house.clock.monotonic()));
        }
    };
    let ever = s(1_000);
    tokio::join!(one(1, ever), one(2, s(4)), one(3, ever), one(4, s(4)), one(5, ever));
    let order = order.into_inner().expect("no holder panics");
    assert_eq!(order, [(1, ms(0)), (3, ms(10_002)), (5, ms(20_004))]);
}

#[tokio::test(start_paused = true)]
async fn the_place_is_counted_from_the_first_byte_unless_the_wall_clock_lied() {
    // Three seconds to the first byte, two more for the body.
    struct Slow(Arc<Virtual>, Option<Timestamp>);
    impl Fetch for Slow {
        fn fetch<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
            Box::pin(async move {
                self.0.sleep(s(3)).await;
                let first_byte_at = self.0.now();
                self.0.sleep(s(2)).await;
                if let Some(wall) = self.1 {
                    self.0.set_wall(wall);
                }
                Ok(Response { first_byte_at, ..response(200, "") })
            })
        }
    }
    let day = s(86_400);
    for (wall, expect) in [(None, 13_002), (Some(EPOCH.plus(day)), 15_002), (Some(EPOCH.minus(day)), 15_002)]
    {
        let house = house(vec![rule(1, s(10))], None, |clock| Arc::new(Slow(clock, wall)));
        let request = get("https://acme.test/");
        house.paced.fetch(&request).await.expect("answered");
        house.paced.fetch(&request).await.expect("answered");
        assert_eq!(house.clock.monotonic(), ms(expect + 5_000), "{wall:?}");
    }
}

/// A provider that counts: each request at a random moment between its sending and its end.
struct Counting {
    clock: Arc<Virtual>,
    rng: Mutex<Rng>,
    latency_max: u64,
    counted: Arc<Mutex<Vec<Duration>>>,
    sent: Arc<Mutex<Vec<Duration>>>,
}

impl Fetch for Counting {
    fn fetch<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(async move {
            let (before, after, body) = {
                let mut rng = self.rng.lock().expect("no holder panics");
                let latency = rng.u64(0..=self.latency_max);
                let before = rng.u64(0..=latency);
                (ms(before), ms(latency - before), ms(rng.u64(0..=self.latency_max)))
            };
            self.sent.lock().expect("no holder panics").push(self.clock.monotonic());
            self.clock.sleep(before).await;
            self.counted.lock().expect("no holder panics").push(self.clock.monotonic());
            self.clock.sleep(after).await;
            let first_byte_at = self.clock.now();
            self.clock.sleep(body).await;
            Ok(Response { first_byte_at, ..response(200, "") })
        })
    }
}

fn window(rule: &Rule) -> Duration {
    match rule.period {
        Period::Sliding(window) => window,
        Period::Day => s(86_400),
    }
}

struct Storm {
    rules: Vec<Rule>,
    concurrency: Option<u32>,
    workers: usize,
    latency_max: u64,
    hours: u64,
    /// Pauses and impatient callers.
    wild: bool,
}

struct Ledger {
    counted: Vec<Duration>,
    sent: Vec<Duration>,
    pauses: Vec<(Duration, Duration)>,
}

async fn storm(storm: &Storm, seed: u64) -> Ledger {
    let (counted, sent) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
    let house = house(storm.rules.clone(), storm.concurrency, |clock| {
        Arc::new(Counting {
            clock,
            rng: Mutex::new(Rng::with_seed(seed)),
            latency_max: storm.latency_max,
            counted: counted.clone(),
            sent: sent.clone(),
        })
    });
    let end = s(storm.hours * 3_600);
    let pauses = Mutex::new(Vec::new());
    let worker = async |number: usize| {
        let mut rng = Rng::with_seed(seed ^ (number as u64 + 1) << 32);
        let request = get("https://acme.test/");
        while house.clock.monotonic() < end {
            let patience = if storm.wild && rng.u8(..) < 60 { ms(rng.u64(0..90_000)) } else { end };
            let _ = tokio::time::timeout(patience, house.paced.fetch(&request)).await;
            if storm.wild && rng.u8(..) == 0 {
                let (now, pause) = (house.clock.monotonic(), ms(rng.u64(0..300_000)));
                house.budget.limited(&request, pause).await;
                pauses.lock().expect("no holder panics").push((now, now + pause));
            }
        }
    };
    let workers: Vec<_> = (0..storm.workers).map(worker).collect();
    all(workers).await;
    let take = |list: Arc<Mutex<Vec<Duration>>>| std::mem::take(&mut *list.lock().expect("no holder panics"));
    Ledger {
        counted: take(counted),
        sent: take(sent),
        pauses: pauses.into_inner().expect("no holder panics"),
    }
}

/// Runs all futures in this task.
async fn all(futures: Vec<impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut futures {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// The most requests that any closed window of that length held.
fn most(moments: &[Duration], window: Duration) -> usize {
    let mut first = 0;
    let counts = moments.iter().enumerate().map(|(last, moment)| {
        while moments[first] + window < *moment {
            first += 1;
        }
        last - first + 1
    });
    counts.max().unwrap_or(0)
}

fn check(storm: &Storm, ledger: &Ledger, seed: u64) {
    let mut counted = ledger.counted.clone();
    counted.sort();
    for rule in &storm.rules {
        let most = most(&counted, window(rule));
        assert!(most <= rule.count as usize, "seed {seed}: {most} requests in a window of {}", rule.label());
    }
    for (from, to) in &ledger.pauses {
        let early = ledger.sent.iter().find(|sent| *from < **sent && *sent < to);
        assert_eq!(early, None, "seed {seed}: sent during the pause from {from:?} to {to:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_ever_holds_more_than_its_rule_whatever_happens() {
    for seed in 0..6 {
        let storm_ = Storm {
            rules: vec![rule(50, s(5)), rule(300, s(60)), rule(6_000, s(3_600))],
            concurrency: (seed % 2 == 0).then_some(8),
            workers: 20,
            latency_max: 4_000,
            hours: 1,
            wild: true,
        };
        let ledger = storm(&storm_, seed).await;
        check(&storm_, &ledger, seed);
        let count = ledger.counted.len();
        assert!(count > 500 && !ledger.pauses.is_empty(), "seed {seed}: a storm in a glass, {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_run_uses_what_is_allowed() {
    for (rules, workers, latency_max, binding) in [
        (vec![rule(200, s(60))], 8, 1_000, 0),
        (vec![rule(50, s(5)), rule(3_000, s(3_000))], 16, 100, 1),
        (vec![rule(50, s(5))], 40, 200, 0),
        (vec![rule(10, s(1)), rule(300, s(60))], 4, 300, 1),
    ] {
        let storm_ = Storm { rules, concurrency: None, workers, latency_max, hours: 2, wild: false };
        let ledger = storm(&storm_, 7).await;
        check(&storm_, &ledger, 7);
        let rule = &storm_.rules[binding];
        let windows = s(storm_.hours * 3_600).as_secs_f64() / window(rule).as_secs_f64();
        let used = ledger.counted.len() as f64 / (windows * f64::from(rule.count));
        assert!(used >= 0.95, "{}: {:.1} % used", rule.label(), used * 100.0);
    }
}
