//! One budget, shared by everyone who sends with the same credential, served in the order they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sync_core::{Clock, Pause};
use tokio::sync::Notify;

use crate::Rule;
use crate::rules::{Decision, Ledger, Why};

/// A wait beyond this is not waited: a spent daily quota is a clean stop, not a sleep of hours.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What may be sent, over every window at once.
///
/// In any sliding window the requests the server can have counted stay within the rule, and a permit is never
/// late: it is granted at the moment its request is sent.
pub struct Budget {
    ledger: Mutex<Ledger>,
    /// Held by whoever is next. It is fair, which makes waiting first come, first served.
    turn: tokio::sync::Mutex<()>,
    /// A request has ended, so the next one may look again.
    ended: Notify,
    clock: Arc<dyn Clock>,
}

/// Why no permit is granted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// Only after so long.
    For { wait: Duration, why: Why },
    /// Ever.
    Never { rule: String },
}

impl Budget {
    /// A budget of which nothing is spent. Of several rules over the same window the strictest stands.
    pub fn new(rules: Vec<Rule>, concurrency: Option<u32>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::new(Ledger::new(rules, concurrency)),
            turn: tokio::sync::Mutex::new(()),
            ended: Notify::new(),
            clock,
        })
    }

    /// Waits for a permit. Each known wait is told to `waiting` before it begins.
    ///
    /// May be dropped at any moment: the turn passes on, and nothing was taken.
    pub(crate) async fn permit(&self, mut waiting: impl FnMut(&Why, Duration)) -> Result<Permit<'_>, Spent> {
        let _turn = self.turn.lock().await;
        loop {
            let now = self.clock.monotonic();
            let decision = self.ledger().take(now);
            match decision {
                Decision::Taken => return Ok(Permit { budget: self, ended_at: None }),
                Decision::Busy => self.ended.notified().await,
                Decision::Never { rule } => return Err(Spent::Never { rule }),
                Decision::Wait { until, why } => {
                    let wait = until.saturating_sub(now);
                    if wait > LONGEST_WAIT {
                        return Err(Spent::For { wait, why });
                    }
                    waiting(&why, wait);
                    self.clock.sleep(wait).await;
                }
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Every change is a single step, so the figures are right even after a panic elsewhere.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause for Budget {
    fn pause_for(&self, duration: Duration) {
        let until = self.clock.monotonic().saturating_add(duration);
        self.ledger().pause_until(until);
    }
}

/// The right to send one request, now. Dropping it says that the request has ended.
pub(crate) struct Permit<'a> {
    budget: &'a Budget,
    ended_at: Option<Duration>,
}

impl Permit<'_> {
    /// The request ended at this moment of the past rather than now.
    pub(crate) fn ended_at(mut self, at: Duration) {
        self.ended_at = Some(at);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let now = self.budget.clock.monotonic();
        self.budget.ledger().end(self.ended_at.map_or(now, |at| at.min(now)));
        self.budget.ended.notify_one();
    }
}

/// The budgets of this process, one for each identity.
pub struct Budgets {
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<String, Arc<Budget>>>,
}

impl Budgets {
    /// No budgets yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// The budget of that identity. If it exists, these rules are added to it: where two callers disagree about
    /// one credential, the stricter rule holds for both.
    pub fn get(&self, identity: &str, rules: Vec<Rule>, concurrency: Option<u32>) -> Arc<Budget> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = known.get(identity) {
            budget.ledger().tighten(rules, concurrency);
            return budget.clone();
        }
        let budget = Budget::new(rules, concurrency, self.clock.clone());
        known.insert(identity.to_owned(), budget.clone());
        budget
    }
}
