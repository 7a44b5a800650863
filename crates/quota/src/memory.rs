//! Figures in memory: for one process that remembers nothing, and for tests in which several are played.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use sync_core::{BoxFuture, BudgetStore, Change, Clock, Figures, Problem, Uptime};

/// A store that lives as long as its process.
pub struct Memory {
    shared: Arc<Mutex<Shared>>,
    holder: u64,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Shared {
    figures: HashMap<String, Figures>,
    dead: HashSet<u64>,
    holders: u64,
}

impl Memory {
    /// A store with nothing in it.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::default(), holder: 0, clock }
    }

    /// Another holder of the same figures, with a clock of its own.
    #[must_use]
    pub fn another(&self, clock: Arc<dyn Clock>) -> Self {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.holders += 1;
        Self { shared: self.shared.clone(), holder: shared.holders, clock }
    }

    /// This holder is dead from now on: it changes nothing any more, and the others are told.
    pub fn kill(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).dead.insert(self.holder);
    }
}

impl BudgetStore for Memory {
    fn change<'a>(
        &'a self,
        accounts: &'a [String],
        mut change: Change,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.dead.contains(&self.holder) {
                let kind = sync_core::Kind::Environment;
                return Err(Problem::new(kind, "dead", "this holder is dead"));
            }
            let mut figures: Vec<Figures> =
                accounts.iter().map(|account| shared.figures.get(account).cloned().flatten()).collect();
            change(&mut figures, &|holder| shared.dead.contains(&holder));
            for (account, figures) in accounts.iter().zip(figures) {
                shared.figures.insert(account.clone(), figures);
            }
            Ok(())
        })
    }

    fn holder(&self) -> u64 {
        self.holder
    }

    fn now(&self) -> Uptime {
        self.clock.uptime()
    }
}
