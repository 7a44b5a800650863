//! The arithmetic of sliding windows: no clock, no waiting, one decision over all rules.
//!
//! Three moments count for each request. It is *sent*; somewhere between then and its *end* (the answer's first
//! byte, a time-out, or its being dropped) the server counts it; and one window after its end, no window that
//! the server looks at can hold it any more. So a place is taken from sending until one window after the end.
//! Within one machine that is the whole guard: no request is ever early, whatever the network does.

use std::collections::VecDeque;
use std::time::Duration;

/// At most so many requests in any window of that length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The number of requests.
    pub count: u32,
    /// The length of the window.
    pub window: Duration,
    /// How people call it, such as `200 per 1 min`.
    pub label: String,
}

/// What a server may still see in a window that is over by less than this: clocks tick in milliseconds, and
/// windows may be closed at both ends.
const TICK: Duration = Duration::from_millis(1);

/// Which requests are under way, which have ended, and what may be sent next.
#[derive(Debug)]
pub(crate) struct Ledger {
    rules: Vec<Rule>,
    concurrency: Option<u32>,
    under_way: usize,
    /// When requests ended, oldest first, as far back as the longest window reaches.
    ended: VecDeque<Duration>,
    paused_until: Duration,
}

/// The answer to "may I send now?".
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Yes, and the place is taken.
    Taken,
    /// Not before this moment.
    Wait { until: Duration, why: Why },
    /// Not before a request under way has ended.
    Busy,
    /// Never: a rule allows nothing.
    Never { rule: String },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A place under the rule of this label.
    Rule(String),
    /// The provider asked for a pause.
    Pause,
}

impl Ledger {
    pub(crate) fn new(rules: Vec<Rule>, concurrency: Option<u32>) -> Self {
        let mut ledger = Self {
            rules: Vec::new(),
            concurrency: None,
            under_way: 0,
            ended: VecDeque::new(),
            paused_until: Duration::ZERO,
        };
        ledger.tighten(rules, concurrency);
        ledger
    }

    /// Adds rules. Of two rules over the same window the stricter stands. A window longer than all before it
    /// knows only the requests that are still remembered.
    pub(crate) fn tighten(&mut self, rules: Vec<Rule>, concurrency: Option<u32>) {
        for rule in rules {
            match self.rules.iter_mut().find(|known| known.window == rule.window) {
                Some(known) if known.count <= rule.count => {}
                Some(known) => *known = rule,
                None => self.rules.push(rule),
            }
        }
        self.concurrency = match (self.concurrency, concurrency) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }

    /// Takes a place under every rule, or under none.
    pub(crate) fn take(&mut self, now: Duration) -> Decision {
        if let Some(rule) = self.rules.iter().find(|rule| rule.count == 0) {
            return Decision::Never { rule: rule.label.clone() };
        }
        self.forget(now);
        let mut wait = (self.paused_until > now).then_some((self.paused_until, Why::Pause));
        for rule in &self.rules {
            let in_window = self.in_window(rule, now);
            let Some(excess) = (self.under_way + in_window + 1).checked_sub(rule.count as usize) else {
                continue;
            };
            if excess == 0 {
                continue;
            }
            if excess > in_window {
                return Decision::Busy;
            }
            // So many of the requests that have ended must leave the window first.
            let last = self.ended[self.ended.len() - in_window + excess - 1];
            let until = last + rule.window + TICK;
            if wait.as_ref().is_none_or(|(known, _)| *known < until) {
                wait = Some((until, Why::Rule(rule.label.clone())));
            }
        }
        if let Some((until, why)) = wait {
            return Decision::Wait { until, why };
        }
        if self.concurrency.is_some_and(|most| self.under_way >= most.max(1) as usize) {
            return Decision::Busy;
        }
        self.under_way += 1;
        Decision::Taken
    }

    /// A request that had a place has ended.
    pub(crate) fn end(&mut self, at: Duration) {
        self.under_way -= 1;
        if self.rules.is_empty() {
            return;
        }
        // Nearly always the last: requests end in about the order they are reported.
        let place = self.ended.iter().rposition(|ended| *ended <= at).map_or(0, |before| before + 1);
        self.ended.insert(place, at);
    }

