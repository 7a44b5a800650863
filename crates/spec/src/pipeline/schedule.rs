//! `schedule:`: when a pipeline is due. Only the daemon reads it.

use std::time::Duration;

use crate::node::{Node, Value};
use crate::quantity::{Interval, Length, at_least_a_second, parse_duration};
use crate::read::{Form, Located, Reader, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::{Due, OnMissed, OnOverlap, Schedule};

/// `every 1h`, or a map.
pub(crate) struct ScheduleWord;

impl Form for ScheduleWord {
    type Value = Schedule;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Schedule> {
        if let Value::Map(_) = node.value {
            return ScheduleMap::read(node, reader);
        }
        let text = reader.text(node, "`every 1h` or a map")?;
        let due = Due::Every(short(node, text, reader)?);
        let (on_overlap, on_missed) = (OnOverlap::default(), OnMissed::default());
        Some(Schedule { due, timezone: None, jitter: None, on_overlap, on_missed })
    }

    fn schema(defs: &mut Defs) -> Json {
        let short = schema::pattern("^every +[0-9]+(ms|s|m|h|d)$", "Such as `every 1h`.");
        schema::one_of([short, ScheduleMap::schema(defs)])
    }
}

fn short(node: &Node, text: &str, reader: &mut Reader<'_>) -> Option<Duration> {
    let help = if cron_fault(text).is_none() {
        format!("write `{{ cron: \"{text}\" }}`")
    } else {
        "such as `every 1h`".into()
    };
    let Some(length) = text.strip_prefix("every ") else {
        return reader.refuse(node, "a schedule", help);
    };
    match parse_duration(length.trim_start()) {
        Ok(every) => at_least_a_second(every, node, reader),
        Err(message) => {
            let span = reader.stretch(node, text.len() - length.trim_start().len()..text.len());
            reader.find(span, message, help);
            None
        }
    }
}

record! {
    /// When it is due: `every` or `cron`.
    ScheduleMap -> Schedule, "schedule" {
        /// Again and again, so long after the last due time.
        may every: Interval,
        /// Five fields, or six with seconds first.
        may cron: Located<Cron>,
        /// The zone of `cron`, an IANA name such as `Europe/Stockholm`. Default UTC.
        may timezone: Located<Zone>,
        /// At most this much later, by chance.
        may jitter: Length,
        /// What happens when the last run is still going. Default skip.
        may on_overlap: OnOverlap,
        /// What happens to a run that was due while nobody was there. Default run_once.
        may on_missed: OnMissed,
    }
    Exactly["every", "cron"]
    |reader, fields| {
        Some(Schedule {
            due: every.map(Due::Every).or(cron.map(Due::Cron))?,
            timezone,
            jitter,
            on_overlap: on_overlap.unwrap_or_default(),
            on_missed: on_missed.unwrap_or_default(),
        })
    }
}

words!(OnOverlap, "a rule for overlaps" {
    "skip" => OnOverlap::Skip, "the new run does not happen.";
    "queue" => OnOverlap::Queue, "the new run waits.";
});

words!(OnMissed, "a rule for missed runs" {
    "run_once" => OnMissed::RunOnce, "one run makes up for all of them.";
    "skip" => OnMissed::Skip, "nothing.";
});

/// A cron expression. What its fields mean is the scheduler's to say.
struct Cron;

impl Form for Cron {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "a cron expression")?;
        match cron_fault(text) {
            None => Some(text.to_owned()),
            Some(fault) => {
                let message = format!("`{}` is not a cron expression: {fault}", shown(text));
                reader.find(
                    node.span,
                    message,
                    "five fields, `minute hour day month weekday`, or six with seconds first",
                );
                None
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern(
            r"^\s*[0-9A-Za-z*/,?#-]+(\s+[0-9A-Za-z*/,?#-]+){4,5}\s*$",
            "Such as `5 * * * *`, or with seconds first.",
        )
    }
}

fn cron_fault(text: &str) -> Option<String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let fits = |c: char| c.is_ascii_alphanumeric() || "*/,?#-".contains(c);
    match fields.iter().find(|field| !field.chars().all(fits)) {
        Some(field) => Some(format!("`{}` is no field", shown(field))),
        None if matches!(fields.len(), 5 | 6) => None,
        None => Some(format!("it has {} fields", fields.len())),
    }
}

/// An IANA time zone. Whether it exists is the scheduler's to say.
struct Zone;

impl Form for Zone {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "a time zone")?;
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-'))
        };
        if !text.split('/').all(part) {
            return reader.refuse(node, "a time zone", "an IANA name such as `Europe/Stockholm`");
        }
        Some(text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::pattern("^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$", "Such as `Europe/Stockholm`.")
    }
}
