//! What a row is made of: its place, its times, and a recipe for each field.

use crate::table::By;

/// Slots of a row of the base: its own, and seven for rows that are put in before the next one.
pub(crate) const SLOTS: u64 = 8;

/// When the first row was created: 2021-01-04T00:00:00Z.
pub(crate) const CREATED_FROM: i64 = 1_609_718_400_000_000;
/// Between the creation of one row of the base and the next.
pub(crate) const CREATED_STEP: i64 = 7_000_000;
/// The rows of the base were last updated between 2024-01-01 and 2025-12-31, UTC.
pub(crate) const UPDATED_FROM: i64 = 1_704_067_200_000_000;
pub(crate) const UPDATED_TO: i64 = 1_767_139_200_000_000;

/// Collections that rows of others point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Company,
    Enduser,
    User,
    License,
    Conversation,
    Account,
    Worker,
    Lead,
    Project,
    Task,
    Invoice,
    Product,
    HubProject,
    Resource,
}

impl Of {
    /// All of them with their streams, in the order of the enum.
    pub(crate) const ALL: [&'static str; 14] = [
        "planhat/companies",
        "planhat/endusers",
        "planhat/users",
        "planhat/licenses",
        "planhat/conversations",
        "flowlu/accounts",
        "flowlu/users",
        "flowlu/leads",
        "flowlu/projects",
        "flowlu/tasks",
        "flowlu/invoices",
        "flowlu/products",
        "hubplanner/projects",
        "hubplanner/resources",
    ];
}

/// What all rows share.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    /// Salt of each stream that is pointed at.
    pub(crate) salts: [u64; Of::ALL.len()],
    /// Rows in the base of each.
    pub(crate) sizes: [u64; Of::ALL.len()],
    /// What local times are ahead of UTC, in microseconds.
    pub(crate) local_offset: i64,
    /// Whether text may hold U+0000.
    pub(crate) nul: bool,
}

/// One row, as far as it is not a matter of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its place: rows sort by it as by their id.
    pub(crate) slot: u64,
    /// How often it was changed.
    pub(crate) version: u64,
    /// When it was created, in microseconds UTC.
    pub(crate) created: i64,
    /// When it was last changed, in microseconds UTC.
    pub(crate) updated: i64,
    /// What the second clock of the provider says about that; never later.
    pub(crate) updated_second: i64,
}

/// In how many rows of a hundred a field is not there, null, `""` or `"undefined"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holes {
    pub(crate) absent: u64,
    pub(crate) null: u64,
    pub(crate) empty: u64,
    pub(crate) undefined: u64,
}

/// A field of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) make: Make,
    pub(crate) holes: Holes,
    /// Whether a change of the row changes it.
    pub(crate) moves: bool,
}

/// A field that is always there.
pub(crate) const fn f(name: &'static str, make: Make) -> Field {
    Field { name, make, holes: Holes { absent: 0, null: 0, empty: 0, undefined: 0 }, moves: false }
}

impl Field {
    const fn holes(mut self, absent: u64, null: u64, empty: u64, undefined: u64) -> Self {
        self.holes = Holes { absent, null, empty, undefined };
        self
    }
    /// Not there in some rows.
    pub(crate) const fn sparse(self) -> Self {
        self.holes(30, 0, 0, 0)
    }
    /// Null in some rows.
    pub(crate) const fn null(self) -> Self {
        self.holes(5, 25, 0, 0)
    }
    /// `""` in some rows.
    pub(crate) const fn blank(self) -> Self {
        self.holes(0, 5, 35, 0)
    }
    /// Empty in every way that was ever seen.
    pub(crate) const fn messy(self) -> Self {
        self.holes(10, 15, 15, 10)
    }
    /// Changes with the row.
    pub(crate) const fn moves(mut self) -> Self {
        self.moves = true;
        self
    }
}

/// What a value is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make {
    /// 24 hexadecimal digits, the first eight being the second of creation.
    ObjectId,
    /// The same, in every fifth row followed by eight more.
    UserId,
    /// A whole number.
    NumberId,
    /// A whole number as text.
    TextId,
    /// When the row was created, ISO 8601 UTC.
    Created,
    /// When it was last changed.
    Updated,
    /// The same; null in every third row that was never changed.
    Changed,
    /// The same by the provider's second clock.
    UpdatedSecond,
    /// The same two as local time without a zone.
    LocalCreated,
    LocalUpdated,
    /// How often the row was changed.
    Version,
    CompanyName,
    PersonName,
    FirstName,
    LastName,
    Email,
    Domains,
    /// A sentence, some of them nasty.
    Text,
    Html,
    /// A word and a number, unlike in every row.
    Label(&'static str),
    Pick(&'static [&'static str]),
    PickNumber(&'static [i64]),
    Whole(i64, i64),
    /// A whole number as text.
    WholeText(i64, i64),
    /// A whole number; as text in one row of eight.
    WholeOrText(i64, i64),
    /// An amount, as the provider prints it.
    Amount,
    AmountText,
    /// An amount; in a few rows a whole number beyond 2^53.
    Wide,
    /// So many quarters: `0.25`, `24`.
    Quarters(i64, i64),
    /// True once in so many rows.
    Flag(u64),
    FlagNumber(u64),
    FlagText(u64),
    Moment,
    Midnight,
    EpochDay,
    SecondsText,
    /// Text in one half of the rows, milliseconds since 1970 in the other.
    MomentOrMillis,
    /// Local time; `""` or `0000-00-00 00:00:00` where there is none.
    LocalMoment,
    /// Local date; `""` where there is none.
    LocalDate,
    /// The id of a row of another collection, as text for Planhat's kind and a number for Flowlu's.
    Ref(Of),
    /// The same; 0 in a third of the rows.
    RefOrZero(Of),
    /// The same as text.
    RefText(Of),
    /// That row's name.
    RefName(Of),
    /// Up to three ids.
    Refs(Of),
    /// Up to two objects with id and name.
    People(Of),
    /// An id, or an object with id and nick name.
    Owner,
    Tags,
    /// A list of objects with status and time.
    History,
    /// Year, quarter, month and week of creation.
    TimeBucket,
    /// The free-form object with people's labels as keys.
    Custom,
    /// JSON as it stands.
    Json(&'static str),
}

/// When a row of the base, or one put in behind it, was created, in microseconds UTC.
pub(crate) fn created(slot: u64) -> i64 {
    // Seconds, so that an id says the same; rows put in stay below the next one's second.
    let between = (slot % SLOTS * 6 / 7) as i64 * 1_000_000;
    CREATED_FROM + (slot / SLOTS) as i64 * CREATED_STEP + between
}

impl Field {
    /// Whether the provider can put its rows in the order of this field, and which order that is.
    pub(crate) fn order(&self) -> Option<By> {
        match self.make {
            Make::ObjectId
            | Make::UserId
            | Make::NumberId
            | Make::TextId
            | Make::Created
            | Make::LocalCreated => Some(By::Id),
            Make::Updated | Make::UpdatedSecond | Make::LocalUpdated | Make::Changed => Some(By::Updated),
            _ => None,
        }
    }
}
