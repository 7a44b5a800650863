//! An API of one list, made up by a test: rows as JSON text, in pages by offset. Other paths answer what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sync_http::serve::{Incoming, Reply, Server};

use crate::stage::Stage;

/// The API and its rows.
pub struct Api {
    pub rows: Arc<Mutex<Vec<String>>>,
    /// Path, status and body of answers that are not the list.
    pub others: Arc<Mutex<Vec<(String, u16, String)>>>,
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Api {
    pub fn new(rows: Vec<String>) -> Self {
        let rows = Arc::new(Mutex::new(rows));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be had");
        let served = rows.clone();
        let others: Arc<Mutex<Vec<(String, u16, String)>>> = Arc::default();
        let aside = others.clone();
        let answer = move |incoming: Incoming| {
            let number =
                |name: &str| incoming.query.split('&').find_map(|p| p.strip_prefix(name)?.parse().ok());
            let found = aside.lock().expect("no test panics in here");
            if let Some((_, status, body)) = found.iter().find(|(path, ..)| *path == incoming.path) {
                return Reply::json(*status, body.clone());
            }
            let (offset, limit) = (number("offset=").unwrap_or(0), number("limit=").unwrap_or(100_usize));
            let rows = served.lock().expect("no test panics in here");
            let page: Vec<&str> = rows.iter().skip(offset).take(limit).map(String::as_str).collect();
            Reply::json(200, format!("[{}]", page.join(",")))
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = {
            let _inside = runtime.enter();
            Server::start(any, Arc::new(answer)).expect("a loopback port is free")
        };
        Self { rows, others, server, _runtime: runtime }
    }

    /// Writes a connector whose stream `things` is this list, in pages of so many rows, with more words about it.
    pub fn connector(stage: &Stage, page: usize, words: &str) {
        let text = format!(
            "connector: acme\nbase_url: http://127.0.0.1\nauth: none\nstreams:\n  things: {{ get: /things, key: id, \
             paginate: {{ offset: {{ param: offset }}, size: {{ limit: {page} }} }}{words} }}\n"
        );
        stage.write("acme.yaml", &text);
    }

    /// Writes a pipeline that reads the list with these options of the stream.
    pub fn pipeline(&self, stage: &Stage, file: &str, options: &str, destination: &str) {
        let base_url = format!("http://{}", self.server.addr());
        let text = format!(
            "source: {{ connector: ./acme.yaml, base_url: \"{base_url}\" }}\nstreams:\n  things: {options}\ndestination: {destination}\n"
        );
        stage.write(file, &text);
    }
}
