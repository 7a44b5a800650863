//! Asking for pages: what is under way, and what becomes of a refusal.

use serde_json::{Map, Value as Json};
use sync_core::{Answer, Explain as _, Kind, Note, Operation, Refusal, Sent, Verdict};

use super::leg::{Flight, ask_all, missing};
use super::{ReadError, Reader, refused, stopped};
use crate::course::Spot;
use crate::json;
use crate::plan::ColumnsPlan;
use crate::records::Shape;
use crate::request::RequestPlan;
use crate::rewrite::raw_at;
use crate::route::product;
use crate::scope::Scope;
use crate::slice::Order;

/// Requests under way before the size of a page is known.
const UNSEEN: usize = 4;

/// Why a listing is read in full although the newest changes were wanted.
const UNSORTED: &str = "the provider does not sort this listing by the time of change, so all of it is read";

impl Reader {
    /// Rows without the cursor's field stand at one end of a sorted listing, and count as changed. Those at its
    /// beginning are met when it is read; whether there are any at its end, one row of the opposite order tells.
    pub(super) async fn look_for_rows_without_the_field(&mut self) -> Result<(), ReadError> {
        let wanted = self.slice.order == Order::NewestFirst;
        let Some(leg) = self.leg.as_mut().filter(|_| wanted) else { return Ok(()) };
        let Some(sorted) = leg.oldest_first.clone() else { return Ok(()) };
        if self.hands.stop.asked() {
            return Err(stopped());
        }
        let mut request =
            leg.requests_sorted(&leg.course.one_row(), &sorted, self.bound.settings())?.swap_remove(0);
        request.sent = Sent::default();
        let outcome = self.ask.ask(&request).await;
        leg.oldest_first = None; // not before the answer: this future may be dropped while it waits
        self.spent.enter(&outcome, &request.sent);
        let why = match &outcome {
            Ok(answer) => {
                let text = std::str::from_utf8(&answer.response.body).ok();
                let sheet = text.and_then(|text| leg.shape.sheet(text).ok());
                let missing = sheet.is_none_or(|sheet| sheet.moments.first() == Some(&None));
                missing.then_some("some rows do not say when they changed, so all of it is read")
            }
            Err(refusal) if sorting_failed(refusal) => Some(UNSORTED),
            Err(refusal) => return Err(refused(refusal)),
        };
        if let Some(why) = why {
            self.read_all(why);
        }
        Ok(())
    }

    /// The newest changes cannot be read alone.
    pub(super) fn read_all(&mut self, why: &str) {
        self.leg_again(Note::new("full_listing", why));
    }

