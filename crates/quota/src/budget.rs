//! What one run draws from the accounts of its terms, shared with everybody who draws on them.
//!
//! Every decision is one step in the store, which takes a fraction of a millisecond; so where there is plenty, permits
//! are leased in blocks, and most of them come from memory. A leased permit that is not used in time is thrown away and
//! given back, never used late. Who has to wait stands in the store's queue, one ticket for each run and bucket; so
//! processes, pipelines and streams that share an account take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sync_core::{
    BoxFuture, BudgetReport, BudgetStore, BudgetWait, Clock, Pause, Problem, Request, Timestamp, Width,
};
use tokio::sync::Notify;

use crate::figures::{Figures, Moment, Now, duration, micros};
use crate::ledger::{Decision, Ledger, Op, Why, Wish};
use crate::memory::Memory;
use crate::terms::{Class, Terms};
use crate::width::Adaptive;

/// A wait beyond this is not waited: a spent quota is a clean stop, not a sleep of hours. A limit per hour is waited
/// out, its guard included.
const LONGEST_WAIT: Duration = Duration::from_mins(65);
/// Who waits longer looks again so often, since others may leave the queue.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A leased permit is good for so long.
const LEASE: Duration = Duration::from_millis(100);
/// A block is what the pace uses up in half of that, and no more than this.
const BLOCK_TIME: f64 = 0.05;
const BLOCK_MAX: u32 = 16;
/// How soon others are told that a request has ended, at the latest.
const TELL_WITHIN: Duration = Duration::from_millis(50);
/// Between two looks whether something that is under way has ended.
const POLL_FIRST: Duration = Duration::from_millis(4);
const POLL_LAST: Duration = Duration::from_millis(64);
/// A request that was dropped may still be on its way to the server for so long.
const DROPPED: Duration = Duration::from_millis(250);
/// Requests under way at most where nothing else says so.
const WIDEST: u32 = 16;

/// The budgets of this process.
pub struct Budgets {
    clock: Arc<dyn Clock>,
    store: Arc<dyn BudgetStore>,
    lanes: Arc<AtomicU32>,
}

impl Budgets {
    /// Budgets that nobody shares and that are forgotten with the process.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let store = Arc::new(Memory::new(clock.clone()));
        Self::kept(clock, store)
    }

    /// Budgets whose figures are kept in a store.
    pub fn kept(clock: Arc<dyn Clock>, store: Arc<dyn BudgetStore>) -> Self {
        Self { clock, store, lanes: Arc::default() }
    }

    /// Where the figures are kept.
    pub fn store(&self) -> &dyn BudgetStore {
        &*self.store
    }

    /// What a run draws on these terms. Nothing is asked of the store yet.
    ///
    /// Several runs may draw on one account with terms that differ: each of its requests is judged by the terms of its
    /// own run, over everything that all of them sent.
    pub fn open(&self, terms: Terms) -> Arc<Budget> {
        debug_assert!(!terms.accounts.is_empty(), "a budget is of an account");
        let adaptive = Adaptive::new(terms.concurrency.unwrap_or(WIDEST).min(WIDEST * 4), terms.pace());
        let width = Width::new(adaptive.width());
        Arc::new(Budget {
            clock: self.clock.clone(),
            store: self.store.clone(),
            next_lane: self.lanes.clone(),
            terms: Arc::new(terms),
            lanes: Mutex::default(),
            pending: Mutex::default(),
            telling: AtomicBool::new(false),
            ended: Notify::new(),
            gate: Mutex::new(Gate { adaptive, under_way: 0 }),
            freed: Notify::new(),
            width,
            books: Mutex::default(),
        })
    }
}

/// What a run draws.
pub struct Budget {
    clock: Arc<dyn Clock>,
    store: Arc<dyn BudgetStore>,
    next_lane: Arc<AtomicU32>,
    terms: Arc<Terms>,
    lanes: Mutex<HashMap<Class, Arc<Lane>>>,
    /// What happened and is not written down yet.
    pending: Mutex<Vec<Op>>,
    /// Whether somebody is about to write it down.
    telling: AtomicBool,
    /// A request of ours has ended, so the next one may look again.
    ended: Notify,
    gate: Mutex<Gate>,
    freed: Notify,
    width: Width,
    books: Mutex<Books>,
}

