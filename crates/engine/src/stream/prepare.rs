//! A page on its way to its columns: what the pipeline does to its rows, and the rows that do not land.

use std::sync::Arc;

use bytes::Bytes;
use sync_connectors::{Page, Row, RowKind};
use sync_core::{Disposition, Reject};
use sync_http::Scrubber;
use xxhash_rust::xxh3::xxh3_128;

use crate::refine::{Fate, Refinery};
use crate::shape::{Aside, Terms, excerpt};

/// What is done to every row of a stream.
pub(crate) struct Preparation {
    pub refinery: Arc<Refinery>,
    pub terms: Terms,
    /// The fields of the primary key, as they are sent.
    pub sent_key: Vec<String>,
    /// The fields that a tombstone brings along: those of the key and of the order.
    pub mark: Vec<String>,
    pub disposition: Disposition,
    pub scrubber: Arc<Scrubber>,
}

/// A page whose rows are as the pipeline wants them.
pub(super) struct Prepared {
    pub page: Page,
    /// The rows that go on, in order.
    pub rows: Vec<PreparedRow>,
    /// The rows that do not land.
    pub rejects: Vec<Reject>,
    /// Rows that a step left out.
    pub left_out: u64,
    /// The text that the rows are in, where it is not that of the page.
    text: Option<Bytes>,
}

/// A row that goes on.
pub(super) struct PreparedRow {
    pub range: std::ops::Range<u32>,
    pub tombstone: bool,
    /// The row of the page that it was.
    origin: usize,
}

impl Prepared {
    /// What the rows are in.
    pub fn text(&self) -> &str {
        utf8(self.text.as_ref().unwrap_or(&self.page.body))
    }

    /// Who a row is.
    pub fn id(&self, row: usize) -> u128 {
        self.page.rows[self.rows[row].origin].id
    }

    /// The row of a verdict as one that is set aside.
    pub fn reject(&self, aside: &Aside, with: &Preparation) -> Reject {
        let prepared = &self.rows[aside.row];
        let text = &self.text()[prepared.range.start as usize..prepared.range.end as usize];
        // What cannot be read was not masked either.
        let readable = aside.code != "invalid_row" || !with.refinery.masks();
        let why = Why { code: aside.code, field: aside.field.clone(), message: aside.message.clone() };
        with.reject(&self.page, &self.page.rows[prepared.origin], readable.then_some(text), why)
    }
}

/// Why a row does not land.
struct Why {
    code: &'static str,
    field: Option<String>,
    message: String,
}

fn utf8(body: &Bytes) -> &str {
    simdutf8::basic::from_utf8(body).expect("the reader checked that the page is UTF-8")
}

impl Preparation {
    /// Takes a page through the steps. Without any the rows stay where they are.
    pub(super) fn prepare(&self, page: Page) -> Prepared {
        let whole = self.disposition == Disposition::Append;
        let plain = |row: &Row| match row.kind {
            RowKind::Present => true,
            RowKind::Tombstone => whole,
            RowKind::Keyless => false,
        };
        if self.refinery.is_idle() && page.rows.iter().all(plain) {
            let row = |(origin, row): (usize, &Row)| PreparedRow {
                range: row.range.clone(),
                tombstone: row.kind == RowKind::Tombstone,
                origin,
            };
            let rows = page.rows.iter().enumerate().map(row).collect();
            return Prepared { rows, page, rejects: Vec::new(), left_out: 0, text: None };
        }
        self.rewrite(page)
    }

    fn rewrite(&self, page: Page) -> Prepared {
        let body = utf8(&page.body);
        let mut text = String::with_capacity(body.len());
        let (mut rows, mut rejects, mut left_out) = (Vec::with_capacity(page.rows.len()), Vec::new(), 0);
        let mut line = String::new();
        for (origin, row) in page.rows.iter().enumerate() {
            let sent = &body[row.range.start as usize..row.range.end as usize];
            let tombstone = row.kind == RowKind::Tombstone;
            line.clear();
            let why = match self.refinery.row(sent, tombstone, &mut line) {
                Ok(Fate::Lands) if row.kind == RowKind::Keyless => Some(self.keyless()),
                Ok(Fate::Lands) => None,
                Ok(Fate::LeftOut) => {
                    left_out += 1;
                    continue;
                }
                Ok(Fate::Bad(message)) => Some(Why { code: "expression", field: None, message }),
                Err(error) => {
                    let message = match sync_connectors::json::kind_of(sent) {
                        "an object" => error.to_string(),
                        kind => format!("it is {kind}, not an object"),
                    };
                    let text = (!self.refinery.masks()).then_some(sent);
                    let why = Why { code: "invalid_row", field: None, message };
                    rejects.push(self.reject(&page, row, text, why));
                    continue;
                }
            };
            if let Some(why) = why {
                rejects.push(self.reject(&page, row, Some(&line), why));
                continue;
            }
            let start = text.len() as u32;
            if tombstone && self.disposition != Disposition::Append {
                // Only its key is looked at, and what else it holds must not be in the way.
                Refinery::only(&line, &self.mark, &mut text).expect("it was read and written a moment ago");
            } else {
                text.push_str(&line);
            }
            rows.push(PreparedRow { range: start..text.len() as u32, tombstone, origin });
        }
        Prepared { rows, rejects, left_out, text: Some(Bytes::from(text)), page }
    }

    fn keyless(&self) -> Why {
        let key = self.sent_key.join(", ");
        Why {
            code: "key_missing",
            field: self.sent_key.first().cloned(),
            message: format!("it has no {key}, which is its primary key"),
        }
    }

    fn reject(&self, page: &Page, row: &Row, text: Option<&str>, why: Why) -> Reject {
        let sent = &page.body[row.range.start as usize..row.range.end as usize];
        let keyed = !self.sent_key.is_empty() && row.kind != RowKind::Keyless;
        Reject {
            page: page.number,
            row: row.number.into(),
            code: why.code.to_owned(),
            field: why.field,
            message: self.scrubber.scrub(&why.message).into_owned(),
            raw: text.map(|text| self.scrubber.scrub(text).into_owned()),
            bytes: sent.len() as u64,
            hash: format!("{:032x}", xxh3_128(sent)),
            identity: keyed.then(|| format!("{:032x}", row.id)),
            at: page.asked_at,
        }
    }
}

/// A reject in words: its place, why, and the beginning of it.
pub(super) fn sentence(reject: &Reject) -> String {
    let row = reject.raw.as_deref().map(|raw| format!(": {}", excerpt(raw, 300))).unwrap_or_default();
    format!("row {} of page {}, since {}{row}", reject.row, reject.page, reject.message)
}
