//! What a JSON number is, read from its digits and never through floating point.

use sync_core::Digits;

/// A number's anatomy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// A whole number of 64 bits.
    Int(i64),
    /// A whole number that is larger, of so many digits.
    Long(u32),
    /// A number with a fraction or an exponent.
    Fraction(Fraction),
}

/// A number with a fraction or an exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    /// Digits before the point when it is written out, without leading zeros.
    pub whole: u32,
    /// Digits behind the point when it is written out, without trailing zeros.
    pub scale: u32,
    /// Whether a double prints back the same digits.
    pub exact: bool,
}

/// Doubles keep any 15 significant digits; only longer numbers need a look at what they print.
const DIGITS_SAFE: u32 = 15;

/// Reads a number as JSON writes it (RFC 8259 §6).
pub(super) fn read(text: &str) -> Number {
    if let Some(int) = short_int(text.as_bytes()) {
        return Number::Int(int);
    }
    if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) || text == "-0" {
        return Number::Fraction(fraction(text));
    }
    match text.parse() {
        Ok(int) => Number::Int(int),
        Err(_) => Number::Long(text.trim_start_matches('-').len() as u32),
    }
}

/// Whole numbers of up to 18 digits, which are nearly all there are.
fn short_int(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    if negative && value == 0 {
        return None; // minus zero is not a whole number: it would lose its sign
    }
    Some(if negative { -value } else { value })
}

fn fraction(text: &str) -> Fraction {
    let places = Places::of(text);
    let exact = places.significant() <= DIGITS_SAFE && (-290..=290).contains(&places.exponent)
        || prints_back(text, &places);
    Fraction { whole: places.whole(), scale: places.scale(), exact }
}

/// A number as significant digits and a power of ten: `0.digits × 10^exponent`.
struct Places<'a> {
    whole: &'a str,
    fraction: &'a str,
    /// Significant digits start so far inside `whole` and `fraction` together.
    start: usize,
    /// And end here.
    end: usize,
    exponent: i64,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        let text = text.trim_start_matches('-');
        let (mantissa, power) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].trim_start_matches('+').parse().unwrap_or(i64::MAX / 4)),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        let start = digits().take_while(|b| *b == b'0').count();
        let length = whole.len() + fraction.len();
        let trailing = fraction.bytes().rev().chain(whole.bytes().rev()).take_while(|b| *b == b'0').count();
        let end = if start == length { start } else { length - trailing };
        let exponent = if start == length { 0 } else { whole.len() as i64 - start as i64 + power };
        Self { whole, fraction, start, end, exponent }
    }

    fn significant(&self) -> u32 {
        (self.end - self.start) as u32
    }

    fn whole(&self) -> u32 {
        u32::try_from(self.exponent.max(0)).unwrap_or(u32::MAX)
    }

    fn scale(&self) -> u32 {
        u32::try_from((i64::from(self.significant()) - self.exponent).max(0)).unwrap_or(u32::MAX)
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.bytes().chain(self.fraction.bytes()).skip(self.start).take(self.end - self.start)
    }
}

/// Whether the double nearest to a number prints as the same digits.
fn prints_back(text: &str, places: &Places<'_>) -> bool {
    let Ok(double) = text.parse::<f64>() else { return false };
    let printed = format!("{double:e}");
    let again = Places::of(&printed);
    double.is_finite() && again.exponent == places.exponent && again.digits().eq(places.digits())
}

/// The number as an integer of `scale` decimals, for a decimal column; nothing if it does not fit 38 digits
/// or has more decimals.
pub(super) fn unscaled(text: &str, scale: u8) -> Option<i128> {
    let places = Places::of(text);
    let shift = i64::from(scale) + places.exponent - i64::from(places.significant());
    if shift < 0 || places.exponent + i64::from(scale) > 38 {
        return None;
    }
    let mut value =
        places.digits().try_fold(0_i128, |n, d| n.checked_mul(10)?.checked_add(i128::from(d - b'0')))?;
    value = value.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    Some(if text.starts_with('-') { -value } else { value })
}

impl Number {
    /// How much room it takes.
    pub(super) fn digits(self) -> Digits {
        match self {
            Self::Int(int) => int_digits(int),
            Self::Long(whole) => Digits { whole: clamp(whole), scale: 0, wide: true },
            Self::Fraction(f) => Digits { whole: clamp(f.whole), scale: clamp(f.scale), wide: false },
        }
    }
}

/// Whole numbers from here on are rounded by a double.
pub(super) const WIDE: u64 = 1 << 53;

/// How much room a whole number takes.
pub(super) fn int_digits(int: i64) -> Digits {
    let magnitude = int.unsigned_abs();
    Digits { whole: magnitude.checked_ilog10().map_or(0, |d| d as u8 + 1), scale: 0, wide: magnitude >= WIDE }
}

fn clamp(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_int(text: &str, expect: Option<i64>) {
        let got = match read(text) {
            Number::Int(int) => Some(int),
            _ => None,
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn whole_numbers_keep_all_64_bits() {
        check_int("0", Some(0));
        check_int("-1", Some(-1));
        check_int("999999999999999999", Some(999_999_999_999_999_999));
        check_int("9223372036854775807", Some(i64::MAX));
        check_int("-9223372036854775808", Some(i64::MIN));
        check_int("9223372036854775808", None);
        check_int("-0", None);
        check_int("1.0", None);
        assert_eq!(read("9223372036854775808"), Number::Long(19));
        assert_eq!(int_digits(i64::MIN).whole, 19);
        assert!(int_digits(1 << 53).wide && !int_digits((1 << 53) - 1).wide);
    }

    #[track_caller]
    fn check_fraction(text: &str, whole: u32, scale: u32, exact: bool) {
        assert_eq!(read(text), Number::Fraction(Fraction { whole, scale, exact }), "{text}");
    }

    #[test]
    fn a_double_is_trusted_only_where_it_prints_the_same_digits() {
        check_fraction("0.1", 0, 1, true);
        check_fraction("1250.50", 4, 1, true);
        check_fraction("1e3", 4, 0, true);
        check_fraction("-0", 0, 0, true);
        check_fraction("0.0", 0, 0, true);
        check_fraction("1.5e-3", 0, 4, true);
        check_fraction("12345678901234.56", 14, 2, true);
        check_fraction("0.30000000000000004", 0, 17, true);
        check_fraction("1234567890.12345678901", 10, 11, false);
        check_fraction("12345678901234567.5", 17, 1, false);
        check_fraction("1e400", 401, 0, false);
        check_fraction("1E-400", 0, 400, false);
        check_fraction("2.2250738585072014e-308", 0, 324, true);
    }

    #[test]
    fn decimals_are_taken_digit_by_digit() {
        assert_eq!(unscaled("12.5", 2), Some(1250));
        assert_eq!(unscaled("-0.001", 3), Some(-1));
        assert_eq!(unscaled("1e3", 2), Some(100_000));
        assert_eq!(unscaled("1.50", 1), Some(15));
        assert_eq!(unscaled("1.55", 1), None);
        assert_eq!(unscaled("0", 4), Some(0));
        assert_eq!(unscaled(&"9".repeat(38), 0), Some(10_i128.pow(38) - 1));
        assert_eq!(unscaled(&"9".repeat(39), 0), None);
        assert_eq!(unscaled(&"9".repeat(37), 2), None);
    }
}
