//! Durations, sizes and rates as words: `15m`, `128MB`, `50/5s`.

use std::time::Duration;

use crate::Rate;
use crate::forms::whole;
use crate::node::Node;
use crate::read::{Form, Reader, shown};
use crate::schema::{self, Defs, Json};

/// A hundred years. More is a slip of the finger, and sums of durations must stay far from overflow.
const LONGEST: Duration = Duration::from_hours(36_500 * 24);

const DURATION: &str =
    "a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `90s`, `15m` or `30d`";
const SIZE: &str =
    "a size is a whole number with `B`, `KB`, `MB`, `GB`, or `KiB`, `MiB`, `GiB`, such as `128MB`";
const RATE: &str = "a rate is so many requests in a period, such as `50/5s`, `200/min` or `6000/day`";

/// A length of time, such as `90s`, `15m`, `1h`, `30d`, `500ms`. The error says what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = quantity(text).ok_or_else(|| format!("`{}` is not a duration", shown(text)))?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("`{}` has no unit", shown(text))),
        other => return Err(format!("`{}` is not a unit of time", shown(other))),
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("`{}` is longer than a hundred years", shown(text)))
}

/// A number of bytes, such as `128MB` (decimal, as disks count) or `64MiB` (binary). Not zero. The error says
/// what is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = quantity(text).ok_or_else(|| format!("`{}` is not a size", shown(text)))?;
    let bytes = match unit {
        "B" => 1,
        "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err(format!("`{}` has no unit", shown(text))),
        other => return Err(format!("`{}` is not a unit of size", shown(other))),
    };
    match number.checked_mul(bytes).filter(|bytes| i64::try_from(*bytes).is_ok()) {
        Some(0) => Err(format!("`{}` is no bytes at all", shown(text))),
        Some(bytes) => Ok(bytes),
        None => Err(format!("`{}` is too large", shown(text))),
    }
}

/// Requests in a period, such as `50/5s`, `200/min`, `6000/day`. A bare `day` is the provider's calendar day,
/// `24h` any 24 hours. The error says what is wrong with it.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let (count, period) = text.split_once('/').ok_or_else(|| format!("`{}` is not a rate", shown(text)))?;
    let count = match whole(count).map(u32::try_from) {
        Some(Ok(0)) => return Err(format!("`{}` allows nothing", shown(text))),
        Some(Ok(count)) => count,
        Some(Err(_)) => return Err(format!("`{}` is too many", shown(count))),
        None => return Err(format!("`{}` is not a number of requests", shown(count))),
    };
    let period = match period {
        "s" | "sec" => Duration::from_secs(1),
        "min" => Duration::from_mins(1),
        "h" | "hour" => Duration::from_hours(1),
        "day" => Duration::from_hours(24),
        other => parse_duration(other)?,
    };
    if period.is_zero() {
        return Err(format!("`{}` has a period of no length", shown(text)));
    }
    Ok(Rate { count, period, calendar_day: text.ends_with("/day") })
}

/// A whole number and what follows it.
fn quantity(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((whole(number)?, unit))
}

/// A duration that may be nothing: `0s`.
pub(crate) struct Length;

impl Form for Length {
    type Value = Duration;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        parsed(node, reader, "a duration", parse_duration, DURATION)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^[0-9]+(ms|s|m|h|d)$", "Such as `90s`, `15m`, `1h`, `30d`, `500ms`.")
    }
}

/// A duration of at least a second.
pub(crate) struct Interval;

impl Form for Interval {
    type Value = Duration;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        let length = Length::read(node, reader)?;
        at_least_a_second(length, node, reader)
    }

    fn schema(defs: &mut Defs) -> Json {
        Length::schema(defs)
    }
}

/// The same length, unless it is shorter than a second.
pub(crate) fn at_least_a_second(length: Duration, node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
    if length < Duration::from_secs(1) {
        let message = format!("`{}` must be at least `1s`", reader.word());
        reader.find(node.span, message, "");
        return None;
    }
    Some(length)
}

