//! Masks: values made unreadable before they are written anywhere.

use std::fmt::Write as _;

use ring::hmac;
use sync_connectors::json::{self, JsonError, Value};
use sync_spec::Mask;

use sync_connectors::fields::{Edit, Fields, elements};

/// Characters that stay of a value under [`Mask::Partial`].
const STAY: usize = 4;
/// And the fewest a value must have for that.
const LONG: usize = 9;

/// One path and how its values are masked.
pub(super) struct Masking {
    pub path: Vec<String>,
    pub mask: Mask,
    pub key: Option<hmac::Key>,
}

impl Masking {
    /// Masks the values at its path. A list on the way is entered, element by element.
    pub fn apply(&self, row: &mut Fields<'_>) -> Result<(), JsonError> {
        self.inside(row, &self.path)
    }

    fn inside(&self, fields: &mut Fields<'_>, path: &[String]) -> Result<(), JsonError> {
        let Some((first, rest)) = path.split_first() else { return Ok(()) };
        let mut broken = None;
        fields.edit(|name, value| {
            if name != first {
                return Edit::Keep;
            }
            match self.value(value, rest) {
                Ok(text) => Edit::Replace(text),
                Err(error) => {
                    broken = Some(error);
                    Edit::Drop
                }
            }
        });
        broken.map_or(Ok(()), Err)
    }

    fn value(&self, value: &str, rest: &[String]) -> Result<String, JsonError> {
        if rest.is_empty() {
            return self.masked(value);
        }
        let mut text = String::with_capacity(value.len());
        if value.starts_with('[') {
            let masked = elements(value)?.into_iter().map(|element| self.value(element, rest));
            let masked = masked.collect::<Result<Vec<_>, _>>()?;
            write!(text, "[{}]", masked.join(",")).expect("a string takes every write");
        } else if value.starts_with('{') {
            let mut inner = Fields::of(value)?;
            self.inside(&mut inner, rest)?;
            inner.write(&mut text);
        } else {
            text.push_str(value);
        }
        Ok(text)
    }

    /// The mask of a value, as JSON text.
    fn masked(&self, raw: &str) -> Result<String, JsonError> {
        let value = json::value(raw)?;
        let plain = match &value {
            Value::Null => return Ok("null".to_owned()),
            Value::Bool(value) => {
                if *value {
                    "true"
                } else {
                    "false"
                }
            }
            Value::Number(text) | Value::Nested(text) => text,
            Value::Text(text) => text.as_ref(),
        };
        let mut out = String::new();
        match (self.mask, &self.key) {
            (Mask::Hmac, Some(key)) => sync_core::form::json_string(&digits(key, plain), &mut out),
            (Mask::Partial, _) if !matches!(value, Value::Nested(_)) => {
                sync_core::form::json_string(&partial(plain), &mut out);
            }
            _ => out.push_str("\"***\""),
        }
        Ok(out)
    }
}

/// HMAC-SHA256 over the text, or over the digits of a number.
fn digits(key: &hmac::Key, plain: &str) -> String {
    let mut digits = String::with_capacity(64);
    for byte in hmac::sign(key, plain.as_bytes()).as_ref() {
        write!(digits, "{byte:02x}").expect("a string takes every write");
    }
    digits
}

fn partial(plain: &str) -> String {
    let length = plain.chars().count();
    if length < LONG {
        return "***".to_owned();
    }
    format!("***{}", plain.chars().skip(length - STAY).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, mask: Mask, row: &str, expect: &str) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let masking = Masking { path: path.split('.').map(str::to_owned).collect(), mask, key: Some(key) };
        let mut fields = Fields::of(row).expect("an object");
        masking.apply(&mut fields).expect("JSON");
        let mut out = String::new();
        fields.write(&mut out);
        assert_eq!(out, expect);
    }

    #[test]
    fn every_value_at_the_path_is_masked() {
        check("a", Mask::Redact, r#"{"a":"x","b":1}"#, r#"{"a":"***","b":1}"#);
        check("a", Mask::Redact, r#"{"a":null}"#, r#"{"a":null}"#);
        check("a", Mask::Redact, r#"{"a":{"x":[1]},"a":2}"#, r#"{"a":"***"}"#);
        check("a", Mask::Redact, r#"{"b":1}"#, r#"{"b":1}"#);
        check("a.b", Mask::Redact, r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":"***","c":2}}"#);
        check(
            "a.b",
            Mask::Redact,
            r#"{"a":[{"b":1},[{"b":2}],3]}"#,
            r#"{"a":[{"b":"***"},[{"b":"***"}],3]}"#,
        );
        check("a.b", Mask::Redact, r#"{"a":"text"}"#, r#"{"a":"text"}"#);
    }

    #[test]
    fn a_partial_mask_leaves_the_end_of_long_values() {
        check("a", Mask::Partial, r#"{"a":"DE89370400440532013000"}"#, r#"{"a":"***3000"}"#);
        check("a", Mask::Partial, r#"{"a":"12345678"}"#, r#"{"a":"***"}"#);
        check("a", Mask::Partial, r#"{"a":4111111111111111}"#, r#"{"a":"***1111"}"#);
        check("a", Mask::Partial, r#"{"a":["long enough",2]}"#, r#"{"a":"***"}"#);
    }

    /// As `printf 'The quick brown fox jumps over the lazy dog' | openssl dgst -sha256 -hmac key` prints it.
    #[test]
    fn a_keyed_mask_can_be_computed_elsewhere() {
        let digits = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        let row = r#"{"a":"The quick brown fox jumps over the lazy dog"}"#;
        check("a", Mask::Hmac, row, &format!(r#"{{"a":"{digits}"}}"#));
    }
}
