//! The one text form that each type has.
//!
//! SQLite stores these, a cast to text or json writes them, and tests compare them. They go into a buffer of
//! the caller's because a page has thousands.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};

use crate::Type;
use crate::time::civil_from_days;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Appends a day as `YYYY-MM-DD`; `days` count from 1970-01-01.
pub fn date(days: i32, out: &mut String) {
    push_date(i64::from(days), out);
}

/// Appends an instant as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; `micros` count from the epoch.
pub fn timestamp(micros: i64, out: &mut String) {
    push_date(micros.div_euclid(MICROS_PER_DAY), out);
    out.push('T');
    let fraction = push_time(micros.rem_euclid(MICROS_PER_DAY), out);
    push_digits::<7>(b'.', fraction, out);
    out.push('Z');
}

/// Appends a date and time in no zone as `YYYY-MM-DD HH:MM:SS[.f]`, the fraction without trailing zeros.
pub fn local(micros: i64, out: &mut String) {
    push_date(micros.div_euclid(MICROS_PER_DAY), out);
    out.push(' ');
    let fraction = push_time(micros.rem_euclid(MICROS_PER_DAY), out);
    if fraction > 0 {
        push_digits::<7>(b'.', fraction, out);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Appends a decimal number with exactly `scale` digits behind the point; no point where that is 0.
pub fn decimal(unscaled: i128, scale: u8, out: &mut String) {
    let start = out.len();
    write!(out, "{}", unscaled.unsigned_abs()).expect("a string takes every write");
    let scale = usize::from(scale);
    let missing = (scale + 1).saturating_sub(out.len() - start);
    for _ in 0..missing {
        out.insert(start, '0');
    }
    if scale > 0 {
        out.insert(out.len() - scale, '.');
    }
    if unscaled < 0 {
        out.insert(start, '-');
    }
}

/// Appends a text as a JSON string.
pub fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for part in text.split_inclusive(|c| matches!(c, '"' | '\\' | '\0'..='\x1f')) {
        let last = part.chars().next_back().expect("a part is never empty");
        let escape = match last {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\x08' => "\\b",
            '\x0c' => "\\f",
            '\0'..='\x1f' => {
                out.push_str(&part[..part.len() - 1]);
                write!(out, "\\u{:04x}", last as u32).expect("a string takes every write");
                continue;
            }
            _ => {
                out.push_str(part);
                continue;
            }
        };
        out.push_str(&part[..part.len() - 1]);
        out.push_str(escape);
    }
    out.push('"');
}

/// Appends the value of a row: text and json as they are, numbers as digits, bools as `true` and `false`.
///
/// A float is the shortest digits that read back as the same double. The value must not be null and the array
/// must be [`Type::arrow`] of `ty`.
pub fn value(array: &dyn Array, row: usize, ty: Type, out: &mut String) {
    match ty {
        Type::Text | Type::Json => out.push_str(array.as_string::<i32>().value(row)),
        Type::Int => push(array.as_primitive::<Int64Type>().value(row), out),
        Type::Float => push(array.as_primitive::<Float64Type>().value(row), out),
        Type::Decimal(_, scale) => decimal(array.as_primitive::<Decimal128Type>().value(row), scale, out),
        Type::Bool => push(array.as_boolean().value(row), out),
        Type::Date => date(array.as_primitive::<Date32Type>().value(row), out),
        Type::Timestamp => timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), out),
        Type::Local => local(array.as_primitive::<TimestampMicrosecondType>().value(row), out),
    }
}

fn push(value: impl std::fmt::Display, out: &mut String) {
    write!(out, "{value}").expect("a string takes every write");
}

fn push_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    match u32::try_from(year) {
        Ok(year @ 0..=9999) => push_digits::<4>(b'0', year, out),
        _ => write!(out, "{year:04}").expect("a string takes every write"),
    }
    push_digits::<3>(b'-', month as u32, out);
    push_digits::<3>(b'-', day as u32, out);
}

/// Hours, minutes and seconds; returns the microseconds.
fn push_time(in_day: i64, out: &mut String) -> u32 {
    let (seconds, micros) = ((in_day / 1_000_000) as u32, (in_day % 1_000_000) as u32);
    push_digits::<2>(b'0', seconds / 3600, out);
    push_digits::<3>(b':', seconds / 60 % 60, out);
    push_digits::<3>(b':', seconds % 60, out);
    micros
}

/// `N` characters: the number, filled with zeros, after `lead` where that is not a digit itself.
fn push_digits<const N: usize>(lead: u8, mut number: u32, out: &mut String) {
    let mut text = [b'0'; N];
    for place in text.iter_mut().rev() {
        *place += (number % 10) as u8;
        number /= 10;
    }
    if lead != b'0' {
        text[0] = lead;
    }
    out.push_str(std::str::from_utf8(&text).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, parse_date, parse_local, parse_timestamp};

    #[track_caller]
    fn check(write: impl Fn(&mut String), expect: &str) {
        let mut out = String::from("before ");
        write(&mut out);
        assert_eq!(out.strip_prefix("before "), Some(expect));
    }

    #[test]
    fn dates_and_times_are_written_as_they_are_read() {
        for text in ["1970-01-01", "0001-01-01", "9999-12-31", "2000-02-29"] {
            check(|out| date(parse_date(text.as_bytes()).expect("a date"), out), text);
        }
        for text in ["2026-11-24 17:00:12", "2026-11-24 17:00:12.5", "1969-12-31 23:59:59.999999"] {
            check(|out| local(parse_local(text.as_bytes()).expect("a local time"), out), text);
        }
        check(
            |out| local(parse_local(b"2026-11-24T00:00:10.120").expect("one"), out),
            "2026-11-24 00:00:10.12",
        );
        for text in ["2026-11-24T17:00:12.000000Z", "0001-01-01T00:00:00.000001Z"] {
            check(|out| timestamp(parse_timestamp(text.as_bytes()).expect("an instant"), out), text);
        }
    }

    #[test]
    fn instants_print_as_timestamps_do() {
        for step in -300..300_i64 {
            let micros = step * 987_654_321_987_654;
            check(|out| timestamp(micros, out), &Timestamp::from_micros(micros).to_string());
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        check(|out| decimal(0, 0, out), "0");
        check(|out| decimal(0, 2, out), "0.00");
        check(|out| decimal(-5, 2, out), "-0.05");
        check(|out| decimal(-12345, 2, out), "-123.45");
        check(|out| decimal(12345, 0, out), "12345");
        check(|out| decimal(1, 38, out), "0.00000000000000000000000000000000000001");
        check(|out| decimal(-(10_i128.pow(38) - 1), 0, out), "-99999999999999999999999999999999999999");
    }

    #[test]
    fn texts_become_exact_json() {
        for text in ["", "plain", "\"", "a\\b", "\u{0}\u{1f}\n\r\t\u{8}\u{c}", "ä€😀\u{7f}\u{2028}", "\\\"\\"]
        {
            check(|out| json_string(text, out), &serde_json::to_string(text).expect("text is JSON"));
        }
    }
}