    /// The answer for the place where the listing is; nothing, if it has to be asked for in another way.
    pub(super) async fn fetch(&mut self) -> Result<Option<Answer>, ReadError> {
        if self.hands.stop.asked() {
            return Err(stopped());
        }
        let Some(leg) = &mut self.leg else { return Ok(None) };
        let spot = leg.course.next();
        if leg.flights.front().is_some_and(|flight| flight.spot != spot) {
            self.throw_away();
        }
        let most = self.flights_max();
        let mut next = Some(spot);
        while let Some(leg) = &self.leg
            && leg.flights.len() < most
        {
            let at =
                if leg.flights.is_empty() { next.take() } else { leg.course.ahead(leg.flights.len() as u64) };
            let Some(spot) = at else { break };
            self.launch(spot)?;
        }
        // Taken out of the queue only when it has landed, so that nothing is lost if this future is dropped.
        let leg = self.leg.as_mut().expect("it is being read");
        let flight = leg.flights.front_mut().expect("one was launched");
        let outcome = match (&mut flight.task).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return Err(ReadError::new(Kind::Stopped, "stopped", "the runtime is shutting down")),
        };
        let sent = leg.flights.pop_front().map(|flight| flight.sent.clone()).unwrap_or_default();
        self.spent.enter(&outcome, &sent);
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.verdict == Some(Verdict::SmallerWindow) => {
                if !self.narrow().await? {
                    return Err(refused(&refusal));
                }
                if !self.notes.iter().any(|note| note.code == "smaller_windows") {
                    let message = format!("shorter windows of time are asked for: {refusal}");
                    self.notes.push(Note::new("smaller_windows", message));
                }
                Ok(None)
            }
            Err(refusal) => self.cope(&refusal).map(|()| None),
        }
    }

    /// What becomes of a refusal that does not end the stream.
    fn cope(&mut self, refusal: &Refusal) -> Result<(), ReadError> {
        let Some(leg) = &mut self.leg else { return Err(refused(refusal)) };
        let half = leg.course.half();
        if refusal.verdict == Some(Verdict::SmallerPage) && leg.course.shrink(half) {
            let size = match leg.course.next() {
                Spot::Counted(spot) => spot.size,
                Spot::Led(_, size) => size,
            };
            self.throw_away();
            let message = format!("pages of {} rows are asked for: {refusal}", size.unwrap_or_default());
            self.notes.push(Note::new("smaller_pages", message));
            return Ok(());
        }
        if self.slice.order == Order::NewestFirst && sorting_failed(refusal) {
            self.read_all(UNSORTED);
            return Ok(());
        }
        let client_fault = matches!(refusal.status, Some(400 | 404 | 409 | 410 | 422));
        if leg.course.resumed() && client_fault {
            let message = "the place where the last run stopped is refused by the provider";
            self.leg_again(Note::new(
                "slice_restarted",
                format!("{message}, so the listing is read from its start"),
            ));
            return Ok(());
        }
        if !self.group.is_empty()
            && refusal.status == Some(404)
            && refusal.verdict != Some(Verdict::SkipStream)
        {
            let message =
                "rows that were listed a moment ago were gone when what belongs to them was asked for";
            self.notes.push(Note::new("parents_gone", message));
            self.end_leg();
            return Ok(());
        }
        Err(refused(refusal))
    }

    fn launch(&mut self, spot: Spot) -> Result<(), ReadError> {
        let order = self.slice.order;
        let Some(leg) = &mut self.leg else { return Ok(()) };
        let mut requests = leg.requests(&spot, order, self.bound.settings())?;
        let (ask, sent) = (self.ask.clone(), Sent::default());
        for request in &mut requests {
            request.sent = sent.clone();
        }
        let task = if let (Some(columns), 2..) = (&self.stream.columns, requests.len()) {
            tokio::spawn(ask_all(ask, requests, leg.plan.records.clone(), columns.merge_on.clone()))
        } else {
            let request = requests.swap_remove(0);
            tokio::spawn(async move { ask.ask(&request).await })
        };
        leg.flights.push_back(Flight { spot, sent, task });
        Ok(())
    }

    /// How many requests may be under way: as many as the bytes of their pages allow.
    fn flights_max(&self) -> usize {
        let Some(leg) = &self.leg else { return 1 };
        let serial = self.slice.order == Order::NewestFirst;
        let width = self.options.width.as_ref();
        let worth = width.map_or(usize::MAX, |width| width.get() as usize);
        // Before a page has come nobody knows how large they are.
        let unseen = if width.is_some() { UNSEEN } else { usize::MAX };
        let by_memory = self.options.memory.checked_div(self.page_bytes).unwrap_or(unseen);
        // With a limit, no further than the rows that are still wanted.
        let full = leg.course.full().unwrap_or(1).max(1);
        let by_limit = self.slice.left.map_or(usize::MAX, |left| left.div_ceil(full) as usize);
        let most = (self.options.concurrency.max(1) as usize).min(worth).min(by_memory).min(by_limit);
        if serial { 1 } else { most.max(1) }
    }

    /// The slices of the stream, once they are known.
    pub(super) async fn know_items(&mut self) -> Result<(), ReadError> {
        if self.items_known {
            return Ok(());
        }
        let stream = self.stream.clone();
        let mut items = vec![Map::new()];
        if let Some((request, records)) = &stream.slices.each_from {
            let scope = Scope { stream: stream.name.clone(), ..Scope::default() };
            let body = self.ask_for(request, &scope).await?;
            items = Vec::new();
            let rows = json::rows(&body, records).map_err(|error| self.not_a_list(&error, records))?;
            for range in rows {
                let row = &body[range.start as usize..range.end as usize];
                match serde_json::from_str(row) {
                    Ok(Json::Object(item)) => items.push(item),
                    _ => return Err(self.unexpected("answered with a list of slices that holds no objects")),
                }
            }
        }
        let mut each = Vec::new();
        for (name, values) in &stream.slices.each {
            let values = match values {
                sync_spec::EachValues::List(list) => list.clone(),
                sync_spec::EachValues::Setting(setting) => {
                    let config = &self.bound.settings().config;
                    let value =
                        config.iter().find(|(n, _)| *n == setting.value).map(|(_, value)| value.as_str());
                    let parts =
                        value.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
                    parts.map(Json::from).collect()
                }
            };
            each.push((name.clone(), values));
        }
        self.route.set_items(product(&each, items));
        self.items_known = true;
        Ok(())
    }

    /// The names of the fields that must be named to be sent, for this slice.
    pub(super) async fn column_names(
        &mut self,
        scope: &Scope,
        shape: &Shape,
    ) -> Result<Vec<String>, ReadError> {
        let stream = self.stream.clone();
        let Some(ColumnsPlan { request, records, name, .. }) = &stream.columns else { return Ok(Vec::new()) };
        let built =
            request.build(self.bound.settings(), scope, &[], &[], Operation::Read).map_err(missing)?;
        let address = built.url.to_string();
        if self.names.as_ref().is_none_or(|(from, _)| *from != address) {
            let body = self.ask_for(request, scope).await?;
            let rows = json::rows(&body, records).map_err(|error| self.not_a_list(&error, records))?;
            let mut names: Vec<String> = Vec::with_capacity(rows.len());
            for range in rows {
                let row = &body[range.start as usize..range.end as usize];
                if let Some(Json::String(name)) =
                    raw_at(row, name).and_then(|raw| serde_json::from_str(raw).ok())
                    && !name.contains(',')
                {
                    names.push(name);
                }
            }
            self.names = Some((address, names));
        }
        let names = self.names.as_ref().map(|(_, names)| names.clone()).unwrap_or_default();
        Ok(match &self.options.columns {
            None => names,
            Some(wanted) => {
                let asked =
                    |name: &String| wanted.contains(name) || shape.looked_at().any(|looked| looked == name);
                names.into_iter().filter(asked).collect()
            }
        })
    }

    /// One answer as text, for what must be known before a listing can be read.
    async fn ask_for(&mut self, request: &RequestPlan, scope: &Scope) -> Result<String, ReadError> {
        let mut request =
            request.build(self.bound.settings(), scope, &[], &[], Operation::Read).map_err(missing)?;
        request.sent = Sent::default();
        let outcome = self.ask.ask(&request).await;
        self.spent.enter(&outcome, &request.sent);
        let answer = outcome.map_err(|refusal| refused(&refusal))?;
        let body = answer.response.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.response.body);
        let text = simdutf8::basic::from_utf8(body);
        text.map(str::to_owned).map_err(|_| self.unexpected("answered with a text that is not UTF-8"))
    }

    fn not_a_list(&self, error: &json::RowsError, records: &[sync_spec::FieldPath]) -> ReadError {
        self.unexpected(&crate::classify::misfit(error, records))
    }
}

/// Whether the provider answered that it cannot list in this order, as far as an answer can tell: not what is
/// wrong with the credential, the address or the moment.
fn sorting_failed(refusal: &Refusal) -> bool {
    let passing = matches!(refusal.status, None | Some(408 | 425 | 429 | 502..=504));
    refusal.kind() == Kind::Failed && !passing
}
