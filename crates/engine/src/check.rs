//! Looks at a pipeline without moving a row: reads it, resolves it, and asks the provider one small question.

use serde::Serialize;
use sync_core::{Problem, Verdict};
use sync_spec::Pipeline;

use crate::plan::RunPlan;
use crate::{Hands, RunOptions, wire};

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The pipeline's name.
    pub pipeline: String,
    /// The connector's name; absent where it could not be told.
    pub connector: Option<String>,
    /// The base URL that is asked.
    pub base_url: Option<String>,
    /// The streams that a run would read.
    pub streams: Vec<String>,
    /// Where rows would land.
    pub destination: Option<String>,
    /// Whether the provider accepted the credential; absent where the connector has no check.
    pub accepted: Option<bool>,
    /// What else is to be known: about the credential, or what the provider's check said besides.
    pub remarks: Vec<String>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// The report of a pipeline of which nothing but the name is known.
    pub fn of(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            connector: None,
            base_url: None,
            streams: Vec::new(),
            destination: None,
            accepted: None,
            remarks: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// Reads, resolves and asks the provider's check call.
pub async fn check(pipeline: &Pipeline, hands: &Hands) -> CheckReport {
    let mut report = CheckReport::of(&pipeline.name.value);
    if let Err(problem) = look(pipeline, hands, &mut report).await {
        report.problems.push(problem);
    }
    report
}

async fn look(pipeline: &Pipeline, hands: &Hands, report: &mut CheckReport) -> Result<(), Problem> {
    use sync_core::Explain as _;
    let plan = RunPlan::build(pipeline, &RunOptions::default(), hands)?;
    report.connector = Some(plan.connector.clone());
    report.base_url = Some(plan.bound.base_url().to_string());
    report.streams = plan.streams.iter().map(|s| s.name.clone()).collect();
    report.destination = Some(plan.destination.to_string());
    let stairs = wire::build(&plan, &RunOptions::default(), hands).await?;
    let credential = stairs.credential.clone();
    report.remarks = plan.credential.notes.iter().map(|note| note.message.clone()).collect();
    let Some(request) = plan.bound.check() else { return Ok(()) };
    let asked = stairs.ask.ask(&request).await;
    stairs.budget.close().await;
    match asked {
        Ok(answer) => {
            report.accepted = Some(true);
            report.remarks.extend(credential.notes().into_iter().map(|note| note.message).chain(answer.say));
        }
        Err(refusal) => {
            report.accepted = refusal.verdict.filter(|v| *v == Verdict::Auth).map(|_| false);
            return Err(refusal.problem());
        }
    }
    Ok(())
}
