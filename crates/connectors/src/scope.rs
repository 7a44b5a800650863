//! What the holes of a request find: settings, and what a slice, a window and a page give.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};
use sync_spec::{BodyTemplate, Hole, HoleFormat, Piece, Root, Template};

use crate::cursor::Pen;
use crate::request::setting;

/// What the holes of one request look up, beside the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The stream's name.
    pub stream: String,
    /// The fields to ask for; nothing where all come by themselves.
    pub columns: Option<Vec<String>>,
    /// What `each` and `each_from` give: one object.
    pub item: Map<String, Json>,
    /// The rows of the stream that `for_each` names; more than one in a batch.
    pub parents: Vec<Map<String, Json>>,
    /// From where on changes are wanted.
    pub cursor: Option<From>,
    /// The window that is read, in microseconds.
    pub window: Option<(i64, i64)>,
    /// What the listing itself gives.
    pub page: Vec<(String, Json)>,
    /// How cursor values are written.
    pub pen: Pen,
}

/// From where on changes are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum From {
    /// From a moment, in microseconds.
    Moment(i64),
    /// From a value as it was sent.
    Sent(Json),
}

/// A hole that must have a value and has none: what it looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub String);

/// The settings and the scope of a request.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub config: &'a [(String, String)],
    pub scope: &'a Scope,
}

