//! Builds the stairs that every request walks down: retry → quota → auth → http.
//!
//! In that order, so that each attempt pays its own permit and is signed afresh.

use std::sync::Arc;
use std::time::Duration;

use sync_auth::Credential;
use sync_connectors::Bound;
use sync_core::{Ask, Explain as _, Fetch, Pause, Problem};
use sync_quota::{Budget, Paced, Rule};

use crate::Hands;
use crate::plan::{RunPlan, period};

/// The top of the stairs for one run, and the credential on the way down.
pub(crate) fn build(plan: &RunPlan, hands: &Hands) -> Result<(Arc<dyn Ask>, Arc<Credential>), Problem> {
    let (source, signing) = (plan.credential.source.clone(), plan.credential.signing.clone());
    let credential =
        Credential::open(source, signing, self::hands(hands)).map_err(|error| error.problem())?;
    let identity = format!("{} {}", plan.bound.identity(), plan.credential.identity());
    let budget = budget_of(&identity, &plan.limits, plan.concurrency, hands);
    Ok((stairs(&plan.bound, &credential, budget, &plan.title, plan.retry, hands), credential))
}

/// What a credential is handed.
pub(crate) fn hands(hands: &Hands) -> sync_auth::Hands {
    sync_auth::Hands {
        clock: hands.clock.clone(),
        fetch: hands.fetch.clone(),
        environment: hands.environment.clone(),
        vault: hands.vault.clone(),
        learn: crate::probe::learning(hands),
    }
}

/// Retry → quota → auth → http.
pub(crate) fn stairs(
    bound: &Bound,
    credential: &Arc<Credential>,
    budget: Arc<Budget>,
    title: &str,
    retry: sync_http::Policy,
    hands: &Hands,
) -> Arc<dyn Ask> {
    let signed = sync_auth::Signed::new(hands.fetch.clone(), credential.clone(), bound.base_url());
    let paced: Arc<dyn Fetch> = Arc::new(Paced::new(
        Arc::new(signed),
        budget.clone(),
        title.to_owned(),
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
    Arc::new(sync_http::Retry::new(paced, bound.classify(), pause, credential.clone(), retry, context))
}

/// The budget that every run of this process shares that asks the same host with the same credential.
pub(crate) fn budget_of(
    identity: &str,
    limits: &[sync_spec::Rate],
    concurrency: Option<u32>,
    hands: &Hands,
) -> Arc<Budget> {
    hands.budgets.get(identity, limits.iter().map(rule).collect(), concurrency)
}

fn rule(rate: &sync_spec::Rate) -> Rule {
    // Until the provider's day is known, a day's limit is kept in every 24 hours, which is never more.
    let window = if rate.calendar_day { Duration::from_hours(24) } else { rate.period };
    Rule { count: rate.count, window, label: format!("{} per {}", rate.count, period(window)) }
}
