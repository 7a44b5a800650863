//! `select`: which fields of a row land.

use sync_connectors::json::JsonError;
use sync_spec::SelectPattern;

use sync_connectors::fields::{Edit, Fields};

/// The patterns of a stream, of which the last one that fits a path decides about it and what is inside.
///
/// Where the first pattern leaves something out, everything else is kept.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    patterns: Vec<(bool, Vec<String>)>,
}

impl Selection {
    pub fn new(patterns: &[SelectPattern]) -> Self {
        Self { patterns: patterns.iter().map(|p| (p.keeps, p.path.0.clone())).collect() }
    }

    /// Whether a field is left out altogether.
    pub fn drops(&self, field: &str) -> bool {
        let path = [field.to_owned()];
        !self.keeps(&path) && !self.reaches_into(&path)
    }

    /// The fields that land or of which a part does, where they can be named: no `*` stands for any of them.
    pub fn names(&self) -> Option<Vec<String>> {
        let kept = || self.patterns.iter().filter(|(keeps, _)| *keeps).map(|(_, path)| &path[0]);
        let named = self.patterns.first()?.0 && kept().all(|name| !name.contains('*'));
        named.then(|| kept().cloned().collect())
    }

    /// Takes out of a row what does not land.
    pub(super) fn apply(&self, row: &mut Fields<'_>) -> Result<(), JsonError> {
        self.inside(row, &mut Vec::new())
    }

    fn inside(&self, fields: &mut Fields<'_>, path: &mut Vec<String>) -> Result<(), JsonError> {
        let mut broken = None;
        fields.edit(|name, value| {
            path.push(name.to_owned());
            let edit = self.decide(path, value).unwrap_or_else(|error| {
                broken = Some(error);
                Edit::Drop
            });
            path.pop();
            edit
        });
        broken.map_or(Ok(()), Err)
    }

    fn decide(&self, path: &mut Vec<String>, value: &str) -> Result<Edit, JsonError> {
        let keeps = self.keeps(path);
        if !self.reaches_into(path) || !value.starts_with('{') {
            return Ok(if keeps { Edit::Keep } else { Edit::Drop });
        }
        let mut inner = Fields::of(value)?;
        self.inside(&mut inner, path)?;
        let mut text = String::with_capacity(value.len());
        inner.write(&mut text);
        // An object of which nothing was wanted is not there; one that was empty, or of which a part is, is.
        Ok(if keeps || text != "{}" { Edit::Replace(text) } else { Edit::Drop })
    }

    fn keeps(&self, path: &[String]) -> bool {
        let otherwise = self.patterns.first().is_some_and(|(keeps, _)| !keeps);
        let fits = |pattern: &[String]| pattern.len() <= path.len() && begins(pattern, path);
        self.patterns.iter().rev().find(|(_, pattern)| fits(pattern)).map_or(otherwise, |(keeps, _)| *keeps)
    }

    /// Whether a pattern decides about something inside a path.
    fn reaches_into(&self, path: &[String]) -> bool {
        self.patterns.iter().any(|(_, pattern)| pattern.len() > path.len() && begins(path, pattern))
    }
}

/// Whether the names that two paths have in common fit each other; either may be the one with `*`.
fn begins(a: &[String], b: &[String]) -> bool {
    a.iter().zip(b).all(|(a, b)| fits(a, b) || fits(b, a))
}

/// Whether a name fits a pattern in which `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use sync_spec::{FieldPath, Span};

    use super::*;

    fn selection(patterns: &[&str]) -> Selection {
        let pattern = |text: &&str| {
            let (keeps, path) = text.strip_prefix('!').map_or((true, *text), |rest| (false, rest));
            SelectPattern { keeps, path: FieldPath::parse(path).expect("a path"), span: Span::default() }
        };
        Selection::new(&patterns.iter().map(pattern).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(patterns: &[&str], row: &str, expect: &str) {
        let mut fields = Fields::of(row).expect("an object");
        selection(patterns).apply(&mut fields).expect("JSON");
        let mut out = String::new();
        fields.write(&mut out);
        assert_eq!(out, expect, "{patterns:?}");
    }

    const ROW: &str =
        r#"{"id":1,"name":"x","custom":{"internal_a":1,"tier":{"n":2,"m":3}},"tags":[{"a":1}],"e":{}}"#;

    #[test]
    fn the_last_pattern_that_fits_decides() {
        check(&["*"], ROW, ROW);
        check(&["id"], ROW, r#"{"id":1}"#);
        check(&["!name"], ROW, &ROW.replace(r#""name":"x","#, ""));
        check(&["*", "!custom.internal*"], ROW, &ROW.replace(r#""internal_a":1,"#, ""));
        check(&["*", "!custom"], ROW, r#"{"id":1,"name":"x","tags":[{"a":1}],"e":{}}"#);
        check(
            &["*", "!custom", "custom.tier.m"],
            ROW,
            r#"{"id":1,"name":"x","custom":{"tier":{"m":3}},"tags":[{"a":1}],"e":{}}"#,
        );
        check(&["id", "custom.*.n"], ROW, r#"{"id":1,"custom":{"tier":{"n":2}}}"#);
        check(&["*", "!*.tier"], ROW, &ROW.replace(r#","tier":{"n":2,"m":3}"#, ""));
        check(&["*", "!e.x", "!tags.a"], ROW, ROW);
        check(&["nothing"], ROW, "{}");
        check(&["custom.internal_a", "!custom.internal_a"], ROW, "{}");
        check(&["!*", "id"], ROW, r#"{"id":1}"#);
    }

    #[test]
    fn stars_stand_for_letters() {
        for (pattern, name, expect) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*x", "xx", true),
            ("a*a", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_dropped_altogether_is_known_beforehand() {
        let some = selection(&["id", "custom.a"]);
        assert!(some.drops("name") && !some.drops("custom") && !some.drops("id"));
        let names = |patterns: &[&str]| selection(patterns).names().map(|names| names.join(" "));
        assert_eq!(names(&["id", "custom.a"]).as_deref(), Some("id custom"));
        assert_eq!(names(&["id", "custom", "!custom.*", "!x"]).as_deref(), Some("id custom"));
        assert_eq!((names(&["*"]), names(&["a", "b*"]), names(&["!b"])), (None, None, None));
    }
}
