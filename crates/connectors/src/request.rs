//! From a template and settings to a request.

use bytes::Bytes;
use serde_json::Value as Json;
use sync_core::{Body, Method, Operation, Request};
use sync_spec::{BodyTemplate, Hole, Parameter, Piece, RequestMethod, RequestSpec, Root, Template};
use url::Url;

use crate::plan::holes_of;
use crate::scope::{self, Missing, Scope, Sight};

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

    /// Whether one of its holes looks there.
    pub fn asks(&self, root: Root) -> bool {
        self.holes().iter().any(|hole| hole.root == root)
    }

    /// Whether the URL names the columns.
    pub fn columns_in_url(&self) -> bool {
        self.query.iter().flat_map(|(_, t)| holes_of(t)).any(|hole| hole.root == Root::Columns)
    }

    /// The request with every hole filled. `query` replaces parameters of the same name, `set` is what the listing
    /// sets: a place for a value.
    pub fn build(
        &self,
        settings: &Settings,
        scope: &Scope,
        query: &[(String, Template)],
        set: &[(Parameter, Json)],
        operation: Operation,
    ) -> Result<Request, Missing> {
        let sight = Sight { config: &settings.config, scope };
        let mut url = settings.base.clone();
        url.set_path(&self.path(settings, scope)?);
        let merged = crate::plan::merge_map(&self.query, query, str::eq);
        let mut pairs = Vec::with_capacity(merged.len());
        for (name, template) in &merged {
            pairs.extend(sight.fill(template)?.map(|value| (name.clone(), value)));
        }
        for (parameter, value) in set {
            if let Parameter::Query(name) = parameter {
                let value = scope::text(value).into_owned();
                match pairs.iter_mut().find(|(n, _)| n == name) {
                    Some(pair) => pair.1 = value,
                    None => pairs.push((name.clone(), value)),
                }
            }
        }
        set_query(&mut url, pairs.into_iter());
        let mut headers = settings.headers.clone();
        for (name, template) in &self.headers {
            headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            headers.extend(sight.fill(template)?.map(|value| (name.clone(), value)));
        }
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("accept")) {
            headers.push(("accept".to_owned(), "application/json".to_owned()));
        }
        let mut body = self.body.as_ref().map(|body| sight.body(body)).transpose()?.flatten();
        for (parameter, value) in set {
            if let Parameter::Body(name) = parameter {
                let body = body.get_or_insert_with(|| Json::Object(serde_json::Map::new()));
                if let Json::Object(map) = body {
                    map.insert(name.clone(), value.clone());
                }
            }
        }
        let body =
            body.map(|json| Body { content_type: "application/json", bytes: Bytes::from(json.to_string()) });
        Ok(Request {
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
        })
    }

    /// The path behind that of the base URL. Values from outside are one segment each, whatever they hold.
    pub fn path(&self, settings: &Settings, scope: &Scope) -> Result<String, Missing> {
        let mut path = settings.base.path().trim_end_matches('/').to_owned();
        let sight = Sight { config: &settings.config, scope };
        let mut step = None;
        let filled = sight.fill_with(&self.path, |value, out| {
            // Servers and clients take these for steps between folders, however they are written.
            step = step.take().or_else(|| matches!(value, "." | ".." | "").then(|| value.to_owned()));
            out.push_str(&escaped(value));
        })?;
        if let Some(step) = step {
            return Err(Missing(format!("a segment of the path that is not `{step}`")));
        }
        path.push_str(&filled.unwrap_or_default());
        Ok(path)
    }

    /// The path in its pieces: constants, and places for values. Values of settings are constants.
    pub fn pattern(&self, settings: &Settings) -> Vec<Option<String>> {
        let mut pieces = vec![Some(settings.base.path().trim_end_matches('/').to_owned())];
        for piece in &self.path.0 {
            pieces.push(match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::Hole(hole) if hole.root == Root::Config => {
                    Some(escaped(setting(&settings.config, hole).unwrap_or_default()))
                }
                Piece::Hole(_) => None,
            });
        }
        pieces
    }

    /// The path as it was written.
    pub fn path_template(&self) -> &Template {
        &self.path
    }

    /// How it is sent.
    pub fn method(&self) -> Method {
        match self.method {
            RequestMethod::Get => Method::Get,
            RequestMethod::Post => Method::Post,
        }
    }
}

/// A value as one segment of a path.
fn escaped(value: &str) -> String {
    let parts = url::form_urlencoded::byte_serialize(value.as_bytes());
    parts.map(|part| if part == "+" { "%20" } else { part }).collect()
}

/// What holes are filled from, and what every request has.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub base: Url,
    pub config: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub follow_redirects: bool,
    /// Query parameters that hold a secret: an address that the provider sends must not bring one along.
    pub secret_parameters: Vec<String>,
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

fn set_query(url: &mut Url, pairs: impl Iterator<Item = (String, String)>) {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        text.append_pair(&name, &value);
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

/// Every hole of a part of a body.
pub(crate) fn body_holes<'a>(body: &'a BodyTemplate, holes: &mut Vec<&'a Hole>) {
    match body {
        BodyTemplate::Const(_) => {}
        BodyTemplate::Text(template) => holes.extend(holes_of(template)),
        BodyTemplate::Object(fields) => fields.iter().for_each(|(_, value)| body_holes(value, holes)),
        BodyTemplate::List(list) => list.iter().for_each(|value| body_holes(value, holes)),
    }
}
