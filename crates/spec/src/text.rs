//! The small texts inside both languages: templates, conditions, rates.

use std::time::Duration;

use crate::FieldPath;

/// A value and where it stands in its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: crate::Span,
}

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// `${root.path}`, or `${root.path?}`.
    Hole(Hole),
}

/// A place that a value from outside fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Where it looks.
    pub root: Root,
    /// What it looks for there.
    pub path: FieldPath,
    /// Whether a missing value leaves the whole entry out.
    pub optional: bool,
    /// How the value is written there; absent means as it is.
    pub format: Option<HoleFormat>,
}

/// How the value of a hole is written: what follows its colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoleFormat {
    /// A moment, as cursor values are written.
    Moment(crate::CursorFormat),
    /// A list, its values with commas between.
    Comma,
}

/// Where a hole looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The connector's settings.
    Config,
    /// The credential.
    Secret,
    /// The answer's body; in `errors` only.
    Body,
    /// The answer's headers, names in lower case; in `errors` only.
    Headers,
    /// The answer's status; in `errors` only.
    Status,
    /// The fields that are asked for: those of the stream's `columns`, else those that the pipeline selects; absent
    /// where they cannot be named.
    Columns,
    /// The value behind which changes are wanted; absent in a first read without `start`.
    Cursor,
    /// The window that is read: `start` and `end`.
    Window,
    /// Where the listing goes on: the names that `paginate` gives.
    Page,
    /// The row of the stream that `for_each` names.
    Parent,
    /// The element that `each` or `each_from` gives.
    Item,
    /// A parameter of the stream's kind.
    Kind,
    /// The stream's own name.
    Stream,
}

/// What must hold: every one of these tests. In `errors` a path begins with `body` or `headers`, and the header's
/// name is in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition(pub Vec<(FieldPath, Test)>);

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal to one of these.
    OneOf(Vec<Scalar>),
    /// There, and not null.
    Present,
    /// Not there, or null.
    Absent,
    /// Not there, null, `""`, `[]` or `{}`.
    Empty,
    /// Not so.
    Not(Box<Test>),
    /// A text that holds this one, without regard to case.
    Contains(String),
    /// A number in this relation; numeric text is read as a number.
    Compare(Relation, f64),
}

/// A relation of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
}

/// A literal of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// A number as it was written.
    Number(String),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
}

/// So many requests in a period: `50/5s`, `200/min`, `6000/day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests, at least one.
    pub count: u32,
    /// In any period of this length.
    pub period: Duration,
    /// Whether the period is the provider's calendar day rather than any 24 hours.
    pub calendar_day: bool,
}