/// Requests of one bucket and weight, which wait in one queue.
struct Lane {
    id: u32,
    /// Held by whoever is next. It is fair.
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicU32,
    /// Until when each leased permit is good.
    leased: Mutex<VecDeque<Moment>>,
}

struct Gate {
    adaptive: Adaptive,
    under_way: u32,
}

#[derive(Default)]
struct Books {
    requests: u64,
    waits: Vec<(String, u64, Duration)>,
    day: Option<(u32, u32, i64)>,
}

/// Why no permit is granted.
#[derive(Debug)]
pub(crate) enum Denied {
    /// Only at this moment, which is so far away.
    Spent { wait: Duration, at: Timestamp, rule: String },
    /// Ever.
    Never { rule: String },
    /// The figures cannot be kept.
    Store(Problem),
}

impl Budget {
    /// How many requests are worth having under way at once.
    pub fn width(&self) -> Width {
        self.width.clone()
    }

    /// A request was sent that counts on these terms and was paid for on others.
    pub fn sent_elsewhere(&self) {
        let end = self.moment();
        self.pending().push(Op::Sent { units: 1, end });
    }

    /// What was spent and waited for so far.
    pub fn report(&self) -> BudgetReport {
        let books = self.books();
        let waits = books.waits.iter().map(|(rule, times, waited)| BudgetWait {
            rule: rule.clone(),
            times: *times,
            waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        });
        let day = books.day.map(|(used, limit, ends)| sync_core::BudgetDay {
            used: u64::from(used),
            limit: u64::from(limit),
            share: (f64::from(used) / f64::from(limit.max(1)) * 10_000.0).round() / 10_000.0,
            ends: Timestamp::from_micros(ends),
        });
        BudgetReport { requests: books.requests, waits: waits.collect(), day }
    }

    /// Gives back what was leased and not used, and writes down what is not written down yet. Whatever a process leaves
    /// undone is done for it when it is found dead.
    pub async fn close(&self) {
        let lanes: Vec<_> = self.lanes().iter().map(|(class, lane)| (*class, lane.clone())).collect();
        for (class, lane) in lanes {
            self.expire(class, &lane, Moment::MAX);
            self.pending().push(Op::Left { lane: lane.id });
        }
        let _ = self.tell(None).await; // the next process that looks finds us dead
    }

    /// Waits for a permit. Each known wait is told to `waiting` before it begins.
    ///
    /// May be dropped at any moment: nothing was taken, and the turn passes on.
    pub(crate) async fn permit(
        self: &Arc<Self>,
        request: &Request,
        waiting: impl FnMut(&Why, Duration),
    ) -> Result<Permit, Denied> {
        let place = self.place().await;
        let class = self.terms.class(request);
        let lane = self.lane(class);
        let waited = match lane.waiting.load(Ordering::Acquire) == 0 && self.leased(class, &lane) {
            true => false,
            false => self.wait(class, &lane, waiting).await?,
        };
        self.books().requests += 1;
        let full = {
            let gate = self.gate();
            gate.under_way >= gate.adaptive.width()
        };
        Ok(Permit { place: Some(place), class, sent: self.moment(), used: full && !waited })
    }

