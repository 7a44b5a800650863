//! Requests in any window of a length: a provider's limit, and the proof that a client kept it.

use std::collections::VecDeque;
use std::time::Duration;

use sync_core::Timestamp;

/// The sliding window of a provider.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) count: u32,
    pub(crate) span: Duration,
    /// When the requests of the last window came.
    asked: VecDeque<Duration>,
    /// When those came that were let in.
    accepted: VecDeque<Duration>,
    /// The most that ever came in one window.
    pub(crate) most: u64,
    /// Requests that were one too many in their window.
    pub(crate) violations: u64,
    refused: u64,
}

/// What a window says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whether there was room.
    pub(crate) free: bool,
    /// Requests that would still be let in.
    pub(crate) remaining: u32,
    /// Requests that were not let in, this one included.
    pub(crate) refused: u64,
    /// How long until the next would be let in; nothing where there is room.
    pub(crate) wait: Duration,
}

/// Requests in days that begin at fixed moments.
#[derive(Debug)]
pub(crate) struct Days {
    count: u32,
    span: Duration,
    /// Which day it is, and what was asked in it.
    today: (i64, u32),
    /// The most that were ever asked in one day.
    pub(crate) most: u64,
}

/// What a day says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    /// Whether there was room.
    pub(crate) free: bool,
    /// Requests that would still be let in.
    pub(crate) remaining: u32,
    /// How long it lasts yet.
    pub(crate) left: Duration,
}

impl Default for Day {
    fn default() -> Self {
        Self { free: true, remaining: 0, left: Duration::ZERO }
    }
}

impl Days {
    pub(crate) fn new((count, span): (u32, Duration)) -> Self {
        Self { count, span, today: (0, 0), most: 0 }
    }

    /// Takes a request that came at `now`, by the wall clock. Refused ones count, too.
    pub(crate) fn ask(&mut self, now: Timestamp) -> Day {
        let span = self.span.as_micros() as i64;
        let (day, into) = (now.micros().div_euclid(span), now.micros().rem_euclid(span));
        if day != self.today.0 {
            self.today = (day, 0);
        }
        self.today.1 += 1;
        self.most = self.most.max(u64::from(self.today.1));
        Day {
            free: self.today.1 <= self.count,
            remaining: self.count.saturating_sub(self.today.1),
            left: Duration::from_micros((span - into) as u64),
        }
    }
}

impl Window {
    pub(crate) fn new((count, span): (u32, Duration)) -> Self {
        Self {
            count,
            span,
            asked: VecDeque::new(),
            accepted: VecDeque::new(),
            most: 0,
            violations: 0,
            refused: 0,
        }
    }

    /// Takes a request that came at `now`. One that is refused takes no place from the next.
    pub(crate) fn ask(&mut self, now: Duration) -> Place {
        for seen in [&mut self.asked, &mut self.accepted] {
            while seen.front().is_some_and(|at| *at + self.span <= now) {
                seen.pop_front();
            }
        }
        self.asked.push_back(now);
        let asked = self.asked.len() as u64;
        self.most = self.most.max(asked);
        self.violations += u64::from(asked > u64::from(self.count));
        let free = self.accepted.len() < self.count as usize;
        if free {
            self.accepted.push_back(now);
        } else {
            self.refused += 1;
        }
        let remaining = self.count - self.accepted.len() as u32;
        let next =
            self.accepted.front().map_or(Duration::ZERO, |first| (*first + self.span).saturating_sub(now));
        let wait = if remaining == 0 { next } else { Duration::ZERO };
        Place { free, remaining, refused: self.refused, wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests at these milliseconds, three a second; which are let in.
    #[track_caller]
    fn check(millis: &[u64], expect: &[bool], most: u64, violations: u64) {
        let mut window = Window::new((3, Duration::from_secs(1)));
        let free: Vec<bool> = millis.iter().map(|ms| window.ask(Duration::from_millis(*ms)).free).collect();
        assert_eq!(free, expect);
        assert_eq!((window.most, window.violations), (most, violations));
    }

    #[test]
    fn the_window_slides() {
        check(&[0, 1, 2, 999, 1_000], &[true, true, true, false, true], 4, 2);
        check(&[900, 950, 999, 1_100, 1_899, 1_900], &[true, true, true, false, false, true], 5, 3);
        check(&[0, 400, 800, 1_000, 1_400, 1_800], &[true; 6], 3, 0);
    }

    #[test]
    fn what_is_left_is_counted() {
        let mut window = Window::new((2, Duration::from_secs(1)));
        let left: Vec<u32> = (0..3).map(|_| window.ask(Duration::ZERO).remaining).collect();
        assert_eq!(left, [1, 0, 0]);
    }
}