impl Sight<'_> {
    /// The value that a hole finds.
    fn find(&self, hole: &Hole) -> Option<Cow<'_, Json>> {
        let scope = self.scope;
        match hole.root {
            Root::Config => setting(self.config, hole).map(|text| Cow::Owned(text.into())),
            Root::Stream => Some(Cow::Owned(scope.stream.as_str().into())),
            Root::Columns => {
                let names = scope.columns.as_ref()?;
                match hole.format {
                    Some(HoleFormat::Comma) => Some(Cow::Owned(names.join(",").into())),
                    _ => Some(Cow::Owned(names.iter().map(String::as_str).collect())),
                }
            }
            Root::Item => at(&scope.item, &hole.path.0).map(Cow::Borrowed),
            Root::Parent => self.parent(hole),
            Root::Page => {
                let name = hole.path.0.first()?;
                scope.page.iter().find(|(n, _)| n == name).map(|(_, value)| Cow::Borrowed(value))
            }
            Root::Cursor => match scope.cursor.as_ref()? {
                From::Moment(micros) => Some(Cow::Owned(self.write(*micros, hole))),
                From::Sent(value) => Some(Cow::Borrowed(value)),
            },
            Root::Window => {
                let (start, end) = scope.window?;
                let micros = if hole.path.0.first().is_some_and(|n| n == "end") { end } else { start };
                Some(Cow::Owned(self.write(micros, hole)))
            }
            Root::Kind | Root::Secret | Root::Body | Root::Headers | Root::Status => None,
        }
        .filter(|value| !value.is_null())
    }

    /// A field of the parent; a list of them where several share a request.
    fn parent(&self, hole: &Hole) -> Option<Cow<'_, Json>> {
        match self.scope.parents.as_slice() {
            [] => None,
            [one] if hole.format.is_none() => at(one, &hole.path.0).map(Cow::Borrowed),
            several => {
                let values: Option<Vec<Json>> =
                    several.iter().map(|p| at(p, &hole.path.0).cloned()).collect();
                match hole.format {
                    Some(HoleFormat::Comma) => {
                        let texts: Vec<_> = values?.iter().map(|value| text(value).into_owned()).collect();
                        Some(Cow::Owned(texts.join(",").into()))
                    }
                    _ => Some(Cow::Owned(values?.into())),
                }
            }
        }
    }

    /// A moment as the cursor writes it, or as the hole says; what a hole formats is a text.
    fn write(&self, micros: i64, hole: &Hole) -> Json {
        match &hole.format {
            Some(HoleFormat::Moment(format)) => {
                let written = Pen::of(Some(format)).write(micros);
                text(&written).into_owned().into()
            }
            _ => self.scope.pen.write(micros),
        }
    }

    /// The text with its holes filled; nothing, if one of them that may be absent is.
    pub fn fill(&self, template: &Template) -> Result<Option<String>, Missing> {
        self.fill_with(template, |value, out| out.push_str(value))
    }

    /// The same, each value entered by `enter`: values from outside are encoded for the place they stand in.
    pub fn fill_with(
        &self,
        template: &Template,
        mut enter: impl FnMut(&str, &mut String),
    ) -> Result<Option<String>, Missing> {
        let mut out = String::new();
        for piece in &template.0 {
            match piece {
                Piece::Text(constant) => out.push_str(constant),
                Piece::Hole(hole) => match self.find(hole) {
                    Some(value) => enter(&text(&value), &mut out),
                    None if hole.optional => return Ok(None),
                    None => return Err(Missing(name(hole))),
                },
            }
        }
        Ok(Some(out))
    }

    /// A text of a body or of `set`: one that is exactly one hole keeps the value's own type.
    pub fn value(&self, template: &Template) -> Result<Option<Json>, Missing> {
        match template.0.as_slice() {
            [Piece::Hole(hole)] => match self.find(hole) {
                Some(value) => Ok(Some(value.into_owned())),
                None if hole.optional => Ok(None),
                None => Err(Missing(name(hole))),
            },
            _ => Ok(self.fill(template)?.map(Json::String)),
        }
    }

    /// The body with its holes filled. What lacks a value that may be absent is left out: a key of the body
    /// itself, with all that is in it.
    pub fn body(&self, body: &BodyTemplate) -> Result<Option<Json>, Missing> {
        let BodyTemplate::Object(fields) = body else { return self.inside(body) };
        let mut map = Map::new();
        for (name, value) in fields {
            if let Some(value) = self.inside(value)? {
                map.insert(name.clone(), value);
            }
        }
        Ok(Some(Json::Object(map)))
    }

    fn inside(&self, body: &BodyTemplate) -> Result<Option<Json>, Missing> {
        Ok(Some(match body {
            BodyTemplate::Const(value) => value.clone(),
            BodyTemplate::Text(template) => return self.value(template),
            BodyTemplate::Object(fields) => {
                let mut map = Map::new();
                for (name, value) in fields {
                    let Some(value) = self.inside(value)? else { return Ok(None) };
                    map.insert(name.clone(), value);
                }
                Json::Object(map)
            }
            BodyTemplate::List(list) => match list.as_slice() {
                [only @ BodyTemplate::Object(_)] if self.scope.parents.len() > 1 && asks_parent(only) => {
                    let mut filled = Vec::with_capacity(self.scope.parents.len());
                    for parent in &self.scope.parents {
                        let scope = Scope { parents: vec![parent.clone()], ..self.scope.clone() };
                        let Some(value) = Sight { config: self.config, scope: &scope }.inside(only)? else {
                            return Ok(None);
                        };
                        filled.push(value);
                    }
                    Json::Array(filled)
                }
                list => {
                    let mut filled = Vec::with_capacity(list.len());
                    for value in list {
                        let Some(value) = self.inside(value)? else { return Ok(None) };
                        filled.push(value);
                    }
                    Json::Array(filled)
                }
            },
        }))
    }
}

/// Whether a part of a body looks up the parent.
fn asks_parent(body: &BodyTemplate) -> bool {
    match body {
        BodyTemplate::Const(_) => false,
        BodyTemplate::Text(template) => crate::plan::holes_of(template).any(|h| h.root == Root::Parent),
        BodyTemplate::Object(fields) => fields.iter().any(|(_, value)| asks_parent(value)),
        BodyTemplate::List(list) => list.iter().any(asks_parent),
    }
}

/// The value at a path of an object.
pub(crate) fn at<'a>(object: &'a Map<String, Json>, path: &[String]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    let mut value = object.get(first)?;
    for name in rest {
        value = value.get(name)?;
    }
    Some(value)
}

