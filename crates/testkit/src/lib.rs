//! What tests of several rooms share. A dev-dependency only.

pub mod clock;
pub mod fetch;
pub mod sink;
