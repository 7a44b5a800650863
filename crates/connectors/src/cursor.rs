//! Cursor values: how they read, which row is older than the bound, and what is saved at the end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sync_core::{SavedCursor, Timestamp, parse_date, parse_local, parse_timestamp};
use sync_spec::CursorFormat;

use crate::json::Value;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// How cursor values read, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// ISO 8601 with a zone.
    Iso,
    /// Seconds, or parts of one, since 1970: this many to the second.
    Epoch { per_second: i64 },
    /// `YYYY-MM-DD`, taken as its first moment, UTC.
    Date,
    /// No zone is told: moments of one unnamed clock.
    Local(Vec<Token>),
}

/// A piece of a strftime text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(u8),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// How moments are written into requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pen {
    /// ISO 8601, UTC, with as many decimals as the moment has.
    #[default]
    Iso,
    /// The same with milliseconds.
    IsoMs,
    /// Seconds, or parts of one, since 1970: this many to the second.
    Epoch { per_second: i64 },
    /// `YYYY-MM-DD`.
    Date,
    /// By a strftime text.
    Tokens(Vec<Token>),
}

impl Pen {
    /// The pen for a format.
    pub fn of(format: Option<&CursorFormat>) -> Self {
        match format {
            None | Some(CursorFormat::Iso) => Self::Iso,
            Some(CursorFormat::IsoMs) => Self::IsoMs,
            Some(CursorFormat::Epoch) => Self::Epoch { per_second: 1 },
            Some(CursorFormat::EpochMs) => Self::Epoch { per_second: 1000 },
            Some(CursorFormat::Date) => Self::Date,
            Some(CursorFormat::Strftime(text)) => tokens(text).map_or(Self::Iso, Self::Tokens),
        }
    }

    /// A moment, in microseconds; what is finer than the format goes, towards the past.
    pub fn write(&self, micros: i64) -> serde_json::Value {
        let iso = Timestamp::from_micros(micros).to_string(); // 2026-11-24T17:00:12.345678Z
        match self {
            Self::Iso if iso.ends_with(".000000Z") => format!("{}Z", &iso[..19]).into(),
            Self::Iso => iso.into(),
            Self::IsoMs => format!("{}Z", &iso[..23]).into(),
            Self::Epoch { per_second } => micros.div_euclid(MICROS_PER_SECOND / per_second).into(),
            Self::Date => iso[..10].into(),
            Self::Tokens(tokens) => {
                let mut text = String::new();
                for token in tokens {
                    let range = match token {
                        Token::Literal(byte) => {
                            text.push(char::from(*byte));
                            continue;
                        }
                        Token::Year => 0..4,
                        Token::Month => 5..7,
                        Token::Day => 8..10,
                        Token::Hour => 11..13,
                        Token::Minute => 14..16,
                        Token::Second => 17..19,
                    };
                    text.push_str(&iso[range]);
                }
                text.into()
            }
        }
    }
}

impl Format {
    /// Compiles a format. Without one it is ISO 8601. The error continues a sentence about it.
    pub fn new(format: Option<&CursorFormat>) -> Result<Self, String> {
        Ok(match format {
            None | Some(CursorFormat::Iso | CursorFormat::IsoMs) => Self::Iso,
            Some(CursorFormat::Epoch) => Self::Epoch { per_second: 1 },
            Some(CursorFormat::EpochMs) => Self::Epoch { per_second: 1000 },
            Some(CursorFormat::Date) => Self::Date,
            Some(CursorFormat::Strftime(text)) => Self::Local(tokens(text)?),
        })
    }

    /// Whether values name their zone, so that they can be compared with the provider's clock.
    pub fn zoned(&self) -> bool {
        !matches!(self, Self::Local(_))
    }

    /// The moment a value names, in microseconds since 1970 (of its own unnamed zone, where none is told).
    /// Nothing for what is absent, null, empty, `0000-00-00 00:00:00` or of another form.
    pub fn parse(&self, value: &Value<'_>) -> Option<i64> {
        match (self, value) {
            (Self::Epoch { per_second }, Value::Number(text)) => parse_epoch(text, *per_second),
            (Self::Epoch { per_second }, Value::Text(text)) => parse_epoch(text, *per_second),
            (Self::Iso, Value::Text(text)) => parse_iso(text),
            (Self::Date, Value::Text(text)) => parse_day(text),
            (Self::Local(tokens), Value::Text(text)) => parse_tokens(tokens, text.as_bytes()),
            _ => None,
        }
    }

