//! How many requests are worth having under way at once: as many as the budget can use and the provider bears.
//!
//! Grows while answers come as fast as before and nobody had to wait for a permit; shrinks when answers take much longer
//! than they did at their best, and by half when the provider says "too fast" or fails (AIMD, as TCP does it). What lies
//! beyond what the budget can use would only ask for pages that may not be there.
//!
//! This is what smooths bursts inside a process, and why there is no GCRA limiter such as `governor` before the ledger.
//! One that spreads 50 permits over 5 s is exact only with a burst of one, and then a run that just begins, or one that
//! catches up after a slow answer, may not use what is free; with a larger burst it changes nothing, because the
//! ledger lets no more through anyway. Its pace cannot be changed in place, so each thing learned from a header would
//! begin it anew, and it would know nothing of the other processes.

use std::time::Duration;

/// Before anything is known of a provider.
const FIRST: f64 = 2.0;
/// Answers this much slower than they were at their best are a sign of trouble.
const SLOWER: f64 = 2.5;
/// Differences below this are noise.
const NOISE: Duration = Duration::from_millis(50);
/// How fast the best is forgotten: by a hundredth a minute.
const FORGOTTEN: f64 = 0.01 / 60.0;
/// One bad moment is one sign, however many answers it spoils.
const ONE_SIGN: Duration = Duration::from_secs(1);

/// The width of one run.
#[derive(Debug)]
pub(crate) struct Adaptive {
    width: f64,
    most: f64,
    /// Permits a second that the budget can give in the long run.
    pace: Option<f64>,
    /// The last answers on average, in seconds; and the lowest that this was, forgotten slowly. A single answer says
    /// nothing, since pages differ.
    fastest: f64,
    recent: f64,
    /// Doubling, until the first sign of trouble.
    beginning: bool,
    /// When the last answer came.
    last: Duration,
    /// When there was last a sign of trouble.
    sign: Option<Duration>,
}

impl Adaptive {
    pub fn new(most: u32, pace: Option<f64>) -> Self {
        let most = f64::from(most.max(1));
        Self {
            width: FIRST.min(most),
            most,
            pace,
            fastest: 0.0,
            recent: 0.0,
            beginning: true,
            last: Duration::ZERO,
            sign: None,
        }
    }

    pub fn width(&self) -> u32 {
        self.width as u32
    }

    /// An answer came. `used` tells whether all of the width was in use and the budget had not been waited for.
    pub fn answered(&mut self, latency: Duration, used: bool, now: Duration) {
        let seconds = latency.as_secs_f64();
        if self.recent == 0.0 {
            (self.fastest, self.recent) = (seconds, seconds);
        }
        self.recent += (seconds - self.recent) / 10.0;
        let since = now.saturating_sub(std::mem::replace(&mut self.last, now)).as_secs_f64();
        self.fastest = self.recent.min(self.fastest * (1.0 + since * FORGOTTEN));
        if self.recent > self.fastest * SLOWER + NOISE.as_secs_f64() {
            self.shrink(0.8, now);
        } else if used {
            let step = if self.beginning { 1.0 } else { 1.0 / self.width };
            self.width = (self.width + step).min(self.useful());
        }
    }

    /// The provider said "too fast", or failed.
    pub fn troubled(&mut self, now: Duration) {
        self.shrink(0.5, now);
    }

    fn shrink(&mut self, factor: f64, now: Duration) {
        self.beginning = false;
        if self.sign.is_none_or(|sign| now >= sign + ONE_SIGN) {
            self.sign = Some(now);
            self.width = (self.width * factor).max(1.0);
        }
    }

    /// Twice what fills the pace with answers as slow as they are, and two more to catch up with.
    fn useful(&self) -> f64 {
        let useful = self.pace.map_or(self.most, |pace| (pace * self.recent * 2.0).ceil() + 2.0);
        useful.min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A provider that serves so many at once without slowing down, asked by as many as the width allows.
    fn asked(adaptive: &mut Adaptive, bears: u32, rounds: u32) -> Vec<u32> {
        let mut now = Duration::ZERO;
        let mut widths = Vec::new();
        for _ in 0..rounds {
            let width = adaptive.width();
            let latency = ms(100) * width.max(bears) / bears;
            now += latency;
            (0..width).for_each(|_| adaptive.answered(latency, true, now));
            widths.push(adaptive.width());
        }
        widths
    }

    #[test]
    fn it_grows_until_answers_slow_down_and_stays_about_there() {
        let mut adaptive = Adaptive::new(64, None);
        let widths = asked(&mut adaptive, 8, 400);
        assert_eq!(widths[..3], [4, 8, 16], "doubling at first");
        let later = &widths[100..];
        let (least, most) = (later.iter().min().copied(), later.iter().max().copied());
        assert!(least >= Some(6) && most <= Some(36), "{least:?} to {most:?}");
    }

    #[test]
    fn a_refusal_halves_it_once_and_calm_brings_it_back() {
        let mut adaptive = Adaptive::new(16, None);
        asked(&mut adaptive, 64, 10);
        assert_eq!(adaptive.width(), 16);
        for n in 0..5 {
            adaptive.troubled(ms(10_000 + n * 100));
        }
        assert_eq!(adaptive.width(), 8, "five refusals of one moment are one sign");
        adaptive.troubled(ms(12_000));
        assert_eq!(adaptive.width(), 4);
        asked(&mut adaptive, 64, 3);
        assert!((5..=7).contains(&adaptive.width()), "one a round, {}", adaptive.width());
        (0..20).for_each(|n| adaptive.troubled(ms(20_000 + n * 2_000)));
        assert_eq!(adaptive.width(), 1, "never none");
    }

    #[test]
    fn it_does_not_grow_beyond_what_the_budget_can_use() {
        let mut adaptive = Adaptive::new(64, Some(10.0));
        asked(&mut adaptive, 64, 30);
        assert_eq!(adaptive.width(), 4, "ten a second at 100 ms are one at a time");
        let mut waiting = Adaptive::new(64, None);
        (0..100).for_each(|n| waiting.answered(ms(100), false, ms(n * 100)));
        assert_eq!(waiting.width(), 2, "who waits for permits needs no more");
    }
}
