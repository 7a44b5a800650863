//! The books of one slice: which rows are handed out, how far changes were seen, and what is kept to go on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sync_core::{Note, ResumePoint, SavedCursor, Timestamp};

use crate::course::Milestone;
use crate::cursor::{Format, Saved};
use crate::paginate::Mark;
use crate::records::Sheet;
use crate::route::Place;

/// The order a listing is read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// As the stream's own query sorts: all of it.
    Stable,
    /// The newest changes first, until they are older than the bound.
    NewestFirst,
}

/// How changes are told in this slice.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    /// The field's path, and the same as text.
    pub path: Vec<String>,
    pub field: String,
    pub format: Format,
    /// Rows that changed before it are left out.
    pub bound: Option<i64>,
    pub hold_back: Duration,
    /// What the last complete slice saved.
    pub before: Option<Saved>,
}

/// Which rows of the listing that is being read are new, and what they tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Rows that changed before it are left out.
    pub bound: Option<i64>,
    /// Whether rows that do not say when they changed are left out, once all rows were read.
    pub skip_nulls: bool,
    /// Whether its values are those that the cursor saves.
    pub counts: bool,
}

/// What is saved at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// How far changes were seen.
    Seen,
    /// When reading began: all rows were read, whatever they say about changes.
    Began,
    /// The end of the last window, in microseconds.
    Window(i64),
}

/// One slice.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub order: Order,
    pub gate: Gate,
    pub tracker: Option<Tracker>,
    /// Pages handed out.
    pub number: u64,
    /// Rows that may still be handed out.
    pub left: Option<u64>,
    /// The provider's clock at the first page; survives restarts.
    moment: Option<Timestamp>,
    /// Our clock at the first page; survives restarts.
    began: Option<Timestamp>,
    greatest: Option<i64>,
    /// The cursor value of the last row so far, in a listing that is newest first.
    last_value: Option<i64>,
    /// Whether a page has ended below the bound.
    below: bool,
}

/// The rows of a page that are handed out, and where the others went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    /// Which rows, by index.
    pub rows: Vec<usize>,
    pub fetched: u64,
    pub filtered: u64,
    pub deduplicated: u64,
}

/// The inside of a [`ResumePoint`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resume {
    form: u32,
    pub order: Order,
    pub number: u64,
    moment: Option<Timestamp>,
    began: Option<Timestamp>,
    greatest: Option<i64>,
    pub walk: Option<Milestone>,
    /// Which of the listings that make up the stream it is in; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Resume {
    const FORM: u32 = 1;

    /// What a checkpoint holds, if this engine can read it.
    pub fn read(point: &ResumePoint) -> Option<Self> {
        serde_json::from_value(point.0.clone()).ok().filter(|resume: &Self| resume.form == Self::FORM)
    }
}

impl Slice {
    pub fn new(order: Order, tracker: Option<Tracker>, left: Option<u64>) -> Self {
        let bound = tracker.as_ref().and_then(|t| t.bound);
        Self {
            order,
            gate: Gate { bound, skip_nulls: false, counts: true },
            tracker,
            number: 0,
            left,
            moment: None,
            began: None,
            greatest: None,
            last_value: None,
            below: false,
        }
    }

    /// Takes over what another process knew of this slice.
    pub fn resume(&mut self, from: &Resume) {
        self.number = from.number;
        self.moment = from.moment;
        self.began = from.began;
        self.greatest = from.greatest;
    }

    pub fn resume_point(&self, walk: Option<Milestone>, place: Option<Place>) -> ResumePoint {
        let resume = Resume {
            form: Resume::FORM,
            order: self.order,
            number: self.number,
            moment: self.moment,
            began: self.began,
            greatest: self.greatest,
            walk,
            place,
        };
        ResumePoint(serde_json::to_value(resume).expect("texts and numbers are JSON"))
    }

    /// Another listing of the same slice begins.
    pub fn turn_to(&mut self, order: Order, gate: Gate) {
        (self.order, self.gate) = (order, gate);
        (self.last_value, self.below) = (None, false);
    }

