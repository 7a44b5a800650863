//! Where a listing goes on: from the rows of a page to the next page, or the end.
//!
//! Pure. A [`Walk`] knows one slice of one listing: what was received, what the last page was, and what it has
//! learned about the server. Its reader asks for [`Walk::next`], shows it the answer with [`Walk::take`], and
//! does what the [`Turn`] says.
//!
//! Offset listings move while they are read, so each page begins with the last row of the page before: if it
//! is there, nothing moved; if it is further down, rows came in before it; if it is gone, rows left, and the
//! page before is read again until its first row is one that was seen. Page numbers cannot overlap; there only
//! a falling total, or fewer rows than the total, tells.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sync_core::Note;
use sync_spec::StopRule;
use xxhash_rust::xxh3::xxh3_128;

use crate::plan::{Address, Paging};

/// No listing has more pages than this; one that does repeats itself in a way we did not see.
pub(crate) const PAGES_MAX: u64 = 1_000_000;
/// A page is not asked to be smaller than this.
pub(crate) const SIZE_MIN: u64 = 50;
/// How often the place where a listing goes on is looked for before the order is called unstable.
const TRIES_MAX: u64 = 3;

/// Where a page is, and how many rows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The page number or the offset.
    pub at: u64,
    /// The size parameter's value, where there is one.
    pub size: Option<u64>,
}

/// What a row of a page is to the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// New.
    Fresh,
    /// Handed out before; counts as de-duplicated.
    Seen,
    /// Asked for only to see whether the listing moved; does not count.
    Overlap,
}

/// What a page means for the slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Rows to hand out.
    Deliver {
        /// One for each row.
        marks: Vec<Mark>,
        /// Whether the listing is over after them.
        last: bool,
        /// Whether the listing moved, so that this page does not go on where the last one ended.
        moved: bool,
    },
    /// Nothing to hand out; ask for the next.
    On,
    /// The listing is over.
    End,
    /// The slice begins again from its start; [`Walk::reset`] has been called.
    Restart(Note),
    /// The listing cannot be read.
    Fail(Broken),
}

/// Why a listing cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It gives the same page at different places.
    Repeats,
    /// It does not end.
    Endless,
    /// It says that it goes on at the place where it is.
    Stuck,
    /// Its rows do not come in the order that it was asked for.
    Unsorted,
    /// It gives so many rows at most, and has more.
    Ceiling(u64),
}

/// What of a walk is kept in a resume point: the last page handed out, and what was learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mileage {
    at: u64,
    rows: u64,
    /// A hash of that page's rows, in hexadecimal.
    page: String,
    received: u64,
    size: Option<u64>,
    full: Option<u64>,
    overlap: bool,
    total: Option<u64>,
    heed_total: bool,
    restarts: u32,
    #[serde(default)]
    uneven: bool,
    #[serde(default)]
    doubtful: bool,
}

/// One slice of one listing.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    way: Way,
    stop: Stop,
    size: Option<u64>,
    phase: Phase,
    last: Option<LastPage>,
    /// Rows passed: the offset behind the last page, or the distinct rows of all pages.
    received: u64,
    /// Whether pages begin with the last row of the one before.
    overlap: bool,
    /// Rows of a full page, once known.
    full: Option<u64>,
    total: Option<u64>,
    /// Whether the total is believed.
    heed_total: bool,
    restarts: u32,
    /// Whether a page shorter than others has had rows behind it.
    uneven: bool,
    /// Whether rows may be missing.
    doubtful: bool,
    tries: u64,
    /// Whether pages were made smaller since the last one, so that the next may begin inside it.
    resized: bool,
    pages: u64,
    /// A page to compare all later ones with; it moves on at every power of two, so that a cycle of any length
    /// is found (Brent's method).
    anchor: Option<(u128, u64)>,
    /// How often that page came by again.
    seen_again: u32,
    /// Rows that the listing gives at most.
    ceiling: Option<u64>,
    /// Whether a page had more rows than were asked for: perhaps the size is ignored, perhaps all paging is.
    oversize: bool,
    notes: Vec<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    Page { first: u64 },
    Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Short,
    Empty,
    Total,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Straight on.
    On,
    /// The last page of an earlier run is looked at once more.
    Verify { at: u64, rows: u64, page: u128 },
    /// The first page was shorter than was asked for: is there anything behind it at all? The page that tells is
    /// asked for again with the overlap.
    Peek,
    /// Nothing but the overlap came, from a server whose pages have any length: asked behind it.
    Beyond,
    /// The overlapping page was empty or the last one again: asked without the overlap, twice if need be.
    Exact { again: bool },
    /// The page so many pages before the last one is read again, to find where the listing goes on.
    Reread { back: u64, ending: bool },
}

