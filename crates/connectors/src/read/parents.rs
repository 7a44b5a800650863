//! The rows of another stream, of which each has a listing of its own.
//!
//! They are read as any stream is, page by page. A resume point keeps the place *before* the page that is being worked
//! through, and which of its rows were done.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use sync_core::{Ask, ResumePoint, SavedCursor};

use super::{Hands, ReadError, ReadOptions, Reader, RowKind, Step};
use crate::Bound;
use crate::plan::ParentPlan;
use crate::route::ParentPlace;

/// The parents of a stream, while their children are read.
pub(super) struct Parents {
    plan: ParentPlan,
    bound: Bound,
    ask: Arc<dyn Ask>,
    hands: Hands,
    key: Vec<String>,
    /// What a complete read saved of them; nothing where all of them count each time.
    from: Option<SavedCursor>,
    reader: Option<Box<Reader>>,
    /// Rows of the page that are still to be taken.
    page: VecDeque<(u128, Map<String, Json>)>,
    before: Option<ResumePoint>,
    current: Option<ResumePoint>,
    done: Option<u128>,
    group: Option<u128>,
    last: Option<u128>,
    /// Where an unfinished read stopped, until it is found.
    wanted: Option<ParentPlace>,
    in_group: bool,
    /// What their own read saves.
    cursor: Option<SavedCursor>,
    ended: bool,
}

/// The two cursors of a stream whose parents are told apart by their changes.
pub(super) fn split(saved: &SavedCursor) -> (Option<SavedCursor>, Option<SavedCursor>) {
    let part = |name: &str| saved.0.get(name).filter(|value| !value.is_null()).cloned().map(SavedCursor);
    match saved.0.get("parent") {
        Some(_) => (part("own"), part("parent")),
        None => (Some(saved.clone()), None),
    }
}

impl Parents {
    pub fn new(
        plan: &ParentPlan,
        bound: &Bound,
        ask: Arc<dyn Ask>,
        hands: Hands,
        from: Option<SavedCursor>,
        wanted: Option<ParentPlace>,
    ) -> Self {
        let key = bound.plan().stream(&plan.stream).map(|stream| stream.key.clone()).unwrap_or_default();
        Self {
            plan: plan.clone(),
            bound: bound.clone(),
            ask,
            hands,
            key,
            from: from.filter(|_| plan.only_changed),
            reader: None,
            page: VecDeque::new(),
            before: None,
            current: None,
            done: None,
            group: None,
            last: None,
            wanted,
            in_group: true,
            cursor: None,
            ended: false,
        }
    }

    /// Begins with the first parent again.
    pub fn reset(&mut self) {
        (self.reader, self.before, self.current, self.wanted) = (None, None, None, None);
        (self.done, self.group, self.cursor, self.ended) = (None, None, None, false);
        self.page.clear();
        self.in_group = true;
    }

    /// Whether the group of rows is the one where an unfinished read stopped, or there was none.
    pub fn resumed_in_group(&self) -> bool {
        self.in_group
    }

    /// Whether only those are read that changed.
    pub fn in_part(&self) -> bool {
        self.from.is_some()
    }

    /// Where among the parents we are.
    pub fn place(&self) -> ParentPlace {
        let hex = |id: u128| format!("{id:032x}");
        ParentPlace { before: self.before.clone(), done: self.done.map(hex), group: self.group.map(hex) }
    }

    /// What is saved: the own cursor of the stream, with that of its parents where it is needed.
    pub fn cursor_with(&self, own: Option<SavedCursor>) -> Option<SavedCursor> {
        if !self.plan.only_changed {
            return own;
        }
        let parent = self.cursor.clone().or_else(|| self.from.clone());
        Some(SavedCursor(json!({ "own": own.map(|c| c.0), "parent": parent.map(|c| c.0) })))
    }

