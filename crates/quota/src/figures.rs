//! The figures of one account: what was sent when, what is under way, who waits, and what the provider said.
//!
//! Pure arithmetic over plain data. Moments are microseconds since the machine began, the one time that all processes
//! of a machine agree on and nobody can set; they may lie before it. The wall clock is believed where nothing else
//! knows: over a restart of the machine, and for when a day ends. A step backwards says that no time has passed, and
//! within one start of the machine a step forward ends no day.
//!
//! Three moments count for each request. It is *sent*; somewhere between then and its *end* (the answer's first byte, a
//! time-out, its being dropped, or its process being found dead) the server counts it; and one window after its end, no
//! window that the server looks at can hold it any more. So a place is taken from the granting of its permit until one
//! window after its end.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::terms::{Period, Terms};

/// Microseconds since the machine began.
pub(crate) type Moment = i64;

const SECOND: Moment = 1_000_000;
const DAY: Moment = 86_400 * SECOND;
/// A day is over so long after its end: clocks of two machines are rarely closer, and headers tell whole seconds.
pub(crate) const DAY_GUARD: Moment = SECOND;
/// However wrong the clock was that told when a day ends, it is over after so long.
const DAY_LONGEST: Moment = DAY + 3_600 * SECOND;
/// A request of a process that was found dead may still be on its way for so long.
const LAST_WORDS: Moment = SECOND / 4;
/// What ended is remembered at least for so long where a day is counted: longer than answers take, so that what a header
/// says is left can be told from what was asked since.
const REACH_OF_DAYS: Moment = 120 * SECOND;
/// So many entries are kept one by one; beyond, neighbours are taken together, see [`Figures::forget`].
const ENTRIES_MAX: usize = 256;

/// The time: of the machine, and on the wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub boot: String,
    pub up: Moment,
    /// Microseconds since 1970, UTC.
    pub wall: i64,
}

/// Requests that ended at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "e")]
    pub end: Moment,
    #[serde(rename = "n")]
    pub units: u32,
    #[serde(rename = "b", default = "plain", skip_serializing_if = "is_plain")]
    pub of: i16,
    /// The provider said "too fast" to it.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

/// A request of no bucket.
pub(crate) const PLAIN: i16 = -1;
/// A request of somebody whom we know only from what the provider says is left.
pub(crate) const FOREIGN: i16 = -2;

fn plain() -> i16 {
    PLAIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_plain(of: &i16) -> bool {
    *of == PLAIN
}

/// Permits that were granted and whose requests have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Out {
    pub of: i16,
    pub permits: u32,
    pub units: u32,
}

/// Somebody who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub lane: u32,
    pub since: Moment,
    /// 0 goes first.
    pub priority: u8,
    pub of: i16,
    pub permits: u32,
    pub units: u32,
    /// Who has not asked again by then does not hold up the others.
    pub fresh: Moment,
}

/// A process that draws on the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub id: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<Out>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tickets: Vec<Ticket>,
}

/// The provider's day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Today {
    /// Its end by both clocks; it is over when both say so.
    pub ends: Moment,
    pub ends_wall: i64,
    pub since: Moment,
    /// Units granted in it, by bucket.
    pub used: Vec<(i16, u32)>,
}

/// What the provider let us know of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Learned {
    pub of: i16,
    /// The length of its window; 0 is the day.
    pub window: Moment,
    /// The limit, as a header told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<u32>,
    /// The limit that a refusal let us feel, and until when that is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub felt: Option<(u32, Moment)>,
}

/// The figures of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    boot: String,
    /// When they were last looked at.
    up: Moment,
    wall: i64,
    /// The longest window that anybody asked about.
    reach: Moment,
    /// Names of buckets; entries hold places in it.
    pub buckets: Vec<String>,
    /// Oldest first.
    pub log: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub today: Option<Today>,
    pub learned: Vec<Learned>,
    /// Nothing is sent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Moment>,
    /// A long quota is spent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<Moment>,
    pub holders: Vec<Holder>,
}

impl Figures {
    /// Reads what a store has kept. The error says why it cannot.
    pub fn read(text: Option<&str>) -> Result<Self, String> {
        text.map_or_else(|| Ok(Self::default()), |text| serde_json::from_str(text).map_err(|e| e.to_string()))
    }

