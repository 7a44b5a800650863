//! Builds the stairs that every request walks down: retry → quota → auth → http.
//!
//! In that order, so that each attempt pays its own permit and is signed afresh.

use std::sync::Arc;

use sync_auth::Credential;
use sync_connectors::Bound;
use sync_core::{Ask, Explain as _, Fetch, Pause, Problem};
use sync_quota::{Bucket, Budget, HeaderNames, Matcher, Paced, Period, Priority, Rule, Terms};
use sync_spec::{self as spec, Scope};

use crate::account::Identity;
use crate::plan::RunPlan;
use crate::{Hands, RunOptions};

/// The stairs of one run, and who stands on them.
pub(crate) struct Stairs {
    pub ask: Arc<dyn Ask>,
    pub budget: Arc<Budget>,
    pub credential: Arc<Credential>,
}

/// Builds them for one run. Asks the provider whose account it is where only that tells, and never did before.
pub(crate) async fn build(plan: &RunPlan, options: &RunOptions, hands: &Hands) -> Result<Stairs, Problem> {
    let (source, signing) = (plan.credential.source.clone(), plan.credential.signing.clone());
    let credential =
        Credential::open(source, signing, self::hands(hands)).map_err(|error| error.problem())?;
    let store = hands.budgets.store();
    let named = plan.account.clone().or_else(|| plan.credential.account.clone());
    let mut identity = Identity::find(&plan.bound, named, plan.credential.name(), &credential, store).await?;
    let own = plan.rate_limit.as_ref();
    let open = |identity: &Identity| hands.budgets.open(terms(&plan.bound, own, options.priority, identity));
    let stairs = |budget: Arc<Budget>| {
        let ask = stairs(&plan.bound, &credential, budget.clone(), &plan.title, plan.retry, hands);
        Stairs { ask, budget, credential: credential.clone() }
    };
    if !identity.guessed {
        return Ok(stairs(open(&identity)));
    }
    let guess = stairs(open(&identity));
    let asked = identity.ask(&plan.bound, &*guess.ask, store).await;
    guess.budget.close().await;
    identity = asked?;
    let known = stairs(open(&identity));
    known.budget.sent_elsewhere();
    Ok(known)
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

/// What connector and pipeline say about limits, as the budget wants it.
pub(crate) fn terms(
    bound: &Bound,
    own: Option<&spec::PipelineRateLimit>,
    priority: Priority,
    identity: &Identity,
) -> Terms {
    let limits = bound.rate_limit();
    let mut accounts = vec![identity.of(limits.scope)];
    let mut rule = |rate: &spec::Rate, scope: Scope, ceiling: bool| {
        let name = identity.of(scope);
        let account = accounts.iter().position(|known| *known == name).unwrap_or_else(|| {
            accounts.push(name);
            accounts.len() - 1
        });
        let period = if rate.calendar_day { Period::Day } else { Period::Sliding(rate.period) };
        Rule { count: rate.count, period, account, ceiling }
    };
    let rules = if let Some(rates) = own.and_then(|own| own.limits.as_ref()) {
        rates.iter().map(|rate| rule(rate, limits.scope, true)).collect()
    } else {
        let limits = limits.limits.iter().map(|l| (&l.rate, l.scope.unwrap_or(limits.scope)));
        limits.map(|(rate, scope)| rule(rate, scope, false)).collect()
    };
    let base = bound.base_url().path().trim_end_matches('/').to_owned();
    let matcher = |m: &spec::RequestMatch| Matcher {
        method: m.method.clone(),
        path: m.path.clone(),
        base: base.clone(),
    };
    let bucket = |(name, bucket): &(String, spec::Bucket)| Bucket {
        name: name.clone(),
        matches: matcher(&bucket.matches),
        rules: bucket
            .limits
            .iter()
            .map(|limit| rule(&limit.rate, limit.scope.unwrap_or(limits.scope), false))
            .collect(),
        concurrency: bucket.concurrency,
        instead: bucket.instead,
    };
    let buckets = limits.buckets.iter().map(bucket).collect();
    Terms {
        rules,
        buckets,
        accounts,
        concurrency: own
            .and_then(|own| own.concurrency)
            .map(std::num::NonZeroU32::get)
            .or(limits.concurrency),
        costs: limits.cost.iter().map(|(m, cost)| (matcher(m), *cost)).collect(),
        reserve: own.and_then(|own| own.reserve).map_or(0, |reserve| reserve.millionths),
        day_ends: limits.day_ends,
        headers: HeaderNames {
            limit: limits.headers.limit.clone(),
            remaining: limits.headers.remaining.clone(),
            reset: limits.headers.reset.clone(),
            interval: limits.headers.interval.clone(),
        },
        priority,
    }
}
