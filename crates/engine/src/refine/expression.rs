//! CEL expressions over rows: <https://cel.dev>, the language definition as read in November 2026.
//!
//! A row's fields are the variables. Whole numbers are `int`, others `double`; a field that the row lacks is
//! `null`. The strings, math and lists extensions are there under their standard names.

use std::sync::{Arc, OnceLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, Program, Value};

use sync_connectors::fields::Fields;

/// Names that are no fields: the types, and where the extensions live.
const NOT_FIELDS: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "google",
    "math",
    "strings",
    "lists",
    "optional",
    "base64",
];

/// An expression that can be asked about rows.
pub(super) struct Expression {
    program: Program,
    /// The fields it looks at.
    fields: Vec<String>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// Why a text is no expression, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongExpression {
    pub at: usize,
    pub message: String,
}

fn env() -> Arc<Env> {
    static ENV: OnceLock<Arc<Env>> = OnceLock::new();
    let make = || {
        let mut env = Env::stdlib();
        for extension in [cel::extensions::strings, cel::extensions::math, cel::extensions::lists] {
            env.add_extension(extension).expect("the extensions do not contradict the library");
        }
        Arc::new(env)
    };
    ENV.get_or_init(make).clone()
}

impl Expression {
    /// Reads an expression. Errors: what is wrong with its words, or a function that there is none of.
    pub fn new(text: &str) -> Result<Self, WrongExpression> {
        let env = env();
        // The parser recurses.
        if text.len() > 10_000 {
            return Err(WrongExpression {
                at: 0,
                message: "an expression has at most 10,000 characters".into(),
            });
        }
        let program = env.compile(text).map_err(|errors| wrong(text, &errors))?;
        let references = program.references();
        let mut fields: Vec<_> = references
            .variables()
            .into_iter()
            .filter(|name| !NOT_FIELDS.contains(name))
            .map(str::to_owned)
            .collect();
        fields.sort_unstable();
        for function in references.functions() {
            if !is_known(&env, function) {
                return Err(WrongExpression {
                    at: text.find(function).unwrap_or(0),
                    message: format!("CEL has no function `{function}`"),
                });
            }
        }
        Ok(Self { program, fields })
    }

    /// The fields it looks at.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Its value for a row.
    pub fn value(&self, row: &Fields<'_>) -> Result<Value, String> {
        let mut context = Context::with_env(env());
        for name in &self.fields {
            let value = match row.get(name) {
                Some(raw) => parse(raw).map_err(|error| format!("`{name}` {error}"))?,
                None => Value::Null,
            };
            context.add_variable_from_value(name.as_str(), value);
        }
        self.program.execute(&context).map_err(|error| explain(&error))
    }
}

fn wrong(text: &str, errors: &cel::ParseErrors) -> WrongExpression {
    let Some(first) = errors.errors.first() else {
        return WrongExpression { at: 0, message: "not an expression".to_owned() };
    };
    let (line, column) = (first.pos.0.max(1) as usize, first.pos.1.max(0) as usize);
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let at =
        before + text[before..].chars().take(column.saturating_sub(1)).map(char::len_utf8).sum::<usize>();
    // What the parser would have taken instead is a long list.
    let message = first.msg.lines().next().unwrap_or_default();
    let message = message.split(" expecting ").next().unwrap_or(message).replace("'<EOF>'", "the end");
    WrongExpression { at: at.min(text.len()), message }
}

/// Operators are functions with names that no identifier has. Whether the library has a function, it tells only by
/// refusing another one of that name.
fn is_known(env: &Arc<Env>, function: &str) -> bool {
    let operator = !function.starts_with(|c: char| c.is_ascii_alphabetic());
    let there = |name: &str| Context::with_env(env.clone()).add_function(name, || true).is_err();
    operator
        || there(function)
        || ["math", "strings", "lists", "optional"].iter().any(|space| there(&format!("{space}.{function}")))
}

