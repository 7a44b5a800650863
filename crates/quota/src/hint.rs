//! What a response says about limits, read from its headers.

use std::time::Duration;

use sync_core::Response;

use crate::terms::HeaderNames;

/// What a response says about one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    /// How many are allowed.
    pub limit: Option<u32>,
    /// How many are left.
    pub remaining: Option<u32>,
    /// From the response to the moment when more are to be had.
    pub reset: Option<Duration>,
    /// The length of the window.
    pub interval: Option<Duration>,
}

impl Hint {
    /// What the headers of these names say; nothing where they say neither a limit nor what is left.
    pub fn read(names: &HeaderNames, response: &Response) -> Option<Self> {
        let header = |name: &Option<String>| response.header(name.as_deref()?);
        let hint = Self {
            limit: header(&names.limit).and_then(number),
            remaining: header(&names.remaining).and_then(number),
            reset: names.reset.as_deref().and_then(|name| response.wait_in(name)),
            interval: names.interval.as_deref().and_then(|name| interval(name, response.header(name)?)),
        };
        (hint.limit.is_some() || hint.remaining.is_some()).then_some(hint)
    }
}

/// The number that a value begins with: some write `100;w=60` or `100, 100;window=60`. A negative rest is nothing.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    if text.starts_with('-') {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse::<u64>().ok().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// A length of time: in milliseconds where the header's name says so, else in seconds.
fn interval(name: &str, text: &str) -> Option<Duration> {
    let number: u64 = text.trim().parse().ok().filter(|number| *number > 0)?;
    let millis = name.contains("milli") || name.ends_with("-ms");
    Some(if millis { Duration::from_millis(number) } else { Duration::from_secs(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::Timestamp;
    use sync_testkit::fetch::{header, response};

    const NAMES: [&str; 4] = ["x-limit", "x-remaining", "x-reset", "x-interval-milliseconds"];

    type Read = (Option<u32>, Option<u32>, Option<u64>, Option<u64>);

    #[track_caller]
    fn check(values: [&str; 4], expect: Option<Read>) {
        let mut answer = response(200, "");
        answer.first_byte_at = Timestamp::parse("2026-01-01T00:00:00Z").expect("a moment");
        for (name, value) in NAMES.into_iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            answer = header(answer, name, value);
        }
        let [limit, remaining, reset, interval] = NAMES.map(|name| Some(name.to_owned()));
        let names = HeaderNames { limit, remaining, reset, interval };
        let hint = Hint::read(&names, &answer);
        let ms = |duration: Duration| duration.as_millis() as u64;
        assert_eq!(hint.map(|h| (h.limit, h.remaining, h.reset.map(ms), h.interval.map(ms))), expect);
    }

    #[test]
    fn limits_are_read_in_every_form_that_was_seen() {
        let hour = 3_600_000;
        check(["100", "7", "3600", "10000"], Some((Some(100), Some(7), Some(hour), Some(10_000))));
        check(["100", "7", "1767229200", ""], Some((Some(100), Some(7), Some(hour), None)));
        check(["100", "7", "1767229200000", ""], Some((Some(100), Some(7), Some(hour), None)));
        check(
            ["100", "7", "Thu, 01 Jan 2026 01:00:00 GMT", ""],
            Some((Some(100), Some(7), Some(hour), None)),
        );
        check(["100", "7", "2026-01-01T01:00:00Z", ""], Some((Some(100), Some(7), Some(hour), None)));
        check(["100;w=60", "-3", "0.5", ""], Some((Some(100), Some(0), Some(500), None)));
        check(["", "7", "", ""], Some((None, Some(7), None, None)));
        check(["many", "few", "soon", "x"], None);
        check(["", "", "60", "10000"], None);
    }
}
