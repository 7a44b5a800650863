//! The built-in providers played on loopback
