//! What was heard of a run so far, and which lines of it are worth saying. Pure: time is an argument.

use std::time::Duration;

use sync_core::{Event, Status, StreamReport};

use crate::words;

/// Time between two lines about the same stream.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Shorter waits are the ordinary rhythm of a paced run and not worth a word.
const WAIT_WORTH_SAYING: Duration = Duration::from_secs(2);

/// One stream as far as it was heard of.
#[derive(Debug)]
pub struct Heard {
    /// Its name.
    pub stream: String,
    /// When it began, on the monotonic clock.
    begun: Duration,
    /// Rows of pages read, requests sent for them, and how many pages.
    rows: u64,
    requests: u64,
    pages: u64,
    /// Pages that are safe, earlier runs included.
    pub safe_pages: u64,
    /// When it was last spoken of.
    said: Duration,
}

impl Heard {
    /// `12,000 rows · 6 pages · 2,400 rows/s · 1.2 requests/s`: what fits a terminal beside a name.
    pub fn figures(&self, now: Duration) -> String {
        let seconds = now.saturating_sub(self.begun).as_secs_f64();
        let mut figures = vec![words::counted(self.rows, "row"), words::counted(self.pages, "page")];
        if seconds >= 0.5 {
            let rate = (self.rows as f64 / seconds).round() as u64;
            figures.push(format!("{} rows/s", words::count(rate)));
            figures.push(format!("{:.1} requests/s", self.requests as f64 / seconds));
        }
        figures.join(" · ")
    }
}

/// A line to say, and whether it is about motion only, which bars show better.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub motion: bool,
}

/// Everything heard of one run.
#[derive(Debug, Default)]
pub struct Tally {
    streams: Vec<Heard>,
    wait_said: Option<Duration>,
    /// Streams and messages of the notes that were said.
    pub notes: Vec<(String, String)>,
}

impl Tally {
    /// The stream of that name, if it began.
    pub fn stream(&self, name: &str) -> Option<&Heard> {
        self.streams.iter().find(|s| s.stream == name)
    }

    /// Takes notice of an event; the line to say about it, if any.
    pub fn hear(&mut self, event: &Event, now: Duration) -> Option<Line> {
        match event {
            Event::Started { stream, resumed_from_page } => {
                self.entry(stream, now);
                let motion = resumed_from_page.is_none();
                let text = match resumed_from_page {
                    Some(page) => format!("{stream}: goes on with page {}", words::count(*page)),
                    None => format!("{stream}: begins"),
                };
                Some(Line { text, motion })
            }
            Event::Page { stream, rows, requests, .. } => {
                let heard = self.entry(stream, now);
                heard.rows += rows;
                heard.requests += requests;
                heard.pages += 1;
                if now.saturating_sub(heard.said) < LINE_EVERY {
                    return None;
                }
                heard.said = now;
                Some(Line { text: format!("{stream}: {}", heard.figures(now)), motion: true })
            }
            Event::Committed { stream, pages, .. } => {
                self.entry(stream, now).safe_pages = *pages;
                None
            }
            Event::Waiting { reason, duration } => self.wait(reason, *duration, now),
            Event::Note { stream, note } => {
                self.notes.push((stream.clone(), note.message.clone()));
                Some(Line { text: format!("{stream}: {}", note.message), motion: false })
            }
            Event::Finished(report) => {
                let begun = self.entry(&report.stream, now).begun;
                Some(Line { text: ended(report, now.saturating_sub(begun)), motion: false })
            }
        }
    }

    fn wait(&mut self, reason: &str, duration: Duration, now: Duration) -> Option<Line> {
        let lately = self.wait_said.is_some_and(|said| now.saturating_sub(said) < LINE_EVERY);
        if duration < WAIT_WORTH_SAYING || lately {
            return None;
        }
        self.wait_said = Some(now);
        Some(Line { text: waits(reason, duration), motion: true })
    }

    fn entry(&mut self, stream: &str, now: Duration) -> &mut Heard {
        let place = self.streams.iter().position(|s| s.stream == stream).unwrap_or_else(|| {
            self.streams.push(Heard {
                stream: stream.to_owned(),
                begun: now,
                rows: 0,
                requests: 0,
                pages: 0,
                safe_pages: 0,
                said: now,
            });
            self.streams.len() - 1
        });
        &mut self.streams[place]
    }
}

/// `waiting 38 s: Planhat 200 per 1 min`.
pub fn waits(reason: &str, duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_millis().div_ceil(1_000) as u64);
    let span = if whole.as_secs() < 60 { format!("{} s", whole.as_secs()) } else { words::span(whole) };
    format!("waiting {span}: {reason}")
}

fn ended(report: &StreamReport, elapsed: Duration) -> String {
    let (stream, status) = (&report.stream, report.status.as_str());
    let elapsed = words::span(elapsed);
    match report.status {
        Status::Done => {
            let loaded = words::counted(report.books.loaded, "row");
            format!("{stream}: {status}, {loaded} loaded in {elapsed}")
        }
        _ => format!("{stream}: {status} after {elapsed}"),
    }
}

#[cfg(test)]
mod tests {
    use sync_core::Note;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn page(rows: u64) -> Event {
        Event::Page { stream: "a".into(), rows, bytes: rows * 1000, requests: 1 }
    }

    fn started(resumed_from_page: Option<u64>) -> Event {
        Event::Started { stream: "a".into(), resumed_from_page }
    }

    #[track_caller]
    fn check(tally: &mut Tally, now: u64, event: &Event, expect: Option<&str>) {
        assert_eq!(tally.hear(event, at(now)).map(|line| line.text).as_deref(), expect);
    }

    #[test]
    fn a_stream_is_spoken_of_every_five_seconds() {
        let mut tally = Tally::default();
        check(&mut tally, 0, &started(None), Some("a: begins"));
        check(&mut tally, 1, &page(2000), None);
        check(&mut tally, 4, &page(2000), None);
        check(&mut tally, 5, &page(2000), Some("a: 6,000 rows · 3 pages · 1,200 rows/s · 0.6 requests/s"));
        check(&mut tally, 9, &page(2000), None);
        check(&mut tally, 10, &page(1), Some("a: 8,001 rows · 5 pages · 800 rows/s · 0.5 requests/s"));
    }

    #[test]
    fn only_long_waits_are_said_and_not_too_often() {
        let mut tally = Tally::default();
        let wait = |seconds| Event::Waiting { reason: "Acme 50 per 5 s".into(), duration: at(seconds) };
        check(&mut tally, 0, &wait(1), None);
        check(&mut tally, 0, &wait(38), Some("waiting 38 s: Acme 50 per 5 s"));
        check(&mut tally, 4, &wait(38), None);
        check(&mut tally, 5, &wait(90), Some("waiting 1 min 30 s: Acme 50 per 5 s"));
    }

    #[test]
    fn resumption_and_notes_are_said_and_kept() {
        let mut tally = Tally::default();
        check(&mut tally, 0, &started(Some(13)), Some("a: goes on with page 13"));
        let note = Note::new("moved", "The listing moved.");
        check(&mut tally, 1, &Event::Note { stream: "a".into(), note }, Some("a: The listing moved."));
        assert_eq!(tally.notes, [("a".to_owned(), "The listing moved.".to_owned())]);
        let committed = Event::Committed { stream: "a".into(), fetched: 1, loaded: 1, pages: 14 };
        check(&mut tally, 2, &committed, None);
        assert_eq!(tally.stream("a").map(|s| s.safe_pages), Some(14));
    }
}
