//! How the sandbox behaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sync_core::Clock;

/// How the sandbox behaves. [`Options::new`] has what `sync sandbox` starts with.
#[derive(Clone)]
pub struct Options {
    /// Decides every value. The same seed gives the same rows.
    pub seed: u64,
    /// Rows of a stream, by `provider/stream`; all others have as many as seems likely.
    pub rows: BTreeMap<String, u64>,
    /// The token Planhat accepts.
    pub planhat_token: String,
    /// The key Flowlu accepts.
    pub flowlu_key: String,
    /// The key Hub Planner accepts.
    pub hubplanner_key: String,
    /// The token HubSpot accepts.
    pub hubspot_token: String,
    /// The key Hubnity accepts.
    pub hubnity_key: String,
    /// Whether requests beyond the limits are refused. They are counted either way.
    pub limits: bool,
    /// Planhat's limit: so many requests in any window of that length.
    pub planhat_limit: (u32, Duration),
    /// Flowlu's.
    pub flowlu_limit: (u32, Duration),
    /// Hub Planner's.
    pub hubplanner_limit: (u32, Duration),
    /// HubSpot's.
    pub hubspot_limit: (u32, Duration),
    /// Hubnity's.
    pub hubnity_limit: (u32, Duration),
    /// Properties that HubSpot's customer made, beside those that every object has.
    pub hubspot_properties: usize,
    /// Hub Planner's calls in a day, and how long its days are. They begin when a whole number of them have passed
    /// since 1970 in UTC. Refused requests count, too.
    pub hubplanner_daily: (u32, Duration),
    /// How Hub Planner says when a limit is over.
    pub hubplanner_reset: Reset,
    /// Streams the token or key has no right to, by `provider/stream`.
    pub forbidden: Vec<String>,
    /// Planhat refuses a `limit` beyond its maximum instead of silently answering with less.
    pub planhat_refuses_large_limits: bool,
    /// What becomes of requests to a Flowlu account that does not exist; every request is taken for one.
    pub flowlu_astray: Option<Astray>,
    /// What Flowlu's local times are ahead of UTC.
    pub flowlu_offset: Duration,
    /// Whether text may hold U+0000.
    pub nul: bool,
    /// Rows that a round of changes touches in each stream.
    pub changes_per_round: u64,
    /// Tells the time of changes and windows.
    pub clock: Arc<dyn Clock>,
}

/// Where a request to an account that does not exist ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Astray {
    /// A redirect to this address.
    Redirect(String),
    /// An HTML page with status 404.
    Page,
}

/// How a moment in a header reads. Providers that do not document it have been seen with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Milliseconds since 1970.
    EpochMs,
    /// Seconds since 1970.
    Epoch,
    /// Seconds from now.
    Seconds,
    /// A date as headers write it.
    Date,
}

/// Options that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A stream that no provider has.
    #[error("the sandbox has no stream `{name}`; it has {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
}

impl Options {
    /// What `sync sandbox` starts with: tokens `planhat-sandbox-token` and `hubspot-sandbox-token`, keys
    /// `flowlu-sandbox-key`, `hubplanner.sandbox.key` and `hbn_sandbox`, limits on.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            seed: 1,
            rows: BTreeMap::new(),
            planhat_token: "planhat-sandbox-token".to_owned(),
            flowlu_key: "flowlu-sandbox-key".to_owned(),
            hubplanner_key: "hubplanner.sandbox.key".to_owned(),
            hubspot_token: "hubspot-sandbox-token".to_owned(),
            hubnity_key: "hbn_sandbox".to_owned(),
            limits: true,
            planhat_limit: (200, Duration::from_mins(1)),
            flowlu_limit: (3, Duration::from_secs(2)),
            hubplanner_limit: (50, Duration::from_secs(5)),
            hubspot_limit: (100, Duration::from_secs(10)),
            hubnity_limit: (100, Duration::from_mins(1)),
            hubspot_properties: 5,
            hubplanner_daily: (6_000, Duration::from_hours(24)),
            hubplanner_reset: Reset::EpochMs,
            forbidden: Vec::new(),
            planhat_refuses_large_limits: false,
            flowlu_astray: None,
            flowlu_offset: Duration::from_hours(2),
            nul: false,
            changes_per_round: 25,
            clock,
        }
    }

    /// What the played providers accept: provider, name of its secret, value.
    pub fn credentials(&self) -> [(&'static str, &'static str, &str); 3] {
        [
            ("planhat", "token", &self.planhat_token),
            ("flowlu", "api_key", &self.flowlu_key),
            ("hubplanner", "api_key", &self.hubplanner_key),
        ]
    }

    /// The same with another number of rows in a stream.
    #[must_use]
    pub fn rows(mut self, stream: &str, rows: u64) -> Self {
        self.rows.insert(stream.to_owned(), rows);
        self
    }
}
