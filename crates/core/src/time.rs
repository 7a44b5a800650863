//! Instants, and the three date forms that a text column may turn out to hold.
//!
//! Parsing is on the hot path of every page, so it works on bytes and allocates nothing. The calendar
//! arithmetic is Howard Hinnant's `days_from_civil` (<https://howardhinnant.github.io/date_algorithms.html>).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A moment, in microseconds since 1970-01-01T00:00:00Z. Prints as `2026-11-24T17:00:12.345678Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This moment moved back.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }

    /// This moment moved on.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// From `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads the form that [`fmt::Display`] writes, and every other ISO 8601 form with a zone.
    pub fn parse(text: &str) -> Option<Self> {
        parse_timestamp(text.as_bytes()).map(Self)
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = civil_from_days(self.0.div_euclid(MICROS_PER_DAY));
        let in_day = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
        write!(
            f,
            "{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{micros:06}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a moment")))
    }
}

/// Days since 1970-01-01 of a civil date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// The civil date of a day number: year, month, day.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `N` ASCII digits as a number.
fn digits<const N: usize>(bytes: &[u8]) -> Option<i64> {
    let bytes: &[u8; N] = bytes.get(..N)?.try_into().ok()?;
    bytes.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form of a date in a header that may still be sent.
///
/// Source: RFC 9110, section 5.6.7.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = text.split_once(", ")?;
    let [day, month, year, time, "GMT"] = date.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
}

/// `YYYY-MM-DD` as days since 1970-01-01. Years 0001 to 9999; nothing before or after it.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    (text.len() == 10).then(|| leading_date(text)).flatten().and_then(|d| i32::try_from(d).ok())
}

fn leading_date(text: &[u8]) -> Option<i64> {
    let year = digits::<4>(text)?;
    let month = digits::<2>(text.get(5..)?)?;
    let day = digits::<2>(text.get(8..)?)?;
    let valid = text[4] == b'-'
        && text[7] == b'-'
        && year >= 1
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| days_from_civil(year, month, day))
}

/// Date, `T` or a blank, time of day with up to six decimals; the microseconds and what follows.
fn leading_local(text: &[u8]) -> Option<(i64, &[u8])> {
    let days = leading_date(text)?;
    let time = text.get(11..)?;
    if !matches!(text[10], b'T' | b' ') {
        return None;
    }
    let hour = digits::<2>(time)?;
    let minute = digits::<2>(time.get(3..)?)?;
    let second = digits::<2>(time.get(6..)?)?;
    if time[2] != b':' || time[5] != b':' || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &time[8..];
    let mut micros = 0;
    if rest.first() == Some(&b'.') {
        let count = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 || count > 6 {
            return None; // finer than a microsecond would lose something
        }
        micros = rest[1..=count].iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        micros *= 10_i64.pow(6 - count as u32);
        rest = &rest[count + 1..];
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some((days * MICROS_PER_DAY + seconds * 1_000_000 + micros, rest))
}

/// ISO 8601 date and time with `Z` or an offset (`+01:00`, `+0100`, `+01`), as microseconds since the epoch,
/// UTC. At most six decimals.
pub fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let (local, zone) = leading_local(text)?;
    let (sign, offset) = match zone.split_first()? {
        (b'Z' | b'z', []) => return Some(local),
        (b'+', offset) => (1, offset),
        (b'-', offset) => (-1, offset),
        _ => return None,
    };
    let hours = digits::<2>(offset)?;
    let minutes = match &offset[2..] {
        [] => 0,
        [b':', rest @ ..] | rest if rest.len() == 2 => digits::<2>(rest)?,
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| local - sign * (hours * 60 + minutes) * 60_000_000)
}

/// Date and time without a zone, as microseconds since 1970-01-01T00:00:00 of that same unnamed zone.
pub fn parse_local(text: &[u8]) -> Option<i64> {
    leading_local(text).and_then(|(local, rest)| rest.is_empty().then_some(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn moment(text: &str, expect: Option<&str>) {
        assert_eq!(Timestamp::parse(text).map(|t| t.to_string()).as_deref(), expect);
    }

    #[test]
    fn moments_are_read_with_their_zone_and_written_in_utc() {
        moment("2021-08-09T16:54:17.298Z", Some("2021-08-09T16:54:17.298000Z"));
        moment("2021-06-24T19:38:16.000+0000", Some("2021-06-24T19:38:16.000000Z"));
        moment("2021-06-24T19:38:16+02:00", Some("2021-06-24T17:38:16.000000Z"));
        moment("2021-06-24 19:38:16-0130", Some("2021-06-24T21:08:16.000000Z"));
        moment("2021-06-24T19:38:16+01", Some("2021-06-24T18:38:16.000000Z"));
        moment("1969-12-31T23:59:59.999999Z", Some("1969-12-31T23:59:59.999999Z"));
        moment("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00.000000Z"));
        moment("2000-02-29T00:00:00Z", Some("2000-02-29T00:00:00.000000Z"));
        moment("1900-02-29T00:00:00Z", None);
        moment("2021-06-24T19:38:16", None);
        moment("2021-06-24T19:38:16.1234567Z", None);
        moment("2021-06-24T24:00:00Z", None);
        moment("2021-06-24T19:38:60Z", None);
        moment("2021-13-24T19:38:00Z", None);
        moment("0000-01-01T00:00:00Z", None);
        moment("2021-06-24T19:38:16Z ", None);
        moment("2021-06-24T19:38:16.Z", None);
        moment("2021-06-24T19:38:16+", None);
        moment("2021-06-24T19:38:16+1:00", None);
        moment("2021-06-24T19:38:16+é", None);
        moment("", None);
    }

    #[test]
    fn dates_and_local_times_have_one_form_each() {
        assert_eq!(parse_date(b"1970-01-02"), Some(1));
        assert_eq!(parse_date(b"2026-11-24"), Some(20_781));
        assert_eq!(parse_date(b"2026-11-24T00:00:00"), None);
        assert_eq!(parse_date(b"0000-00-00"), None);
        assert_eq!(parse_local(b"1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(parse_local(b"1970-01-01T00:00:01.5"), Some(1_500_000));
        assert_eq!(parse_local(b"1970-01-01 00:00:01Z"), None);
        assert_eq!(parse_local(b"0000-00-00 00:00:00"), None);
    }

    #[test]
    fn every_day_of_eight_centuries_survives_the_round_trip() {
        for days in -200_000..100_000 {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
    }

    #[test]
    fn dates_of_headers_are_read() {
        let read = |text| parse_http_date(text).map(|t| t.to_string());
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT").as_deref(), Some("1994-11-06T08:49:37.000000Z"));
        assert_eq!(read("Sunday, 06-Nov-94 08:49:37 GMT"), None);
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 CET"), None);
        assert_eq!(read("yesterday"), None);
    }
}
