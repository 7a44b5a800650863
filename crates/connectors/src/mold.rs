//! What the connector does to a row on its way out: `drop`, then `lift`.
//!
//! Key, cursor and conditions are looked up in the row as it was sent; this is the last thing that happens to it
//! here.

use std::collections::HashSet;

use crate::fields::Fields;
use crate::json::JsonError;

/// What becomes of the fields of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mold {
    /// Paths that no row is wanted with.
    pub drop: Vec<Vec<String>>,
    /// The object of which every key becomes a field of the row.
    pub lift: Option<Vec<String>>,
}

/// The names that rows so far had outside of what is lifted. A name that was once there means that field for good,
/// so that a column does not hold the one thing in this row and another in the next.
pub(crate) type Envelope = HashSet<String>;

impl Mold {
    /// Whether rows leave as they came.
    pub fn is_idle(&self) -> bool {
        self.drop.is_empty() && self.lift.is_none()
    }

    /// Writes a row as it leaves. The error: it is not one JSON object.
    pub fn row(&self, row: &str, envelope: &mut Envelope, out: &mut String) -> Result<(), JsonError> {
        let mut fields = Fields::of(row)?;
        for path in &self.drop {
            fields.take(path)?;
        }
        if let Some(path) = &self.lift {
            lift(path, &mut fields, envelope)?;
        }
        fields.write(out);
        Ok(())
    }
}

/// Makes each key of the object at the path a field of the row.
fn lift(path: &[String], fields: &mut Fields<'_>, envelope: &mut Envelope) -> Result<(), JsonError> {
    let lifted = fields.take(path)?;
    if let [first, _, ..] = path
        && fields.get(first) == Some("{}")
    {
        fields.take(std::slice::from_ref(first))?;
    }
    for (name, _) in fields.iter() {
        if !envelope.contains(name) {
            envelope.insert(name.to_owned());
        }
    }
    match lifted {
        Some(object) if object.starts_with('{') => {
            for (name, value) in Fields::of(&object)?.iter() {
                fields.push(free(name, path, envelope), value.to_owned());
            }
        }
        // A list or a text has no keys; it stays what it is, under its own name.
        Some(other) if other != "null" => fields.push(path.join("."), other),
        _ => {}
    }
    Ok(())
}

/// The name of a lifted field: its own, or behind the path where the row has that one.
fn free(name: &str, path: &[String], envelope: &Envelope) -> String {
    let mut name = name.to_owned();
    while envelope.contains(&name) {
        name = format!("{}.{name}", path.join("."));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(mold: &Mold, rows: &[(&str, &str)]) {
        let mut envelope = Envelope::new();
        for (row, expect) in rows {
            let mut out = String::new();
            mold.row(row, &mut envelope, &mut out).expect(row);
            assert_eq!(out, *expect, "{row}");
        }
    }

    #[test]
    fn every_key_of_the_lifted_object_is_a_field() {
        let mold = Mold { drop: Vec::new(), lift: Some(path("properties")) };
        check(
            &mold,
            &[
                (
                    r#"{"id":"1","properties":{"a":1,"b.c":{"x":[]}},"z":2}"#,
                    r#"{"id":"1","z":2,"a":1,"b.c":{"x":[]}}"#,
                ),
                (r#"{"id":"1","properties":{}}"#, r#"{"id":"1"}"#),
                (r#"{"id":"1","properties":null}"#, r#"{"id":"1"}"#),
                (r#"{"id":"1"}"#, r#"{"id":"1"}"#),
                (r#"{"id":"1","properties":[1]}"#, r#"{"id":"1","properties":[1]}"#),
                (r#"{"id":"1","properties":"x"}"#, r#"{"id":"1","properties":"x"}"#),
                (r#"{"properties":{"a":1},"properties":{"a":2,"a":3}}"#, r#"{"a":3}"#),
                (r#"{"properties":{"q\"":"\u00e9"}}"#, r#"{"q\"":"\u00e9"}"#),
            ],
        );
        let deep = Mold { drop: Vec::new(), lift: Some(path("data.attributes")) };
        check(
            &deep,
            &[
                (r#"{"id":1,"data":{"attributes":{"a":1},"b":2}}"#, r#"{"id":1,"data":{"b":2},"a":1}"#),
                (r#"{"id":1,"data":{"attributes":{"a":1}}}"#, r#"{"id":1,"a":1}"#),
            ],
        );
    }

    #[test]
    fn the_envelope_keeps_its_names() {
        let mold = Mold { drop: Vec::new(), lift: Some(path("properties")) };
        check(
            &mold,
            &[
                (r#"{"id":"1","properties":{"id":7,"a":1}}"#, r#"{"id":"1","properties.id":7,"a":1}"#),
                (
                    r#"{"id":"1","properties.id":2,"properties":{"id":7}}"#,
                    r#"{"id":"1","properties.id":2,"properties.properties.id":7}"#,
                ),
                // Also in a row that lacks the field of that name.
                (r#"{"properties":{"id":8}}"#, r#"{"properties.properties.id":8}"#),
            ],
        );
    }

    #[test]
    fn dropped_fields_are_gone_before_anything_is_lifted() {
        let mold = Mold {
            drop: vec![path("links"), path("properties.secret"), path("a.b")],
            lift: Some(path("properties")),
        };
        check(
            &mold,
            &[(
                r#"{"id":1,"links":[1],"a":{"b":1,"c":2},"properties":{"secret":1,"x":2}}"#,
                r#"{"id":1,"a":{"c":2},"x":2}"#,
            )],
        );
    }

    #[test]
    fn what_is_no_object_is_said_to_be_none() {
        let mold = Mold { drop: vec![path("a")], lift: None };
        for row in ["[1]", "null", "{\"a\":", "1"] {
            assert!(mold.row(row, &mut Envelope::new(), &mut String::new()).is_err(), "{row}");
        }
    }
}
