//! End-to-end tests: the walls of the house, and the real binary against the sandbox.

mod support;
mod walls;
