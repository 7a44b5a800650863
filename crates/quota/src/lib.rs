//! Budgets: what an account may send, over several periods at once, whoever sends it.
//!
//! [`Terms`] say what a run may draw. The figures of an account lie in a store that all processes share
//! (`sync_core::BudgetStore`); what is done to them is plain arithmetic without a clock (`figures`, `ledger`). A
//! [`Budget`] draws permits from it for one run, [`Paced`] is the step of the stairs that pays one for every request and
//! listens to what the answers say about limits (`hint`). `width` finds how many requests are worth having under way.

mod terms;

mod figures;
mod hint;
mod ledger;
mod width;

mod budget;
mod memory;
mod paced;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Budgets};
pub use memory::Memory;
pub use paced::Paced;
pub use terms::{Bucket, HeaderNames, Matcher, Period, Priority, Rule, Terms};
