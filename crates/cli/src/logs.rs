//! Log lines: on stderr, quiet unless asked, scrubbed like everything else.

use tracing_subscriber::EnvFilter;

use crate::talk::Talk;

/// Starts logging. `SYNC_LOG`, else `RUST_LOG`, says what is shown; without them, warnings.
///
/// A filter that cannot be read is said once and not followed.
pub fn start(talk: &Talk, variable: impl Fn(&str) -> Option<String>) {
    let asked = variable("SYNC_LOG").or_else(|| variable("RUST_LOG")).unwrap_or_default();
    let directives = if asked.trim().is_empty() { "warn" } else { &asked };
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|error| {
        talk.say(&format!("the log filter `{directives}` cannot be read ({error}); showing warnings"));
        EnvFilter::new("warn")
    });
    let writer = talk.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || writer.log_line())
        .init();
}
