//! How long to wait before asking again.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::Timestamp;
    use sync_testkit::fetch::{header, response};

    #[track_caller]
    fn check(value: &str, expect: Option<u64>) {
        let mut response = header(response(429, ""), "retry-after", value);
        response.first_byte_at = Timestamp::parse("1994-11-06T08:49:30Z").expect("a moment");
        assert_eq!(response.wait_in("retry-after"), expect.map(Duration::from_secs));
        // The server's clock is two minutes behind ours and wins.
        let dated = header(response, "date", "Sun, 06 Nov 1994 08:47:30 GMT");
        let behind = expect.map(|s| if value.contains("1994 08:49") { s + 120 } else { s });
        assert_eq!(dated.wait_in("retry-after"), behind.map(Duration::from_secs));
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
