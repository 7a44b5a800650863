//! JSON and dates, written byte by byte straight into a response body.

/// How a provider writes text that JSON lets one write in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// UTF-8 as it is.
    Plain,
    /// Everything beyond ASCII as `\uXXXX`, and `/` as `\/`, as PHP does unless told otherwise.
    Escaped,
}

/// A body being written.
pub(crate) struct Ink {
    pub(crate) out: Vec<u8>,
    hand: Hand,
}

impl Ink {
    pub(crate) fn new(hand: Hand) -> Self {
        Self { out: Vec::new(), hand }
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A key of an object, with the comma before it where one is due.
    pub(crate) fn key(&mut self, name: &str) {
        if !matches!(self.out.last(), None | Some(b'{')) {
            self.out.push(b',');
        }
        self.text(name);
        self.out.push(b':');
    }

    /// A comma, unless this is the first item of a list.
    pub(crate) fn item(&mut self) {
        if !matches!(self.out.last(), None | Some(b'[')) {
            self.out.push(b',');
        }
    }

    /// A string with its quotes.
    pub(crate) fn text(&mut self, text: &str) {
        self.out.push(b'"');
        self.inner(text);
        self.out.push(b'"');
    }

    /// The inside of a string.
    pub(crate) fn inner(&mut self, text: &str) {
        let simple = |b: u8| (0x20..0x7f).contains(&b) && !matches!(b, b'"' | b'\\' | b'/');
        if text.bytes().all(simple) {
            return self.raw(text);
        }
        for c in text.chars() {
            match c {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                '/' if self.hand == Hand::Escaped => self.raw("\\/"),
                c if c < ' ' || (self.hand == Hand::Escaped && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.raw("\\u");
                        self.hex(u64::from(*unit), 4);
                    }
                }
                c => self.raw(c.encode_utf8(&mut [0; 4])),
            }
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, number: i64) {
        if number < 0 {
            self.out.push(b'-');
        }
        self.decimal(number.unsigned_abs(), 1);
    }

    /// Decimal digits, with zeros in front up to `width`.
    pub(crate) fn decimal(&mut self, mut number: u64, width: usize) {
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        while number > 0 {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
    }

    /// The last `width` hexadecimal digits.
    pub(crate) fn hex(&mut self, number: u64, width: u32) {
        for place in (0..width).rev() {
            self.out.push(b"0123456789abcdef"[(number >> (4 * place) & 15) as usize]);
        }
    }

    /// `2021-08-09`, from microseconds.
    pub(crate) fn date(&mut self, micros: i64) {
        let (year, month, day) = civil(micros.div_euclid(DAY));
        self.decimal(year, 4);
        self.out.push(b'-');
        self.decimal(month, 2);
        self.out.push(b'-');
        self.decimal(day, 2);
    }

    /// `16:54:17`, from microseconds.
    pub(crate) fn clock(&mut self, micros: i64) {
        let seconds = (micros.rem_euclid(DAY) / 1_000_000) as u64;
        self.decimal(seconds / 3_600, 2);
        self.out.push(b':');
        self.decimal(seconds / 60 % 60, 2);
        self.out.push(b':');
        self.decimal(seconds % 60, 2);
    }

    /// `"2021-08-09T16:54:17.298Z"`, from microseconds UTC; `zone` is what stands in place of the `Z`.
    pub(crate) fn iso(&mut self, micros: i64, zone: &str) {
        self.out.push(b'"');
        self.date(micros);
        self.out.push(b'T');
        self.clock(micros);
        self.out.push(b'.');
        self.decimal((micros.rem_euclid(1_000_000) / 1_000) as u64, 3);
        self.raw(zone);
        self.out.push(b'"');
    }

    /// `"2021-08-09 16:54:17"`.
    pub(crate) fn local(&mut self, micros: i64) {
        self.out.push(b'"');
        self.date(micros);
        self.out.push(b' ');
        self.clock(micros);
        self.out.push(b'"');
    }
}

/// A day in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// Year, month and day of a day number (<https://howardhinnant.github.io/date_algorithms.html>).
pub(crate) fn civil(days: i64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year as u64, month as u64, (doy - (153 * mp + 2) / 5 + 1) as u64)
}

/// A moment as HTTP headers write it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
pub(crate) fn http_date(micros: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // day 0 was a Thursday
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = micros.div_euclid(DAY);
    let (year, month, day) = civil(days);
    let mut clock = Ink::new(Hand::Plain);
    clock.clock(micros);
    let clock = String::from_utf8(clock.out).expect("digits and colons");
    let (week_day, month) = (DAYS[days.rem_euclid(7) as usize], MONTHS[month as usize - 1]);
    format!("{week_day}, {day:02} {month} {year:04} {clock} GMT")
}

#[cfg(test)]
mod tests {
    use sync_core::Timestamp;

    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Ink), plain: &str, escaped: &str) {
        for (hand, expect) in [(Hand::Plain, plain), (Hand::Escaped, escaped)] {
            let mut ink = Ink::new(hand);
            write(&mut ink);
            assert_eq!(String::from_utf8(ink.out).expect("UTF-8"), expect);
        }
    }

    #[test]
    fn text_is_escaped_as_the_hand_does() {
        check(|i| i.text("plain"), r#""plain""#, r#""plain""#);
        check(|i| i.text("a/b \"\\\n"), r#""a/b \"\\\n""#, r#""a\/b \"\\\n""#);
        check(|i| i.text("é🚀\u{0}"), "\"é🚀\\u0000\"", r#""\u00e9\ud83d\ude80\u0000""#);
    }

    #[test]
    fn numbers_and_dates() {
        for n in [0, 7, -7, 1_234_567, i64::MAX, i64::MIN] {
            check(|i| i.number(n), &n.to_string(), &n.to_string());
        }
        let moment = Timestamp::parse("2021-08-09T16:54:07.298Z").expect("a moment").micros();
        check(|i| i.iso(moment, "Z"), "\"2021-08-09T16:54:07.298Z\"", "\"2021-08-09T16:54:07.298Z\"");
        check(|i| i.local(moment), "\"2021-08-09 16:54:07\"", "\"2021-08-09 16:54:07\"");
        assert_eq!(http_date(moment), "Mon, 09 Aug 2021 16:54:07 GMT");
        assert_eq!(http_date(784_111_777_000_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn commas_fall_between() {
        let write = |ink: &mut Ink| {
            ink.raw("{");
            ink.key("a");
            ink.raw("[");
            for n in 1..=2 {
                ink.item();
                ink.number(n);
            }
            ink.raw("]");
            ink.key("b");
            ink.raw("{}}");
        };
        check(write, r#"{"a":[1,2],"b":{}}"#, r#"{"a":[1,2],"b":{}}"#);
    }
}
