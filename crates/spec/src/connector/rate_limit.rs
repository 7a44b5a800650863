//! `rate_limit:`: what the provider allows, and where it says so.

use std::time::Duration;

use serde_json::json;

use crate::forms::{Flag, HeaderText, ListOf, MapOf, Positive, SettingName, bare};
use crate::node::{Node, Value};
use crate::read::{Form, Reader, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::{Bucket, Limit, LimitHeaders, Rate, RateLimit, RequestMatch, Scope};

record! {
    /// What the provider allows.
    RateLimitMap -> RateLimit, "rate_limit" {
        /// All of them must allow a request.
        may limits: ListOf<LimitWord>,
        /// Whose requests they count. Default `account`.
        may scope: Scope,
        /// At most this many requests in flight.
        may concurrency: Positive,
        /// When the provider's day ends, unless its reset header says so. Default `00:00 UTC`.
        may day_ends: TimeOfDay,
        /// Where answers tell of limits; what they say corrects the budget at once.
        may headers: LimitHeadersMap,
        /// Requests with rules of their own: a name, and which requests.
        may buckets: MapOf<SettingName, BucketMap>,
        /// What requests weigh, by method and path. Others weigh one.
        may cost: CostMap,
    }
    |reader, fields| {
        let concurrency = concurrency.map(std::num::NonZeroU32::get);
        Some(RateLimit {
            limits: limits.unwrap_or_default(),
            scope: scope.unwrap_or_default(),
            concurrency,
            day_ends: day_ends.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            buckets: bare(buckets.unwrap_or_default()),
            cost: cost.unwrap_or_default(),
        })
    }
}

/// A rate, or one with a scope of its own.
struct LimitWord;

impl Form for LimitWord {
    type Value = Limit;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Limit> {
        match &node.value {
            Value::Map(_) => LimitMap::read(node, reader),
            _ => Some(Limit { rate: Rate::read(node, reader)?, scope: None }),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([Rate::schema(defs), LimitMap::schema(defs)])
    }
}

record! {
    /// A rate with a scope of its own.
    LimitMap -> Limit, "limit" {
        /// So many requests in a period.
        need rate: Rate,
        /// Whose requests it counts.
        need scope: Scope,
    }
    |reader, fields| Some(Limit { rate, scope: Some(scope) })
}

words!(Scope, "a scope" {
    "account" => Scope::Account, "those of the account, whatever its credentials.";
    "credential" => Scope::Credential, "those of one credential.";
    "host" => Scope::Host, "all that the host gets from here, whoever's they are.";
});

record! {
    /// The headers in which answers tell of limits.
    LimitHeadersMap -> LimitHeaders, "limit_headers" {
        /// How many requests are allowed.
        may limit: HeaderText,
        /// How many are left.
        may remaining: HeaderText,
        /// When more are to be had: seconds to go, seconds or milliseconds since 1970, or a date.
        may reset: HeaderText,
        /// How long to wait after "too fast", in the same forms. Default `Retry-After`.
        may retry_after: HeaderText,
        /// How long the window is: milliseconds where the header's name says so, else seconds.
        may interval: HeaderText,
    }
    |reader, fields| Some(LimitHeaders { limit, remaining, reset, retry_after, interval })
}

record! {
    /// Requests with rules of their own.
    BucketMap -> Bucket, "bucket" {
        /// Which requests: `*/search`, or with a method, `PUT *`. The path begins behind `base_url`; `*` is anything.
        need r#match: RequestMatch,
        /// All of them must allow a request.
        may limits: ListOf<LimitWord>,
        /// At most this many of them in flight.
        may concurrency: Positive,
        /// These limits stand in the place of the connector's, but for a day's, which counts every request. Otherwise
        /// both count.
        may instead: Flag,
    }
    |reader, fields| {
        if limits.is_none() && concurrency.is_none() {
            reader.find(fields.span, "this bucket limits nothing", "say `limits` or `concurrency`");
        }
        if instead == Some(true) && limits.is_none() {
            reader.find(fields.key_span_of("instead"), "`instead` of the connector's limits stands nothing", "say `limits`");
        }
        Some(Bucket {
            matches: r#match,
            limits: limits.unwrap_or_default(),
            concurrency: concurrency.map(std::num::NonZeroU32::get),
            instead: instead.unwrap_or_default(),
        })
    }
}

const MATCH: &str =
    "such as `*/search` or `PUT *`: a method if only one is meant, and a path, where `*` is anything";

impl Form for RequestMatch {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a method and a path")?;
        match request_match(text) {
            Some(found) => Some(found),
            None => reader.refuse(node, "a method and a path", MATCH),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(r"^((GET|POST|PUT|PATCH|DELETE) )?[/*][^\s?#]*$", MATCH)
    }
}

fn request_match(text: &str) -> Option<RequestMatch> {
    let (method, path) = match text.split_once(' ') {
        Some((method, path)) => (Some(method), path),
        None => (None, text),
    };
    let known = method.is_none_or(|m| matches!(m, "GET" | "POST" | "PUT" | "PATCH" | "DELETE"));
    let fine = path.starts_with(['/', '*']) && !path.contains([' ', '\t', '\n', '?', '#']);
    (known && fine).then(|| RequestMatch { method: method.map(str::to_owned), path: path.to_owned() })
}

/// Matches and weights, in the order written.
struct CostMap;

impl Form for CostMap {
    type Value = Vec<(RequestMatch, u32)>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let entries: Vec<_> = reader.map(node, "a map of methods and paths to weights")?.collect();
        if entries.is_empty() {
            reader.find(node.span, format!("`{}` is an empty map", reader.word()), "");
        }
        let mut costs = Vec::new();
        for entry in entries {
            let found = request_match(&entry.key);
            if found.is_none() {
                let message = format!("`{}` is not a method and a path", shown(&entry.key));
                reader.find(entry.key_span, message, MATCH);
            }
            let weight = reader.value_of::<Positive>(entry);
            costs.extend(found.zip(weight).map(|(found, weight)| (found, weight.get())));
        }
        Some(costs)
    }

    fn schema(defs: &mut Defs) -> Json {
        json!({
            "type": "object",
            "propertyNames": RequestMatch::schema(defs),
            "additionalProperties": Positive::schema(defs),
            "minProperties": 1,
        })
    }
}

/// A time of day with an offset from UTC, as what it is after midnight UTC.
struct TimeOfDay;

impl Form for TimeOfDay {
    type Value = Duration;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        const WHAT: &str = "a time of day";
        let text = reader.text(node, WHAT)?;
        let help = "such as `00:00 UTC`, `08:00`, or `00:00 +02:00`; names of zones are not known here";
        time_of_day(text).map_or_else(|| reader.refuse(node, WHAT, help), Some)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(
            r"^([01][0-9]|2[0-3]):[0-5][0-9]( UTC| ?[+-]([01][0-9]|2[0-3]):[0-5][0-9])?$",
            "Such as `00:00 UTC`, `08:00`, or `00:00 +02:00`.",
        )
    }
}