/// A value as it stands in a text.
pub(crate) fn text(value: &Json) -> Cow<'_, str> {
    match value {
        Json::String(text) => Cow::Borrowed(text),
        Json::Array(list) if list.iter().all(|v| !v.is_object() && !v.is_array()) => {
            Cow::Owned(list.iter().map(text).collect::<Vec<_>>().join(","))
        }
        other => Cow::Owned(other.to_string()),
    }
}

fn name(hole: &Hole) -> String {
    let root = match hole.root {
        Root::Config => "config",
        Root::Secret => "secret",
        Root::Body => "body",
        Root::Headers => "headers",
        Root::Status => "status",
        Root::Columns => "columns",
        Root::Cursor => "cursor",
        Root::Window => "window",
        Root::Page => "page",
        Root::Parent => "parent",
        Root::Item => "item",
        Root::Kind => "kind",
        Root::Stream => "stream",
    };
    if hole.path.0.is_empty() { root.to_owned() } else { format!("{root}.{}", hole.path.0.join(".")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sync_spec::{CursorFormat, FieldPath};

    use super::*;

    fn hole(root: Root, path: &str, optional: bool) -> Template {
        let path = FieldPath(path.split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect());
        Template(vec![Piece::Hole(Hole { root, path, optional, format: None })])
    }

    fn scope(value: Json) -> Scope {
        let Json::Object(parent) = value else { unreachable!("an object") };
        Scope { parents: vec![parent], ..Scope::default() }
    }

    #[test]
    fn a_value_that_is_one_hole_keeps_its_type() {
        let scope = scope(json!({"id": 7, "a": {"b": [1, "x"]}, "gone": null}));
        let sight = Sight { config: &[], scope: &scope };
        assert_eq!(sight.value(&hole(Root::Parent, "id", false)), Ok(Some(json!(7))));
        assert_eq!(sight.value(&hole(Root::Parent, "a.b", false)), Ok(Some(json!([1, "x"]))));
        let mut mixed = hole(Root::Parent, "id", false);
        mixed.0.insert(0, Piece::Text("n".into()));
        assert_eq!(sight.value(&mixed), Ok(Some(json!("n7"))));
        assert_eq!(sight.value(&hole(Root::Parent, "gone", false)), Err(Missing("parent.gone".into())));
        assert_eq!(sight.value(&hole(Root::Parent, "gone", true)), Ok(None));
    }

    #[test]
    fn a_missing_value_takes_the_whole_key_of_the_body_along() {
        let body = BodyTemplate::Object(vec![
            ("kept".into(), BodyTemplate::Const(json!(1))),
            (
                "since".into(),
                BodyTemplate::Object(vec![("$gte".into(), BodyTemplate::Text(hole(Root::Cursor, "", true)))]),
            ),
        ]);
        let mut scope = Scope::default();
        assert_eq!(Sight { config: &[], scope: &scope }.body(&body), Ok(Some(json!({"kept": 1}))));
        scope.cursor = Some(From::Moment(1_500_000));
        scope.pen = Pen::of(Some(&CursorFormat::IsoMs));
        let full = json!({"kept": 1, "since": {"$gte": "1970-01-01T00:00:01.500Z"}});
        assert_eq!(Sight { config: &[], scope: &scope }.body(&body), Ok(Some(full)));
    }

    #[test]
    fn a_batch_repeats_the_only_element_of_a_list() {
        let mut scope = scope(json!({"id": 1}));
        scope.parents.push(json!({"id": "b"}).as_object().expect("an object").clone());
        let sight = Sight { config: &[], scope: &scope };
        let element =
            BodyTemplate::Object(vec![("id".into(), BodyTemplate::Text(hole(Root::Parent, "id", false)))]);
        let body = BodyTemplate::Object(vec![("inputs".into(), BodyTemplate::List(vec![element]))]);
        assert_eq!(sight.body(&body), Ok(Some(json!({"inputs": [{"id": 1}, {"id": "b"}]}))));
        let mut comma = hole(Root::Parent, "id", false);
        if let Piece::Hole(hole) = &mut comma.0[0] {
            hole.format = Some(HoleFormat::Comma);
        }
        assert_eq!(sight.fill(&comma), Ok(Some("1,b".into())));
    }
}
