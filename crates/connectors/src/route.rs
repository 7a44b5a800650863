//! The listings that make up one read of a stream, one after the other: for each parent, each item, each pass, each
//! window.
//!
//! Pure. Its owner asks for what it needs to know: the rows of the parents, the items.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sync_core::ResumePoint;
use xxhash_rust::xxh3::xxh3_128;

/// Which of a stream's listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pass {
    /// The one that is read without state, or always.
    Main,
    /// The one that is read with state.
    Changed,
    /// The second one, for rows that the first hides.
    Also,
    /// The one of what was deleted or archived.
    Archived,
}

/// A part of a resume point: which listing, of which slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub pass: Pass,
    /// A hash of the item.
    item: String,
    window: Option<(i64, i64)>,
    until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentPlace>,
}

/// Where among the parents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ParentPlace {
    /// The listing of the parents before the page that they are on.
    pub before: Option<ResumePoint>,
    /// The last parent of that page that was done.
    pub done: Option<String>,
    /// The first parent that was not.
    pub group: Option<String>,
}

/// What the windows of a read lie in, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where they begin.
    pub from: i64,
    /// Where they end.
    pub until: i64,
    /// How much is asked for at once.
    pub step: Option<i64>,
}

/// One listing of the route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leg {
    pub pass: Pass,
    pub item: Map<String, Json>,
    pub window: Option<(i64, i64)>,
}

/// The listings of one group of parents.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    passes: Vec<Pass>,
    /// The passes that are read by windows, and what these lie in.
    windowed: Vec<Pass>,
    frame: Option<Frame>,
    /// At least one; an empty one where there are no slices.
    items: Vec<Map<String, Json>>,
    at: Option<(usize, usize)>,
    window: Option<(i64, i64)>,
    windows: VecDeque<(i64, i64)>,
}

/// A window is not made shorter than this.
const WINDOW_MIN_MICROS: i64 = 1_000;

impl Route {
    pub fn new(passes: Vec<Pass>, windowed: Vec<Pass>, frame: Option<Frame>) -> Self {
        let items = vec![Map::new()];
        Self { passes, windowed, frame, items, at: None, window: None, windows: VecDeque::new() }
    }

    /// The slices.
    pub fn set_items(&mut self, items: Vec<Map<String, Json>>) {
        self.items = items;
    }

    /// Whether it is one listing and never more.
    pub fn single(&self) -> bool {
        let windows = self.frame.filter(|_| !self.windowed.is_empty()).is_none_or(|f| f.step.is_none());
        self.items.len() == 1 && self.passes.len() == 1 && windows && self.windows.is_empty()
    }

    /// Where the windows end.
    pub fn until(&self) -> Option<i64> {
        self.frame.filter(|_| self.passes.iter().any(|p| self.windowed.contains(p))).map(|frame| frame.until)
    }

    /// From the start again, for the next group of parents or for all.
    pub fn reset(&mut self) {
        (self.at, self.window) = (None, None);
        self.windows.clear();
    }

    /// The next listing.
    pub fn next(&mut self) -> Option<Leg> {
        if let Some(window) = self.windows.pop_front() {
            self.window = Some(window);
            return self.leg();
        }
        loop {
            let (item, pass) = match self.at {
                None => (0, 0),
                Some((item, pass)) if pass + 1 < self.passes.len() => (item, pass + 1),
                Some((item, _)) => (item + 1, 0),
            };
            if item >= self.items.len() || self.passes.is_empty() {
                return None;
            }
            self.at = Some((item, pass));
            self.window = None;
            let Some(frame) = self.frame.filter(|_| self.windowed.contains(&self.passes[pass])) else {
                return self.leg();
            };
            self.windows = cut(frame.from, frame);
            if let Some(window) = self.windows.pop_front() {
                self.window = Some(window);
                return self.leg();
            }
        }
    }

    fn leg(&self) -> Option<Leg> {
        let (item, pass) = self.at?;
        Some(Leg { pass: self.passes[pass], item: self.items[item].clone(), window: self.window })
    }

    /// Goes to a place that another process was at. Nothing, if it is not on this route any more.
    pub fn seek(&mut self, place: &Place) -> Option<Leg> {
        let pass = self.passes.iter().position(|pass| *pass == place.pass)?;
        let item = self.items.iter().position(|item| name(item) == place.item)?;
        if let (Some(frame), Some(until)) = (&mut self.frame, place.until) {
            // The rest of the read ends where the other process meant it to: its rows were read up to there.
            frame.until = until;
        }
        let windowed = self.windowed.contains(&place.pass);
        if windowed != place.window.is_some() {
            return None;
        }
        self.at = Some((item, pass));
        self.window = place.window;
        self.windows = match (place.window, self.frame) {
            (Some((_, end)), Some(frame)) if end < frame.until => cut(end, frame),
            _ => VecDeque::new(),
        };
        self.leg()
    }