/// An error in words for people: the values of rows stay out of it, since they may be masked elsewhere.
fn explain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(overload) => {
            let types = overload.argument_types().join(", ");
            format!("`{}` cannot be applied to ({types})", operator(overload.function()))
        }
        ExecutionError::UnexpectedType { want, .. } => format!("a value is not {want}"),
        ExecutionError::ValuesNotComparable(a, b) => {
            format!("{} and {} cannot be compared", kind(a), kind(b))
        }
        ExecutionError::UnsupportedBinaryOperator(name, a, b) => {
            format!("`{}` cannot be applied to ({}, {})", operator(name), kind(a), kind(b))
        }
        ExecutionError::Overflow(name, ..) => format!("`{}` overflows", operator(name)),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::NoSuchKey(key) => format!("there is no key {key:?}"),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` cannot be applied to this value")
        }
        _ => "it cannot be computed for this row".to_owned(),
    }
}

/// The type of a value by CEL's own name.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Float(_) => "double".to_owned(),
        Value::Null => "null".to_owned(),
        other => other.type_of().to_string(),
    }
}

/// `_+_` and `add` as people write them.
fn operator(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        name => name.trim_matches('_').trim_start_matches('@'),
    }
}

fn parse(raw: &str) -> Result<Value, &'static str> {
    let value: serde_json::Value = serde_json::from_str(raw).map_err(|_| "is not JSON")?;
    Ok(of_json(value))
}

fn of_json(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), ..) => Value::Int(int),
            (None, Some(uint), _) => Value::UInt(uint),
            (None, None, double) => Value::Float(double.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text)),
        Json::Array(list) => Value::List(Arc::new(list.into_iter().map(of_json).collect())),
        Json::Object(map) => {
            let map = map.into_iter().map(|(name, value)| (Key::String(Arc::new(name)), of_json(value)));
            Value::Map(Map { map: Arc::new(map.collect()) })
        }
    }
}

/// A value as JSON text: a timestamp as its UTC text, a duration as its seconds.
pub(super) fn to_json(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

/// A double as JSON, with a point or an exponent so that it stays one.
fn digits(double: f64) -> String {
    format!("{double:?}")
}

fn write(value: &Value, out: &mut String) -> Result<(), String> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::UInt(uint) => out.push_str(&uint.to_string()),
        Value::Float(double) if double.is_finite() => out.push_str(&digits(*double)),
        Value::Float(_) => return Err("the result is not a number".to_owned()),
        Value::String(text) => sync_core::form::json_string(text, out),
        Value::Timestamp(moment) => {
            let mut text = String::new();
            sync_core::form::timestamp(moment.timestamp_micros(), &mut text);
            sync_core::form::json_string(&text, out);
        }
        Value::Duration(duration) => out.push_str(&digits(duration.as_seconds_f64())),
        Value::List(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(value, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => write_map(map, out)?,
        other => return Err(format!("a column cannot hold {}", kind(other))),
    }
    Ok(())
}

/// Names in order, so that the same map gives the same text.
fn write_map(map: &Map, out: &mut String) -> Result<(), String> {
    let name = |key: &Key| match key {
        Key::Int(int) => int.to_string(),
        Key::Uint(uint) => uint.to_string(),
        Key::Bool(value) => value.to_string(),
        Key::String(text) => text.to_string(),
    };
    let mut entries: Vec<_> = map.map.iter().map(|(key, value)| (name(key), value)).collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    for (index, (name, value)) in entries.into_iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        sync_core::form::json_string(&name, out);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"name":"Ada Lovelace","n":3,"f":2.5,"none":null,"type":"note","tags":["b","a"],"o":{"x":1},"at":"2026-11-24T10:00:00Z"}"#;

    #[track_caller]
    fn check(expression: &str, expect: &str) {
        let row = Fields::of(ROW).expect("an object");
        let value = Expression::new(expression).map_err(|e| format!("{}: {}", e.at, e.message));
        let value = value.and_then(|e| e.value(&row)).and_then(|value| to_json(&value));
        assert_eq!(value.unwrap_or_else(|error| error), expect, "{expression}");
    }

    #[test]
    fn expressions_see_the_row_as_it_was_sent() {
        check("name.split(' ')[0]", "\"Ada\"");
        check("name.lowerAscii() + '!'", "\"ada lovelace!\"");
        check("n > 2 && f < 3.0", "true");
        check("n < f", "false");
        check("math.round(f)", "3.0");
        check("math.greatest(1, n)", "3");
        check("gone == null", "true");
        check("gone != 'x'", "true");
        check("none == null ? 'no' : 'yes'", "\"no\"");
        check("type == 'note'", "true");
        check("o.x + 1", "2");
        check("tags", r#"["b","a"]"#);
        check("{'b': 1, 'a': [true, null]}", r#"{"a":[true,null],"b":1}"#);
        check("timestamp(at) + duration('1h')", "\"2026-11-24T11:00:00.000000Z\"");
        check("tags.exists(t, t == 'a')", "true");
        check("has(o.y)", "false");
        check("string(n) + '€'", "\"3€\"");
        check("int('12') * 2", "24");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        check("none.split(' ')", "`split` cannot be applied to (null_type, string)");
        check("n / 0", "division by zero");
        check("tags[7]", "an index is out of bounds");
        check("o.y", "there is no key \"y\"");
        check("n * f", "`*` cannot be applied to (int, double)");
        check("name + 1", "`+` cannot be applied to (string, int)");
    }

    #[test]
    fn what_is_no_expression_says_where() {
        check("n >", "3: Syntax error: mismatched input the end");
        check("n == = 2", "5: Syntax error: token recognition error at: '= '");
        check("nonsense(n)", "0: CEL has no function `nonsense`");
        check("name.splitt(' ')", "5: CEL has no function `splitt`");
    }
}
