//! Moments that a person writes: a date, or a timestamp with its zone.

use sync_core::{parse_date, parse_timestamp};

use crate::node::Node;
use crate::read::{Form, Reader};
use crate::schema::{self, Defs, Json};

/// A date or a timestamp, as it was written.
pub(crate) struct Moment;

impl Form for Moment {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        const WHAT: &str = "a date or a timestamp with a zone";
        let text = reader.text(node, WHAT)?;
        if parse_date(text.as_bytes()).is_none() && parse_timestamp(text.as_bytes()).is_none() {
            return reader.refuse(node, WHAT, "such as `2024-01-31` or `2024-01-31T08:00:00Z`");
        }
        Some(text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(
            r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}(:?\d{2})?))?$",
            "Such as `2024-01-31` or `2024-01-31T08:00:00Z`.",
        )
    }
}
