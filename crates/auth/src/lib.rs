//! Credentials: where secrets come from, and how they enter a request
