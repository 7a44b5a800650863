//! The command line of `sync`: the only crate that prints, reads arguments and environment, or exits.

mod args;
mod check;
mod connectors;
mod credentials;
mod documents;
mod hands;
mod home;
mod logs;
mod paint;
mod progress;
mod prompt;
mod rejects;
mod run;
mod runs;
mod sandbox;
mod schema;
mod signals;
mod state;
mod summary;
mod table;
mod talk;
mod tally;
mod words;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use sync_auth::Environment as _;
use sync_core::{Kind, Problem, Status};
use sync_http::Scrubber;

use crate::args::{Arguments, Verb};
use crate::hands::Tools;
use crate::paint::Paint;
use crate::talk::Talk;

/// Pages and batches come and go by the megabyte, and the system's allocator keeps much of what was freed: with three
/// streams of 13 MB pages 161 MB were resident where 96 are with this one (`.cargo/config.toml` says how soon it gives
/// memory back), for 5 % more CPU.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = Arguments::parse();
    let variable = |name: &str| sync_auth::System.var(name);
    let scrubber = Arc::new(Scrubber::new());
    let talk = Talk::new(scrubber.clone(), Paint::of_stderr(variable));
    logs::start(&talk, variable);
    #[cfg(debug_assertions)]
    plan_faults(variable("SYNC_FAULT").as_deref());
    let ended = match args.verb {
        Verb::Run(args) => {
            let (files, json) = (args.files.clone(), args.json);
            with_tools(scrubber, async |tools| Ok(run::run(args, &talk, tools).await))
                .or_else(|problem| run::none(&files, json, &talk, &problem))
        }
        Verb::Check(args) => with_tools(scrubber, async |tools| Ok(check::check(args, &talk, tools).await)),
        Verb::Sandbox(args) => with_tools(scrubber, async |tools| sandbox::sandbox(args, &talk, tools).await),
        Verb::Runs(args) => runs::runs(&args, &talk).map(|()| 0),
        Verb::Rejects { verb } => {
            with_tools(scrubber, async |tools| rejects::rejects(verb, &talk, tools).await)
        }
        Verb::State { verb } => with_tools(scrubber, async |tools| state::state(verb, &talk, tools).await),
        Verb::Credentials { verb } => {
            with_tools(scrubber, async |tools| credentials::credentials(verb, &talk, tools).await)
        }
        Verb::Connectors(args) => connectors::connectors(&args, &talk).map(|()| 0),
        Verb::Schema(args) => schema::schema(args.language, &talk).map(|()| 0),
    };
    ExitCode::from(ended.unwrap_or_else(|problem| {
        talk.problem(&problem);
        Status::from(problem.kind).exit_code()
    }))
}

/// Debug builds can be told to die, or to find the disk full, at a seam: `SYNC_FAULT=kill@12`.
#[cfg(debug_assertions)]
fn plan_faults(text: Option<&str>) {
    #[expect(clippy::print_stderr, reason = "it dies with the next word")]
    fn tell(seam: &str) {
        eprintln!("fault at {seam}");
    }
    if let Some(fault) = text.and_then(sync_core::fault::Fault::parse) {
        sync_core::fault::plan(fault, tell);
    }
}

/// Gives an asynchronous command its runtime and the real hands.
fn with_tools(
    scrubber: Arc<Scrubber>,
    command: impl AsyncFnOnce(&Tools) -> Result<u8, Problem>,
) -> Result<u8, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Kind::Environment, "runtime", format!("no threads: {error}")))?;
    let ended = runtime.block_on(async { command(&Tools::new(scrubber)?).await });
    // What still blocks was abandoned by the run; it may be cut off at any instant.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}