#[derive(Clone, Debug)]
struct LastPage {
    at: u64,
    ids: Vec<u128>,
}

impl Walk {
    /// A listing of one answer.
    pub fn whole() -> Self {
        Self::of(Way::Whole, Stop::Empty, None)
    }

    /// A listing in pages that are counted.
    pub fn new(paging: &Paging) -> Self {
        let way = match paging.address {
            Address::Page { first, .. } => Way::Page { first },
            Address::Offset { .. } => Way::Offset,
        };
        let stop = match paging.stop {
            StopRule::Short => Stop::Short,
            StopRule::Empty | StopRule::Absent(_) => Stop::Empty,
            StopRule::Total(_) => Stop::Total,
        };
        let walk = Self::of(way, stop, paging.size.as_ref().map(|size| size.rows));
        Self { ceiling: paging.ceiling.map(|ceiling| ceiling.rows), ..walk }
    }

    fn of(way: Way, stop: Stop, size: Option<u64>) -> Self {
        Self {
            way,
            stop,
            size,
            phase: Phase::On,
            last: None,
            received: 0,
            overlap: way == Way::Offset,
            full: None,
            total: None,
            heed_total: true,
            restarts: 0,
            uneven: false,
            doubtful: false,
            tries: 0,
            resized: false,
            pages: 0,
            anchor: None,
            seen_again: 0,
            ceiling: None,
            oversize: false,
            notes: Vec::new(),
        }
    }

    /// Goes on where another process stopped. The last page is asked for once more first.
    pub fn resume(&mut self, from: &Mileage) -> Option<()> {
        let page = u128::from_str_radix(&from.page, 16).ok()?;
        self.phase = Phase::Verify { at: from.at, rows: from.rows, page };
        self.received = from.received;
        self.size = self.size.and(from.size);
        self.full = from.full;
        self.overlap = self.overlap && from.overlap;
        self.total = from.total;
        self.heed_total = from.heed_total;
        self.restarts = from.restarts;
        self.uneven = from.uneven;
        self.doubtful = from.doubtful;
        Some(())
    }

    /// Begins again at the start of the listing. What was learned about the server stays.
    pub fn reset(&mut self) {
        self.phase = Phase::On;
        self.last = None;
        self.received = 0;
        self.total = None;
        self.tries = 0;
        self.pages = 0;
        self.anchor = None;
        self.seen_again = 0;
    }

    /// Asks for fewer rows a page from the start. Only before the first page.
    pub fn at_most(&mut self, rows: u64) {
        if matches!(self.phase, Phase::On) && self.last.is_none() {
            self.size = self.size.map(|size| size.min(rows.max(SIZE_MIN)));
        }
    }

    /// Asks for smaller pages from now on. False, if they are as small as is sensible.
    pub fn shrink(&mut self, to: u64) -> bool {
        let Some(size) = self.size else { return false };
        let to = to.max(SIZE_MIN);
        if to >= size {
            return false;
        }
        self.size = Some(to);
        if let (Way::Page { first }, Some(last)) = (self.way, &mut self.last) {
            // Page numbers count pages of the new size now. A server that caps sizes below it notices nothing.
            let old = self.full.unwrap_or(last.ids.len() as u64).clamp(1, size);
            let passed = (last.at + 1 - first) * old;
            last.at = first + passed / to.min(old) - 1;
        }
        self.full = None;
        self.resized = true;
        true
    }

    /// Half the size that is asked for now.
    pub fn half(&self) -> u64 {
        self.size.unwrap_or(0) / 2
    }

    /// Notes since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// What to keep so that another process can go on behind the page that was taken last.
    pub fn mileage(&self) -> Option<Mileage> {
        let last = self.last.as_ref()?;
        Some(Mileage {
            at: last.at,
            rows: last.ids.len() as u64,
            page: format!("{:032x}", hash(&last.ids)),
            received: self.received,
            size: self.size,
            full: self.full,
            overlap: self.overlap,
            total: self.total,
            heed_total: self.heed_total,
            restarts: self.restarts,
            uneven: self.uneven,
            doubtful: self.doubtful,
        })
    }

