//! One decision over all rules of a request, and everything else that changes figures.
//!
//! Nothing is taken unless every rule grants, and whoever has to wait is told until when. Who waits has a ticket, and
//! tickets that go before count as if they had been granted already: so nobody overtakes, and each waits for a place of
//! his own instead of all for the same one.

use std::time::Duration;

use crate::figures::{
    DAY_GUARD, Entry, FOREIGN, Figures, Moment, Now, PLAIN, Ticket, guard, micros, until_end_of_day,
    window_of,
};
use crate::hint::Hint;
use crate::terms::{Period, Priority, Rule, Terms};

/// A ticket of a scheduled run that waited so long goes among those of interactive ones: it gives way, but not for
/// ever.
const PATIENCE: Moment = 60_000_000;
/// A ticket counts for so long after its owner should have asked again.
const TICKET_SLACK: Moment = 500_000;
/// What a refusal let us feel is believed for an hour, or so many windows.
const FELT_FOR: Moment = 3_600_000_000;
const FELT_WINDOWS: i64 = 20;

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub holder: u64,
    /// Which of the holder's queues it stands in.
    pub lane: u32,
    /// A place in [`Terms::buckets`].
    pub bucket: Option<usize>,
    /// Units of each request.
    pub cost: u32,
    /// Requests that wait for a permit right now.
    pub needed: u32,
    /// So many may be had on top where there is plenty.
    pub block: u32,
    /// When it will ask again if it is told that everything is under way.
    pub poll: Duration,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// So many permits, from now on.
    Granted(u32),
    /// Not before this moment.
    Wait { until: Moment, why: Why },
    /// Not before a request that is under way has ended.
    Busy { why: Why },
    /// Not before this moment, which is too far away to wait for.
    Spent { until: Moment, rule: String },
    /// Never: a rule allows less than the request weighs.
    Never { rule: String },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// A place under the rule of this label.
    Rule(String),
    /// A place among so many requests under way.
    Concurrency(u32),
    /// The provider asked for a pause.
    Pause,
}

/// Something that happened and is to be written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// A request ended.
    Ended { bucket: Option<usize>, units: u32, end: Moment, refused: bool },
    /// Permits were never used.
    Unused { bucket: Option<usize>, permits: u32, units: u32 },
    /// Nobody stands in this queue any more.
    Left { lane: u32 },
    /// A response told of limits. It was asked for at `sent` and weighed `units`.
    Told { bucket: Option<usize>, units: u32, hint: Hint, sent: Moment, at: Moment },
    /// The provider said "too fast".
    Limited { bucket: Option<usize>, until: Moment },
    /// The provider said that a long quota is spent.
    Spent { until: Option<Moment> },
    /// A request was sent on these terms that was paid for elsewhere.
    Sent { units: u32, end: Moment },
}

/// The figures of the accounts of some terms, while one step is made with them.
pub(crate) struct Ledger<'a> {
    pub terms: &'a Terms,
    pub figures: &'a mut [Figures],
    pub now: &'a Now,
    pub holder: u64,
    pub spans_machines: bool,
}

/// How a rule stands to a wish.
enum Stand {
    Room(u32),
    At(Moment),
    Busy,
    Spent(Moment),
    Never,
}