    /// The moment that `start` names: a value of this format, a day, or ISO 8601.
    pub fn parse_start(&self, text: &str) -> Option<i64> {
        self.parse(&Value::Text(text.into()))
            .or_else(|| parse_day(text))
            .or_else(|| parse_timestamp(text.as_bytes()).filter(|_| self.zoned()))
            .or_else(|| parse_local(text.as_bytes()))
    }
}

fn parse_day(text: &str) -> Option<i64> {
    parse_date(text.as_bytes()).map(|days| i64::from(days) * 86_400 * MICROS_PER_SECOND)
}

/// Finer than a microsecond is cut: for an order of changes that is only a shade earlier.
fn parse_iso(text: &str) -> Option<i64> {
    parse_timestamp(text.as_bytes()).or_else(|| {
        let point = text.find('.')?;
        let decimals = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let cut =
            (decimals > 6).then(|| format!("{}{}", &text[..point + 7], &text[point + 1 + decimals..]))?;
        parse_timestamp(cut.as_bytes())
    })
}

fn parse_epoch(text: &str, per_second: i64) -> Option<i64> {
    let micros_per_unit = MICROS_PER_SECOND / per_second;
    if let Ok(units) = text.parse::<i64>() {
        return units.checked_mul(micros_per_unit);
    }
    // `1741200000.25`, `1.7412e9`: rounded down to a microsecond.
    let units: f64 = text.parse().ok()?;
    let micros = (units * micros_per_unit as f64).floor();
    (micros.abs() < 9e18).then_some(micros as i64)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut bytes = text.bytes();
    let mut tokens = Vec::new();
    while let Some(byte) = bytes.next() {
        tokens.push(match byte {
            b'%' => match bytes.next() {
                Some(b'Y') => Token::Year,
                Some(b'm') => Token::Month,
                Some(b'd') => Token::Day,
                Some(b'H') => Token::Hour,
                Some(b'M') => Token::Minute,
                Some(b'S') => Token::Second,
                Some(b'%') => Token::Literal(b'%'),
                other => {
                    let other = other.map(char::from).map(String::from).unwrap_or_default();
                    return Err(format!("knows %Y %m %d %H %M %S, not `%{other}`"));
                }
            },
            literal => Token::Literal(literal),
        });
    }
    for needed in [Token::Year, Token::Month, Token::Day] {
        if !tokens.contains(&needed) {
            return Err("names no day: it needs %Y, %m and %d".to_owned());
        }
    }
    Ok(tokens)
}

/// Reads by the tokens into the one form that `core` reads, so that the calendar is known in one place.
fn parse_tokens(tokens: &[Token], mut text: &[u8]) -> Option<i64> {
    let mut iso = *b"0000-00-00T00:00:00";
    for token in tokens {
        let (at, width) = match token {
            Token::Literal(byte) => {
                text = text.strip_prefix(&[*byte])?;
                continue;
            }
            Token::Year => (0, 4),
            Token::Month => (5, 2),
            Token::Day => (8, 2),
            Token::Hour => (11, 2),
            Token::Minute => (14, 2),
            Token::Second => (17, 2),
        };
        let (digits, rest) = text.split_at_checked(width)?;
        iso[at..at + width].copy_from_slice(digits);
        text = rest;
    }
    if text.is_empty() { parse_local(&iso) } else { None }
}

