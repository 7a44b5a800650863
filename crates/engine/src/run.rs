//! One run of one pipeline, from its file to its report.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use sync_core::{BudgetReport, Explain as _, Kind, Note, Problem, RunId, RunReport, Sink, StreamReport};
use sync_spec::Pipeline;
use sync_state::Store;

use crate::plan::{Destination, RunPlan, StreamRun};
use crate::stream::{self, Context, blocking};
use crate::{Hands, RunOptions, wire};

/// Streams that are read at the same time. Limits are spent as well by two as by more, and each has pages in memory.
const STREAMS_AT_ONCE: usize = 2;

/// Runs a pipeline once, now.
///
/// Never fails: what goes wrong is in the report. Returns soon after the stop was asked for, with everything
/// that was committed safe and the rest resumable.
pub async fn run(pipeline: &Pipeline, options: &RunOptions, hands: &Hands) -> RunReport {
    let run = RunId::new(hands.clock.now());
    match go(pipeline, options, hands, &run).await {
        Ok((streams, budget)) => RunReport { budget, ..RunReport::of(run, streams) },
        Err(problem) => RunReport::refused(run, problem),
    }
}

async fn go(
    pipeline: &Pipeline,
    options: &RunOptions,
    hands: &Hands,
    run: &RunId,
) -> Result<(Vec<StreamReport>, Option<BudgetReport>), Problem> {
    let plan = RunPlan::build(pipeline, options, hands)?;
    let stairs = wire::build(&plan, options, hands).await?;
    note_use(pipeline, &plan, hands);
    let (state, name) = (plan.state.clone(), plan.pipeline.clone());
    let store = Arc::new(blocking(move || Store::open(&state, &name)).await?.map_err(|e| e.problem())?);
    let destination = plan.destination.clone();
    let sink = blocking(move || sink_of(&destination)).await?.map_err(|e| e.problem())?;
    let interrupted = store.begin_run(run, hands.clock.now()).map_err(|e| e.problem())?;
    let interrupted: Vec<_> = interrupted.into_iter().map(|i| i.run).collect();
    let at_once = STREAMS_AT_ONCE.min(plan.streams.len()).max(1);
    let context = Context {
        plan: &plan,
        options,
        hands,
        ask: stairs.ask,
        width: stairs.budget.width(),
        sink,
        store: store.clone(),
        run: run.clone(),
        interrupted: &interrupted,
        memory: options.memory / at_once,
    };
    let mut reports = all_streams(&context, at_once).await;
    stairs.budget.close().await;
    if let Some(first) = reports.first_mut() {
        first.notes.extend(plan.credential.notes.iter().cloned().chain(stairs.credential.notes()));
    }
    let mut report = RunReport::of(run.clone(), reports);
    if let Err(error) = store.end_run(&report, hands.clock.now()) {
        // History, never proof: what the streams did stands.
        let message = format!("the end of this run was not written into its history: {}", error.problem());
        for stream in &mut report.streams {
            stream.notes.push(Note::new("history_not_written", message.clone()));
        }
    }
    Ok((report.streams, Some(stairs.budget.report())))
}

/// Remembers where a stored credential is used. It is for whoever removes one; a run goes on without.
fn note_use(pipeline: &Pipeline, plan: &RunPlan, hands: &Hands) {
    let sync_auth::Source::Stored(name) = &plan.credential.source else { return };
    if let Err(error) = hands.vault.note_use(name, std::path::Path::new(&*pipeline.document.name)) {
        tracing::debug!(error = %error.problem(), "where the credential is used was not remembered");
    }
}

/// Reads every stream, a few at a time, in the order of the file.
async fn all_streams(context: &Context<'_>, at_once: usize) -> Vec<StreamReport> {
    // What ends one stream for a reason that all share, such as a refused key, ends those that wait.
    let shared: Mutex<Option<Problem>> = Mutex::new(None);
    let one = |stream: &StreamRun| {
        let stream = stream.clone();
        let shared = &shared;
        async move {
            let begun = shared.lock().expect("nobody panics with it").clone();
            let begun = begun.or_else(|| context.hands.stop.asked().then(stopped));
            let report = match begun {
                Some(problem) => stream::empty_report(&stream, Some(problem)),
                None => Box::pin(stream::run(context, &stream)).await, // large, and there are many
            };
            if let Some(problem) = report.error.as_ref().filter(|p| concerns_all(p)) {
                shared.lock().expect("nobody panics with it").get_or_insert_with(|| problem.clone());
            }
            if let Err(error) = context.store.record_stream(&context.run, &report) {
                tracing::warn!(stream = stream.name, error = %error.problem(), "the run's books were not written");
            }
            report
        }
    };
    let mut reports: Vec<_> = futures_util::stream::iter(context.plan.streams.iter().enumerate())
        .map(|(place, stream)| {
            let report = one(stream);
            async move { (place, report.await) }
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn concerns_all(problem: &Problem) -> bool {
    matches!(
        problem.code,
        "credential_refused" | "wrong_address" | "unreachable" | "unknown_host" | "tls" | "disk_full"
    ) || matches!(problem.kind, Kind::Quota | Kind::Stopped)
}

fn stopped() -> Problem {
    Problem::new(Kind::Stopped, "stopped", "stopped before it began")
}

fn partition(by: &sync_spec::PartitionBy) -> sync_sinks::parquet::Partition {
    use sync_sinks::parquet::Unit;
    let unit = by.unit.map(|unit| match unit {
        sync_spec::TimeUnit::Year => Unit::Year,
        sync_spec::TimeUnit::Month => Unit::Month,
        sync_spec::TimeUnit::Day => Unit::Day,
        sync_spec::TimeUnit::Hour => Unit::Hour,
    });
    sync_sinks::parquet::Partition { field: by.field.clone(), unit }
}

/// The sink of a destination.
pub(crate) fn sink_of(destination: &Destination) -> Result<Arc<dyn Sink>, sync_core::SinkError> {
    Ok(match destination {
        Destination::Sqlite { path } => Arc::new(sync_sinks::Sqlite::open(path)?),
        Destination::Parquet { path, compression, target_file, partition_by } => {
            let compression = match compression {
                sync_spec::Compression::Zstd => sync_sinks::parquet::Compression::Zstd,
                sync_spec::Compression::Snappy => sync_sinks::parquet::Compression::Snappy,
                sync_spec::Compression::None => sync_sinks::parquet::Compression::None,
            };
            let path = path.clone();
            Arc::new(sync_sinks::Parquet::new(sync_sinks::ParquetOptions {
                folder: Box::new(move |stream| path.replace("{stream}", stream).into()),
                compression,
                target_file: *target_file,
                partition: partition_by.as_ref().map(partition),
            }))
        }
    })
}
