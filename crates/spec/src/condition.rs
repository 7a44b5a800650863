//! Conditions: a map from path to what must be found there. Every entry must hold.

use std::marker::PhantomData;

use serde_json::json;

use crate::forms::{AnyName, MapOf, Text};
use crate::node::{Node, Value};
use crate::path::PathError;
use crate::read::{Form, Reader, record, shown};
use crate::schema::{self, Defs, Json};
use crate::{Condition, FieldPath, Relation, Scalar, Span, Test};

/// What the paths of a condition begin at.
pub(crate) trait Subject {
    /// Checks a path, and brings it into the one form that is compared.
    fn settle(path: FieldPath) -> Result<FieldPath, PathError>;
    /// What it is, for editors.
    const ABOUT: &'static str;
    /// A regular expression for the beginning of every path.
    const PATTERN: &'static str;
}

/// A row.
pub(crate) struct OfRow;

impl Subject for OfRow {
    const ABOUT: &'static str = "Paths into a row, each with what must be there.";
    const PATTERN: &'static str = "^.";
    fn settle(path: FieldPath) -> Result<FieldPath, PathError> {
        Ok(path)
    }
}

/// An answer: its body and its headers.
pub(crate) struct OfAnswer;

impl Subject for OfAnswer {
    const ABOUT: &'static str =
        "Paths into the answer, `body.…` or `headers.…`, each with what must be there.";
    const PATTERN: &'static str = r#"^"?(body|headers)(["\.]|$)"#;

    fn settle(mut path: FieldPath) -> Result<FieldPath, PathError> {
        let wrong = |message: String, help| Err(PathError { at: 0..path.0[0].len(), message, help });
        match path.0[0].as_str() {
            "body" => Ok(path),
            "headers" if path.0.len() == 2 => {
                path.0[1].make_ascii_lowercase();
                Ok(path)
            }
            "headers" => wrong("`headers` needs a name".into(), "write `headers.NAME`"),
            "status" => wrong("`status` is not a path".into(), "write it beside `when`: `status: 429`"),
            other => wrong(
                format!("a condition on an answer cannot begin with `{}`", shown(other)),
                "begin with `body.` or `headers.`",
            ),
        }
    }
}

/// The settings.
pub(crate) struct OfConfig;

impl Subject for OfConfig {
    const ABOUT: &'static str = "Settings, `config.NAME`, each with what it must be.";
    const PATTERN: &'static str = r"^config\.";

    fn settle(path: FieldPath) -> Result<FieldPath, PathError> {
        match path.0.as_slice() {
            [root, _] if root == "config" => Ok(path),
            names => Err(PathError {
                at: 0..names[0].len(),
                message: "a condition on settings has paths such as `config.NAME`".into(),
                help: "write `config.NAME`",
            }),
        }
    }
}

/// A condition on a row or on an answer.
pub(crate) struct On<S>(PhantomData<S>);

impl<S: Subject> Form for On<S> {
    type Value = Condition;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Condition> {
        let tests = MapOf::<AnyName, TestWord>::read(node, reader)?;
        let mut condition = Vec::new();
        for (name, test) in tests {
            match FieldPath::parse(&name.value).and_then(S::settle) {
                Ok(path) => condition.push((path, test)),
                Err(error) => {
                    let raw = reader.document.text[name.span.start..].starts_with(&name.value);
                    let part =
                        Span { start: name.span.start + error.at.start, end: name.span.start + error.at.end };
                    reader.find(if raw { part } else { name.span }, error.message, error.help);
                }
            }
        }
        Some(Condition(condition))
    }

    fn schema(defs: &mut Defs) -> Json {
        let mut schema = MapOf::<AnyName, TestWord>::schema(defs);
        schema["propertyNames"]["pattern"] = json!(S::PATTERN);
        schema::described(schema, S::ABOUT)
    }
}

/// A condition, or `none`, which always holds.
pub(crate) struct OrNone<F>(PhantomData<F>);