    fn options(&self, resume: Option<ResumePoint>) -> ReadOptions {
        ReadOptions {
            key: self.key.clone(),
            cursor: None,
            from: self.from.clone(),
            resume,
            concurrency: 1,
            width: None,
            memory: usize::MAX,
            listing_only: !self.plan.only_changed,
            limit: None,
            columns: Some(self.plan.fields.clone()),
            window: None,
            census: false,
        }
    }

    fn open(&mut self) -> Result<&mut Reader, ReadError> {
        if self.reader.is_none() {
            let before = self.wanted.as_ref().and_then(|wanted| wanted.before.clone());
            self.before.clone_from(&before);
            self.current.clone_from(&before);
            let options = self.options(before);
            let reader =
                Reader::new(&self.bound, &self.plan.stream, options, self.ask.clone(), self.hands.clone())?;
            self.reader = Some(Box::new(reader));
        }
        Ok(self.reader.as_mut().expect("it was opened"))
    }

    /// Takes the rows of a page that can be looked up.
    fn fill(&mut self, page: &super::Page) {
        let body = std::str::from_utf8(&page.body).unwrap_or_default();
        let rows = page.rows.iter().filter(|row| row.kind == RowKind::Present);
        let parsed = rows.filter_map(|row| {
            let text = body.get(row.range.start as usize..row.range.end as usize)?;
            let object: Map<String, Json> = serde_json::from_str(text).ok()?;
            let kept = object.into_iter().filter(|(name, _)| self.plan.fields.contains(name)).collect();
            Some((row.id, kept))
        });
        self.page = parsed.collect();
        self.before = self.current.take();
        self.current = Some(page.resume.clone());
        self.done = None;
        let Some(wanted) = self.wanted.take() else { return };
        // The page as it is now may differ from the one that was worked through; then it is worked through again.
        let hex = |id: &u128| format!("{id:032x}");
        if let Some(done) = &wanted.done
            && let Some(at) = self.page.iter().position(|(id, _)| hex(id) == *done)
        {
            self.done = Some(self.page[at].0);
            self.page.drain(..=at);
        }
        let first = self.page.front().map(|(id, _)| hex(id));
        self.in_group = first == wanted.group;
    }
}

impl Reader {
    /// The next parents whose listings are read; false, when there are none.
    pub(super) async fn next_group(&mut self) -> Result<bool, ReadError> {
        loop {
            let Some(parents) = &mut self.parents else { return Ok(false) };
            if !parents.page.is_empty() {
                parents.done = if self.group.is_empty() { parents.done } else { parents.last };
                let count = parents.plan.batch.min(parents.page.len());
                let taken: Vec<_> = parents.page.drain(..count).collect();
                parents.group = taken.first().map(|(id, _)| *id);
                parents.last = taken.last().map(|(id, _)| *id);
                self.group = taken.into_iter().map(|(_, row)| row).collect();
                return Ok(true);
            }
            if parents.ended {
                self.group.clear();
                return Ok(false);
            }
            self.group.clear();
            let reader = parents.open()?;
            let step = Box::pin(reader.next()).await;
            let cost = |requests, retries, waited| super::Spent { requests, retries, waited };
            match step {
                Ok(Step::Page(page)) => {
                    parents.fill(&page);
                    self.spent.add(cost(page.requests, page.retries, page.waited));
                    self.notes.extend(page.notes);
                }
                Ok(Step::Restart { why }) => {
                    parents.wanted = None;
                    self.notes.push(why);
                }
                Ok(Step::End(end)) => {
                    parents.ended = true;
                    parents.cursor = end.cursor;
                    self.full_listing &= !parents.plan.only_changed || end.full_listing;
                    self.spent.add(cost(end.requests, end.retries, end.waited));
                    self.notes.extend(end.notes.into_iter().filter(|note| note.code != "full_listing"));
                }
                Err(error) => {
                    self.spent.add(cost(error.requests, error.retries, error.waited));
                    return Err(error);
                }
            }
        }
    }
}
