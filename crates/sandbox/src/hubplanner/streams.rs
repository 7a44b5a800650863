//! The streams of Hub Planner as its documentation shows them.

use crate::field::{
    Field,
    Make::{
        Amount, Changed, Created, Email, FirstName, Flag, Json, Label, LastName, ObjectId, Pick, Quarters,
        Ref, Refs, Text, Updated, Whole,
    },
    Of, f,
};
use crate::stream::Stream;

const fn stream(
    name: &'static str,
    path: &'static str,
    page: u64,
    rows: u64,
    fields: &'static [Field],
) -> Stream {
    Stream { name, path, rows, page, page_max: 1_000, filters: &[], hidden: None, fields }
}

/// Every stream that `GET /NAME` lists. Without a `limit` projects and resources come whole.
pub(crate) static STREAMS: &[Stream] = &[
    stream("hubplanner/projects", "project", u64::MAX, 1_400, PROJECTS),
    stream("hubplanner/resources", "resource", u64::MAX, 120, RESOURCES),
    stream("hubplanner/bookings", "booking", 20, 3_200, BOOKINGS),
    stream("hubplanner/time_entries", "timeentry", 20, 2_300, TIME_ENTRIES),
    stream("hubplanner/events", "event", u64::MAX, 30, NAMED),
    stream("hubplanner/clients", "client", u64::MAX, 90, NAMED),
    stream("hubplanner/holidays", "holiday", u64::MAX, 40, NAMED),
    stream("hubplanner/milestones", "milestone", u64::MAX, 1_050, PLAIN),
    stream("hubplanner/vacations", "vacation", u64::MAX, 60, PLAIN),
    stream("hubplanner/billing_rates", "billingRate", u64::MAX, 12, NAMED),
    stream("hubplanner/project_groups", "projectgroup", u64::MAX, 9, NAMED),
    stream("hubplanner/resource_groups", "resourcegroup", u64::MAX, 8, NAMED),
    stream("hubplanner/booking_categories", "categories", 20, 33, NAMED),
    stream("hubplanner/category_groups", "category-groups", 20, 5, NAMED),
    stream("hubplanner/cost_categories", "costCategories", u64::MAX, 6, NAMED),
    stream("hubplanner/project_tags", "project-tag", u64::MAX, 14, PLAIN),
    stream("hubplanner/resource_tags", "resource-tag", u64::MAX, 13, PLAIN),
    stream("hubplanner/project_managers", "project-manager", u64::MAX, 17, RESOURCES),
    stream("hubplanner/unassigned_work", "unassigned-work", u64::MAX, 4, PLAIN),
    stream("hubplanner/project_custom_field_templates", "project/customField/template", u64::MAX, 11, NAMED),
    stream(
        "hubplanner/resource_custom_field_templates",
        "resource/customField/template",
        u64::MAX,
        10,
        NAMED,
    ),
];

const TIME_ENTRIES: &[Field] = &[
    f("_id", ObjectId),
    f("resource", Ref(Of::Resource)),
    f("project", Ref(Of::HubProject)),
    f("projectType", Pick(&["REGULAR", "EVENT"])),
    f("date", Pick(&["2026-02-10", "2026-02-11"])),
    f("minutes", Whole(0, 600)).moves(),
    f("note", Text).blank().moves(),
    f("status", Pick(&["UNSUBMITTED", "SUBMITTED", "APPROVED", "REJECTED", "PENDING", "EMPTY"])),
    f("locked", Flag(9)),
    f("createdDate", Created),
    f("updatedDate", Changed),
];

/// What many lists have in common.
const NAMED: &[Field] = &[
    f("_id", ObjectId),
    f("name", Label("Thing")),
    f("metadata", Text).blank().moves(),
    f("createdDate", Created),
    f("updatedDate", Changed),
];

/// Without a word about times.
const PLAIN: &[Field] =
    &[f("_id", ObjectId), f("value", Label("Value")), f("metadata", Text).blank().moves()];

const PROJECTS: &[Field] = &[
    f("_id", ObjectId),
    f("name", Label("Project")),
    f("projectCode", Label("P")).blank(),
    f(
        "status",
        Pick(&["STATUS_ACTIVE", "STATUS_ARCHIVED", "STATUS_PENDING", "STATUS_PLANNED", "STATUS_FLOATING"]),
    )
    .moves(),
    f("note", Text).blank().moves(),
    f("metadata", Label("ext")).blank(),
    f("createdDate", Created),
    f("updatedDate", Updated),
    f("useProjectDuration", Flag(3)),
    f("budgetHours", Quarters(0, 4_000)).moves(),
    f("budgetCashAmount", Amount).null().moves(),
    f("budgetCurrency", Pick(&["USD", "EUR", "GBP"])),
    f("projectManagers", Refs(Of::Resource)),
    f("resources", Refs(Of::Resource)),
    f("links", Json(r#"{"link1":"","iconLink1":"fa-link"}"#)),
    f("customFields", Json("[]")),
    f("private", Flag(9)),
    f("billable", Flag(2)).sparse(),
];

const RESOURCES: &[Field] = &[
    f("_id", ObjectId),
    f("email", Email).blank(),
    f("firstName", FirstName),
    f("lastName", LastName).null(),
    f("status", Pick(&["STATUS_ACTIVE", "STATUS_ARCHIVED", "STATUS_NON_BOOKABLE", "STATUS_PARKED"])).moves(),
    f("role", Pick(&["ROLE_OWNER", "ROLE_TEAM"])),
    f("note", Text).blank().moves(),
    f("metadata", Label("hr")).blank(),
    f("createdDate", Created),
    f("updatedDate", Changed),
    f("isProjectManager", Flag(7)),
    f("resourceRates", Json(r#"{"external":[],"internal":[]}"#)),
];

const BOOKINGS: &[Field] = &[
    f("_id", ObjectId),
    f("title", Text).blank(),
    f("state", Pick(&["STATE_DAY_MINUTE", "STATE_PERCENTAGE", "STATE_TOTAL_MINUTE"])),
    f("stateValue", Quarters(1, 1_920)).moves(),
    f("type", Pick(&["SCHEDULED", "APPROVED", "WAITING_FOR_APPROVAL", "REJECTED"])).moves(),
    f("allDay", Flag(2)),
    f("scale", Pick(&["SCALE_DAY"])),
    f("start", Pick(&["2026-02-09T09:00", "2026-03-02T08:30", "2018-11-05 10:00"])),
    f("end", Pick(&["2026-02-11T18:00", "2026-03-06T17:00", "2018-11-06 18:00"])),
    f("resource", Ref(Of::Resource)),
    f("project", Ref(Of::HubProject)),
    f("note", Text).messy().moves(),
    f("metadata", Label("erp")).blank(),
    f("categoryName", Pick(&["General", "Überstunden"])),
    f(
        "details",
        Json(
            r#"{"offDaysCount":0,"workDaysCount":3,"holidayCount":0,"workWeekDetails":[0,1,1,1,0,0,0],"bookedMinutes":720,"budgetBookedAmount":0.5}"#,
        ),
    ),
    f("createdDate", Created),
    f("updatedDate", Changed),
    f("customFields", Json("[]")),
    f("bookedMinutes", Whole(0, 2_400)).sparse(),
];