impl<F: Form<Value = Condition>> Form for OrNone<F> {
    type Value = Condition;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Condition> {
        match &node.value {
            Value::Scalar(written) if written.text == "none" => Some(Condition::default()),
            Value::Scalar(written) if !written.is_null() => {
                reader.refuse_near(node, "`none` or a map", "none", "such as `{ status: active }`")
            }
            _ => F::read(node, reader),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([json!({ "const": "none" }), F::schema(defs)])
    }
}

const WORDS: &[&str] = &["present", "absent", "empty"];

/// What a value must be: a literal, several, a word, or a test with a name.
struct TestWord;

impl Form for TestWord {
    type Value = Test;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Test> {
        match &node.value {
            Value::Map(_) => LongTest::read(node, reader),
            Value::List(items) if items.is_empty() => {
                reader.refuse(node, "one of the values in an empty list", "")
            }
            Value::List(items) => {
                let scalars: Vec<_> = items.iter().map(|item| Literal::read(item, reader)).collect();
                scalars.into_iter().collect::<Option<_>>().map(Test::OneOf)
            }
            Value::Scalar(written) => match written.text.as_str() {
                "present" => Some(Test::Present),
                "absent" => Some(Test::Absent),
                "empty" => Some(Test::Empty),
                other => {
                    near_word(node, other, reader)?;
                    Literal::read(node, reader).map(|scalar| Test::OneOf(vec![scalar]))
                }
            },
            Value::Refused => None,
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let scalar =
            schema::described(Literal::schema(defs), "Equal to it; or `present`, `absent`, `empty`.");
        let list = json!({ "type": "array", "items": Literal::schema(defs), "minItems": 1 });
        schema::one_of([scalar, schema::described(list, "One of these."), LongTest::schema(defs)])
    }
}

/// A text that is all but one of the words would be compared and never be equal, in silence.
fn near_word(node: &Node, text: &str, reader: &mut Reader<'_>) -> Option<()> {
    let one_slip = |near: &&str| strsim::damerau_levenshtein(near, text) == 1;
    let Some(near) = WORDS.iter().copied().find(one_slip) else { return Some(()) };
    let help = format!("did you mean `{near}`? The text itself is `{{ is: {} }}`", shown(text));
    reader.find(node.span, format!("`{}` is not a test", shown(text)), help);
    None
}

record! {
    /// A test with a name.
    LongTest -> Test, "test" {
        /// The opposite of this test.
        may not: TestWord,
        /// A text that holds this one, without regard to case.
        may contains: Text,
        /// A number less than this. Numeric text is read as a number.
        may lt: Limit,
        /// A number less than or equal to this.
        may lte: Limit,
        /// A number greater than this.
        may gt: Limit,
        /// A number greater than or equal to this.
        may gte: Limit,
        /// The literal itself, also where it reads like a word: `{ is: absent }`.
        may is: Literal,
    }
    Exactly["not", "contains", "lt", "lte", "gt", "gte", "is"]
    |reader, fields| {
        let compare = |relation, limit: Option<f64>| limit.map(|limit| Test::Compare(relation, limit));
        not.map(|test| Test::Not(Box::new(test)))
            .or(contains.map(Test::Contains))
            .or(compare(Relation::Lt, lt))
            .or(compare(Relation::Lte, lte))
            .or(compare(Relation::Gt, gt))
            .or(compare(Relation::Gte, gte))
            .or(is.map(|scalar| Test::OneOf(vec![scalar])))
    }
}

/// A number to compare with.
struct Limit;

impl Form for Limit {
    type Value = f64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
        match node.scalar().filter(|w| !w.quoted && is_json_number(&w.text)).and_then(|w| w.text.parse().ok())
        {
            Some(number) if f64::is_finite(number) => Some(number),
            _ => reader.refuse(node, "a number", ""),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({ "type": "number" })
    }
}

/// A text, a number, `true`, `false` or `null`.
pub(crate) struct Literal;

impl Form for Literal {
    type Value = Scalar;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Scalar> {
        let Some(written) = node.scalar() else {
            return reader.refuse(node, "a text, a number, `true`, `false` or `null`", "");
        };
        let text = &written.text;
        if written.quoted {
            return Some(Scalar::Text(text.clone()));
        }
        if text.is_empty() {
            return reader.refuse(node, "a literal", "an empty text is `\"\"`, nothing at all is `null`");
        }
        if written.is_null() {
            return Some(Scalar::Null);
        }
        if let Some(flag) = written.as_bool() {
            return Some(Scalar::Bool(flag));
        }
        if is_json_number(text) {
            return Some(Scalar::Number(text.clone()));
        }
        if is_yaml_number(text) {
            reader.find(
                node.span,
                format!("`{}` may be a number or a text", shown(text)),
                "put it in quotes if it is a text; else write it as JSON does",
            );
            return None;
        }
        Some(Scalar::Text(text.clone()))
    }

