//! The streams of HubSpot. Objects share their properties; what differs is their names.

use crate::field::{
    Field,
    Make::{
        AmountText, Created, Email, FirstName, Flag, Html, Json, Label, LastName, Pick, Text, TextId,
        Updated, WholeText,
    },
    f,
};
use crate::stream::Stream;

const fn object(name: &'static str, path: &'static str, rows: u64) -> Stream {
    Stream { name, path, rows, page: 10, page_max: 100, filters: &[], hidden: None, fields: OBJECT }
}

const fn other(
    name: &'static str,
    path: &'static str,
    page: u64,
    page_max: u64,
    rows: u64,
    fields: &'static [Field],
) -> Stream {
    Stream { name, path, rows, page, page_max, filters: &[], hidden: None, fields }
}

/// Every stream, by the name of its object or the path of its list.
pub(crate) static STREAMS: &[Stream] = &[
    object("hubspot/contacts", "contacts", 900),
    object("hubspot/companies", "companies", 400),
    object("hubspot/deals", "deals", 350),
    object("hubspot/tickets", "tickets", 230),
    object("hubspot/products", "products", 40),
    object("hubspot/line_items", "line_items", 120),
    object("hubspot/quotes", "quotes", 30),
    object("hubspot/calls", "calls", 110),
    object("hubspot/emails", "emails", 130),
    object("hubspot/meetings", "meetings", 60),
    object("hubspot/notes", "notes", 100),
    object("hubspot/tasks", "tasks", 101),
    object("hubspot/communications", "communications", 12),
    object("hubspot/postal_mail", "postal_mail", 3),
    object("hubspot/leads", "leads", 20),
    object("hubspot/goal_targets", "goal_targets", 5),
    object("hubspot/feedback_submissions", "feedback_submissions", 9),
    object("hubspot/deal_splits", "deal_splits", 7),
    object("hubspot/invoices", "invoices", 33),
    object("hubspot/orders", "orders", 44),
    object("hubspot/carts", "carts", 11),
    object("hubspot/commerce_payments", "commerce_payments", 13),
    object("hubspot/subscriptions", "subscriptions", 8),
    object("hubspot/discounts", "discounts", 6),
    object("hubspot/fees", "fees", 4),
    object("hubspot/taxes", "taxes", 2),
    object("hubspot/custom_objects", "2-3465404", 77),
    other("hubspot/owners", "owners", 100, 500, 23, OWNERS),
    other("hubspot/lists", "lists", 20, 500, 640, LISTS),
    other("hubspot/forms", "forms", 50, 50, 71, FORMS),
    other("hubspot/marketing_emails", "marketing_emails", 20, 100, 130, EMAILS),
    other("hubspot/campaigns", "campaigns", 50, 100, 55, CAMPAIGNS),
];

/// The envelope, then the properties.
const OBJECT: &[Field] = &[
    f("id", TextId),
    f("createdAt", Created),
    f("updatedAt", Updated),
    f("name", Label("Record")),
    f("email", Email).null(),
    f("firstname", FirstName),
    f("lastname", LastName).null(),
    f("amount", AmountText).null().moves(),
    f("numberofemployees", WholeText(0, 9_000)).null().moves(),
    f("is_public", Pick(&["true", "false"])).null(),
    f("lifecyclestage", Pick(&["lead", "customer", "lead;customer"])).moves(),
    f("closedate", Pick(&["2026-03-01", "2026-11-30"])).null(),
    f("notes_last_contacted", Pick(&["2026-02-03T04:05:06.789Z", "2025-12-31T23:59:59Z"])).null(),
    f("description", Text).null().moves(),
];

/// Properties and what HubSpot says they are.
pub(super) const PROPERTIES: &[(&str, &str)] = &[
    ("name", "string"),
    ("email", "string"),
    ("firstname", "string"),
    ("lastname", "string"),
    ("amount", "number"),
    ("numberofemployees", "number"),
    ("is_public", "bool"),
    ("lifecyclestage", "enumeration"),
    ("closedate", "date"),
    ("notes_last_contacted", "datetime"),
    ("description", "string"),
];

const OWNERS: &[Field] = &[
    f("id", TextId),
    f("email", Email),
    f("type", Pick(&["PERSON", "QUEUE"])),
    f("firstName", FirstName),
    f("lastName", LastName),
    f("createdAt", Created),
    f("updatedAt", Updated),
    f("teams", Json("[]")).sparse(),
];

const LISTS: &[Field] = &[
    f("listId", TextId),
    f("name", Label("List")),
    f("processingType", Pick(&["MANUAL", "DYNAMIC", "SNAPSHOT"])),
    f("objectTypeId", Pick(&["0-1", "0-2"])),
    f("createdAt", Created),
    f("updatedAt", Updated),
];

const FORMS: &[Field] = &[
    f("id", TextId),
    f("name", Label("Form")),
    f("formType", Pick(&["hubspot", "captured", "flow"])),
    f("createdAt", Created),
    f("updatedAt", Updated),
    f("archived", Flag(1_000_000)),
];

const EMAILS: &[Field] = &[
    f("id", TextId),
    f("name", Label("E-mail")),
    f("subject", Text),
    f("content", Html),
    f("createdAt", Created),
    f("updatedAt", Updated),
];

const CAMPAIGNS: &[Field] =
    &[f("id", TextId), f("name", Label("Campaign")), f("createdAt", Created), f("updatedAt", Updated)];