    /// The text that a store keeps.
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are always JSON")
    }

    /// Brings everything to this moment: over a restart of the machine, over the end of a day, past dead holders.
    pub fn settle(&mut self, now: &Now, terms: &Terms, dead: &dyn Fn(u64) -> bool) {
        self.rebase(now);
        let reach = terms.windows().1.map_or(0, micros);
        let days = terms.rules.iter().any(|rule| rule.period == Period::Day);
        self.reach = self.reach.max(reach).max(if days { REACH_OF_DAYS } else { 0 });
        let of_another_start = self.boot != now.boot;
        let (gone, live): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.holders).into_iter().partition(|h| of_another_start || dead(h.id));
        self.holders = live;
        for out in gone.iter().flat_map(|holder| &holder.out) {
            self.enter(Entry { end: now.up + LAST_WORDS, units: out.units, of: out.of, refused: false });
        }
        (self.boot, self.up, self.wall) = (now.boot.clone(), now.up, now.wall);
        self.turn_of_the_day(now, terms.day_ends);
        self.forget(now.up, terms.windows().0);
    }

    /// Moments of another start of the machine, by the wall clock in between.
    fn rebase(&mut self, now: &Now) {
        if self.boot == now.boot || self.boot.is_empty() && self.log.is_empty() && self.today.is_none() {
            return;
        }
        let passed = now.wall.saturating_sub(self.wall).max(0);
        let shift = now.up - self.up.saturating_add(passed);
        let entries = self.log.iter_mut().map(|entry| &mut entry.end);
        let felt = self.learned.iter_mut().filter_map(|l| Some(&mut l.felt.as_mut()?.1));
        let day = self.today.iter_mut().flat_map(|day| [&mut day.ends, &mut day.since]);
        let holds = self.paused.iter_mut().chain(&mut self.spent);
        entries.chain(felt).chain(day).chain(holds).for_each(|moment| *moment = moment.saturating_add(shift));
    }

    fn turn_of_the_day(&mut self, now: &Now, day_ends: Duration) {
        let next = match &self.today {
            None => now.wall + until_end_of_day(now.wall, day_ends),
            Some(day) => {
                let both = now.up >= day.ends + DAY_GUARD && now.wall >= day.ends_wall;
                if !both && now.up < day.since.max(day.ends - DAY) + DAY_LONGEST {
                    return;
                }
                // Days end at the hour at which the last one did, which a header may have told.
                let into = (now.wall - day.ends_wall).rem_euclid(DAY);
                now.wall + DAY - into
            }
        };
        // What is under way may be counted in either day.
        let used = self.by_bucket();
        let ends = now.up + (next - now.wall);
        self.today = Some(Today { ends, ends_wall: next, since: now.up, used });
    }

    fn by_bucket(&self) -> Vec<(i16, u32)> {
        let mut sums: Vec<(i16, u32)> = Vec::new();
        for out in self.out() {
            match sums.iter_mut().find(|(of, _)| *of == out.of) {
                Some((_, units)) => *units += out.units,
                None => sums.push((out.of, out.units)),
            }
        }
        sums
    }

    /// Forgets what no window can hold any more. Where many entries are left, those that ended within a thousandth of
    /// the shortest window, or a two-hundredth of their age, are taken for having ended with the last of them: never
    /// too early, and too late by less than anybody notices.
    fn forget(&mut self, now: Moment, shortest: Option<Duration>) {
        let oldest = now - self.reach - guard(self.reach, true);
        let first = self.log.partition_point(|entry| entry.end <= oldest);
        self.log.drain(..first);
        if self.log.len() <= ENTRIES_MAX {
            return;
        }
        let least = shortest.map_or(0, micros) / 1_000;
        let mut kept: Vec<Entry> = Vec::with_capacity(ENTRIES_MAX);
        let mut begun = Moment::MIN;
        for entry in &self.log {
            let near = least.max((now - entry.end) / 200);
            match kept.last_mut() {
                Some(last)
                    if (last.of, last.refused) == (entry.of, entry.refused) && entry.end - begun <= near =>
                {
                    (last.end, last.units) = (entry.end, last.units.saturating_add(entry.units));
                }
                _ => {
                    begun = entry.end;
                    kept.push(*entry);
                }
            }
        }
        self.log = kept;
    }

    /// The place of a bucket's name.
    pub fn of(&mut self, name: Option<&str>) -> i16 {
        let Some(name) = name else { return PLAIN };
        let known = self.buckets.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.buckets.push(name.to_owned());
            self.buckets.len() - 1
        });
        i16::try_from(place).unwrap_or(i16::MAX)
    }

    /// Everything that is under way.
    pub fn out(&self) -> impl Iterator<Item = &Out> {
        self.holders.iter().flat_map(|holder| &holder.out)
    }

    pub fn holder(&mut self, id: u64) -> &mut Holder {
        let place = self.holders.iter().position(|holder| holder.id == id).unwrap_or_else(|| {
            self.holders.push(Holder { id, ..Holder::default() });
            self.holders.len() - 1
        });
        &mut self.holders[place]
    }

    /// Requests ended.
    pub fn enter(&mut self, entry: Entry) {
        // Nearly always the last: requests end in about the order they are reported.
        let place = self.log.iter().rposition(|e| e.end <= entry.end).map_or(0, |before| before + 1);
        self.log.insert(place, entry);
    }

    /// Permits are granted to a holder.
    pub fn grant(&mut self, holder: u64, of: i16, permits: u32, units: u32) {
        let out = &mut self.holder(holder).out;
        match out.iter_mut().find(|out| out.of == of) {
            Some(out) => (out.permits, out.units) = (out.permits + permits, out.units + units),
            None => out.push(Out { of, permits, units }),
        }
        if let Some(day) = &mut self.today {
            match day.used.iter_mut().find(|(bucket, _)| *bucket == of) {
                Some((_, used)) => *used = used.saturating_add(units),
                None => day.used.push((of, units)),
            }
        }
    }

    /// Permits of a holder are under way no more.
    pub fn release(&mut self, holder: u64, of: i16, permits: u32, units: u32) {
        let out = &mut self.holder(holder).out;
        if let Some(out) = out.iter_mut().find(|out| out.of == of) {
            out.permits = out.permits.saturating_sub(permits);
            out.units = out.units.saturating_sub(units);
        }
        out.retain(|out| out.permits > 0);
        self.holders.retain(|h| h.id != holder || !h.out.is_empty() || !h.tickets.is_empty());
    }

    /// Permits were never used, so the day has them again.
    pub fn give_back(&mut self, holder: u64, of: i16, permits: u32, units: u32) {
        self.release(holder, of, permits, units);
        let used = self.today.iter_mut().flat_map(|day| &mut day.used).find(|(bucket, _)| *bucket == of);
        if let Some((_, used)) = used {
            *used = used.saturating_sub(units);
        }
    }

    /// What is known of a rule from the provider.
    pub fn learned(&mut self, of: i16, period: Period) -> &mut Learned {
        let window = window_of(period);
        let place = self.learned.iter().position(|l| (l.of, l.window) == (of, window)).unwrap_or_else(|| {
            self.learned.push(Learned { of, window, told: None, felt: None });
            self.learned.len() - 1
        });
        &mut self.learned[place]
    }

    /// The limit of a rule as the provider lets us know it; nothing where it does not.
    pub fn heard(&self, of: i16, period: Period, now: Moment) -> (Option<u32>, Option<u32>) {
        let window = window_of(period);
        let learned = self.learned.iter().find(|l| (l.of, l.window) == (of, window));
        let felt = learned.and_then(|l| l.felt).filter(|(_, until)| *until > now).map(|(count, _)| count);
        (learned.and_then(|l| l.told), felt)
    }
}

/// The length of a window; 0 for the day.
pub(crate) fn window_of(period: Period) -> Moment {
    match period {
        Period::Sliding(window) => micros(window),
        Period::Day => 0,
    }
}

/// What a window must be longer than itself. Clocks tick in milliseconds, windows may be closed at both ends, and two
/// clocks do not run alike. Where machines share an account, messages are late, too.
pub(crate) fn guard(window: Moment, spans_machines: bool) -> Moment {
    let own = SECOND / 1_000 + window / 10_000;
    if spans_machines { own.max(SECOND / 4).max(window / 33) } else { own }
}

pub(crate) fn micros(duration: Duration) -> Moment {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

pub(crate) fn duration(micros: Moment) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// From a moment on the wall to the end of the day it lies in.
pub(crate) fn until_end_of_day(wall: i64, day_ends: Duration) -> i64 {
    DAY - (wall - micros(day_ends)).rem_euclid(DAY)
}
