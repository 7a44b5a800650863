//! Looks on while a run goes: a spinning line a stream on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sync_core::{Clock, Event, Watch};

use crate::talk::Talk;
use crate::tally::{Tally, waits};

/// The onlooker of one run.
pub struct Progress {
    talk: Talk,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    tally: Tally,
    bars: HashMap<String, ProgressBar>,
    /// Why requests wait, and until when.
    wait: Option<(ProgressBar, Duration)>,
}

impl Progress {
    /// An onlooker who has heard nothing yet.
    pub fn new(talk: Talk, clock: Arc<dyn Clock>) -> Self {
        Self { talk, clock, inner: Mutex::default() }
    }

    /// Takes the bars away; what was heard is returned.
    pub fn end(&self) -> Tally {
        let mut inner = self.lock();
        inner.bars.drain().for_each(|(_, bar)| bar.finish_and_clear());
        if let Some((wait, _)) = inner.wait.take() {
            wait.finish_and_clear();
        }
        std::mem::take(&mut inner.tally)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding the tally")
    }
}

impl Watch for Progress {
    fn event(&self, event: Event) {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        let line = inner.tally.hear(&event, now);
        if self.talk.bars().is_some() {
            inner.draw(&self.talk, &event, now);
        }
        // Bars show motion; lines are for what should stay on the screen.
        if let Some(line) = line.filter(|line| !line.motion || self.talk.bars().is_none()) {
            self.talk.say(&line.text);
        }
    }
}

impl Inner {
    fn draw(&mut self, talk: &Talk, event: &Event, now: Duration) {
        match event {
            Event::Started { stream, .. } => {
                let bar = spinner(talk, &format!("{stream}: begins"));
                self.bars.insert(stream.clone(), bar);
            }
            Event::Page { stream, .. } => {
                if let Some((wait, _)) = self.wait.take_if(|(_, until)| *until <= now) {
                    wait.finish_and_clear();
                }
                if let (Some(bar), Some(heard)) = (self.bars.get(stream), self.tally.stream(stream)) {
                    bar.set_message(talk.scrub(&format!("{stream}: {}", heard.figures(now))).into_owned());
                }
            }
            Event::Waiting { reason, duration } => {
                let text = waits(reason, *duration);
                let until = now + *duration;
                match &mut self.wait {
                    // Of several waits the longest is told.
                    Some((bar, longest)) if until >= *longest => {
                        *longest = until;
                        bar.set_message(talk.scrub(&text).into_owned());
                    }
                    Some(_) => {}
                    None => self.wait = Some((spinner(talk, &text), until)),
                }
            }
            Event::Finished(report) => {
                if let Some(bar) = self.bars.remove(&report.stream) {
                    bar.finish_and_clear();
                }
            }
            Event::Committed { .. } | Event::Note { .. } => {}
        }
    }
}

fn spinner(talk: &Talk, text: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is well-formed");
    let bar = match talk.bars() {
        Some(bars) => bars.add(ProgressBar::new_spinner()),
        None => ProgressBar::hidden(),
    };
    bar.set_style(style);
    bar.set_message(talk.scrub(text).into_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