    /// Nothing is sent before this moment. An earlier one changes nothing.
    pub(crate) fn pause_until(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    fn in_window(&self, rule: &Rule, now: Duration) -> usize {
        self.ended.len() - self.ended.partition_point(|ended| *ended + rule.window + TICK <= now)
    }

    fn forget(&mut self, now: Duration) {
        let longest = self.rules.iter().map(|rule| rule.window).max().unwrap_or_default();
        while self.ended.front().is_some_and(|ended| *ended + longest + TICK <= now) {
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rule(count: u32, seconds: u64) -> Rule {
        Rule { count, window: s(seconds), label: format!("{count} per {seconds} s") }
    }

    fn wait(until: Duration, label: &str) -> Decision {
        Decision::Wait { until, why: Why::Rule(label.to_owned()) }
    }

    /// Sends and ends so many requests at one moment.
    fn spend(ledger: &mut Ledger, count: u32, at: Duration) {
        for _ in 0..count {
            assert_eq!(ledger.take(at), Decision::Taken);
        }
        for _ in 0..count {
            ledger.end(at);
        }
    }

    #[test]
    fn a_place_is_free_one_window_after_the_end_and_not_after_the_sending() {
        let mut ledger = Ledger::new(vec![rule(1, 5)], None);
        assert_eq!(ledger.take(s(0)), Decision::Taken);
        assert_eq!(ledger.take(s(9)), Decision::Busy);
        ledger.end(s(10));
        assert_eq!(ledger.take(s(11)), wait(s(15) + TICK, "1 per 5 s"));
        assert_eq!(ledger.take(s(15)), wait(s(15) + TICK, "1 per 5 s"));
        assert_eq!(ledger.take(s(15) + TICK), Decision::Taken);
    }

    #[test]
    fn nothing_is_taken_unless_every_rule_grants() {
        let mut ledger = Ledger::new(vec![rule(4, 60), rule(2, 5)], None);
        spend(&mut ledger, 2, s(0));
        for _ in 0..100 {
            assert_eq!(ledger.take(s(1)), wait(s(5) + TICK, "2 per 5 s"));
        }
        spend(&mut ledger, 2, s(6));
        assert_eq!(ledger.take(s(6)), wait(s(60) + TICK, "4 per 60 s"));
        spend(&mut ledger, 2, s(61));
        assert_eq!(ledger.take(s(61)), wait(s(66) + TICK, "4 per 60 s"));
    }

    #[test]
    fn ends_out_of_order_are_put_in_order() {
        let mut ledger = Ledger::new(vec![rule(2, 5)], None);
        assert_eq!(ledger.take(s(0)), Decision::Taken);
        assert_eq!(ledger.take(s(0)), Decision::Taken);
        ledger.end(s(3));
        ledger.end(s(1));
        assert_eq!(ledger.take(s(4)), wait(s(6) + TICK, "2 per 5 s"));
        assert_eq!(ledger.take(s(7)), Decision::Taken);
        assert_eq!(ledger.take(s(7)), wait(s(8) + TICK, "2 per 5 s"));
    }

    #[test]
    fn pauses_lengthen_and_never_shorten() {
        let mut ledger = Ledger::new(vec![], None);
        ledger.pause_until(s(10));
        ledger.pause_until(s(5));
        assert_eq!(ledger.take(s(9)), Decision::Wait { until: s(10), why: Why::Pause });
        assert_eq!(ledger.take(s(10)), Decision::Taken);
    }

    #[test]
    fn concurrency_bounds_what_is_under_way() {
        let mut ledger = Ledger::new(vec![], Some(2));
        assert_eq!(ledger.take(s(0)), Decision::Taken);
        assert_eq!(ledger.take(s(0)), Decision::Taken);
        assert_eq!(ledger.take(s(0)), Decision::Busy);
        ledger.end(s(1));
        assert_eq!(ledger.take(s(1)), Decision::Taken);
    }

    #[test]
    fn the_stricter_of_two_rules_over_one_window_stands() {
        let mut ledger = Ledger::new(vec![rule(5, 10), rule(9, 60)], Some(4));
        ledger.tighten(vec![rule(3, 10), rule(10, 60), rule(20, 90)], None);
        assert_eq!(ledger.rules, [rule(3, 10), rule(9, 60), rule(20, 90)]);
        assert_eq!(ledger.concurrency, Some(4));
        ledger.tighten(vec![], Some(2));
        assert_eq!(ledger.concurrency, Some(2));
    }

    #[test]
    fn a_rule_of_nothing_is_never_granted() {
        let mut ledger = Ledger::new(vec![rule(0, 10)], None);
        assert_eq!(ledger.take(s(0)), Decision::Never { rule: "0 per 10 s".to_owned() });
    }

    #[test]
    fn memory_is_bounded_by_the_longest_window() {
        let mut ledger = Ledger::new(vec![rule(50, 5), rule(6000, 86_400)], None);
        let mut now = Duration::ZERO;
        for _ in 0..20_000 {
            while let Decision::Wait { until, .. } = ledger.take(now) {
                now = until;
            }
            ledger.end(now);
        }
        assert!(now > s(2 * 86_400) && ledger.ended.len() <= 6000, "{}", ledger.ended.len());
    }
}
