//! Whether a condition holds of a row or an answer.

use sync_spec::{Condition, FieldPath, Relation, Scalar, Test};

use crate::json::Value;

/// Whether every test of a condition holds; `look_up` finds the value at a path.
pub(crate) fn holds<'a>(
    condition: &Condition,
    mut look_up: impl FnMut(&FieldPath) -> Option<Value<'a>>,
) -> bool {
    condition.0.iter().all(|(path, test)| passes(test, look_up(path).as_ref()))
}

fn passes(test: &Test, value: Option<&Value<'_>>) -> bool {
    let present = value.is_some_and(|v| *v != Value::Null);
    match test {
        Test::OneOf(scalars) => value.is_some_and(|v| scalars.iter().any(|s| equals(s, v))),
        Test::Present => present,
        Test::Absent => !present,
        Test::Empty => !present || value.is_some_and(is_empty),
        Test::Not(test) => !passes(test, value),
        Test::Contains(part) => match value {
            Some(Value::Text(text)) => text.to_lowercase().contains(&part.to_lowercase()),
            _ => false,
        },
        Test::Compare(relation, limit) => value.and_then(number).is_some_and(|n| match relation {
            Relation::Lt => n < *limit,
            Relation::Lte => n <= *limit,
            Relation::Gt => n > *limit,
            Relation::Gte => n >= *limit,
        }),
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.is_empty(),
        // `{ }` and `[ ]` are as empty as `{}`.
        Value::Nested(raw) => raw[1..raw.len() - 1].trim().is_empty(),
        _ => false,
    }
}

/// A number of the file equals the same number however it was sent, in quotes too: providers drift between
/// `11` and `"11"`.
fn equals(scalar: &Scalar, value: &Value<'_>) -> bool {
    match (scalar, value) {
        (Scalar::Text(wanted), Value::Text(text)) => wanted == text,
        (Scalar::Number(wanted), Value::Number(sent)) => same_number(wanted, sent),
        (Scalar::Number(wanted), Value::Text(sent)) => same_number(wanted, sent),
        (Scalar::Bool(wanted), Value::Bool(sent)) => wanted == sent,
        (Scalar::Null, Value::Null) => true,
        _ => false,
    }
}

fn same_number(a: &str, b: &str) -> bool {
    a == b
        || match (a.parse::<i128>(), b.parse::<i128>()) {
            (Ok(a), Ok(b)) => a == b, // a double would call neighbours of 2^53 equal
            _ => matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a.total_cmp(&b).is_eq()),
        }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(text) => text.parse().ok(),
        Value::Text(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(test: &Test, json: &str, expect: bool) {
        let row = format!("{{\"x\":{json}}}");
        let row = if json.is_empty() { "{}" } else { &row };
        let condition = Condition(vec![(FieldPath(vec!["x".into()]), test.clone())]);
        assert_eq!(holds(&condition, |p| crate::json::get(row, &p.0)), expect, "{test:?} of {row}");
    }

    fn one(scalar: Scalar) -> Test {
        Test::OneOf(vec![scalar])
    }

    #[test]
    fn a_scalar_equals_its_value() {
        check(&one(Scalar::Text("note".into())), r#""note""#, true);
        check(&one(Scalar::Text("note".into())), r#""n\u006fte""#, true);
        check(&one(Scalar::Text("note".into())), r#""Note""#, false);
        check(&one(Scalar::Text("1".into())), "1", false);
        check(&one(Scalar::Number("11".into())), "11", true);
        check(&one(Scalar::Number("11".into())), "11.0", true);
        check(&one(Scalar::Number("11".into())), r#""11""#, true);
        check(&one(Scalar::Number("9007199254740993".into())), "9007199254740992", false);
        check(&one(Scalar::Bool(true)), "true", true);
        check(&one(Scalar::Bool(true)), r#""true""#, false);
        check(&one(Scalar::Null), "null", true);
        check(&one(Scalar::Null), "", false);
        let list = Test::OneOf(vec![Scalar::Number("22".into()), Scalar::Number("30".into())]);
        check(&list, "30", true);
        check(&list, "31", false);
        check(&list, "", false);
    }

    #[test]
    fn there_or_not() {
        for (json, present, empty) in [
            ("", false, true),
            ("null", false, true),
            (r#""""#, true, true),
            ("[]", true, true),
            ("{ }", true, true),
            ("0", true, false),
            ("false", true, false),
            (r#"" ""#, true, false),
            ("[null]", true, false),
        ] {
            check(&Test::Present, json, present);
            check(&Test::Absent, json, !present);
            check(&Test::Empty, json, empty);
            check(&Test::Not(Box::new(Test::Empty)), json, !empty);
        }
    }

    #[test]
    fn parts_and_relations() {
        check(&Test::Contains("LIMIT".into()), r#""request limit reached""#, true);
        check(&Test::Contains("limit".into()), "[\"limit\"]", false);
        check(&Test::Compare(Relation::Gt, 1000.0), "1001", true);
        check(&Test::Compare(Relation::Gt, 1000.0), r#""1001""#, true);
        check(&Test::Compare(Relation::Gt, 1000.0), "1000", false);
        check(&Test::Compare(Relation::Gte, 1000.0), "1000", true);
        check(&Test::Compare(Relation::Lt, 0.5), "0.25", true);
        check(&Test::Compare(Relation::Lte, 0.5), "true", false);
        check(&Test::Compare(Relation::Lte, 0.5), "", false);
    }

    #[test]
    fn every_test_must_hold_and_none_always_does() {
        let path = |name: &str| FieldPath(vec![name.into()]);
        let both = Condition(vec![(path("a"), Test::Present), (path("b"), Test::Present)]);
        let look = |row: &'static str| move |p: &FieldPath| crate::json::get(row, &p.0);
        assert!(holds(&both, look(r#"{"a":1,"b":2}"#)));
        assert!(!holds(&both, look(r#"{"a":1}"#)));
        assert!(holds(&Condition::default(), look("{}")));
    }
}
