//! How long to wait before asking again.

use std::time::Duration;

use sync_core::{Response, Timestamp};

/// The first wait after a passing fault; each further one may be twice as long.
const FAULT_FIRST: Duration = Duration::from_millis(500);
const FAULT_LONGEST: Duration = Duration::from_secs(30);
/// The first wait after "too fast" without a time; each further one is twice as long.
const LIMITED_FIRST: Duration = Duration::from_secs(1);
const LIMITED_LONGEST: Duration = Duration::from_mins(1);

/// The longest wait after the `failures`-th passing fault in a row, counted from 1.
pub(crate) fn fault_ceiling(failures: u32) -> Duration {
    doubled(FAULT_FIRST, failures, FAULT_LONGEST)
}

/// A random wait up to the ceiling ("full jitter"), so that clients that failed together come back apart.
/// Source: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
pub(crate) fn jittered(ceiling: Duration) -> Duration {
    ceiling.mul_f64(fastrand::f64())
}

/// The wait after the `times`-th "too fast" in a row, counted from 1, when the provider gave no time.
pub(crate) fn limited(times: u32) -> Duration {
    doubled(LIMITED_FIRST, times, LIMITED_LONGEST)
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(longest)
}

/// What `Retry-After` says: seconds, or an HTTP date. A moment in the past is no wait at all.
///
/// Source: RFC 9110, section 10.2.3.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    // Some providers write decimals.
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = http_date(value)?;
    // The server's own clock, where it tells it, makes the difference right even if ours is wrong.
    let now = response.header("date").and_then(http_date).unwrap_or(response.first_byte_at);
    Some(until.since(now))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that may still be sent.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = text.split_once(", ")?;
    let [day, month, year, time, "GMT"] = date.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let at = MONTHS.find(month).filter(|at| at % 3 == 0 && month.len() == 3)?;
    Timestamp::parse(&format!("{year}-{:02}-{day}T{time}Z", at / 3 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_testkit::fetch::{header, response};

    #[track_caller]
    fn check(value: &str, expect: Option<u64>) {
        let mut response = header(response(429, ""), "retry-after", value);
        response.first_byte_at = Timestamp::parse("1994-11-06T08:49:30Z").expect("a moment");
        assert_eq!(retry_after(&response), expect.map(Duration::from_secs));
        // The server's clock is two minutes behind ours and wins.
        let dated = header(response, "date", "Sun, 06 Nov 1994 08:47:30 GMT");
        let behind = expect.map(|s| if value.contains("1994 08:49") { s + 120 } else { s });
        assert_eq!(retry_after(&dated), behind.map(Duration::from_secs));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(7));
        check("Sun, 06 Nov 1984 08:49:37 GMT", Some(0));
        check("soon", None);
        check("-3", None);
        check("NaN", None);
        check("Sun, 06 Foo 1994 08:49:37 GMT", None);
        check("Sun, 06 nFe 1994 08:49:37 GMT", None);
        check("", None);
    }

    #[test]
    fn waits_double_up_to_their_longest() {
        let column = |wait: fn(u32) -> Duration| [1, 2, 3, 6, 7, 40].map(|n| wait(n).as_millis());
        assert_eq!(column(fault_ceiling), [500, 1000, 2000, 16_000, 30_000, 30_000]);
        assert_eq!(column(limited), [1000, 2000, 4000, 32_000, 60_000, 60_000]);
        assert!(jittered(Duration::from_secs(1)) <= Duration::from_secs(1));
    }
}
