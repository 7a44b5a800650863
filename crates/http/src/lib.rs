//! Transport, retry and redaction; the only crate that connects or listens
