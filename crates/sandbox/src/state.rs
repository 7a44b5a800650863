//! What the sandbox remembers: rows, windows, faults and counters.

use crate::counters::Counters;
use crate::draw::{Draw, mix, salt};
use crate::faults::{Armed, Change};
use crate::field::{Of, Row, World};
use crate::ink::Hand;
use crate::options::{Options, OptionsError};
use crate::stream::Stream;
use crate::table::Table;
use crate::window::{Days, Window};
use crate::{flowlu, hubnity, hubplanner, hubspot, planhat};

/// A provider the sandbox plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Planhat,
    Flowlu,
    Hubplanner,
    Hubspot,
    Hubnity,
}

impl Provider {
    pub(crate) const ALL: [Self; 5] =
        [Self::Planhat, Self::Flowlu, Self::Hubplanner, Self::Hubspot, Self::Hubnity];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Planhat => "planhat",
            Self::Flowlu => "flowlu",
            Self::Hubplanner => "hubplanner",
            Self::Hubspot => "hubspot",
            Self::Hubnity => "hubnity",
        }
    }

    pub(crate) fn streams(self) -> &'static [Stream] {
        match self {
            Self::Planhat => planhat::STREAMS,
            Self::Flowlu => flowlu::STREAMS,
            Self::Hubplanner => hubplanner::STREAMS,
            Self::Hubspot => hubspot::STREAMS,
            Self::Hubnity => hubnity::STREAMS,
        }
    }

    pub(crate) fn hand(self) -> Hand {
        match self {
            Self::Planhat | Self::Hubplanner | Self::Hubspot | Self::Hubnity => Hand::Plain,
            Self::Flowlu => Hand::Escaped,
        }
    }

    /// The number and the page of a stream, by its path.
    pub(crate) fn listed(self, path: &str) -> Option<(usize, &'static Stream)> {
        let mine = |(stream, provider): (&'static Stream, Self)| provider == self && stream.path == path;
        streams().position(mine).zip(self.streams().iter().find(|stream| stream.path == path))
    }
}

/// Every stream with its provider; its place here is its number.
pub(crate) fn streams() -> impl Iterator<Item = (&'static Stream, Provider)> {
    Provider::ALL.into_iter().flat_map(|provider| provider.streams().iter().map(move |s| (s, provider)))
}

/// The number of a stream by its name, or by provider and path.
pub(crate) fn index(name: &str) -> Result<usize, OptionsError> {
    let is = |(stream, provider): (&'static Stream, Provider)| {
        let path = || name.strip_prefix(provider.name()).and_then(|rest| rest.strip_prefix('/'));
        stream.name == name || path() == Some(stream.path)
    };
    streams().position(is).ok_or_else(|| OptionsError::Unknown {
        name: name.to_owned(),
        known: streams().map(|(stream, _)| stream.name).collect(),
    })
}

const PROVIDERS: usize = Provider::ALL.len();

/// Everything that changes while the sandbox runs.
pub(crate) struct State {
    pub(crate) world: World,
    /// In the order of [`streams`].
    pub(crate) tables: Vec<(&'static Stream, Table)>,
    /// Rows that were deleted, as they were, and when, in the order of [`streams`].
    pub(crate) graves: Vec<Vec<(Row, i64)>>,
    pub(crate) windows: [Window; PROVIDERS],
    /// The days of Hub Planner's account.
    pub(crate) days: Days,
    pub(crate) at_once: [u64; PROVIDERS],
    pub(crate) most_at_once: [u64; PROVIDERS],
    pub(crate) requests: [u64; PROVIDERS],
    pub(crate) faults: Vec<Armed>,
    pub(crate) counters: Counters,
    pub(crate) draw: Draw,
}

/// The draws that pick rows to change come from a place of their own.
const CHANGES: u64 = 0x6368_616e_6765;

impl State {
    pub(crate) fn new(options: &Options) -> Self {
        let rows = |stream: &Stream| options.rows.get(stream.name).copied().unwrap_or(stream.rows);
        let mut state = Self {
            world: World {
                seed: options.seed,
                salts: Of::ALL.map(salt),
                sizes: [0; Of::ALL.len()],
                local_offset: options.flowlu_offset.as_micros() as i64,
                nul: options.nul,
            },
            tables: streams().map(|(s, _)| (s, Table::new(options.seed, salt(s.name), rows(s)))).collect(),
            graves: streams().map(|_| Vec::new()).collect(),
            windows: [
                options.planhat_limit,
                options.flowlu_limit,
                options.hubplanner_limit,
                options.hubspot_limit,
                options.hubnity_limit,
            ]
            .map(Window::new),
            days: Days::new(options.hubplanner_daily),
            at_once: [0; PROVIDERS],
            most_at_once: [0; PROVIDERS],
            requests: [0; PROVIDERS],
            faults: Vec::new(),
            counters: Counters::default(),
            draw: Draw::new(mix(options.seed), CHANGES),
        };
        for (stream, _) in streams() {
            state.resize(stream.name, rows(stream));
        }
        state
    }

    /// Begins a stream anew.
    pub(crate) fn set_rows(&mut self, index: usize, rows: u64) {
        let (stream, table) = &mut self.tables[index];
        *table = Table::new(self.world.seed, table.salt, rows);
        self.graves[index].clear();
        let name = stream.name;
        self.resize(name, rows);
    }

    /// Tells those that point at a stream how many rows there are to point at.
    fn resize(&mut self, name: &str, rows: u64) {
        if let Some(of) = Of::ALL.iter().position(|of| *of == name) {
            self.world.sizes[of] = rows;
        }
    }

    pub(crate) fn change(
        &mut self,
        index: usize,
        change: Change,
        rows: u64,
        before: u64,
        now: i64,
    ) -> Vec<String> {
        let (stream, table) = &mut self.tables[index];
        let draw = &mut self.draw;
        let rows = match change {
            Change::Touch => table.touch(rows, now, draw),
            Change::Add => table.add(rows, now),
            Change::Insert => table.insert(rows, before, now, draw),
            Change::Delete => table.delete(rows, before, draw),
        };
        if change == Change::Delete {
            self.graves[index].extend(rows.iter().map(|row| (*row, now)));
        }
        rows.iter().map(|row| self.world.id(table.salt, stream.fields, row)).collect()
    }
}