    /// The slice begins again. Its moment and the greatest value stay: both still hold.
    pub fn restart(&mut self, order: Order) {
        self.order = order;
        self.number = 0;
        self.last_value = None;
        self.below = false;
    }

    /// Enters the clocks of an answer; those of the first one stay.
    pub fn clocks(&mut self, provider: Option<Timestamp>, asked_at: Timestamp) {
        self.moment.get_or_insert(provider.unwrap_or(asked_at));
        self.began.get_or_insert(asked_at);
    }

    /// Whether a page of a newest-first listing is in order: every row has a value, and none is newer than the
    /// one before it. The error says what was found.
    pub fn prove(&mut self, moments: &[Option<i64>], moved: bool) -> Result<(), &'static str> {
        if self.order == Order::Stable {
            return Ok(());
        }
        // Rows that came in on top begin anew, but only where the listing is known to have moved.
        let mut before = self.last_value.filter(|_| !moved);
        for moment in moments {
            let Some(moment) = *moment else {
                if self.gate.skip_nulls {
                    continue;
                }
                return Err("a row does not say when it changed");
            };
            if before.is_some_and(|before| moment > before) {
                return Err("rows did not come in the order that was asked for");
            }
            before = Some(moment);
        }
        self.last_value = before.or(self.last_value);
        Ok(())
    }

    /// Decides what happens to each row of a page, and enters it.
    pub fn sort(&mut self, sheet: &Sheet, marks: &[Mark]) -> Sorted {
        let mut sorted = Sorted::default();
        let Gate { bound, skip_nulls, counts } = self.gate;
        for (index, mark) in marks.iter().enumerate() {
            let moment = sheet.moments.get(index).copied().flatten();
            if counts {
                self.greatest = self.greatest.max(moment.filter(|moment| self.plausible(*moment)));
            }
            sorted.fetched += u64::from(*mark != Mark::Overlap);
            match mark {
                Mark::Overlap => continue,
                Mark::Seen => {
                    sorted.deduplicated += 1;
                    continue;
                }
                Mark::Fresh => {}
            }
            let old = match (bound, moment) {
                (Some(bound), Some(moment)) => moment < bound,
                (Some(_), None) => skip_nulls && !sheet.moments.is_empty(),
                (None, _) => false,
            };
            let unwanted = sheet.kept.get(index) == Some(&false);
            if old || unwanted || self.left == Some(0) {
                sorted.filtered += 1;
                continue;
            }
            self.left = self.left.map(|left| left - 1);
            sorted.rows.push(index);
        }
        sorted
    }

    /// Whether a value may be the greatest so far. A moment without a zone can be ahead of ours by 14 hours, the
    /// most that any zone is; what lies further in the future was not written by a clock, and a cursor that
    /// followed it would hide every change until then.
    fn plausible(&self, moment: i64) -> bool {
        const AHEAD_MAX: Duration = Duration::from_hours(14);
        let zoned = self.tracker.as_ref().is_none_or(|t| t.format.zoned());
        zoned || self.moment.is_none_or(|now| moment <= now.plus(AHEAD_MAX).micros())
    }

    /// Whether a newest-first listing has been read far enough: one page past the first that ended below the
    /// bound, for rows that are not quite in their place.
    pub fn far_enough(&mut self) -> bool {
        if self.order == Order::Stable {
            return false;
        }
        let bound = self.gate.bound;
        let below = matches!((self.last_value, bound), (Some(last), Some(bound)) if last < bound);
        // A second listing is sorted by what never changes, such as the time of creation: nothing is out of its place.
        below && (!self.gate.counts || std::mem::replace(&mut self.below, true))
    }

    /// The cursor's field, if rows came and none had a value in it.
    pub fn field_never_seen(&self) -> Option<&str> {
        let tracker = self.tracker.as_ref().filter(|_| self.number > 0 && self.greatest.is_none())?;
        tracker.before.is_none().then_some(tracker.field.as_str())
    }

    /// Where the next slice begins, after this one was read to its end.
    pub fn cursor(&self, now: Timestamp, ending: Ending) -> Option<SavedCursor> {
        let tracker = self.tracker.as_ref()?;
        let zoned = tracker.format.zoned();
        let before = tracker.before.as_ref();
        // A moment of ours can be compared with values that name their zone alone.
        let ending = if zoned { ending } else { Ending::Seen };
        let greatest = match ending {
            Ending::Seen => self.greatest,
            Ending::Began => self.moment.map(Timestamp::micros),
            Ending::Window(end) => Some(end),
        };
        let Some(greatest) = greatest else { return before.map(Saved::write) };
        let hold_back = i64::try_from(tracker.hold_back.as_micros()).unwrap_or(i64::MAX);
        // The end of a window has been held back already, by our clock; by the provider's it may still be too late.
        let seen = match self.moment {
            Some(moment) if matches!(ending, Ending::Window(_)) => {
                greatest.saturating_add(hold_back).min(moment.micros())
            }
            // A change that the provider stamps later than we began to read may be one we passed already.
            Some(moment) if zoned => greatest.min(moment.micros()),
            _ => greatest,
        };
        let micros = seen.saturating_sub(hold_back);
        let took = self.began.map(|began| now.since(began)).unwrap_or_default();
        let new = Saved::new(tracker.field.clone(), micros, zoned, took);
        match before {
            // A cursor never goes back: what was seen up to the old one stays seen.
            Some(old) if old.micros(zoned) > Some(micros) => Some(old.write()),
            _ => Some(new.write()),
        }
    }
}

