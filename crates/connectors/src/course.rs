//! How far a listing was read, whichever way it goes on: by counting ([`crate::paginate`]) or by what its answers say
//! ([`crate::trail`]).

use serde::{Deserialize, Serialize};
use sync_core::Note;
use sync_spec::{Parameter, Size};

use crate::paginate::{self, SIZE_MIN, Turn, Walk};
use crate::plan::{Address, Listing};
use crate::trail::{self, Set, Trail, Word};

/// A listing while it is read.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    way: Way,
    /// The paging parameter of a listing that is counted.
    counter: Option<String>,
    /// Where the size stands.
    size: Option<Size>,
}

#[derive(Clone, Debug)]
enum Way {
    Counted(Walk),
    Led(Trail),
}

/// Where a page is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spot {
    /// At a place that is counted.
    Counted(paginate::Spot),
    /// Where an answer led.
    Led(trail::Spot, Option<u64>),
}

/// What is kept so that another process can go on behind a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Milestone {
    Counted(paginate::Mileage),
    Led(trail::Mileage),
}

impl Course {
    pub fn new(listing: &Listing) -> Self {
        match listing {
            Listing::Whole => Self { way: Way::Counted(Walk::whole()), counter: None, size: None },
            Listing::Pages(paging) => {
                let (Address::Page { param, .. } | Address::Offset { param }) = &paging.address;
                let way = Way::Counted(Walk::new(paging));
                Self { way, counter: Some(param.clone()), size: paging.size.clone() }
            }
            Listing::Trail(trailing) => {
                Self { way: Way::Led(Trail::new(trailing)), counter: None, size: trailing.size.clone() }
            }
        }
    }

    /// Goes on where another process stopped, if that is of the same kind.
    pub fn resume(&mut self, from: &Milestone) -> Option<()> {
        match (&mut self.way, from) {
            (Way::Counted(walk), Milestone::Counted(mileage)) => walk.resume(mileage),
            (Way::Led(trail), Milestone::Led(mileage)) => {
                trail.resume(mileage);
                Some(())
            }
            _ => None,
        }
    }

    /// Whether the place comes from another process and nothing was answered there yet.
    pub fn resumed(&self) -> bool {
        matches!(&self.way, Way::Led(trail) if trail.resumed())
    }

    pub fn reset(&mut self) {
        match &mut self.way {
            Way::Counted(walk) => walk.reset(),
            Way::Led(trail) => trail.reset(),
        }
    }

    pub fn at_most(&mut self, rows: u64) {
        match &mut self.way {
            Way::Counted(walk) => walk.at_most(rows),
            Way::Led(trail) => _ = trail.shrink(rows, SIZE_MIN),
        }
    }

    pub fn shrink(&mut self, to: u64) -> bool {
        match &mut self.way {
            Way::Counted(walk) => walk.shrink(to),
            Way::Led(trail) => trail.shrink(to, SIZE_MIN),
        }
    }

    pub fn half(&self) -> u64 {
        match &self.way {
            Way::Counted(walk) => walk.half(),
            Way::Led(trail) => trail.size().unwrap_or(0) / 2,
        }
    }

    pub fn take_notes(&mut self) -> Vec<Note> {
        match &mut self.way {
            Way::Counted(walk) => walk.take_notes(),
            Way::Led(trail) => trail.take_notes(),
        }
    }

    pub fn milestone(&self) -> Option<Milestone> {
        match &self.way {
            Way::Counted(walk) => walk.mileage().map(Milestone::Counted),
            Way::Led(trail) => Some(Milestone::Led(trail.mileage())),
        }
    }

    /// The page to ask for.
    pub fn next(&self) -> Spot {
        match &self.way {
            Way::Counted(walk) => Spot::Counted(walk.next()),
            Way::Led(trail) => Spot::Led(trail.next().clone(), trail.size()),
        }
    }

    /// The page after so many more, where that is known before their answers are.
    pub fn ahead(&self, pages: u64) -> Option<Spot> {
        match &self.way {
            Way::Counted(walk) => walk.ahead(pages).map(Spot::Counted),
            Way::Led(_) => None,
        }
    }

    /// Whether places are counted in rows, so that the size may change between pages.
    pub fn counts_rows(&self) -> bool {
        match &self.way {
            Way::Counted(walk) => walk.counts_rows(),
            Way::Led(_) => true,
        }
    }

    /// Whether one answer is all of it.
    pub fn is_whole(&self) -> bool {
        self.counter.is_none() && matches!(self.way, Way::Counted(_))
    }

    pub fn doubtful(&self) -> bool {
        matches!(&self.way, Way::Counted(walk) if walk.doubtful())
    }

    pub fn full(&self) -> Option<u64> {
        match &self.way {
            Way::Counted(walk) => walk.full(),
            Way::Led(trail) => trail.size(),
        }
    }

    /// What an answer says about the next, where that is asked of it.
    pub fn word(&self, body: &str, link: &[&str], base: &url::Url, rows: &[&str]) -> Word {
        match &self.way {
            Way::Counted(_) => Word::default(),
            Way::Led(trail) => trail.word(body, link, base, rows),
        }
    }

    /// What the answer to [`Course::next`] means.
    pub fn take(&mut self, ids: &[u128], total: Option<u64>, word: &Word) -> Turn {
        match &mut self.way {
            Way::Counted(walk) => walk.take(ids, total),
            Way::Led(trail) => trail.take(ids, total, word),
        }
    }

    /// What the listing sets in the request for a page.
    pub fn set(&self, spot: &Spot) -> Set {
        let size = self.size.as_ref().map(|size| &size.parameter);
        match (&self.way, spot) {
            (Way::Led(trail), _) => trail.set(size),
            (Way::Counted(_), Spot::Counted(spot)) => {
                let mut parameters = Vec::new();
                if let (Some(parameter), Some(rows)) = (size, spot.size) {
                    parameters.push((parameter.clone(), rows.into()));
                }
                if let Some(counter) = &self.counter {
                    parameters.push((Parameter::Query(counter.clone()), spot.at.into()));
                }
                Set { parameters, ..Set::default() }
            }
            (Way::Counted(_), Spot::Led(..)) => Set::default(),
        }
    }

    /// The first row alone, of the listing as it stands at the beginning.
    pub fn one_row(&self) -> Spot {
        match self.next() {
            Spot::Counted(spot) => Spot::Counted(paginate::Spot { size: Some(1), ..spot }),
            Spot::Led(spot, _) => Spot::Led(spot, Some(1)),
        }
    }
}
