//! What a run may draw: rules, buckets, weights, and whose account it is.

use std::time::Duration;

use sync_core::Request;

/// What requests are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Any window of that length.
    Sliding(Duration),
    /// The provider's calendar day.
    Day,
}

impl Period {
    /// As people say it: `5 s`, `1 min`, `day`.
    pub fn spoken(self) -> String {
        let Self::Sliding(window) = self else { return "day".to_owned() };
        match window.as_millis() {
            ms if ms % 3_600_000 == 0 => format!("{} h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
            ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
            ms => format!("{ms} ms"),
        }
    }
}

/// At most so many requests in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The number of requests, or of units where requests weigh more than one.
    pub count: u32,
    /// What they are counted in.
    pub period: Period,
    /// The account whose requests it counts, as a place in [`Terms::accounts`].
    pub account: usize,
    /// Whether a person set it for this run: what the provider says may lower it and never raise it.
    pub ceiling: bool,
}

impl Rule {
    /// As people say it: `50 per 5 s`, `6000 per day`.
    pub fn label(&self) -> String {
        format!("{} per {}", self.count, self.period.spoken())
    }
}

/// Requests that have rules of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Which requests.
    pub matches: Matcher,
    /// Its rules, all of which must allow a request.
    pub rules: Vec<Rule>,
    /// Requests of it under way at most.
    pub concurrency: Option<u32>,
    /// Its rules stand in the place of those of less than a day. A day's rule counts every request all the same:
    /// where a provider has a window of its own for searches, the day is still one.
    pub instead: bool,
}

/// Tells requests by method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The method, if only one is meant.
    pub method: Option<String>,
    /// The path behind the base URL; `*` stands for anything, slashes included.
    pub path: String,
    /// The path of the base URL, without a slash at its end.
    pub base: String,
}

impl Matcher {
    fn fits(&self, request: &Request) -> bool {
        let method = self.method.as_ref().is_none_or(|method| method == request.method.as_str());
        let path = request.url.path();
        method && glob(self.path.as_bytes(), path.strip_prefix(self.base.as_str()).unwrap_or(path).as_bytes())
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        b'*' => (0..=text.len()).any(|from| glob(rest, &text[from..])),
        byte => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

/// The headers in which a provider tells of its limits, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// How many are allowed.
    pub limit: Option<String>,
    /// How many are left.
    pub remaining: Option<String>,
    /// When more are to be had.
    pub reset: Option<String>,
    /// How long the window is, which tells one limit from another.
    pub interval: Option<String>,
}

/// Who goes first where several wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Nobody does: it gives way, but not for ever.
    Scheduled,
}

/// What a run may draw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whose figures are drawn on, at least one. Pauses, the queue and `concurrency` belong to the first; rules name
    /// theirs.
    pub accounts: Vec<String>,
    /// All must allow a request.
    pub rules: Vec<Rule>,
    /// Requests under way at most, over all processes.
    pub concurrency: Option<u32>,
    /// Requests with rules of their own; the first that matches counts.
    pub buckets: Vec<Bucket>,
    /// What requests weigh; the first that matches counts, and others weigh one.
    pub costs: Vec<(Matcher, u32)>,
    /// Millionths of every rule that are left to others.
    pub reserve: u32,
    /// When the provider's day ends: so long after midnight UTC.
    pub day_ends: Duration,
    /// Where the provider tells of its limits.
    pub headers: HeaderNames,
    /// Who goes first.
    pub priority: Priority,
}

/// Which bucket a request is of, and what it weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    /// A place in [`Terms::buckets`].
    pub bucket: Option<usize>,
    pub cost: u32,
}

impl Terms {
    pub(crate) fn class(&self, request: &Request) -> Class {
        let bucket = self.buckets.iter().position(|bucket| bucket.matches.fits(request));
        let cost = self.costs.iter().find(|(matches, _)| matches.fits(request)).map_or(1, |(_, cost)| *cost);
        Class { bucket, cost }
    }

    /// The rules for requests of a bucket, each with the bucket whose requests it counts.
    pub(crate) fn rules_for(&self, bucket: Option<usize>) -> impl Iterator<Item = (&Rule, Option<usize>)> {
        let own = bucket.map(|index| &self.buckets[index]);
        let instead = own.is_some_and(|bucket| bucket.instead);
        let shared = self.rules.iter().filter(move |rule| !instead || rule.period == Period::Day);
        let own = own.into_iter().flat_map(|bucket| &bucket.rules);
        shared.map(|rule| (rule, None)).chain(own.map(move |rule| (rule, bucket)))
    }

    /// Whether requests of a bucket are counted elsewhere than under the rules of less than a day.
    pub(crate) fn apart(&self, name: &str) -> bool {
        self.buckets.iter().any(|bucket| bucket.instead && bucket.name == name)
    }

    /// The pace of the tightest sliding rule, in requests a second.
    pub(crate) fn pace(&self) -> Option<f64> {
        let pace = self.rules.iter().filter_map(|rule| match rule.period {
            Period::Sliding(window) => Some(f64::from(rule.count) / window.as_secs_f64()),
            Period::Day => None,
        });
        pace.min_by(f64::total_cmp)
    }

    /// The shortest and the longest sliding window there is.
    pub(crate) fn windows(&self) -> (Option<Duration>, Option<Duration>) {
        let own = self.buckets.iter().flat_map(|bucket| &bucket.rules);
        let windows = || {
            self.rules.iter().chain(own.clone()).filter_map(|rule| match rule.period {
                Period::Sliding(window) => Some(window),
                Period::Day => None,
            })
        };
        (windows().min(), windows().max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_testkit::fetch::get;

    fn matcher(method: Option<&str>, path: &str) -> Matcher {
        Matcher { method: method.map(str::to_owned), path: path.to_owned(), base: "/v1".to_owned() }
    }

    #[test]
    fn requests_are_told_by_method_and_path_behind_the_base() {
        let request = get("https://acme.test/v1/crm/objects/search?limit=5");
        let check = |method, path, expect| {
            assert_eq!(matcher(method, path).fits(&request), expect, "{method:?} {path}");
        };
        check(None, "*/search", true);
        check(None, "/crm/*", true);
        check(None, "/crm/*/search", true);
        check(None, "*", true);
        check(Some("GET"), "*", true);
        check(Some("PUT"), "*", false);
        check(None, "/crm", false);
        check(None, "search", false);
        check(None, "*/search/*", false);
    }

    #[test]
    fn rules_read_as_people_say_them() {
        let check = |count, period, expect: &str| {
            assert_eq!(Rule { count, period, account: 0, ceiling: false }.label(), expect);
        };
        check(50, Period::Sliding(Duration::from_secs(5)), "50 per 5 s");
        check(200, Period::Sliding(Duration::from_mins(1)), "200 per 1 min");
        check(20, Period::Sliding(Duration::from_millis(500)), "20 per 500 ms");
        check(6000, Period::Sliding(Duration::from_hours(24)), "6000 per 24 h");
        check(6000, Period::Day, "6000 per day");
    }
}