    /// The page to ask for.
    pub fn next(&self) -> Spot {
        let at = match (&self.phase, self.way, &self.last) {
            (Phase::Verify { at, .. }, ..) => *at,
            (_, Way::Whole, _) | (_, Way::Offset, None) => 0,
            (_, Way::Page { first }, None) => first,
            (_, Way::Page { .. }, Some(last)) => last.at + 1,
            (Phase::Reread { back, .. }, Way::Offset, Some(last)) => {
                last.at.saturating_sub(back * (last.ids.len() as u64).max(1))
            }
            (Phase::Exact { .. } | Phase::Peek | Phase::Beyond, Way::Offset, Some(_)) => self.received,
            (Phase::On, Way::Offset, Some(_)) => self.received.saturating_sub(u64::from(self.overlap)),
        };
        Spot { at, size: self.size }
    }

    /// The page after so many more, if every page until there is full: what may be asked for ahead.
    pub fn ahead(&self, pages: u64) -> Option<Spot> {
        if !matches!(self.phase, Phase::On) || self.last.is_none() {
            return None;
        }
        let next = self.next();
        let total = self.total.filter(|_| self.heed_total && self.stop == Stop::Total);
        let rows =
            self.full.filter(|rows| self.last.as_ref().is_some_and(|l| l.ids.len() as u64 >= *rows))?;
        let (at, passed) = match self.way {
            Way::Whole => return None,
            Way::Page { .. } => (next.at + pages, self.received + pages * rows),
            Way::Offset => {
                let stride = rows.checked_sub(u64::from(self.overlap)).filter(|s| *s > 0)?;
                (next.at + pages * stride, next.at + pages * stride + u64::from(self.overlap))
            }
        };
        (total.is_none_or(|total| passed < total)).then_some(Spot { at, size: self.size })
    }

    /// Whether places are counted in rows, so that the size may change between pages.
    pub fn counts_rows(&self) -> bool {
        self.way == Way::Offset
    }

    /// Whether rows may be missing from what was read, which a note has told.
    pub fn doubtful(&self) -> bool {
        self.doubtful
    }

    /// Rows of a full page, as far as is known.
    pub fn full(&self) -> Option<u64> {
        self.full
    }

    /// What the answer to [`Walk::next`] means: who its rows are, and the total it tells.
    pub fn take(&mut self, ids: &[u128], total: Option<u64>) -> Turn {
        let at = self.next().at;
        if let Phase::Verify { rows, page, .. } = self.phase {
            return self.verify(at, rows, page, ids, total);
        }
        self.pages += 1;
        if self.pages > PAGES_MAX {
            return Turn::Fail(Broken::Endless);
        }
        self.look_at_size(ids.len() as u64);
        if let Some(most) = self.ceiling.filter(|most| self.received + ids.len() as u64 >= *most)
            && !ids.is_empty()
            && !self.is_over(ids.len(), total)
        {
            return Turn::Fail(Broken::Ceiling(most));
        }
        match (self.way, &self.phase) {
            (Way::Whole, _) if self.last.is_some() => Turn::End,
            (Way::Whole, _) => self.deliver(at, ids, vec![Mark::Fresh; ids.len()], true, false),
            (Way::Page { .. }, _) => self.numbered(at, ids, total),
            (Way::Offset, Phase::Exact { again }) => self.exact(at, ids, total, *again),
            (Way::Offset, Phase::Reread { back, ending }) => self.reread(at, ids, *back, *ending),
            (Way::Offset, Phase::Peek | Phase::Beyond) if ids.is_empty() => self.finish(),
            (Way::Offset, Phase::Peek) => {
                self.uneven = true;
                self.phase = Phase::On;
                Turn::On
            }
            (Way::Offset, Phase::Beyond) => {
                self.phase = Phase::On;
                if self.is_last_again(ids) && self.tries < TRIES_MAX {
                    self.tries += 1;
                    return Turn::On;
                }
                self.arrive(at, ids, vec![Mark::Fresh; ids.len()], total, false)
            }
            (Way::Offset, _) => self.onward(at, ids, total),
        }
    }