    fn schema(_defs: &mut Defs) -> Json {
        json!({ "type": ["string", "number", "boolean", "null"] })
    }
}

/// A number as JSON writes it (RFC 8259, section 6).
pub(crate) fn is_json_number(text: &str) -> bool {
    let starts = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    starts && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// A plain scalar that is a number by YAML's core schema and none by JSON's, such as `012`, `0x1f`, `+1`, `.5`.
fn is_yaml_number(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let bare = text.trim_start_matches(['+', '-']);
    let special = matches!(bare, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    special
        || bare.strip_prefix("0x").is_some_and(|t| digits(t, 16))
        || bare.strip_prefix("0o").is_some_and(|t| digits(t, 8))
        || (bare.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && bare.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
            && bare.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn read<S: Subject>(text: &str) -> Result<Condition, String> {
        let document = Document::new("a.yaml", text);
        let (node, findings) = crate::node::load(&document);
        let mut reader = Reader::new(&document, findings);
        let condition = On::<S>::read(&node.expect("it is YAML"), &mut reader);
        reader.finish(condition).map_err(|findings| {
            let list = findings
                .list
                .iter()
                .map(|f| format!("{} | {}", &document.text[f.span.start..f.span.end], f.message));
            list.collect::<Vec<_>>().join("\n")
        })
    }

    #[track_caller]
    fn test(text: &str, expect: Test) {
        let Condition(tests) = read::<OfRow>(&format!("{{a: {text}}}")).expect("it is a condition");
        assert_eq!(tests, vec![(FieldPath(vec!["a".into()]), expect)]);
    }

    fn one(scalar: Scalar) -> Test {
        Test::OneOf(vec![scalar])
    }

    #[test]
    fn tests_are_literals_words_and_maps() {
        test("x", one(Scalar::Text("x".into())));
        test("11", one(Scalar::Number("11".into())));
        test("'11'", one(Scalar::Text("11".into())));
        test("no", one(Scalar::Text("no".into())));
        test("true", one(Scalar::Bool(true)));
        test("null", one(Scalar::Null));
        test("\"\"", one(Scalar::Text(String::new())));
        test("[1, b]", Test::OneOf(vec![Scalar::Number("1".into()), Scalar::Text("b".into())]));
        test("present", Test::Present);
        test("absent", Test::Absent);
        test("empty", Test::Empty);
        test("{not: EMPTY}", Test::Not(Box::new(one(Scalar::Text("EMPTY".into())))));
        test("{not: [a]}", Test::Not(Box::new(one(Scalar::Text("a".into())))));
        test("{contains: limit}", Test::Contains("limit".into()));
        test("{gt: -1.5e3}", Test::Compare(Relation::Gt, -1500.0));
        test("{is: absent}", one(Scalar::Text("absent".into())));
    }

    #[track_caller]
    fn wrong<S: Subject>(text: &str, expect: &str) {
        assert_eq!(read::<S>(text).expect_err("something is wrong"), expect);
    }

    #[test]
    fn what_is_not_a_condition_says_where() {
        wrong::<OfRow>("{a: presnt}", "presnt | `presnt` is not a test");
        wrong::<OfRow>("{a: 012}", "012 | `012` may be a number or a text");
        wrong::<OfRow>(
            "{a: [0x1f, [b]]}",
            "0x1f | `0x1f` may be a number or a text\n[b] | `a` must be a text, a number, `true`, `false` or `null`, not a list",
        );
        wrong::<OfRow>("{a: {gt: 1, lt: 5}}", "lt | `gt` and `lt` exclude each other");
        wrong::<OfRow>("{a: {gt: '1'}}", "'1' | `1` is not a number");
        wrong::<OfRow>("{a: {}}", "a | `a` needs one of `not`, `contains`, `lt`, `lte`, `gt`, `gte`, `is`");
        wrong::<OfRow>("{a:}", "a | `a` has no value; it must be a literal");
        wrong::<OfRow>("{}", "{} | `the file` is an empty map");
        wrong::<OfRow>("{a b: 1}", "  | ` ` in a path");
        wrong::<OfAnswer>("{bdy.a: 1}", "bdy | a condition on an answer cannot begin with `bdy`");
        wrong::<OfAnswer>("{status: 1}", "status | `status` is not a path");
        wrong::<OfAnswer>("{headers: present}", "headers | `headers` needs a name");
    }

    #[test]
    fn header_names_are_compared_in_lower_case() {
        let Condition(tests) =
            read::<OfAnswer>("{headers.X-RateLimit-Limit: {gt: 1000}}").expect("a condition");
        assert_eq!(tests[0].0.0, ["headers", "x-ratelimit-limit"]);
    }
}
