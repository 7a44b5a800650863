//! The forms that both languages share: texts, numbers, lists, maps of free names.

use std::marker::PhantomData;
use std::num::NonZeroU32;

use serde_json::json;

use crate::node::{Entry, Node, Value};
use crate::read::{Form, Reader, shown};
use crate::schema::{self, Defs, Json};
use crate::{Said, Spanned};

/// A text, as it was written.
pub(crate) struct Text;

impl Form for Text {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        reader.text(node, "a text").map(str::to_owned)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<bool> {
        match node.scalar().and_then(crate::node::Written::as_bool) {
            Some(flag) => Some(flag),
            None => reader.refuse(node, "`true` or `false`", ""),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({ "type": "boolean" })
    }
}

/// A whole number from `MIN` to `MAX`.
pub(crate) struct Whole<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Form for Whole<MIN, MAX> {
    type Value = u64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u64> {
        let unbounded = MAX >= u64::from(u32::MAX);
        let what = match MAX {
            _ if unbounded => format!("a whole number of at least {MIN}"),
            max => format!("a whole number from {MIN} to {max}"),
        };
        let Some(written) = node.scalar().filter(|w| !w.is_null()) else {
            return reader.refuse(node, &what, "");
        };
        match whole(&written.text).filter(|_| !written.quoted) {
            Some(number) if (MIN..=MAX).contains(&number) => Some(number),
            Some(number) if unbounded && number > MAX => {
                reader.find(node.span, format!("`{number}` is too large"), "");
                None
            }
            _ if written.quoted => reader.refuse(node, &what, "leave the quotes out"),
            _ => reader.refuse(node, &what, ""),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        match MAX {
            u64::MAX => json!({ "type": "integer", "minimum": MIN }),
            max => json!({ "type": "integer", "minimum": MIN, "maximum": max }),
        }
    }
}

/// Decimal digits as a number; nothing else, and no leading zero, which other readers take for octal.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// A whole number of at least one.
pub(crate) struct Positive;

impl Form for Positive {
    type Value = NonZeroU32;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<NonZeroU32> {
        let number = Whole::<1, 4_294_967_295>::read(node, reader)?;
        u32::try_from(number).ok().and_then(NonZeroU32::new)
    }

    fn schema(defs: &mut Defs) -> Json {
        Whole::<1, 4_294_967_295>::schema(defs)
    }
}

/// A list that is not empty.
pub(crate) struct ListOf<F>(PhantomData<F>);

impl<F: Form> Form for ListOf<F> {
    type Value = Vec<F::Value>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<F::Value>> {
        let Value::List(items) = &node.value else { return reader.refuse(node, "a list", "") };
        if items.is_empty() {
            let message = format!("`{}` is an empty list", reader.word());
            reader.find(node.span, message, "");
            return None;
        }
        let read: Vec<_> = items.iter().map(|item| reader.item_of::<F>(item)).collect();
        read.into_iter().collect()
    }

    fn schema(defs: &mut Defs) -> Json {
        json!({ "type": "array", "items": F::schema(defs), "minItems": 1 })
    }
}

/// A list that is not empty, or its only entry.
pub(crate) struct OneOrMany<F>(PhantomData<F>);

impl<F: Form> Form for OneOrMany<F> {
    type Value = Vec<F::Value>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<F::Value>> {
        match &node.value {
            Value::List(_) => ListOf::<F>::read(node, reader),
            _ => F::read(node, reader).map(|value| vec![value]),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([F::schema(defs), ListOf::<F>::schema(defs)])
    }
}

/// The names of fields, each once; one of them may stand alone.
pub(crate) struct FieldNames;

impl Form for FieldNames {
    type Value = Vec<String>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
        let names = OneOrMany::<FieldName>::read(node, reader)?;
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                reader.find(node.span, format!("`{}` is named twice", shown(name)), "");
                return None;
            }
        }
        Some(names)
    }

    fn schema(defs: &mut Defs) -> Json {
        OneOrMany::<FieldName>::schema(defs)
    }
}

struct FieldName;

impl Form for FieldName {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let name = reader.text(node, "the name of a field")?;
        if name.is_empty() {
            return reader.refuse(node, "the name of a field", "");
        }
        Some(name.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}

/// A map of free names, in the order written.
pub(crate) struct MapOf<N, F>(PhantomData<(N, F)>);

/// What a name must look like.
pub(crate) trait Name {
    /// A regular expression for all of it.
    const PATTERN: &'static str;
    /// What it is called.
    const WHAT: &'static str;
    /// What it is made of.
    const MADE_OF: &'static str;
    /// Whether this is one. The same as the pattern says.
    fn fits(text: &str) -> bool;
}

impl<N: Name, F: Form> Form for MapOf<N, F> {
    type Value = Vec<(Spanned<String>, F::Value)>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let entries: Vec<_> = reader.map(node, "a map")?.collect();
        if entries.is_empty() {
            let message = format!("`{}` is an empty map", reader.word());
            reader.find(node.span, message, "");
        }
        let mut read_entry = |entry: &Entry| {
            let name = Spanned { value: entry.key.clone(), span: entry.key_span };
            if !N::fits(&name.value) {
                let message = format!("`{}` cannot be the name of {}", shown(&name.value), N::WHAT);
                reader.find(name.span, message, N::MADE_OF);
            }
            Some((name, reader.value_of::<F>(entry)?))
        };
        let list: Vec<_> = entries.into_iter().map(&mut read_entry).collect();
        list.into_iter().collect()
    }