    /// The last page of an earlier run: the same rows, perhaps with more behind them, or else from the start.
    fn verify(&mut self, at: u64, rows: u64, page: u128, ids: &[u128], total: Option<u64>) -> Turn {
        let rows = rows as usize;
        if ids.len() < rows || hash(&ids[..rows]) != page {
            self.reset();
            return Turn::Restart(Note::new(
                "slice_restarted",
                "the page that the last run ended with is not the same any more, so the listing is read from its start",
            ));
        }
        self.phase = Phase::On;
        if ids.len() == rows {
            self.last = Some(LastPage { at, ids: ids.to_vec() });
            return if self.is_over(ids.len(), total) { self.finish() } else { Turn::On };
        }
        let mut marks = vec![Mark::Overlap; rows];
        marks.resize(ids.len(), Mark::Fresh);
        self.received += (ids.len() - rows) as u64;
        let last = self.is_over(ids.len(), total);
        self.deliver(at, ids, marks, last, false)
    }

    /// A page with more rows than were asked for is told: the server does not heed the size, and perhaps no paging.
    fn look_at_size(&mut self, rows: u64) {
        if let Some(size) = self.size.filter(|size| rows > *size && !self.oversize) {
            self.oversize = true;
            let message = format!(
                "{size} rows a page were asked for and {rows} came: the provider does not heed the size"
            );
            self.note("page_too_large", &message);
        }
    }

    /// A page by its number.
    fn numbered(&mut self, at: u64, ids: &[u128], total: Option<u64>) -> Turn {
        if ids.is_empty() {
            return self.finish();
        }
        let marks = self.compare(ids);
        let resized = std::mem::take(&mut self.resized);
        let whole = self.heed_total && self.total == Some(self.received);
        if whole && self.stop == Stop::Total && !marks.contains(&Mark::Fresh) {
            return Turn::End; // past its end, this server gives the last page once more
        }
        if self.oversize && self.pages == 2 && self.is_last_again(ids) {
            // All of it came at once, and comes again whatever page is asked for.
            self.note(
                "paging_ignored",
                "the provider gives the whole listing in one answer, whatever page is asked for",
            );
            return Turn::End;
        }
        if self.is_cycle(ids) || (!resized && !marks.contains(&Mark::Fresh)) {
            return Turn::Fail(Broken::Repeats);
        }
        if let (Some(before), Some(now), true) = (self.total, total, self.heed_total)
            && now < before
        {
            let message = format!("the provider counted {before} rows and then {now} while they were read");
            if let Some(turn) = self.again(&message) {
                return turn;
            }
        }
        let fresh = marks.iter().filter(|m| **m == Mark::Fresh).count() as u64;
        self.learn_full(ids.len() as u64);
        self.received += fresh;
        let over = self.is_over(ids.len(), total);
        self.deliver(at, ids, marks, over, false)
    }

    /// A page by its offset, straight on.
    fn onward(&mut self, at: u64, ids: &[u128], total: Option<u64>) -> Turn {
        if self.last.is_none() {
            if ids.is_empty() {
                return Turn::End;
            }
            return self.arrive(at, ids, vec![Mark::Fresh; ids.len()], total, false);
        }
        if !self.overlap {
            if ids.is_empty() {
                return self.finish();
            }
            if self.is_last_again(ids) && self.tries < TRIES_MAX {
                // Rows that came in before the border look just so; a listing that repeats itself goes on doing it.
                self.tries += 1;
                return Turn::On;
            }
            if self.repeats(ids) {
                return Turn::Fail(Broken::Repeats);
            }
            return self.arrive(at, ids, vec![Mark::Fresh; ids.len()], total, false);
        }
        match self.place_of_last(ids) {
            Some(0) if ids.len() == 1 => {
                if self.uneven || self.last.as_ref().is_some_and(|last| last.ids.len() == 1) {
                    self.phase = Phase::Beyond;
                    return Turn::On;
                }
                self.finish()
            }
            Some(0) => {
                let mut marks = vec![Mark::Fresh; ids.len()];
                marks[0] = Mark::Overlap;
                self.arrive(at, ids, marks, total, false)
            }
            _ if self.oversize && self.pages == 2 && self.is_last_again(ids) => {
                self.note(
                    "paging_ignored",
                    "the provider gives the whole listing in one answer, whatever offset is asked for",
                );
                Turn::End
            }
            _ if ids.is_empty() || self.is_last_again(ids) => {
                self.phase = Phase::Exact { again: false };
                Turn::On
            }
            Some(place) => self.moved_down(at, ids, place, total),
            None => {
                self.phase = Phase::Reread { back: 0, ending: false };
                Turn::On
            }
        }
    }

