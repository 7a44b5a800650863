//! Budgets over several horizons: exact sliding windows and pauses.
//!
//! A [`Budget`] is what one credential may send, whoever sends it; [`Paced`] is the step of the stairs that
//! pays a permit for every request. [`Budgets`] hands the same budget to everyone with the same identity.

mod budget;
mod paced;
mod rules;

pub use budget::{Budget, Budgets};
pub use paced::Paced;
pub use rules::Rule;
