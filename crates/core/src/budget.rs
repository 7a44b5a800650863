//! Where the figures of budgets are kept, so that everybody who uses an account spends from one.

use std::time::Duration;

use crate::{BoxFuture, Problem};

/// The machine's own time: it counts on from the machine's start, is the same for all of its processes, and nobody
/// can set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Which start of which machine.
    pub boot: String,
    /// Since then.
    pub since: Duration,
}

/// What is kept of one account: a text that only the budget understands; nothing where there is nothing yet.
pub type Figures = Option<String>;

/// A change of the figures of several accounts, in the order they were named.
///
/// It is told which holders are dead: those that will never send or change anything any more. It may be called again
/// where a change collided with another one, and only what its last call did counts.
pub type Change = Box<dyn FnMut(&mut [Figures], &dyn Fn(u64) -> bool) + Send>;

/// Keeps the figures of accounts.
///
/// Contract: a change is one atomic step over all accounts it names, and is durable before `change` returns, so that
/// nothing is sent that is not written down. No two changes of an account overlap, whoever makes them. A change that
/// failed changed nothing. `now` is one time line for everybody who shares the store; where it is the machine's own it
/// is exact, and where machines share a store it is as good as their messages are fast, which
/// [`spans_machines`](BudgetStore::spans_machines) tells.
///
/// A machine's store is a SQLite database. Machines that share an account will share a PostgreSQL database: a row for
/// each account, read `for update` in the order of their names, holders told dead by a lease they did not renew, and
/// the server's clock.
pub trait BudgetStore: Send + Sync {
    /// Changes the figures of accounts.
    fn change<'a>(&'a self, accounts: &'a [String], change: Change) -> BoxFuture<'a, Result<(), Problem>>;
    /// Who we are among those who share the store: no two that live at the same time have the same.
    fn holder(&self) -> u64;
    /// The time that moments in the figures are of.
    fn now(&self) -> Uptime;
    /// Whether holders on other machines share it.
    fn spans_machines(&self) -> bool {
        false
    }
}

/// How many requests of a run are worth having under way at once, as the budget sees it. Copies share the number.
#[derive(Clone, Debug)]
pub struct Width(std::sync::Arc<std::sync::atomic::AtomicU32>);

impl Width {
    /// So many, at least one.
    pub fn new(width: u32) -> Self {
        Self(std::sync::Arc::new(width.max(1).into()))
    }

    /// So many for now.
    pub fn get(&self) -> u32 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// So many from now on, at least one.
    pub fn set(&self, width: u32) {
        self.0.store(width.max(1), std::sync::atomic::Ordering::Relaxed);
    }
}
