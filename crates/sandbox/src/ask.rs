//! Asking without a network, for tests.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use sync_http::serve::{Incoming, Reply};
use sync_testkit::clock::Manual;

use crate::{Options, Sandbox};

/// A request as a client would send it.
pub(crate) fn incoming(method: &str, url: &str, authorization: Option<&str>) -> Incoming {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    Incoming {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: authorization
            .map(|value| ("authorization".to_owned(), value.to_owned()))
            .into_iter()
            .collect(),
        body: Bytes::new(),
    }
}

pub(crate) fn reply(sandbox: &Sandbox, method: &str, url: &str, authorization: Option<&str>) -> Reply {
    sandbox.answer(&incoming(method, url, authorization)).reply
}

pub(crate) fn options() -> (Arc<Manual>, Options) {
    let clock = Arc::new(Manual::new());
    let options = Options { limits: false, ..Options::new(clock.clone()) };
    (clock, options)
}

pub(crate) fn sandbox(options: Options) -> Arc<Sandbox> {
    Sandbox::new(options).expect("options that can be")
}

pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Method, path with query and authorization in; the answer out.
pub(crate) fn ask(sandbox: &Sandbox, method: &str, url: &str, authorization: Option<&str>) -> Got {
    match reply(sandbox, method, url, authorization) {
        Reply::Whole { status, headers, body } => {
            Got { status, headers, text: String::from_utf8(body.to_vec()).expect("UTF-8") }
        }
        _ => panic!("{url} was not answered well"),
    }
}