/// The bound below which rows are known, and a note where a saved cursor is of no use.
pub(crate) fn bound(
    saved: Option<&SavedCursor>,
    field: &str,
    format: &Format,
    start: Option<i64>,
    lookback: Duration,
) -> (Option<i64>, Option<Saved>, Option<Note>) {
    let Some(saved) = saved else { return (start, None, None) };
    let usable = Saved::read(saved).filter(|s| s.field == field);
    let Some((saved, micros)) = usable.and_then(|s| s.micros(format.zoned()).map(|micros| (s, micros)))
    else {
        let message =
            "the saved cursor is about another field or of another form, so everything is read again";
        return (start, None, Some(Note::new("cursor_unusable", message)));
    };
    let margin = lookback.saturating_add(Duration::from_secs(saved.took_seconds));
    let margin = i64::try_from(margin.as_micros()).unwrap_or(i64::MAX);
    (Some(micros.saturating_sub(margin)), Some(saved), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn tracker(format: Format, bound: Option<i64>, before: Option<Saved>) -> Tracker {
        Tracker {
            path: vec!["at".into()],
            field: "at".into(),
            format,
            bound,
            hold_back: Duration::from_secs(2),
            before,
        }
    }

    fn slice(order: Order, bound: Option<i64>) -> Slice {
        Slice::new(order, Some(tracker(Format::Iso, bound, None)), None)
    }

    fn sheet(moments: &[Option<i64>], kept: &[bool]) -> Sheet {
        Sheet { moments: moments.to_vec(), kept: kept.to_vec(), ..Sheet::default() }
    }

    #[test]
    fn every_row_of_a_page_has_one_place() {
        let mut slice = slice(Order::Stable, Some(10));
        slice.left = Some(2);
        let moments = [Some(9), Some(10), None, Some(11), Some(99), Some(12), Some(13)];
        let kept = [true, true, true, false, true, true, true];
        let mut marks = [Mark::Fresh; 7];
        marks[4] = Mark::Overlap;
        marks[5] = Mark::Seen;
        let sorted = slice.sort(&sheet(&moments, &kept), &marks);
        // Older than the bound, unwanted, and past the limit; at the bound and without a value are changed.
        assert_eq!(sorted, Sorted { rows: vec![1, 2], fetched: 6, filtered: 3, deduplicated: 1 });
        assert_eq!(slice.greatest, Some(99));
    }

    #[test]
    fn the_saved_value_is_the_lesser_of_what_was_seen_and_when_reading_began() {
        #[track_caller]
        fn check(greatest: Option<i64>, date: i64, old: Option<i64>, expect: Option<i64>) {
            let before = old.map(|old| Saved::new("at".into(), old, true, Duration::ZERO));
            let mut slice = Slice::new(Order::Stable, Some(tracker(Format::Iso, None, before)), None);
            slice.clocks(Some(Timestamp::from_micros(date)), Timestamp::from_micros(5));
            slice.clocks(Some(Timestamp::from_micros(date * 100)), Timestamp::from_micros(500));
            slice.greatest = greatest;
            let saved = slice.cursor(Timestamp::from_micros(1000 * SECOND), Ending::Seen);
            assert_eq!(saved.and_then(|s| Saved::read(&s)?.micros(true)), expect);
        }
        check(Some(100 * SECOND), 200 * SECOND, None, Some(98 * SECOND));
        check(Some(300 * SECOND), 200 * SECOND, None, Some(198 * SECOND));
        check(None, 200 * SECOND, None, None);
        check(None, 200 * SECOND, Some(7), Some(7));
        check(Some(100 * SECOND), 200 * SECOND, Some(99 * SECOND), Some(99 * SECOND));
        check(Some(100 * SECOND), 200 * SECOND, Some(50 * SECOND), Some(98 * SECOND));
    }

    #[test]
    fn values_without_a_zone_take_the_time_of_the_slice_as_a_margin() {
        let format = Format::Local(Vec::new());
        let mut slice = Slice::new(Order::Stable, Some(tracker(format.clone(), None, None)), None);
        slice.clocks(Some(Timestamp::from_micros(1)), Timestamp::from_micros(10 * SECOND));
        slice.greatest = Some(500 * SECOND);
        let saved =
            slice.cursor(Timestamp::from_micros(70 * SECOND), Ending::Seen).expect("a value was seen");
        let (found, _, note) = bound(Some(&saved), "at", &format, None, Duration::from_secs(100));
        assert_eq!((found, note), (Some((498 - 100 - 60) * SECOND), None));
    }

    #[test]
    fn a_saved_cursor_of_another_field_or_form_is_of_no_use() {
        let saved = Saved::new("at".into(), 7, true, Duration::ZERO).write();
        let look = |field, format| bound(Some(&saved), field, format, Some(3), Duration::ZERO);
        assert_eq!(look("at", &Format::Iso).0, Some(7));
        let (start, before, note) = look("other", &Format::Iso);
        assert_eq!((start, before), (Some(3), None));
        assert_eq!(note.expect("a note").code, "cursor_unusable");
        assert!(look("at", &Format::Local(Vec::new())).2.is_some());
        assert_eq!(bound(None, "at", &Format::Iso, Some(3), Duration::ZERO), (Some(3), None, None));
    }

    #[test]
    fn order_is_proven_row_by_row_and_page_by_page() {
        let mut slice = slice(Order::NewestFirst, Some(10));
        assert!(slice.prove(&[Some(30), Some(30), Some(20)], false).is_ok());
        assert!(slice.prove(&[Some(20), Some(19)], false).is_ok());
        assert!(slice.prove(&[Some(40), Some(19)], true).is_ok(), "rows came in on top");
        assert!(slice.prove(&[Some(20)], false).is_err(), "newer than the page before");
        assert!(slice.prove(&[Some(5), Some(6)], true).is_err(), "newer than the row before");
        assert!(slice.prove(&[Some(5), None], true).is_err(), "no value");
        slice.order = Order::Stable;
        assert!(slice.prove(&[Some(5), None, Some(6)], false).is_ok());
    }

    #[test]
    fn reading_stops_one_page_after_the_bound() {
        let mut slice = slice(Order::NewestFirst, Some(10));
        for (last, stop) in [(30, false), (10, false), (9, false), (8, true)] {
            slice.prove(&[Some(last)], false).expect("in order");
            assert_eq!(slice.far_enough(), stop, "{last}");
        }
    }
}
