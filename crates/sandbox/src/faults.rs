//! Bad days, on request.

use std::time::Duration;

/// Something that goes wrong, where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The endpoints it befalls: `planhat/companies` is that one and all below it, an empty text is every one.
    pub on: String,
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// When a fault strikes. Only requests of its endpoints count, from the moment it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The next so many requests.
    Next(u64),
    /// The so-many-th request, the first being 1.
    At(u64),
    /// Every so-many-th request, until it is taken away.
    Every(u64),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This status: 429 with the words of a limit, 500 and above with an HTML page, others with some text.
    Status(u16, Option<RetryAfter>),
    /// An error inside an answer of status 200, as Flowlu does it.
    ErrorCode(i64),
    /// No answer, ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// Half of the body, then the connection is closed.
    Cut,
    /// An HTML page with status 200.
    Html,
    /// Nothing, with status 200.
    Empty,
    /// A JSON object that says nothing, with status 200.
    Object,
    /// The right answer, later. The request is handled first.
    Latency(Duration),
    /// The right answer, but the rows change just before it is made.
    Shift {
        /// The stream, such as `planhat/companies`.
        stream: String,
        /// What happens to it.
        change: Change,
        /// To how many rows.
        rows: u64,
        /// Only rows among the first so many by id; for [`Change::Insert`] and [`Change::Delete`].
        before: u64,
    },
}

/// What may happen to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Some are changed.
    Touch,
    /// Some are added at the end.
    Add,
    /// Some turn up between the others.
    Insert,
    /// Some are deleted.
    Delete,
}

/// How an answer asks for patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In seconds.
    Seconds(u64),
    /// With the date so many seconds from now.
    Date(u64),
}

/// A fault that waits for its moment.
#[derive(Debug)]
pub(crate) struct Armed {
    fault: Fault,
    seen: u64,
}

impl Armed {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, seen: 0 }
    }

    /// Lets a request pass by; what befalls it, if anything.
    fn pass(&mut self, endpoint: &str) -> Option<What> {
        let on = &self.fault.on;
        let mine = on.is_empty()
            || endpoint.strip_prefix(on.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        if !mine {
            return None;
        }
        self.seen += 1;
        let strikes = match self.fault.when {
            When::Next(n) => self.seen <= n,
            When::At(n) => self.seen == n,
            When::Every(n) => n > 0 && self.seen.is_multiple_of(n),
        };
        strikes.then(|| self.fault.what.clone())
    }

    /// Whether it will never strike again.
    fn spent(&self) -> bool {
        match self.fault.when {
            When::Next(n) | When::At(n) => self.seen >= n,
            When::Every(n) => n == 0,
        }
    }
}

/// Everything that befalls a request, in the order it was set.
pub(crate) fn strike(faults: &mut Vec<Armed>, endpoint: &str) -> Vec<What> {
    let what = faults.iter_mut().filter_map(|fault| fault.pass(endpoint)).collect();
    faults.retain(|fault| !fault.spent());
    what
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of eight requests are struck, and whether the fault is still there afterwards.
    #[track_caller]
    fn check(on: &str, when: When, endpoint: &str, expect: &str, left: bool) {
        let mut faults = vec![Armed::new(Fault { on: on.to_owned(), when, what: What::Hang })];
        let struck: String =
            (0..8).map(|_| if strike(&mut faults, endpoint).is_empty() { '.' } else { 'x' }).collect();
        assert_eq!(struck, expect);
        assert_eq!(!faults.is_empty(), left);
    }

    #[test]
    fn faults_strike_when_they_should() {
        check("", When::Next(2), "planhat/companies", "xx......", false);
        check("", When::At(3), "planhat/companies", "..x.....", false);
        check("", When::Every(3), "planhat/companies", "..x..x..", true);
        check("", When::Every(0), "planhat/companies", "........", false);
        check("", When::Next(0), "planhat/companies", "........", false);
    }

    #[test]
    fn faults_strike_where_they_should() {
        check("planhat", When::Next(1), "planhat/companies", "x.......", false);
        check("planhat/companies", When::Next(1), "planhat/companies", "x.......", false);
        check("planhat/comp", When::Next(1), "planhat/companies", "........", true);
        check("flowlu/crm", When::Next(1), "flowlu/crm/account/list", "x.......", false);
        check("flowlu", When::Next(1), "planhat/companies", "........", true);
    }
}
