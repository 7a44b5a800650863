//! Fake clock, faults and conformance suites; a dev-dependency only
