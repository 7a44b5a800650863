//! What was asked of the sandbox, for tests and for people.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use sync_core::Timestamp;

/// Requests remembered one by one.
const ASKED_MAX: usize = 10_000;
/// Endpoints told apart; paths beyond are counted together, since a client may ask for anything.
const ENDPOINTS_MAX: usize = 1_000;

/// What was asked of the sandbox since it began or was reset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// By endpoint, such as `planhat/companies` or `flowlu/crm/account/list`.
    pub endpoints: BTreeMap<String, EndpointCounters>,
    /// By provider.
    pub providers: BTreeMap<&'static str, ProviderCounters>,
    /// The last 10,000 requests, oldest first.
    pub asked: VecDeque<Asked>,
}

/// What was asked of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Requests, however they were answered.
    pub requests: u64,
    /// Answers by status; 0 stands for none.
    pub by_status: BTreeMap<u16, u64>,
    /// Rows sent.
    pub rows: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
}

/// What was asked of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderCounters {
    /// Requests, however they were answered.
    pub requests: u64,
    /// Its limit: requests in a window.
    pub limit: u32,
    /// Its window.
    pub window: Duration,
    /// The most requests that came in any one window.
    pub most_in_window: u64,
    /// Requests that were one too many in their window.
    pub violations: u64,
    /// The most requests that were under way at once.
    pub most_at_once: u64,
    /// The most requests in one of its days, where it counts by the day.
    pub in_day: u64,
}

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When, by the sandbox's clock, UTC.
    pub at: Timestamp,
    /// The endpoint.
    pub endpoint: String,
    /// Such as `GET`.
    pub method: String,
    /// The query, decoded, in the order it came; secrets are left out.
    pub query: Vec<(String, String)>,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// Rows in the answer.
    pub rows: u64,
}

impl Asked {
    /// The last value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Counters {
    /// The requests of an endpoint, oldest first.
    pub fn asked_of<'a>(&'a self, endpoint: &'a str) -> impl Iterator<Item = &'a Asked> {
        self.asked.iter().filter(move |asked| asked.endpoint == endpoint)
    }

    /// Requests of an endpoint.
    pub fn requests(&self, endpoint: &str) -> u64 {
        self.endpoints.get(endpoint).map_or(0, |counters| counters.requests)
    }

    pub(crate) fn note(&mut self, asked: Asked, bytes: u64) {
        let full = self.endpoints.len() >= ENDPOINTS_MAX && !self.endpoints.contains_key(&asked.endpoint);
        let name = if full { "other" } else { &asked.endpoint };
        let endpoint = self.endpoints.entry(name.to_owned()).or_default();
        endpoint.requests += 1;
        *endpoint.by_status.entry(asked.status).or_default() += 1;
        endpoint.rows += asked.rows;
        endpoint.bytes += bytes;
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(asked);
    }

    /// The figures as JSON, the single requests left out.
    pub fn to_json(&self) -> Value {
        let endpoints = self.endpoints.iter().map(|(name, e)| {
            let by_status: BTreeMap<String, u64> =
                e.by_status.iter().map(|(status, n)| (status.to_string(), *n)).collect();
            let figures =
                json!({"requests": e.requests, "by_status": by_status, "rows": e.rows, "bytes": e.bytes});
            (name.clone(), figures)
        });
        let providers = self.providers.iter().map(|(name, p)| {
            let figures = json!({
                "requests": p.requests,
                "limit": p.limit,
                "window_ms": p.window.as_millis() as u64,
                "most_in_window": p.most_in_window,
                "violations": p.violations,
                "most_at_once": p.most_at_once,
                "in_day": p.in_day,
            });
            ((*name).to_owned(), figures)
        });
        json!({
            "endpoints": endpoints.collect::<serde_json::Map<_, _>>(),
            "providers": providers.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// The last requests as JSON, oldest first.
    pub fn asked_json(&self) -> Value {
        let each = self.asked.iter().map(|asked| {
            json!({
                "at": asked.at.to_string(),
                "endpoint": asked.endpoint,
                "method": asked.method,
                "query": asked.query,
                "status": asked.status,
                "rows": asked.rows,
            })
        });
        each.collect()
    }
}
