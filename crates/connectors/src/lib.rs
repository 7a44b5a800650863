//! The interpreter of connector files, and the built-in providers