    /// A place among the requests that are worth having under way.
    async fn place(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            {
                let mut gate = self.gate();
                if gate.under_way < gate.adaptive.width() {
                    gate.under_way += 1;
                    return Place(self.clone());
                }
            }
            freed.await;
        }
    }

    /// Stands in the queue; whether there was anything to wait for.
    async fn wait(
        self: &Arc<Self>,
        class: Class,
        lane: &Arc<Lane>,
        mut waiting: impl FnMut(&Why, Duration),
    ) -> Result<bool, Denied> {
        let _standing = Standing::new(self, lane);
        let _turn = lane.turn.lock().await;
        let (mut told, mut waited_for, mut poll) = (None, None, POLL_FIRST);
        loop {
            if self.leased(class, lane) {
                return Ok(waited_for.is_some());
            }
            let (why, nap) = match self.lease(class, lane, poll).await? {
                Decision::Granted(_) => continue,
                Decision::Never { rule } => return Err(Denied::Never { rule }),
                Decision::Spent { until, rule } => return Err(self.spent(until, rule)),
                Decision::Wait { until, why } => {
                    let wait = duration(until - self.moment());
                    if wait > LONGEST_WAIT {
                        return Err(self.spent(until, spoken(&why)));
                    }
                    if told.is_none_or(|told| told + 1_000_000 < until) {
                        told = Some(until);
                        waiting(&why, wait);
                    }
                    (why, wait.min(LOOK_AGAIN))
                }
                Decision::Busy { why } => {
                    let nap = poll;
                    poll = (poll * 2).min(POLL_LAST);
                    (why, nap)
                }
            };
            let again = waited_for.as_ref() == Some(&why);
            let began = self.clock.monotonic();
            tokio::select! {
                () = self.clock.sleep(nap) => {}
                () = self.ended.notified() => poll = POLL_FIRST,
            }
            self.enter_wait(&why, self.clock.monotonic().saturating_sub(began), again);
            waited_for = Some(why);
        }
    }

    fn spent(&self, until: Moment, rule: String) -> Denied {
        let wait = duration(until - self.moment());
        Denied::Spent { wait, at: self.clock.now().plus(wait), rule }
    }

    /// Asks the store, on a task of its own: who waits may leave at any moment, and what was granted meanwhile is given
    /// back in time.
    async fn lease(
        self: &Arc<Self>,
        class: Class,
        lane: &Arc<Lane>,
        poll: Duration,
    ) -> Result<Decision, Denied> {
        let wish = Wish {
            holder: self.store.holder(),
            lane: lane.id,
            bucket: class.bucket,
            cost: class.cost,
            needed: lane.waiting.load(Ordering::Acquire),
            block: self.block(),
            poll,
        };
        let (budget, lane) = (self.clone(), lane.clone());
        let leasing = tokio::spawn(async move {
            let decision = budget.tell(Some(wish)).await?;
            if let Some(Decision::Granted(permits)) = decision {
                let good_until = budget.moment() + micros(LEASE);
                lane.leased().extend((0..permits).map(|_| good_until));
                budget.soon(LEASE);
            }
            Ok(decision)
        });
        let decision = leasing.await.unwrap_or_else(|error| {
            let kind = sync_core::Kind::Failed;
            Err(Problem::new(kind, "internal", format!("a task of the budget ended: {error}")))
        });
        decision.map(|decision| decision.expect("a wish is decided")).map_err(Denied::Store)
    }

    fn block(&self) -> u32 {
        let pace = self.terms.pace().unwrap_or(f64::MAX);
        (pace * BLOCK_TIME).ceil().clamp(1.0, f64::from(BLOCK_MAX)) as u32
    }

    /// Takes a permit that was leased, if one is still good.
    fn leased(self: &Arc<Self>, class: Class, lane: &Lane) -> bool {
        let now = self.moment();
        let mut late = 0;
        let found = {
            let mut leased = lane.leased();
            loop {
                match leased.pop_front() {
                    Some(until) if until < now => late += 1,
                    found => break found.is_some(),
                }
            }
        };
        self.unused(class, late);
        found
    }

    /// Gives back leased permits that are not good any more at this moment.
    fn expire(&self, class: Class, lane: &Lane, now: Moment) {
        let late = {
            let mut leased = lane.leased();
            let before = leased.len();
            leased.retain(|until| *until >= now);
            before - leased.len()
        };
        self.unused(class, u32::try_from(late).unwrap_or(u32::MAX));
    }

    fn unused(&self, class: Class, permits: u32) {
        if permits > 0 {
            let units = permits.saturating_mul(class.cost);
            self.pending().push(Op::Unused { bucket: class.bucket, permits, units });
        }
    }

    /// Writes down what happened, and decides on a wish in the same step.
    async fn tell(&self, wish: Option<Wish>) -> Result<Option<Decision>, Problem> {
        let ops = std::mem::take(&mut *self.pending());
        if ops.is_empty() && wish.is_none() {
            return Ok(None);
        }
        let outcome: Arc<Mutex<Option<Result<Outcome, String>>>> = Arc::default();
        let change = {
            let (terms, store, clock) = (self.terms.clone(), self.store.clone(), self.clock.clone());
            let (ops, outcome) = (ops.clone(), outcome.clone());
            move |kept: &mut [Option<String>], dead: &dyn Fn(u64) -> bool| {
                let made = step(&terms, &*store, &*clock, &ops, wish.as_ref(), kept, dead);
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
            }
        };
        let changed = self.store.change(&self.terms.accounts, Box::new(change)).await;
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let made = changed.and_then(|()| match outcome {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(why)) => Err(damaged(&why)),
            None => Err(damaged("the store did not look at them")),
        });
        match made {
            Ok(outcome) => {
                self.books().day = outcome.day;
                Ok(outcome.decision)
            }
            Err(problem) => {
                self.pending().splice(0..0, ops);
                Err(problem)
            }
        }
    }

    /// Sees to it that what happened is written down before long, even if nobody asks for a permit.
    fn soon(self: &Arc<Self>, within: Duration) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.telling.swap(true, Ordering::AcqRel) {
            return;
        }
        let budget = self.clone();
        runtime.spawn(async move {
            budget.clock.sleep(within).await;
            budget.telling.store(false, Ordering::Release);
            let lanes: Vec<_> = budget.lanes().iter().map(|(class, lane)| (*class, lane.clone())).collect();
            let mut left = false;
            for (class, lane) in lanes {
                budget.expire(class, &lane, budget.moment());
                left |= !lane.leased().is_empty();
            }
            if budget.tell(None).await.is_err() {
                return; // the next one who asks for a permit hears of it
            }
            if left {
                budget.soon(LEASE);
            }
        });
    }

    /// How soon others have to know: a hundredth of the shortest window.
    fn tell_within(&self) -> Duration {
        self.terms.windows().0.map_or(TELL_WITHIN, |window| (window / 100).min(TELL_WITHIN))
    }

    fn lane(&self, class: Class) -> Arc<Lane> {
        let new = || {
            Arc::new(Lane {
                id: self.next_lane.fetch_add(1, Ordering::Relaxed),
                turn: tokio::sync::Mutex::new(()),
                waiting: AtomicU32::new(0),
                leased: Mutex::default(),
            })
        };
        self.lanes().entry(class).or_insert_with(new).clone()
    }

    /// What a response told of limits.
    pub(crate) fn told(&self, op: Op) {
        self.pending().push(op);
    }

    pub(crate) fn moment(&self) -> Moment {
        micros(self.store.now().since)
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    fn enter_wait(&self, why: &Why, waited: Duration, again: bool) {
        let (rule, mut books) = (spoken(why), self.books());
        match books.waits.iter_mut().find(|(known, ..)| *known == rule) {
            Some((_, times, sum)) => (*times, *sum) = (*times + u64::from(!again), *sum + waited),
            None => books.waits.push((rule, 1, waited)),
        }
    }

    // Every change under these locks is a single step, so the figures are right even after a panic elsewhere.
    fn lanes(&self) -> MutexGuard<'_, HashMap<Class, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn pending(&self) -> MutexGuard<'_, Vec<Op>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn leased(&self) -> MutexGuard<'_, VecDeque<Moment>> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one step in the store came to.
struct Outcome {
    decision: Option<Decision>,
    day: Option<(u32, u32, i64)>,
}

/// One step: what happened is entered, and a wish decided.
fn step(
    terms: &Terms,
    store: &dyn BudgetStore,
    clock: &dyn Clock,
    ops: &[Op],
    wish: Option<&Wish>,
    kept: &mut [Option<String>],
    dead: &dyn Fn(u64) -> bool,
) -> Result<Outcome, String> {
    let mut figures =
        kept.iter().map(|text| Figures::read(text.as_deref())).collect::<Result<Vec<_>, _>>()?;
    // Looked at in here, where no other process can be in between.
    let uptime = store.now();
    let now = Now { boot: uptime.boot, up: micros(uptime.since), wall: clock.now().micros() };
    for figures in &mut figures {
        figures.settle(&now, terms, dead);
    }
    let mut ledger = Ledger {
        terms,
        figures: &mut figures,
        now: &now,
        holder: store.holder(),
        spans_machines: store.spans_machines(),
    };
    for op in ops {
        ledger.apply(op);
    }
    let decision = wish.map(|wish| ledger.take(wish));
    let day = ledger.day();
    for (text, figures) in kept.iter_mut().zip(&figures) {
        *text = Some(figures.write());
    }
    Ok(Outcome { decision, day })
}

fn damaged(why: &str) -> Problem {
    let message = format!("the figures of the budget cannot be read: {why}");
    Problem::new(sync_core::Kind::Environment, "budget_damaged", message)
}

/// What is waited for, as the summary names it.
pub(crate) fn spoken(why: &Why) -> String {
    match why {
        Why::Rule(rule) => rule.clone(),
        Why::Concurrency(most) => format!("{most} at a time"),
        Why::Pause => "a pause the provider asked for".to_owned(),
    }
}

impl Pause for Budget {
    fn limited<'a>(&'a self, request: &'a Request, wait: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let bucket = self.terms.class(request).bucket;
            let until = self.moment().saturating_add(micros(wait));
            self.pending().push(Op::Limited { bucket, until });
            let _ = self.tell(None).await; // if not now, then with the next permit, before which nothing is sent
        })
    }

    fn spent(&self, wait: Option<Duration>) -> BoxFuture<'_, Timestamp> {
        Box::pin(async move {
            let until = wait.map(|wait| self.moment().saturating_add(micros(wait)));
            self.pending().push(Op::Spent { until });
            let _ = self.tell(None).await;
            match (wait, self.books().day) {
                (Some(wait), _) => self.clock.now().plus(wait),
                (None, Some((.., ends))) => Timestamp::from_micros(ends),
                (None, None) => {
                    let now = self.clock.now().micros();
                    Timestamp::from_micros(now + crate::figures::until_end_of_day(now, self.terms.day_ends))
                }
            }
        })
    }
}