/// What is saved: the inside of a [`SavedCursor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// The form of this document.
    form: u32,
    /// The field whose values it is about.
    pub field: String,
    /// The value: an instant UTC, or without `Z` a moment of the provider's unnamed clock.
    value: String,
    /// How long the slice took, where values have no zone: that much more is read again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub took_seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Saved {
    const FORM: u32 = 1;

    pub fn new(field: String, micros: i64, zoned: bool, took: Duration) -> Self {
        let text = Timestamp::from_micros(micros).to_string();
        let value = if zoned { text } else { text.trim_end_matches('Z').to_owned() };
        let took_seconds = if zoned { 0 } else { took.as_secs() + u64::from(took.subsec_nanos() > 0) };
        Self { form: Self::FORM, field, value, took_seconds }
    }

    /// The value in microseconds, if it is of the kind that is asked for.
    pub fn micros(&self, zoned: bool) -> Option<i64> {
        let bytes = self.value.as_bytes();
        if zoned { parse_timestamp(bytes) } else { parse_local(bytes) }
    }

    /// What a checkpoint holds, if this engine can read it.
    pub fn read(cursor: &SavedCursor) -> Option<Self> {
        serde_json::from_value(cursor.0.clone()).ok().filter(|saved: &Self| saved.form == Self::FORM)
    }

    pub fn write(&self) -> SavedCursor {
        SavedCursor(serde_json::to_value(self).expect("texts and numbers are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &CursorFormat, value: &Value<'_>, expect: Option<&str>) {
        let format = Format::new(Some(format)).expect("a good format");
        let found = format.parse(value).map(|micros| Timestamp::from_micros(micros).to_string());
        assert_eq!(found.as_deref(), expect, "{value:?}");
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    #[test]
    fn values_are_read_by_their_format_and_everything_else_is_no_value() {
        use CursorFormat::{Date, Epoch, EpochMs, Iso, IsoMs, Strftime};
        let local = Strftime("%Y-%m-%d %H:%M:%S".into());
        check(&Iso, &text("2025-03-04T02:11:45.903Z"), Some("2025-03-04T02:11:45.903000Z"));
        check(&IsoMs, &text("2021-06-24T19:38:16.000+0000"), Some("2021-06-24T19:38:16.000000Z"));
        check(&Iso, &text("2025-03-04T02:11:45.903123987+01:00"), Some("2025-03-04T01:11:45.903123Z"));
        check(&Iso, &text("2025-03-04T02:11:45"), None);
        check(&Iso, &text(""), None);
        check(&Iso, &Value::Null, None);
        check(&Iso, &Value::Number("1741200000"), None);
        check(&Epoch, &Value::Number("1741200000"), Some("2025-03-05T18:40:00.000000Z"));
        check(&Epoch, &text("1741200000"), Some("2025-03-05T18:40:00.000000Z"));
        check(&Epoch, &Value::Number("1741200000.25"), Some("2025-03-05T18:40:00.250000Z"));
        check(&EpochMs, &Value::Number("1741200000123"), Some("2025-03-05T18:40:00.123000Z"));
        check(&Epoch, &Value::Number("1e300"), None);
        check(&Epoch, &text("NaN"), None);
        check(&Date, &text("2025-03-05"), Some("2025-03-05T00:00:00.000000Z"));
        check(&Date, &text("2025-02-30"), None);
        check(&local, &text("2025-03-28 16:01:09"), Some("2025-03-28T16:01:09.000000Z"));
        check(&local, &text("0000-00-00 00:00:00"), None);
        check(&local, &text("2025-03-28 16:01"), None);
        check(&local, &text("2025-03-28 16:01:09 "), None);
        check(&local, &text("2025-03-2ö 16:01:09"), None);
        check(&Strftime("%d.%m.%Y".into()), &text("28.03.2025"), Some("2025-03-28T00:00:00.000000Z"));
    }

    #[test]
    fn a_format_that_names_no_day_is_refused() {
        for wrong in ["%H:%M", "%Y-%m", "%Y-%m-%d %Q", "%Y-%m-%d %"] {
            assert!(Format::new(Some(&CursorFormat::Strftime(wrong.into()))).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_start_may_be_a_day_in_every_format() {
        let day = parse_day("2024-01-31");
        for format in [CursorFormat::Iso, CursorFormat::EpochMs, CursorFormat::Strftime("%Y%m%d".into())] {
            assert_eq!(Format::new(Some(&format)).expect("good").parse_start("2024-01-31"), day);
        }
        assert_eq!(Format::Iso.parse_start("soon"), None);
    }

    #[test]
    fn what_is_saved_reads_back_only_as_what_it_is() {
        let micros = 1_741_200_000_123_456;
        let zoned = Saved::new("updatedAt".into(), micros, true, Duration::from_secs(9));
        assert_eq!(Saved::read(&zoned.write()), Some(zoned.clone()));
        assert_eq!((zoned.micros(true), zoned.micros(false)), (Some(micros), None));
        assert_eq!(zoned.took_seconds, 0);
        let local = Saved::new("updated_date".into(), micros, false, Duration::from_millis(1500));
        assert_eq!((local.micros(true), local.micros(false)), (None, Some(micros)));
        assert_eq!(local.took_seconds, 2);
        assert_eq!(Saved::read(&SavedCursor(serde_json::json!({ "form": 2 }))), None);
        assert_eq!(Saved::read(&SavedCursor(serde_json::json!("2024-01-01"))), None);
    }
}