impl Ledger<'_> {
    /// Writes down what happened.
    pub fn apply(&mut self, op: &Op) {
        let holder = self.holder;
        match op {
            Op::Ended { bucket, units, end, refused } => self.each(*bucket, |figures, of| {
                figures.release(holder, of, 1, *units);
                figures.enter(Entry { end: *end, units: *units, of, refused: *refused });
            }),
            Op::Unused { bucket, permits, units } => {
                self.each(*bucket, |figures, of| figures.give_back(holder, of, *permits, *units));
            }
            Op::Left { lane } => self.leave(*lane),
            Op::Told { bucket, units, hint, sent, at } => self.told(*bucket, *units, hint, *sent, *at),
            Op::Limited { bucket, until } => self.limited(*bucket, *until),
            Op::Spent { until } => self.spent(*until),
            Op::Sent { units, end } => self.each(None, |figures, of| {
                figures.grant(holder, of, 1, *units);
                figures.release(holder, of, 1, *units);
                figures.enter(Entry { end: *end, units: *units, of, refused: false });
            }),
        }
    }

    /// Takes permits, or a ticket.
    pub fn take(&mut self, wish: &Wish) -> Decision {
        let now = self.now.up;
        let home = &mut self.figures[0];
        if let Some(until) = home.spent.filter(|until| *until > now) {
            self.leave(wish.lane);
            return Decision::Spent { until, rule: "the day's quota".to_owned() };
        }
        let mut wait = home.paused.filter(|until| *until > now).map(|until| (until, Why::Pause));
        let (mut room, mut busy) = (u32::MAX, None);
        let ahead = self.ahead(wish);
        let rules: Vec<_> =
            self.terms.rules_for(wish.bucket).map(|(rule, own)| (rule.clone(), own)).collect();
        for (rule, own) in rules {
            match self.stand(&rule, own, wish, &ahead) {
                Stand::Room(permits) => room = room.min(permits),
                Stand::At(until) if wait.as_ref().is_none_or(|(known, _)| *known < until) => {
                    wait = Some((until, Why::Rule(rule.label())));
                }
                Stand::At(_) => {}
                Stand::Busy => busy = busy.or(Some(Why::Rule(rule.label()))),
                Stand::Spent(until) => {
                    self.leave(wish.lane);
                    return Decision::Spent { until, rule: rule.label() };
                }
                Stand::Never => return Decision::Never { rule: rule.label() },
            }
        }
        for (most, own) in self.concurrency(wish.bucket) {
            let under_way = self.under_way(own) + self.reserved(own, &ahead).0;
            match most.max(1).checked_sub(under_way) {
                None | Some(0) => busy = busy.or(Some(Why::Concurrency(most))),
                Some(free) => room = room.min(free),
            }
        }
        let decision = match (wait, busy) {
            (Some((until, why)), _) => Decision::Wait { until, why },
            (None, Some(why)) => Decision::Busy { why },
            (None, None) => self.grant(wish, room),
        };
        self.queue(wish, &decision);
        decision
    }

    /// As many permits as are wanted and fair.
    fn grant(&mut self, wish: &Wish, room: u32) -> Decision {
        let others = self.waiting_besides(wish);
        let share = (room / (others + 1)).max(1);
        // More than wait for one only where others would not miss it.
        let more = if others == 0 { wish.block.min(room / 4) } else { 0 };
        let permits = wish.needed.max(1).min(share).max(more).min(room);
        let (holder, units) = (wish.holder, permits.saturating_mul(wish.cost));
        self.each(wish.bucket, |figures, of| figures.grant(holder, of, permits, units));
        Decision::Granted(permits)
    }

    /// Where a rule stands.
    fn stand(
        &mut self,
        rule: &Rule,
        own: Option<usize>,
        wish: &Wish,
        ahead: &[(Option<String>, u32, u32)],
    ) -> Stand {
        let (now, cost) = (self.now.up, i64::from(wish.cost));
        let limit = i64::from(self.limit(rule, own));
        if limit < cost {
            return Stand::Never;
        }
        let name = own.map(|index| self.terms.buckets[index].name.clone());
        let figures = &self.figures[rule.account];
        let counts = |of: i16| counts(self.terms, figures, rule, name.as_deref(), of);
        let Period::Sliding(window) = rule.period else {
            let Some(day) = &figures.today else { return Stand::Busy };
            let used: i64 =
                day.used.iter().filter(|(of, _)| counts(*of)).map(|(_, units)| i64::from(*units)).sum();
            let free = (limit - used) / cost;
            // The ends of two days may lie close together by two clocks; the later one counts.
            let until = (day.ends + DAY_GUARD).max(now + (day.ends_wall - self.now.wall));
            return if free < 1 { Stand::Spent(until) } else { Stand::Room(permits(free)) };
        };
        let window = micros(window);
        let margin = window + guard(window, self.spans_machines);
        let first = figures.log.partition_point(|entry| entry.end + margin <= now);
        let ended = figures.log[first..].iter().filter(|entry| counts(entry.of));
        let out: i64 = figures.out().filter(|out| counts(out.of)).map(|out| i64::from(out.units)).sum();
        let reserved = i64::from(self.reserved(own, ahead).1);
        let taken: i64 = ended.clone().map(|entry| i64::from(entry.units)).sum::<i64>() + out + reserved;
        let free = limit - taken;
        if free >= cost {
            return Stand::Room(permits(free / cost));
        }
        // So many units must leave the window first.
        let mut missing = cost - free;
        for entry in ended {
            missing -= i64::from(entry.units);
            if missing <= 0 {
                return Stand::At(entry.end + margin);
            }
        }
        Stand::Busy
    }

    /// The limit of a rule for us: as written or as the provider lets us know, less what is left to others.
    fn limit(&mut self, rule: &Rule, own: Option<usize>) -> u32 {
        let of = self.of(rule.account, own);
        let (told, felt) = self.figures[rule.account].heard(of, rule.period, self.now.up);
        let mut limit = match told {
            Some(told) if rule.ceiling => told.min(rule.count),
            Some(told) => told,
            None => rule.count,
        };
        limit = limit.min(felt.unwrap_or(u32::MAX));
        let kept = u64::from(limit) * u64::from(1_000_000 - self.terms.reserve.min(1_000_000)) / 1_000_000;
        if limit == 0 { 0 } else { u32::try_from(kept).unwrap_or(limit).max(1) }
    }

    /// Those whose turn is before ours: bucket, permits, units.
    fn ahead(&self, wish: &Wish) -> Vec<(Option<String>, u32, u32)> {
        let (home, now) = (&self.figures[0], self.now.up);
        let mine = (self.rank(self.since(wish)), wish.holder, wish.lane);
        let tickets = home.holders.iter().flat_map(|h| h.tickets.iter().map(move |t| (h.id, t)));
        let before = tickets.filter(|(id, ticket)| {
            let theirs = (self.rank((ticket.since, ticket.priority)), *id, ticket.lane);
            (*id, ticket.lane) != (wish.holder, wish.lane) && ticket.fresh > now && theirs < mine
        });
        before.map(|(_, ticket)| (self.name_of(0, ticket.of), ticket.permits, ticket.units)).collect()
    }

    fn rank(&self, (since, priority): (Moment, u8)) -> (u8, Moment) {
        let patient = self.now.up - since < PATIENCE;
        (if patient { priority } else { 0 }, since)
    }

    /// Since when we wait, and how urgently.
    fn since(&self, wish: &Wish) -> (Moment, u8) {
        let priority = u8::from(self.terms.priority == Priority::Scheduled);
        let holder = self.figures[0].holders.iter().find(|holder| holder.id == wish.holder);
        let ticket = holder.and_then(|holder| holder.tickets.iter().find(|t| t.lane == wish.lane));
        (ticket.map_or(self.now.up, |ticket| ticket.since), priority)
    }

    fn waiting_besides(&self, wish: &Wish) -> u32 {
        let tickets = self.figures[0].holders.iter().flat_map(|h| h.tickets.iter().map(move |t| (h.id, t)));
        let others = tickets
            .filter(|(id, t)| (*id, t.lane) != (wish.holder, wish.lane) && t.fresh > self.now.up)
            .count();
        u32::try_from(others).unwrap_or(u32::MAX - 1)
    }

    /// Keeps a ticket for who waits, and takes it from who does not.
    fn queue(&mut self, wish: &Wish, decision: &Decision) {
        let (since, priority) = self.since(wish);
        let again = match decision {
            Decision::Wait { until, .. } => *until,
            Decision::Busy { .. } => self.now.up + micros(wish.poll),
            _ => return self.leave(wish.lane),
        };
        self.leave(wish.lane);
        let of = self.of(0, wish.bucket);
        let ticket = Ticket {
            lane: wish.lane,
            since,
            priority,
            of,
            permits: 1,
            units: wish.cost,
            fresh: again + TICKET_SLACK,
        };
        self.figures[0].holder(wish.holder).tickets.push(ticket);
    }

    fn leave(&mut self, lane: u32) {
        let home = &mut self.figures[0];
        if let Some(holder) = home.holders.iter_mut().find(|holder| holder.id == self.holder) {
            holder.tickets.retain(|ticket| ticket.lane != lane);
        }
        let idle = |holder: &crate::figures::Holder| holder.out.is_empty() && holder.tickets.is_empty();
        home.holders.retain(|holder| holder.id != self.holder || !idle(holder));
    }

    /// What those ahead will take of what the requests of a bucket, or all of them, share: permits and units.
    fn reserved(&self, own: Option<usize>, ahead: &[(Option<String>, u32, u32)]) -> (u32, u32) {
        let name = own.map(|index| self.terms.buckets[index].name.as_str());
        let counted = ahead.iter().filter(|(bucket, ..)| match name {
            Some(name) => bucket.as_deref() == Some(name),
            None => bucket.as_deref().is_none_or(|bucket| !self.terms.apart(bucket)),
        });
        counted.fold((0, 0), |sum, (_, permits, units)| (sum.0 + permits, sum.1 + units))
    }

    /// How many may be under way, and of which bucket.
    fn concurrency(&self, bucket: Option<usize>) -> Vec<(u32, Option<usize>)> {
        let all = self.terms.concurrency.map(|most| (most, None));
        let own = bucket.and_then(|index| Some((self.terms.buckets[index].concurrency?, bucket)));
        all.into_iter().chain(own).collect()
    }

    fn under_way(&self, own: Option<usize>) -> u32 {
        let home = &self.figures[0];
        let name = own.map(|index| self.terms.buckets[index].name.as_str());
        let counted = home.out().filter(|out| name.is_none() || self.name_of(0, out.of).as_deref() == name);
        counted.map(|out| out.permits).sum()
    }

    /// Corrects figures by what a response told.
    fn told(&mut self, bucket: Option<usize>, units: u32, hint: &Hint, sent: Moment, at: Moment) {
        let Some((rule, own)) = self.told_of(bucket, hint) else {
            // Whose limit it is is not known; that nothing is left is.
            if let (Some(0), Some(reset)) = (hint.remaining, hint.reset) {
                let until = at + micros(reset);
                let home = &mut self.figures[0];
                home.paused = home.paused.max(Some(until));
            }
            return;
        };
        let of = self.of(rule.account, own);
        let figures = &mut self.figures[rule.account];
        if let Some(limit) = hint.limit.filter(|limit| *limit > 0) {
            figures.learned(of, rule.period).told = Some(limit);
        }
        let Some(remaining) = hint.remaining else {
            return self.day_ends_at(&rule, hint, at);
        };
        let limit =
            hint.limit.or(self.figures[rule.account].heard(of, rule.period, at).0).unwrap_or(rule.count);
        let spent = i64::from(limit.saturating_sub(remaining));
        self.day_ends_at(&rule, hint, at);
        self.correct(&rule, own, spent, i64::from(units), sent, at);
    }

    /// The day ends when the provider says, where it says so.
    fn day_ends_at(&mut self, rule: &Rule, hint: &Hint, at: Moment) {
        let (Some(reset), Period::Day) = (hint.reset, rule.period) else { return };
        let reset = micros(reset.min(Duration::from_hours(48)));
        if let Some(day) = &mut self.figures[rule.account].today {
            day.ends = at + reset;
            day.ends_wall = self.now.wall - (self.now.up - at) + reset;
        }
    }

    /// The server had counted so many when it answered a request of ours that was sent at one moment and answered at
    /// another. What it cannot have counted yet comes on top; what we cannot have sent is somebody else's.
    fn correct(&mut self, rule: &Rule, own: Option<usize>, spent: i64, units: i64, sent: Moment, at: Moment) {
        let name = own.map(|index| self.terms.buckets[index].name.clone());
        let figures = &self.figures[rule.account];
        let counts = |of: i16| counts(self.terms, figures, rule, name.as_deref(), of);
        let out: i64 = figures.out().filter(|out| counts(out.of)).map(|out| i64::from(out.units)).sum();
        let since = |moment: Moment| -> i64 {
            let log = figures.log.iter().filter(|e| counts(e.of) && e.of != FOREIGN && e.end > moment);
            log.map(|entry| i64::from(entry.units)).sum()
        };
        match rule.period {
            Period::Day => {
                let most = spent + out + (since(sent) - units).max(0);
                let Some(day) = &figures.today else { return };
                let used: i64 =
                    day.used.iter().filter(|(of, _)| counts(*of)).map(|(_, units)| i64::from(*units)).sum();
                let change = used.clamp(spent, most.max(spent)) - used;
                let of = self.of(rule.account, own);
                if let Some(day) = &mut self.figures[rule.account].today {
                    adjust(&mut day.used, of, change);
                }
            }
            Period::Sliding(window) => {
                let window = micros(window);
                let ours = since(sent - window) + out;
                let theirs = figures.log.iter().filter(|e| e.of == FOREIGN && e.end > at - window);
                let theirs: i64 = theirs.map(|entry| i64::from(entry.units)).sum();
                let unseen = u32::try_from(spent - ours - theirs).unwrap_or(0);
                // Nobody else is seen in a bucket: what is not ours there was somebody's under another rule, too.
                if unseen > 0 && own.is_none() {
                    let entry = Entry { end: at, units: unseen, of: FOREIGN, refused: false };
                    self.figures[rule.account].enter(entry);
                }
            }
        }
    }

    /// The rule that a response speaks of: the one of that number, else of that window, else the one whose number is
    /// nearest. A burst and a day are far apart.
    fn told_of(&mut self, bucket: Option<usize>, hint: &Hint) -> Option<(Rule, Option<usize>)> {
        let rules: Vec<_> = self.terms.rules_for(bucket).map(|(rule, own)| (rule.clone(), own)).collect();
        let places: Vec<_> = rules.iter().map(|(rule, own)| self.of(rule.account, *own)).collect();
        let interval =
            |rule: &Rule| matches!((rule.period, hint.interval), (Period::Sliding(w), Some(i)) if w == i);
        let Some(limit) = hint.limit.filter(|limit| *limit > 0) else {
            let by_interval = rules.iter().find(|(rule, _)| interval(rule));
            let only = if rules.len() == 1 { rules.first() } else { None };
            return by_interval.or(only).cloned();
        };
        let heard = |rule: &Rule, of| self.figures[rule.account].heard(of, rule.period, self.now.up).0;
        let same = rules
            .iter()
            .zip(places)
            .find(|((rule, _), of)| rule.count == limit || heard(rule, *of) == Some(limit));
        let same = same.map(|(rule, _)| rule);
        let far = |rule: &Rule| (f64::from(rule.count) / f64::from(limit)).ln().abs();
        let near = || {
            let nearest = rules.iter().min_by(|a, b| far(&a.0).total_cmp(&far(&b.0)));
            nearest.filter(|(rule, _)| far(rule) <= FAR)
        };
        same.or_else(|| rules.iter().find(|(rule, _)| interval(rule))).or_else(near).cloned()
    }

    /// One pause for everybody, and a limit felt: what the provider let through before it refused. Where we had hardly
    /// sent anything, others use the account, and that passes sooner.
    fn limited(&mut self, bucket: Option<usize>, until: Moment) {
        let home = &mut self.figures[0];
        home.paused = home.paused.max(Some(until));
        let sliding =
            self.terms.rules_for(bucket).filter(|(rule, _)| matches!(rule.period, Period::Sliding(_)));
        let Some((rule, own)) = sliding
            .min_by_key(|(rule, own)| (own.is_none(), window_of(rule.period)))
            .map(|(r, o)| (r.clone(), o))
        else {
            return;
        };
        let (now, window) = (self.now.up, window_of(rule.period));
        let name = own.map(|index| self.terms.buckets[index].name.clone());
        let figures = &self.figures[rule.account];
        let passed = figures.log.iter().filter(|e| e.end > now - window && !e.refused && e.of != FOREIGN);
        let passed = passed.filter(|e| counts(self.terms, figures, &rule, name.as_deref(), e.of));
        let passed: u32 = passed.map(|entry| entry.units).sum();
        let of = self.of(rule.account, own);
        let (told, felt) = self.figures[rule.account].heard(of, rule.period, now);
        let known = told.unwrap_or(rule.count).min(felt.unwrap_or(u32::MAX));
        let felt = if passed >= known { known - known.div_ceil(10) } else { passed }.max(1);
        let few = u64::from(passed) * 10 < u64::from(known);
        let long = if few { window * FELT_WINDOWS / 2 } else { FELT_FOR.max(window * FELT_WINDOWS) };
        self.figures[rule.account].learned(of, rule.period).felt = Some((felt, now.max(until) + long));
    }

    /// A long quota is spent: nothing is sent until its reset.
    fn spent(&mut self, until: Option<Moment>) {
        let now = self.now;
        let day = self.figures[0].today.as_ref().map(|day| day.ends);
        let midnight = || now.up + until_end_of_day(now.wall, self.terms.day_ends);
        let until = until.or(day).unwrap_or_else(midnight) + DAY_GUARD;
        let home = &mut self.figures[0];
        home.spent = home.spent.max(Some(until));
    }

    /// How far the day is: units used and allowed, and its end on the wall.
    pub fn day(&mut self) -> Option<(u32, u32, i64)> {
        let rule = self.terms.rules.iter().find(|rule| rule.period == Period::Day)?.clone();
        let limit = {
            let of = PLAIN;
            let told = self.figures[rule.account].heard(of, rule.period, self.now.up).0;
            told.map_or(rule.count, |told| if rule.ceiling { told.min(rule.count) } else { told })
        };
        let day = self.figures[rule.account].today.as_ref()?;
        Some((day.used.iter().map(|(_, units)| *units).sum(), limit, day.ends_wall))
    }

    fn each(&mut self, bucket: Option<usize>, mut change: impl FnMut(&mut Figures, i16)) {
        for account in 0..self.figures.len() {
            let of = self.of(account, bucket);
            change(&mut self.figures[account], of);
        }
    }

    fn of(&mut self, account: usize, bucket: Option<usize>) -> i16 {
        self.figures[account].of(bucket.map(|index| self.terms.buckets[index].name.as_str()))
    }

    fn name_of(&self, account: usize, of: i16) -> Option<String> {
        usize::try_from(of).ok().and_then(|place| self.figures[account].buckets.get(place).cloned())
    }
}