/// Somebody who waits; the ticket goes with the last one.
struct Standing<'a> {
    budget: &'a Arc<Budget>,
    lane: &'a Lane,
}

impl<'a> Standing<'a> {
    fn new(budget: &'a Arc<Budget>, lane: &'a Lane) -> Self {
        lane.waiting.fetch_add(1, Ordering::AcqRel);
        Self { budget, lane }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if self.lane.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            // After a permit was granted there is no ticket, and nothing to write down.
            self.budget.pending().push(Op::Left { lane: self.lane.id });
        }
    }
}

/// A place under way.
struct Place(Arc<Budget>);

impl Drop for Place {
    fn drop(&mut self) {
        let free = {
            let mut gate = self.0.gate();
            gate.under_way -= 1;
            gate.adaptive.width().saturating_sub(gate.under_way)
        };
        (0..free.min(2)).for_each(|_| self.0.freed.notify_one());
    }
}

/// The right to send one request, now. Dropping it says that the request was abandoned.
pub(crate) struct Permit {
    place: Option<Place>,
    class: Class,
    /// When it was granted.
    pub sent: Moment,
    /// Whether all of the width was in use, and the budget had not been waited for.
    used: bool,
}

impl Permit {
    /// The answer's first byte came at `end`, so long after the request was sent.
    pub fn answered(mut self, end: Moment, latency: Duration, refused: bool, trouble: bool) -> Class {
        let budget = self.end(end, refused).expect("it ends once");
        let now = budget.clock.monotonic();
        let width = {
            let mut gate = budget.gate();
            if trouble {
                gate.adaptive.troubled(now);
            } else {
                gate.adaptive.answered(latency, self.used, now);
            }
            gate.adaptive.width()
        };
        budget.width.set(width);
        self.class
    }

    /// No answer came, and none will.
    pub fn lost(mut self) {
        if let Some(budget) = self.end(Moment::MIN, false) {
            let width = {
                let mut gate = budget.gate();
                gate.adaptive.troubled(budget.clock.monotonic());
                gate.adaptive.width()
            };
            budget.width.set(width);
        }
    }

    fn end(&mut self, end: Moment, refused: bool) -> Option<Arc<Budget>> {
        let place = self.place.take()?;
        let budget = place.0.clone();
        let end = if end == Moment::MIN { budget.moment() } else { end };
        let Class { bucket, cost } = self.class;
        budget.pending().push(Op::Ended { bucket, units: cost, end, refused });
        drop(place);
        budget.ended.notify_waiters();
        budget.soon(budget.tell_within());
        Some(budget)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let end = place.0.moment() + micros(DROPPED);
            self.end(end, false);
        }
    }
}
