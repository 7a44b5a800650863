//! Builds the stairs that every request walks down: retry → quota → auth → http.
//!
//! In that order, so that each attempt pays its own permit and is signed afresh.

use std::sync::Arc;
use std::time::Duration;

use sync_core::{Ask, Explain as _, Fetch, Pause, Problem};
use sync_quota::{Budget, Paced, Rule};

use crate::Hands;
use crate::plan::{RunPlan, period};

/// The top of the stairs for one run.
pub(crate) fn build(plan: &RunPlan, hands: &Hands) -> Result<Arc<dyn Ask>, Problem> {
    let secrets = sync_auth::resolve(&plan.secrets, &*hands.environment).map_err(|error| error.problem())?;
    secrets.iter().for_each(|(_, secret)| hands.scrubber.add(secret));
    let signed =
        sync_auth::Signed::new(hands.fetch.clone(), plan.bound.signatures(), secrets, plan.bound.base_url())
            .map_err(|error| error.problem())?;
    let budget = budget(plan, hands);
    let paced: Arc<dyn Fetch> = Arc::new(Paced::new(
        Arc::new(signed),
        budget.clone(),
        plan.title.clone(),
        hands.watch.clone(),
        hands.stop.clone(),
        hands.clock.clone(),
    ));
    let context = sync_http::Context {
        clock: hands.clock.clone(),
        stop: hands.stop.clone(),
        watch: hands.watch.clone(),
        scrubber: hands.scrubber.clone(),
    };
    let pause: Arc<dyn Pause> = budget;
    Ok(Arc::new(sync_http::Retry::new(paced, plan.bound.classify(), pause, plan.retry, context)))
}

/// The budget that every run of this process shares that asks the same host with the same credential.
fn budget(plan: &RunPlan, hands: &Hands) -> Arc<Budget> {
    let references: Vec<_> = plan.secrets.iter().map(|(_, reference)| format!("{reference:?}")).collect();
    let identity = format!("{} {}", plan.bound.identity(), references.join(" "));
    let rules = plan.limits.iter().map(rule).collect();
    hands.budgets.get(&identity, rules, plan.concurrency)
}

fn rule(rate: &sync_spec::Rate) -> Rule {
    // Until the provider's day is known, a day's limit is kept in every 24 hours, which is never more.
    let window = if rate.calendar_day { Duration::from_hours(24) } else { rate.period };
    Rule { count: rate.count, window, label: format!("{} per {}", rate.count, period(window)) }
}
