//! From a template and settings to a request.

use bytes::Bytes;
use sync_core::{Body, Method, Operation, Request};
use sync_spec::{BodyTemplate, Hole, Piece, RequestMethod, RequestSpec, Root, Template};
use url::Url;

use crate::plan::holes_of;

/// A request with everything it inherits, its holes still open.
#[derive(Clone, Debug)]
pub(crate) struct RequestPlan {
    method: RequestMethod,
    path: Template,
    query: Vec<(String, Template)>,
    headers: Vec<(String, Template)>,
    body: Option<BodyTemplate>,
}

impl RequestPlan {
    /// The entries that say `none` are gone after this.
    pub fn new(method: RequestMethod, path: &Template, spec: &RequestSpec) -> Self {
        let there = |list: &[(String, Option<Template>)]| {
            list.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
        };
        Self {
            method,
            path: path.clone(),
            query: there(&spec.query),
            headers: there(&spec.headers),
            body: spec.body.clone(),
        }
    }

    /// Every hole of it.
    pub fn holes(&self) -> Vec<&Hole> {
        let mut holes: Vec<&Hole> = holes_of(&self.path).collect();
        holes.extend(self.query.iter().chain(&self.headers).flat_map(|(_, t)| holes_of(t)));
        if let Some(body) = &self.body {
            body_holes(body, &mut holes);
        }
        holes
    }

    /// The request with every hole filled. `query` replaces parameters of the same name.
    pub fn build(&self, settings: &Settings, query: &[(String, Template)], operation: Operation) -> Request {
        let mut url = settings.base.clone();
        url.set_path(&self.path(settings));
        let merged = crate::plan::merge_map(&self.query, query, str::eq);
        set_query(&mut url, merged.iter().filter_map(|(name, t)| Some((name.as_str(), settings.fill(t)?))));
        let mut headers = settings.headers.clone();
        for (name, template) in &self.headers {
            headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            headers.extend(settings.fill(template).map(|value| (name.clone(), value)));
        }
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("accept")) {
            headers.push(("accept".to_owned(), "application/json".to_owned()));
        }
        let body = self
            .body
            .as_ref()
            .and_then(|b| fill_body(b, settings))
            .map(|json| Body { content_type: "application/json", bytes: Bytes::from(json.to_string()) });
        Request {
            method: match self.method {
                RequestMethod::Get => Method::Get,
                RequestMethod::Post => Method::Post,
            },
            url,
            headers,
            body,
            secrets: Vec::new(),
            operation,
            repeatable: true, // it reads
            follow_redirects: settings.follow_redirects,
            sent: sync_core::Sent::default(),
        }
    }

    /// The path behind that of the base URL. Values from outside are one segment each, whatever they hold.
    pub fn path(&self, settings: &Settings) -> String {
        let mut path = settings.base.path().trim_end_matches('/').to_owned();
        for piece in &self.path.0 {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Hole(hole) => {
                    let value = settings.look_up(hole).unwrap_or_default();
                    path.extend(
                        url::form_urlencoded::byte_serialize(value.as_bytes())
                            .map(|part| if part == "+" { "%20" } else { part }),
                    );
                }
            }
        }
        path
    }
}

/// What holes are filled from, and what every request has.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub base: Url,
    pub config: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub follow_redirects: bool,
    /// The fields that rows are wanted with, one behind the other; absent where all are.
    pub columns: Option<String>,
}

impl Settings {
    fn look_up(&self, hole: &Hole) -> Option<&str> {
        match hole.root {
            Root::Columns => self.columns.as_deref(),
            _ => setting(&self.config, hole),
        }
    }

    /// The text with its holes filled; nothing, if one of them has no value.
    pub fn fill(&self, template: &Template) -> Option<String> {
        fill(template, |hole| self.look_up(hole))
    }
}

/// The text with its holes filled; nothing, if one of them has no value.
pub(crate) fn fill<'a>(template: &Template, look_up: impl Fn(&Hole) -> Option<&'a str>) -> Option<String> {
    let mut text = String::new();
    for piece in &template.0 {
        text.push_str(match piece {
            Piece::Text(constant) => constant,
            Piece::Hole(hole) => look_up(hole)?,
        });
    }
    Some(text)
}

/// The setting that a hole looks up.
pub(crate) fn setting<'a>(config: &'a [(String, String)], hole: &Hole) -> Option<&'a str> {
    let name = hole.path.0.first()?;
    config.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// Sets one parameter, in the place of an older one of its name.
pub(crate) fn set_parameter(url: &mut Url, name: &str, value: &str) {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    match pairs.iter_mut().find(|(n, _)| n == name) {
        Some(pair) => value.clone_into(&mut pair.1),
        None => pairs.push((name.to_owned(), value.to_owned())),
    }
    set_query(url, pairs.iter().map(|(n, v)| (n.as_str(), v.clone())));
}

fn set_query<'a>(url: &mut Url, pairs: impl Iterator<Item = (&'a str, String)>) {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        text.append_pair(name, &value);
    }
    let text = text.finish();
    url.set_query((!text.is_empty()).then_some(text.as_str()));
}

/// Objects merge key by key, all else is replaced.
pub(crate) fn merge_body(
    inherited: Option<&BodyTemplate>,
    own: Option<&BodyTemplate>,
) -> Option<BodyTemplate> {
    match (inherited, own) {
        (Some(BodyTemplate::Object(inherited)), Some(BodyTemplate::Object(own))) => {
            let mut merged = inherited.clone();
            for (name, value) in own {
                match merged.iter_mut().find(|(n, _)| n == name) {
                    Some(entry) => {
                        entry.1 = merge_body(Some(&entry.1), Some(value)).expect("both are there");
                    }
                    None => merged.push((name.clone(), value.clone())),
                }
            }
            Some(BodyTemplate::Object(merged))
        }
        (inherited, own) => own.or(inherited).cloned(),
    }
}

fn body_holes<'a>(body: &'a BodyTemplate, holes: &mut Vec<&'a Hole>) {
    match body {
        BodyTemplate::Const(_) => {}
        BodyTemplate::Text(template) => holes.extend(holes_of(template)),
        BodyTemplate::Object(fields) => fields.iter().for_each(|(_, value)| body_holes(value, holes)),
        BodyTemplate::List(list) => list.iter().for_each(|value| body_holes(value, holes)),
    }
}

/// The body with its holes filled. A field without a value is left out.
fn fill_body(body: &BodyTemplate, settings: &Settings) -> Option<serde_json::Value> {
    Some(match body {
        BodyTemplate::Const(value) => value.clone(),
        BodyTemplate::Text(template) => settings.fill(template)?.into(),
        BodyTemplate::Object(fields) => serde_json::Value::Object(
            fields.iter().filter_map(|(n, value)| Some((n.clone(), fill_body(value, settings)?))).collect(),
        ),
        BodyTemplate::List(list) => list.iter().filter_map(|value| fill_body(value, settings)).collect(),
    })
}