    /// Where it is.
    pub fn place(&self, parent: Option<ParentPlace>) -> Option<Place> {
        let (item, pass) = self.at?;
        let until = self.window.and(self.frame).map(|frame| frame.until);
        Some(Place {
            pass: self.passes[pass],
            item: name(&self.items[item]),
            window: self.window,
            until,
            parent,
        })
    }

    /// Halves the window that is read. Nothing, where it is as narrow as can be.
    pub fn narrow(&mut self) -> Option<Leg> {
        let (start, end) = self.window?;
        let middle = start.midpoint(end).div_euclid(WINDOW_MIN_MICROS) * WINDOW_MIN_MICROS;
        if middle <= start || middle >= end {
            return None;
        }
        self.windows.push_front((middle, end));
        self.window = Some((start, middle));
        self.leg()
    }
}

/// The windows from a moment to the end of a frame.
fn cut(from: i64, frame: Frame) -> VecDeque<(i64, i64)> {
    let mut windows = VecDeque::new();
    let mut start = from;
    while start < frame.until {
        let end = frame.step.map_or(frame.until, |step| start.saturating_add(step.max(1)).min(frame.until));
        windows.push_back((start, end));
        start = end;
    }
    windows
}

fn name(item: &Map<String, Json>) -> String {
    if item.is_empty() {
        return String::new();
    }
    format!("{:032x}", xxh3_128(Json::Object(item.clone()).to_string().as_bytes()))
}

/// Every combination of the values of several names.
pub(crate) fn product(each: &[(String, Vec<Json>)], from: Vec<Map<String, Json>>) -> Vec<Map<String, Json>> {
    let mut items = from;
    for (name, values) in each {
        items = items
            .into_iter()
            .flat_map(|item| {
                values.iter().map(move |value| {
                    let mut item = item.clone();
                    item.insert(name.clone(), value.clone());
                    item
                })
            })
            .collect();
    }
    items
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(route: &mut Route) -> Vec<String> {
        std::iter::from_fn(|| route.next())
            .map(|leg| {
                let window = leg.window.map(|(a, b)| format!(" {a}-{b}")).unwrap_or_default();
                format!("{:?} {}{window}", leg.pass, Json::Object(leg.item))
            })
            .collect()
    }

    #[test]
    fn every_slice_has_every_pass_and_every_window() {
        let frame = Frame { from: 0, until: 25, step: Some(10) };
        let mut route = Route::new(vec![Pass::Changed, Pass::Archived], vec![Pass::Changed], Some(frame));
        route.set_items(product(&[("a".into(), vec![json!(1), json!("x")])], vec![Map::new()]));
        let expect = [
            r#"Changed {"a":1} 0-10"#,
            r#"Changed {"a":1} 10-20"#,
            r#"Changed {"a":1} 20-25"#,
            r#"Archived {"a":1}"#,
            r#"Changed {"a":"x"} 0-10"#,
            r#"Changed {"a":"x"} 10-20"#,
            r#"Changed {"a":"x"} 20-25"#,
            r#"Archived {"a":"x"}"#,
        ];
        assert_eq!(all(&mut route), expect);
        assert!(!route.single());
        route.reset();
        assert_eq!(all(&mut route).len(), 8);
    }

    #[test]
    fn a_place_is_found_again_and_its_windows_end_where_they_were_to() {
        let frame = |until| Some(Frame { from: 0, until, step: Some(10) });
        let mut route = Route::new(vec![Pass::Main], vec![Pass::Main], frame(25));
        route.next();
        route.next();
        let place = route.place(None).expect("a place");
        let mut later = Route::new(vec![Pass::Main], vec![Pass::Main], frame(99));
        assert_eq!(later.seek(&place).and_then(|leg| leg.window), Some((10, 20)));
        assert_eq!(all(&mut later), ["Main {} 20-25"]);
        let mut other = Route::new(vec![Pass::Changed], vec![], None);
        assert_eq!(other.seek(&place), None);
    }

    #[test]
    fn windows_are_halved_until_they_cannot_be() {
        let frame = Frame { from: 0, until: 4_000, step: None };
        let mut route = Route::new(vec![Pass::Main], vec![Pass::Main], Some(frame));
        assert!(route.single());
        route.next();
        assert_eq!(route.narrow().and_then(|leg| leg.window), Some((0, 2_000)));
        assert_eq!(route.narrow().and_then(|leg| leg.window), Some((0, 1_000)));
        assert_eq!(route.narrow(), None);
        assert_eq!(all(&mut route), ["Main {} 1000-2000", "Main {} 2000-4000"]);
    }

    #[test]
    fn nothing_to_read_is_no_listing() {
        let frame = Frame { from: 30, until: 25, step: None };
        let mut route = Route::new(vec![Pass::Main, Pass::Archived], vec![Pass::Main], Some(frame));
        assert_eq!(all(&mut route), ["Archived {}"]);
        route.set_items(Vec::new());
        route.reset();
        assert_eq!(all(&mut route), Vec::<String>::new());
    }
}
