//! `errors:`: what answers mean.

use sync_core::{Operation, Verdict};

use crate::condition::{OfAnswer, On};
use crate::forms::{HeaderText, OneOrMany, Whole};
use crate::node::{Node, Value};
use crate::quantity::Length;
use crate::read::{Form, Reader, record, words};
use crate::schema::{self, Defs, Json};
use crate::template::{Filled, InSay};
use crate::{ErrorRule, Wait};

record! {
    /// A rule: for these answers, this is what they mean.
    ErrorMap -> ErrorRule, "error" {
        /// Statuses it is for, one or a list. Absent: any 2xx.
        may status: OneOrMany<Status>,
        /// What must hold of the answer.
        may when: On<OfAnswer>,
        /// Operations it is for, one or a list. Absent: all.
        may op: OneOrMany<Operation>,
        /// What the answer means.
        need is: Verdict,
        /// How long to wait before the next attempt: a duration, or a map.
        may wait: WaitWord,
        /// What to tell people.
        may say: Filled<InSay>,
    }
    |reader, fields| {
        if !fields.has("status") && !fields.has("when") {
            reader.find(fields.span, "this rule is for every good answer", "say `status` or `when`");
        }
        Some(ErrorRule {
            status: status.unwrap_or_default(),
            when: when.unwrap_or_default(),
            op: op.unwrap_or_default(),
            is,
            wait,
            say,
        })
    }
}

/// An HTTP status.
struct Status;

impl Form for Status {
    type Value = u16;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u16> {
        if node.scalar().is_some_and(|w| w.text.ends_with("xx")) {
            let help = "write the numbers, `[500, 502]`; what no rule is for is decided by the default table";
            return reader.refuse(node, "a status", help);
        }
        Whole::<100, 599>::read(node, reader).and_then(|number| u16::try_from(number).ok())
    }

    fn schema(defs: &mut Defs) -> Json {
        Whole::<100, 599>::schema(defs)
    }
}

words!(Verdict, "a meaning" {
    "ok" => Verdict::Ok, "fine.";
    "empty" => Verdict::Empty, "fine, and no rows are meant.";
    "gone" => Verdict::Gone, "the record was not there any more.";
    "auth" => Verdict::Auth, "the credential was refused.";
    "config" => Verdict::Config, "the file or its settings are wrong.";
    "quota" => Verdict::Quota, "a long quota (a day's) is spent.";
    "limited" => Verdict::Limited, "too fast; wait, then again.";
    "retry" => Verdict::Retry, "a passing fault; again.";
    "fail" => Verdict::Fail, "a fault that stays.";
    "skip_stream" => Verdict::SkipStream, "this credential may not read this stream; the rest goes on.";
    "reject" => Verdict::Reject, "this record was refused.";
    "smaller_page" => Verdict::SmallerPage, "again, with a smaller page.";
    "smaller_window" => Verdict::SmallerWindow, "again, with a shorter window of time.";
});

words!(Operation, "an operation" {
    "read" => Operation::Read, "a page of a stream.";
    "check" => Operation::Check, "the connector's `check`.";
});

/// A duration, or a header that says it.
struct WaitWord;

impl Form for WaitWord {
    type Value = Wait;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Wait> {
        match &node.value {
            Value::Map(_) => WaitMap::read(node, reader),
            _ => Some(Wait { header: None, default: Some(Length::read(node, reader)?) }),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::one_of([Length::schema(defs), WaitMap::schema(defs)])
    }
}

record! {
    /// How long to wait before the next attempt.
    WaitMap -> Wait, "wait" {
        /// The header that says it, in seconds or as a date.
        need header: HeaderText,
        /// Without the header.
        may default: Length,
    }
    |reader, fields| Some(Wait { header: Some(header), default })
}