/// A number of bytes.
pub(crate) struct Size;

impl Form for Size {
    type Value = u64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u64> {
        parsed(node, reader, "a size", parse_size, SIZE)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^[1-9][0-9]*(B|KB|MB|GB|KiB|MiB|GiB)$", "Such as `128MB`.")
    }
}

impl Form for Rate {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        parsed(node, reader, "a rate", parse_rate, RATE)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(
            "^[1-9][0-9]*/(s|sec|min|h|hour|day|[1-9][0-9]*(ms|s|m|h|d))$",
            "Such as `50/5s`, `200/min`, `6000/day`. A bare `day` is the provider's calendar day, `24h` any 24 hours.",
        )
    }
}

fn parsed<T>(
    node: &Node,
    reader: &mut Reader<'_>,
    what: &str,
    parse: fn(&str) -> Result<T, String>,
    help: &str,
) -> Option<T> {
    match parse(reader.text(node, what)?) {
        Ok(value) => Some(value),
        Err(message) => {
            reader.find(node.span, message, help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn duration(text: &str, expect: Result<u128, &str>) {
        assert_eq!(parse_duration(text).map(|d| d.as_millis()), expect.map_err(str::to_owned));
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        duration("500ms", Ok(500));
        duration("90s", Ok(90_000));
        duration("15m", Ok(900_000));
        duration("1h", Ok(3_600_000));
        duration("30d", Ok(2_592_000_000));
        duration("0s", Ok(0));
        duration("36500d", Ok(3_153_600_000_000));
        duration("36501d", Err("`36501d` is longer than a hundred years"));
        duration("18446744073709551615d", Err("`18446744073709551615d` is longer than a hundred years"));
        duration("90", Err("`90` has no unit"));
        duration("1min", Err("`min` is not a unit of time"));
        duration("1H", Err("`H` is not a unit of time"));
        duration("-1s", Err("`-1s` is not a duration"));
        duration("1.5h", Err("`.5h` is not a unit of time"));
        duration("01s", Err("`01s` is not a duration"));
        duration("", Err("`` is not a duration"));
        duration("99999999999999999999s", Err("`99999999999999999999s` is not a duration"));
    }

    #[track_caller]
    fn size(text: &str, expect: Result<u64, &str>) {
        assert_eq!(parse_size(text), expect.map_err(str::to_owned));
    }

    #[test]
    fn sizes_are_decimal_unless_an_i_says_binary() {
        size("128MB", Ok(128_000_000));
        size("1KiB", Ok(1024));
        size("2GB", Ok(2_000_000_000));
        size("0B", Err("`0B` is no bytes at all"));
        size("128", Err("`128` has no unit"));
        size("128mb", Err("`mb` is not a unit of size"));
        size("9999999999999999GB", Err("`9999999999999999GB` is too large"));
    }

    #[track_caller]
    fn rate(text: &str, expect: Result<(u32, u64, bool), &str>) {
        let rate = parse_rate(text).map(|r| (r.count, r.period.as_secs(), r.calendar_day));
        assert_eq!(rate, expect.map_err(str::to_owned));
    }

    #[test]
    fn rates_are_so_many_in_a_period() {
        rate("50/5s", Ok((50, 5, false)));
        rate("4/s", Ok((4, 1, false)));
        rate("200/min", Ok((200, 60, false)));
        rate("6000/day", Ok((6000, 86_400, true)));
        rate("6000/24h", Ok((6000, 86_400, false)));
        rate("0/s", Err("`0/s` allows nothing"));
        rate("-1/s", Err("`-1` is not a number of requests"));
        rate("5000000000/s", Err("`5000000000` is too many"));
        rate("5/0s", Err("`5/0s` has a period of no length"));
        rate("5/fortnight", Err("`fortnight` is not a duration"));
        rate("5", Err("`5` is not a rate"));
        rate("5/", Err("`` is not a duration"));
    }
}
