//! The provider: a list that grows and changes between any two requests, and answers as real ones do on bad days.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sync_core::Timestamp;
use sync_http::serve::{Incoming, Reply, Server};

/// How the provider behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Changes to the list before an answer, out of 100 requests.
    pub changes: u8,
    /// Bad answers, out of 100.
    pub faults: u8,
    /// Whether rows vanish.
    pub deletes: bool,
    /// Whether values change their type one day.
    pub mixed: bool,
    /// Whether rows say that they are deleted, and come back.
    pub tombstones: bool,
}

/// A row: its values as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub v: String,
    pub at: i64,
    /// In how many columns more it has values.
    pub more: u32,
    /// Whether it says that it is deleted.
    pub gone: bool,
}

impl Row {
    fn json(&self) -> String {
        let more: Vec<_> = (0..self.more).map(|n| format!(",\"c{n}\":{n}")).collect();
        let more = more.concat();
        let gone = if self.gone { ",\"gone\":true" } else { "" };
        format!(
            "{{\"id\":{},\"v\":{},\"updatedAt\":\"{}\"{more}{gone}}}",
            self.id,
            self.v,
            Timestamp::from_micros(self.at)
        )
    }
}

/// The provider's list.
pub struct World {
    pub weather: Weather,
    pub rows: Vec<Row>,
    /// Every version that was ever served, as `id v at`.
    pub served: BTreeSet<(String, String, i64)>,
    pub requests: u64,
    /// Bad answers by kind.
    pub faults: BTreeMap<&'static str, u64>,
    random: fastrand::Rng,
    created: u64,
    text_keys: bool,
}

/// The moment at which the story begins; the model's clock goes on with every change.
const BEGIN: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;

impl World {
    fn new(seed: u64, rows: usize, weather: Weather) -> Self {
        let mut world = Self {
            weather,
            rows: Vec::new(),
            served: BTreeSet::new(),
            requests: 0,
            faults: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            created: 0,
            text_keys: seed.is_multiple_of(3),
        };
        (0..rows).for_each(|_| world.insert());
        world
    }

    fn now(&self) -> i64 {
        BEGIN + (self.created as i64 + self.requests as i64) * SECOND
    }

    fn insert(&mut self) {
        self.created += 1;
        let n = self.created;
        let id = if self.text_keys { format!("\"k{n}\"") } else { n.to_string() };
        let (v, at, more) = (self.value(), self.moment(), u32::from(self.random.u8(..50) == 0));
        self.rows.push(Row { id, v, at, more, gone: false });
    }

    /// Many changes share a moment, and some tell of one that has passed.
    fn moment(&mut self) -> i64 {
        match self.random.u8(..10) {
            0..3 => self.now() / (60 * SECOND) * 60 * SECOND,
            3 => self.now() - self.random.i64(0..600) * SECOND,
            _ => self.now(),
        }
    }

    fn value(&mut self) -> String {
        match self.random.u8(..20) {
            0 => "null".to_owned(),
            1 if self.weather.mixed => format!("\"t{}\"", self.random.u8(..9)),
            2 if self.weather.mixed => format!("{{\"n\":{}}}", self.random.u8(..9)),
            _ => self.random.u32(..1000).to_string(),
        }
    }

    fn change(&mut self) {
        match self.random.u8(..10) {
            0..4 => self.insert(),
            4 if self.weather.deletes && self.rows.len() > 5 => {
                let place = self.random.usize(..self.rows.len());
                self.rows.remove(place);
            }
            _ => {
                let place = self.random.usize(..self.rows.len());
                let (v, at) = (self.value(), self.moment());
                let gone = self.weather.tombstones && self.random.u8(..3) == 0;
                let row = &mut self.rows[place];
                row.gone = gone;
                // A change that its moment does not tell would be nobody's to see.
                (row.v, row.at) = (v, at.max(row.at + SECOND));
            }
        }
    }

    fn answer(&mut self, incoming: &Incoming) -> Reply {
        self.requests += 1;
        if self.random.u8(..100) < self.weather.changes {
            (0..self.random.usize(1..6)).for_each(|_| self.change());
        }
        let number = |name: &str| incoming.query.split('&').find_map(|p| p.strip_prefix(name)?.parse().ok());
        let (offset, limit) = (number("offset=").unwrap_or(0), number("limit=").unwrap_or(10_usize));
        let page: Vec<Row> = self.rows.iter().skip(offset).take(limit).cloned().collect();
        let mut text: Vec<String> = page.iter().map(Row::json).collect();
        if self.weather.faults > 0 && text.len() > 2 && self.random.u8(..10) == 0 {
            // The same row twice on a page.
            let again = text[self.random.usize(..text.len())].clone();
            text.push(again);
        }
        let body = Bytes::from(format!("[{}]", text.join(",")));
        if self.random.u8(..100) < self.weather.faults {
            return self.fault(body);
        }
        self.served.extend(page.into_iter().map(|row| (row.id, row.v, row.at)));
        Reply::json(200, body)
    }

    fn fault(&mut self, body: Bytes) -> Reply {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let (name, reply) = match self.random.u8(..4) {
            0 => ("500", Reply::json(500, "{\"error\":\"down\"}")),
            1 => ("reset", Reply::Reset),
            2 => {
                let sent = body.len() / 2;
                ("cut in the body", Reply::Cut { status: 200, headers, body, sent })
            }
            _ => {
                let headers = [headers, vec![("retry-after".to_owned(), "0".to_owned())]].concat();
                ("429", Reply::Whole { status: 429, headers, body: Bytes::from_static(b"{}") })
            }
        };
        *self.faults.entry(name).or_default() += 1;
        reply
    }
}

/// The provider as a server.
pub struct Provider {
    pub world: Arc<Mutex<World>>,
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Provider {
    pub fn new(seed: u64, rows: usize, weather: Weather) -> Self {
        let world = Arc::new(Mutex::new(World::new(seed, rows, weather)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be had");
        let served = world.clone();
        let answer = move |incoming: Incoming| served.lock().expect("no answer panics").answer(&incoming);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = {
            let _inside = runtime.enter();
            Server::start(any, Arc::new(answer)).expect("a loopback port is free")
        };
        Self { world, server, _runtime: runtime }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// From now on nothing changes and nothing goes wrong.
    pub fn calm(&self) {
        let weather = &mut self.world.lock().expect("no answer panics").weather;
        (weather.changes, weather.faults) = (0, 0);
    }
}