    /// A page further down which the last row stands: rows came in before it, and some of them are here.
    fn moved_down(&mut self, at: u64, ids: &[u128], place: usize, total: Option<u64>) -> Turn {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            return self.unstable();
        }
        self.note_moved();
        let mut marks = self.compare(ids);
        marks[place] = Mark::Overlap;
        self.arrive(at, ids, marks, total, true)
    }

    /// Where on a page the last row of the page before stands.
    fn place_of_last(&self, ids: &[u128]) -> Option<usize> {
        let last = self.last.as_ref()?.ids.last()?;
        ids.iter().position(|id| id == last)
    }

    /// The page behind the last row, without overlap.
    fn exact(&mut self, at: u64, ids: &[u128], total: Option<u64>, again: bool) -> Turn {
        if ids.is_empty() {
            // Nothing at the last row and nothing behind it: the end, or rows left from before it.
            self.phase = Phase::Reread { back: 0, ending: true };
            return Turn::On;
        }
        if self.repeats(ids) {
            if again {
                return Turn::Fail(Broken::Repeats);
            }
            // Before it is called broken: rows that came in before the border would look just so, once.
            self.phase = Phase::Exact { again: true };
            return Turn::On;
        }
        self.phase = Phase::On;
        if let Some(place) = self.place_of_last(ids) {
            // Just as many rows came in before the border as to show the last page once more.
            return self.moved_down(at, ids, place, total);
        }
        self.overlap = false;
        self.notes.push(Note::new(
            "overlap_off",
            "the server knows only where its own pages begin, so pages are read without overlap and rows that move between two requests are not noticed",
        ));
        self.arrive(at, ids, vec![Mark::Fresh; ids.len()], total, false)
    }

    /// An earlier page once more: the listing goes on behind the rows of it that were seen.
    fn reread(&mut self, at: u64, ids: &[u128], back: u64, ending: bool) -> Turn {
        let before = self.last.as_ref().expect("a page was handed out before one is read again");
        let same = before.ids == ids;
        if same && ending {
            return self.finish();
        }
        self.tries += 1;
        if self.tries > TRIES_MAX || (same && self.tries == TRIES_MAX) {
            return self.unstable();
        }
        let found = ids.first().is_some_and(|first| before.ids.contains(first));
        if !found && at > 0 {
            self.phase = Phase::Reread { back: back + 1, ending };
            return Turn::On;
        }
        self.phase = Phase::On;
        if ids.is_empty() {
            return Turn::End; // all rows are gone
        }
        if !same {
            self.note_moved();
        }
        let marks = self.compare(ids);
        if marks.contains(&Mark::Fresh) {
            return self.arrive(at, ids, marks, None, true);
        }
        self.received = at + ids.len() as u64;
        self.last = Some(LastPage { at, ids: ids.to_vec() });
        Turn::On
    }

    /// The order of the listing is not to be had: once from the start, then on without overlap.
    fn unstable(&mut self) -> Turn {
        let message = "rows moved between requests faster than they could be followed";
        if let Some(turn) = self.again(message) {
            return turn;
        }
        self.phase = Phase::On;
        self.overlap = false;
        self.tries = 0;
        self.doubtful = true;
        self.note(
            "listing_unstable",
            "the order of the listing changes between requests, so rows may be missing; a later run reads it again",
        );
        Turn::On
    }

    /// Enters a page of an offset listing.
    fn arrive(&mut self, at: u64, ids: &[u128], marks: Vec<Mark>, total: Option<u64>, moved: bool) -> Turn {
        if !moved {
            if self.is_cycle(ids) {
                return Turn::Fail(Broken::Repeats);
            }
            self.learn_full(ids.len() as u64);
            self.tries = 0;
            let short = |rows: u64| self.size.is_some_and(|size| rows < size) && self.full != Some(rows);
            match &self.last {
                Some(before) => self.uneven |= short(before.ids.len() as u64),
                None if self.overlap && short(ids.len() as u64) => self.phase = Phase::Peek,
                None => {}
            }
        }
        self.received = at + ids.len() as u64;
        let over = self.is_over(ids.len(), total);
        self.deliver(at, ids, marks, over, moved)
    }

    fn deliver(&mut self, at: u64, ids: &[u128], marks: Vec<Mark>, last: bool, moved: bool) -> Turn {
        self.last = Some(LastPage { at, ids: ids.to_vec() });
        Turn::Deliver { marks, last, moved }
    }

    /// Whether a page says by itself that the listing is over.
    fn is_over(&mut self, rows: usize, total: Option<u64>) -> bool {
        let rows = rows as u64;
        match self.stop {
            _ if self.way == Way::Whole => true,
            Stop::Empty => false,
            Stop::Short => self.size.is_some_and(|size| rows < size),
            Stop::Total => {
                self.total = total.or(self.total);
                let Some(total) = self.total.filter(|_| self.heed_total) else { return false };
                if self.received > total {
                    self.heed_total = false; // it counts something else; an empty page will tell
                }
                // A first page that is full and is all there is: more likely a total that counts one page. One
                // more request tells.
                let doubtful = self.received == rows && self.size.is_some_and(|size| rows >= size);
                self.received == total && !doubtful
            }
        }
    }

    /// The listing ended: as it should, or with fewer rows than it promised.
    fn finish(&mut self) -> Turn {
        let total = self.total.filter(|_| self.stop == Stop::Total && self.heed_total);
        if let Some(total) = total.filter(|total| self.received < *total) {
            let message = format!("the provider counts {total} rows and its listing has {}", self.received);
            if let Some(turn) = self.again(&message) {
                return turn;
            }
        }
        Turn::End
    }

    /// From the start, once in a slice; the second time there is only a note.
    fn again(&mut self, message: &str) -> Option<Turn> {
        if self.restarts > 0 {
            self.doubtful = true;
            self.note(
                "listing_changed",
                &format!("{message}, a second time; rows may be missing until a later run"),
            );
            return None;
        }
        self.restarts += 1;
        self.reset();
        let message = format!("{message}, so the listing is read once more from its start");
        Some(Turn::Restart(Note::new("slice_restarted", message)))
    }

    /// Two pages of as many rows, or one as large as was asked for, tell what a full page is.
    fn learn_full(&mut self, rows: u64) {
        let again = self.last.as_ref().is_some_and(|last| last.ids.len() as u64 == rows);
        if again || self.size == Some(rows) {
            self.full = Some(rows);
        } else if self.full.is_some_and(|full| rows > full) {
            self.full = None;
        }
    }

    /// Whether rows of the last page stand on this one too.
    fn compare(&self, ids: &[u128]) -> Vec<Mark> {
        let mut marks = vec![Mark::Fresh; ids.len()];
        let Some(before) = &self.last else { return marks };
        let seen: HashSet<u128> = before.ids.iter().copied().collect();
        for (mark, id) in marks.iter_mut().zip(ids) {
            if seen.contains(id) {
                *mark = Mark::Seen;
            }
        }
        marks
    }

    /// Whether a page at a new place is one that was there before.
    fn repeats(&mut self, ids: &[u128]) -> bool {
        self.is_last_again(ids) || self.is_cycle(ids)
    }

    /// Whether a page has the rows of the last one, in whatever order.
    fn is_last_again(&self, ids: &[u128]) -> bool {
        let same = |last: &LastPage| last.ids.len() == ids.len() && !self.compare(ids).contains(&Mark::Fresh);
        self.last.as_ref().is_some_and(|last| last.ids == ids || same(last))
    }

    fn is_cycle(&mut self, ids: &[u128]) -> bool {
        let page = ids.iter().fold(0_u128, |sum, id| sum.wrapping_add(*id)); // in whatever order, too
        match self.anchor {
            Some((anchor, at)) if anchor == page && at != self.pages => {
                // Once can be rows that came in before the place; a listing in a circle comes by again.
                self.seen_again += 1;
                return self.seen_again > 1;
            }
            Some((_, at)) if self.pages < at * 2 => {}
            _ => (self.anchor, self.seen_again) = (Some((page, self.pages)), 0),
        }
        false
    }

    fn note_moved(&mut self) {
        self.note(
            "listing_moved",
            "rows came or went while the listing was read; the place where it goes on was found again",
        );
    }

    fn note(&mut self, code: &str, message: &str) {
        self.notes.push(Note::new(code, message));
    }
}

fn hash(ids: &[u128]) -> u128 {
    let mut bytes = Vec::with_capacity(ids.len() * 16);
    for id in ids {
        bytes.extend(id.to_le_bytes());
    }
    xxh3_128(&bytes)
}