    fn schema(defs: &mut Defs) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": N::PATTERN },
            "additionalProperties": F::schema(defs),
            "minProperties": 1,
        })
    }
}

/// The names alone, where nobody needs their places.
pub(crate) fn bare<T>(list: Vec<(Spanned<String>, T)>) -> Vec<(String, T)> {
    list.into_iter().map(|(name, value)| (name.value, value)).collect()
}

/// Any name that is not empty.
pub(crate) struct AnyName;

impl Name for AnyName {
    const PATTERN: &'static str = "^.+$";
    const WHAT: &'static str = "an entry";
    const MADE_OF: &'static str = "one line of text";
    fn fits(text: &str) -> bool {
        !text.is_empty() && !text.contains('\n')
    }
}

/// What a setting or a secret of a connector is called.
pub(crate) struct SettingName;

impl Name for SettingName {
    const PATTERN: &'static str = "^[a-z][a-z0-9_]*$";
    const WHAT: &'static str = "a setting or a secret";
    const MADE_OF: &'static str = "small letters, digits and `_`, a letter first";
    fn fits(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }
}

/// What a stream is called. It becomes the name of a folder and of a table.
pub(crate) struct StreamName;

impl Name for StreamName {
    const PATTERN: &'static str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$";
    const WHAT: &'static str = "a stream";
    const MADE_OF: &'static str = "letters, digits, `_`, `.` and `-`, at most 100";
    fn fits(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && file_like(text)
    }
}

/// Whether it may be part of a file's name everywhere.
pub(crate) fn file_like(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// What a header is called: a token of RFC 9110, section 5.6.2.
pub(crate) struct HeaderName;

impl Name for HeaderName {
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
    const WHAT: &'static str = "a header";
    const MADE_OF: &'static str = "letters, digits and `-`";
    fn fits(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&b))
    }
}

/// The name of a header, which is compared in lower case.
pub(crate) struct HeaderText;

impl Form for HeaderText {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "the name of a header")?;
        if !<HeaderName as Name>::fits(text) {
            return reader.refuse(node, "the name of a header", "");
        }
        Some(text.to_ascii_lowercase())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(<HeaderName as Name>::PATTERN, "A header's name.")
    }
}

/// `nothing` reads as the value's own default.
pub(crate) struct OrNothing<F>(PhantomData<F>);

impl<F: Form> Form for OrNothing<F>
where
    F::Value: Default,
{
    type Value = F::Value;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<F::Value> {
        if node.is_null() { Some(F::Value::default()) } else { F::read(node, reader) }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([json!({ "type": "null" }), F::schema(defs)])
    }
}

/// A value, or nothing: `null` takes out what would be inherited.
pub(crate) struct OrRemoved<F>(PhantomData<F>);

impl<F: Form> Form for OrRemoved<F> {
    type Value = Option<F::Value>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Option<F::Value>> {
        if node.is_null() { Some(None) } else { F::read(node, reader).map(Some) }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([
            json!({ "type": "null", "description": "Takes the inherited one out." }),
            F::schema(defs),
        ])
    }
}

/// A value, or `none`, which takes out what would be inherited.
pub(crate) struct OrNo<F>(PhantomData<F>);

impl<F: Form> Form for OrNo<F> {
    type Value = Said<F::Value>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Said<F::Value>> {
        if node.is_word("none") { Some(Said::None) } else { F::read(node, reader).map(Said::Some) }
    }

    fn schema(defs: &mut Defs) -> Json {
        // Not exactly one: where the value is a text, `none` is one, too.
        let none = json!({ "const": "none", "description": "Takes the inherited one out." });
        json!({ "anyOf": [none, F::schema(defs)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_exactly_where_their_pattern_matches() {
        fn check<N: Name>(words: &[&str]) {
            let pattern = regex_lite::Regex::new(N::PATTERN).expect("the pattern of a name compiles");
            for word in words {
                assert_eq!(N::fits(word), pattern.is_match(word), "{word:?} and {}", N::PATTERN);
            }
        }
        let long = "a".repeat(101);
        let words = [
            "", "a", "A", "_a", "a-b", "a.b", "../x", "a/b", "9", "ä", "a b", "a_b9", ".a", "-", "X-A", &long,
        ];
        check::<AnyName>(&words);
        check::<SettingName>(&words);
        check::<StreamName>(&words);
        check::<HeaderName>(&words);
    }
}