/// Limits further apart than this (four times, or a quarter) are not the same limit.
const FAR: f64 = 1.387;

fn permits(free: i64) -> u32 {
    u32::try_from(free).unwrap_or(u32::MAX)
}

/// Whether a rule counts what was sent in a bucket.
fn counts(terms: &Terms, figures: &Figures, rule: &Rule, own: Option<&str>, of: i16) -> bool {
    let bucket = usize::try_from(of).ok().and_then(|place| figures.buckets.get(place));
    match (own, bucket) {
        (Some(own), bucket) => bucket.is_some_and(|bucket| bucket == own),
        (None, Some(bucket)) => rule.period == Period::Day || !terms.apart(bucket),
        (None, None) => true,
    }
}

fn adjust(used: &mut Vec<(i16, u32)>, of: i16, change: i64) {
    if change == 0 {
        return;
    }
    if !used.iter().any(|(bucket, _)| *bucket == of) {
        used.push((of, 0));
    }
    let mut left = change;
    // Ours first; what is too much may have been entered under another bucket.
    used.sort_by_key(|(bucket, _)| *bucket != of);
    for (_, units) in used.iter_mut() {
        let next = (i64::from(*units) + left).max(0);
        left -= next - i64::from(*units);
        *units = u32::try_from(next).unwrap_or(u32::MAX);
    }
}