fn time_of_day(text: &str) -> Option<Duration> {
    let minutes = |text: &str| {
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number = |text: &str| digits(text).then(|| text.parse::<i64>().ok()).flatten();
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        ((0..24).contains(&hours) && (0..60).contains(&minutes)).then_some(hours * 60 + minutes)
    };
    let (time, zone) = text.split_at_checked(5)?;
    let offset = match zone.trim_start_matches(' ') {
        "" if zone.is_empty() => 0,
        "UTC" if zone.len() == 4 => 0,
        east if east.starts_with('+') && zone.len() - east.len() < 2 => minutes(&east[1..])?,
        west if west.starts_with('-') && zone.len() - west.len() < 2 => -minutes(&west[1..])?,
        _ => return None,
    };
    let after = (minutes(time)? - offset).rem_euclid(24 * 60);
    Some(Duration::from_secs(after as u64 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_with_their_offset() {
        let read = |text| time_of_day(text).map(|d| d.as_secs() / 60);
        assert_eq!(read("00:00 UTC"), Some(0));
        assert_eq!(read("08:30"), Some(510));
        assert_eq!(read("00:00 +02:00"), Some(22 * 60));
        assert_eq!(read("23:00-05:30"), Some(4 * 60 + 30));
        for wrong in ["8:30", "24:00", "00:60", "00:00 CET", "00:00  UTC", "00:00 ", "", "+1:00", "00:00 +2"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn requests_are_told_by_method_and_path() {
        let read = |text| request_match(text).map(|m| (m.method.unwrap_or_default(), m.path));
        assert_eq!(read("*/search"), Some((String::new(), "*/search".to_owned())));
        assert_eq!(read("PUT *"), Some(("PUT".to_owned(), "*".to_owned())));
        for wrong in ["put *", "search", "GET", "GET  /x", "/a?b=1", "", "/a b"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
