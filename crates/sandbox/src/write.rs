//! Writing rows.
//!
//! A row is never stored: it is written anew each time from its place, its version and the seed.

use crate::draw::{Draw, mix};
use crate::field::{Field, Holes, Make, Of, Row, SLOTS, World, created};
use crate::ink::{DAY, Hand, Ink, civil};
use crate::words;

/// Names draw from a field number of their own, so that other collections can name the row too.
const NAME: u64 = 1_000;
/// So do references, one for each collection.
const REFERENCE: u64 = 2_000;

impl World {
    /// The chances of a row.
    pub(crate) fn bits(&self, salt: u64, slot: u64) -> u64 {
        mix(mix(self.seed ^ salt) ^ slot)
    }

    /// A row's id as text.
    pub(crate) fn id(&self, salt: u64, fields: &[Field], row: &Row) -> String {
        let mut ink = Ink::new(Hand::Plain);
        self.write_field(&mut ink, salt, 0, &fields[0], row, false);
        String::from_utf8(ink.out).expect("ids are ASCII").trim_matches('"').to_owned()
    }

    /// Writes a row; only the fields that `wanted` names, if any.
    pub(crate) fn write(
        &self,
        ink: &mut Ink,
        salt: u64,
        fields: &[Field],
        row: &Row,
        wanted: impl Fn(&str) -> bool,
    ) {
        ink.raw("{");
        for (number, field) in fields.iter().enumerate() {
            if wanted(field.name) {
                self.write_field(ink, salt, number, field, row, true);
            }
        }
        ink.raw("}");
    }

    /// Whether a row has no time of change, where its provider leaves that out until there is one.
    pub(crate) fn never_changed(&self, salt: u64, row: &Row) -> bool {
        row.version == 0 && self.bits(salt, row.slot).is_multiple_of(3)
    }

    /// Writes one value, with its key in front if asked; nothing where the row lacks the field.
    pub(crate) fn write_field(
        &self,
        ink: &mut Ink,
        salt: u64,
        number: usize,
        field: &Field,
        row: &Row,
        with_key: bool,
    ) {
        let bits = self.bits(salt, row.slot);
        let mut draw = Draw::new(bits, number as u64 + 1);
        let Holes { absent, null, empty, undefined } = field.holes;
        let hole = if absent + null + empty + undefined == 0 { u64::MAX } else { draw.below(100) };
        if hole < absent {
            return;
        }
        if with_key {
            ink.key(field.name);
        }
        if hole < absent + null {
            ink.raw("null");
        } else if hole < absent + null + empty {
            ink.raw("\"\"");
        } else if hole < absent + null + empty + undefined {
            ink.raw("\"undefined\"");
        } else {
            if field.moves && row.version > 0 {
                draw = Draw::new(mix(bits ^ row.version), number as u64 + 1);
            }
            self.write_value(ink, field.make, salt, row, &mut draw);
        }
    }

    fn write_value(&self, ink: &mut Ink, make: Make, salt: u64, row: &Row, draw: &mut Draw) {
        match make {
            Make::ObjectId | Make::UserId => {
                ink.raw("\"");
                self.object_id(ink, salt, row.slot, row.created / 1_000_000);
                if matches!(make, Make::UserId) {
                    long_tail(ink, row.slot);
                }
                ink.raw("\"");
            }
            Make::NumberId => ink.number(row.slot as i64 + 1),
            Make::TextId => quoted(ink, row.slot as i64 + 1),
            Make::Created => ink.iso(row.created, "Z"),
            Make::Changed if self.never_changed(salt, row) => ink.raw("null"),
            Make::Updated | Make::Changed => ink.iso(row.updated, "Z"),
            Make::UpdatedSecond => ink.iso(row.updated_second, "Z"),
            Make::LocalCreated => ink.local(row.created + self.local_offset),
            Make::LocalUpdated => ink.local(row.updated + self.local_offset),
            Make::Version => ink.number(row.version as i64),
            Make::CompanyName | Make::PersonName | Make::FirstName | Make::LastName | Make::Email => {
                self.write_name(ink, make, salt, row.slot);
            }
            Make::RefOrZero(_) if draw.once_in(3) => ink.raw("0"),
            Make::Ref(of) | Make::RefOrZero(of) | Make::RefName(of) | Make::RefText(of) => {
                // One draw a row and collection, so that id and name are of the same row.
                let mut draw = Draw::new(self.bits(salt, row.slot), REFERENCE + of as u64);
                match make {
                    Make::RefName(_) => self.write_ref_name(ink, of, &mut draw),
                    Make::RefText(_) => {
                        quoted(ink, self.target(of, &mut draw).map_or(0, |slot| slot as i64 + 1));
                    }
                    _ => self.write_ref(ink, of, &mut draw),
                }
            }
            Make::Refs(of) => list(ink, draw.below(4), |ink| self.write_ref(ink, of, draw)),
            Make::People(of) => list(ink, draw.below(3), |ink| self.write_person(ink, of, draw)),
            Make::Owner => self.write_owner(ink, draw),
            Make::Custom => custom(ink, row, draw),
            Make::Text if self.nul && draw.once_in(20) => ink.text(words::NUL),
            Make::TimeBucket => time_bucket(ink, row.created),
            Make::LocalMoment => match draw.below(6) {
                0 | 1 => ink.raw("\"\""),
                2 => ink.raw("\"0000-00-00 00:00:00\""),
                _ => ink.local(moment(row, draw) + self.local_offset),
            },
            _ => write_plain(ink, make, row, draw),
        }
    }

    /// The digits of an id. Rows of the base and those put in between know their second by their slot.
    fn object_id(&self, ink: &mut Ink, salt: u64, slot: u64, second: i64) {
        ink.hex(second as u64, 8);
        ink.hex(mix(self.seed ^ salt), 8);
        ink.hex(slot, 8);
    }

    /// A row that is pointed at; none if that collection is empty.
    fn target(&self, of: Of, draw: &mut Draw) -> Option<u64> {
        let size = self.sizes[of as usize];
        (size > 0).then(|| draw.below(size) * SLOTS)
    }

    fn write_ref(&self, ink: &mut Ink, of: Of, draw: &mut Draw) {
        let Some(slot) = self.target(of, draw) else {
            return ink.raw("null");
        };
        if of as usize >= Of::Account as usize {
            return ink.number(slot as i64 + 1);
        }
        ink.raw("\"");
        self.object_id(ink, self.salts[of as usize], slot, created(slot) / 1_000_000);
        if of == Of::User {
            long_tail(ink, slot);
        }
        ink.raw("\"");
    }

    fn write_ref_name(&self, ink: &mut Ink, of: Of, draw: &mut Draw) {
        let make = match of {
            Of::Company | Of::Account => Make::CompanyName,
            _ => Make::PersonName,
        };
        match self.target(of, draw) {
            Some(slot) => self.write_name(ink, make, self.salts[of as usize], slot),
            None => ink.raw("null"),
        }
    }

    fn write_name(&self, ink: &mut Ink, make: Make, salt: u64, slot: u64) {
        let mut draw = Draw::new(self.bits(salt, slot), NAME);
        ink.raw("\"");
        if matches!(make, Make::CompanyName) {
            company_name(ink, slot, &mut draw);
        } else {
            person_name(ink, make, slot, &mut draw);
        }
        ink.raw("\"");
    }

    fn write_person(&self, ink: &mut Ink, of: Of, draw: &mut Draw) {
        // The same chances twice, so that id and name are of one person.
        let bits = draw.bits();
        ink.raw("{");
        ink.key("id");
        self.write_ref(ink, of, &mut Draw::new(bits, 0));
        ink.key("name");
        self.write_ref_name(ink, of, &mut Draw::new(bits, 0));
        if of == Of::User {
            ink.key("isOwner");
            ink.raw(if bits & 1 == 0 { "true" } else { "false" });
        }
        ink.raw("}");
    }

    fn write_owner(&self, ink: &mut Ink, draw: &mut Draw) {
        if draw.once_in(3) {
            return self.write_ref(ink, Of::User, draw);
        }
        ink.raw("{");
        ink.key("_id");
        self.write_ref(ink, Of::User, draw);
        ink.key("nickName");
        ink.text(draw.pick(words::FIRST));
        ink.raw("}");
    }
}

fn write_plain(ink: &mut Ink, make: Make, row: &Row, draw: &mut Draw) {
    match make {
        Make::Text => ink.text(draw.pick(words::SENTENCES)),
        Make::Html => {
            ink.raw("\"<p class=\\\"note\\\">");
            ink.inner(draw.pick(words::SENTENCES));
            ink.raw(" &amp; more<br><\\/p>\"");
        }
        Make::Label(word) => {
            ink.raw("\"");
            ink.inner(word);
            ink.raw("-");
            ink.decimal(row.slot / SLOTS + 1, 1);
            if !row.slot.is_multiple_of(SLOTS) {
                ink.raw("-");
                ink.decimal(row.slot % SLOTS, 1);
            }
            ink.raw("\"");
        }
        Make::Pick(from) => ink.text(draw.pick(from)),
        Make::PickNumber(from) => ink.number(draw.pick(from)),
        Make::WholeText(low, high) => quoted(ink, draw.between(low, high)),
        Make::WholeOrText(low, high) if draw.once_in(8) => quoted(ink, draw.between(low, high)),
        Make::Whole(low, high) | Make::WholeOrText(low, high) => ink.number(draw.between(low, high)),
        Make::Wide if draw.once_in(400) => ink.raw(draw.pick(words::WIDE)),
        Make::Amount | Make::Wide => ink.raw(draw.pick(words::AMOUNTS)),
        Make::Quarters(low, high) => {
            let quarters = draw.between(low, high);
            ink.number(quarters / 4);
            ink.raw(["", ".25", ".5", ".75"][(quarters % 4) as usize]);
        }
        Make::AmountText => ink.text(draw.pick(words::AMOUNTS)),
        Make::Flag(n) => ink.raw(if draw.once_in(n) { "true" } else { "false" }),
        Make::FlagNumber(n) => ink.raw(if draw.once_in(n) { "1" } else { "0" }),
        Make::FlagText(n) => ink.raw(if draw.once_in(n) { "\"1\"" } else { "\"0\"" }),
        Make::Moment => ink.iso(moment(row, draw), "Z"),
        Make::Midnight => ink.iso(moment(row, draw).div_euclid(DAY) * DAY, "Z"),
        Make::EpochDay => ink.number(moment(row, draw).div_euclid(DAY)),
        Make::SecondsText => quoted(ink, moment(row, draw) / 1_000_000),
        Make::MomentOrMillis if draw.once_in(2) => ink.iso(moment(row, draw), "Z"),
        Make::MomentOrMillis => ink.number(moment(row, draw) / 1_000),
        Make::LocalDate if draw.once_in(4) => ink.raw("\"\""),
        Make::LocalDate => {
            ink.raw("\"");
            ink.date(moment(row, draw));
            ink.raw("\"");
        }
        Make::Domains => list(ink, draw.below(3), |ink| {
            ink.text(&format!("{}.example", draw.pick(words::STEMS).to_lowercase()));
        }),
        Make::Tags => list(ink, draw.below(3), |ink| ink.text(draw.pick(words::TAGS))),
        Make::History => {
            let mut status = ["open", "pending", "closed"].into_iter();
            list(ink, 1 + draw.below(3), |ink| {
                ink.raw("{");
                ink.key("status");
                ink.text(status.next().unwrap_or_default());
                ink.key("time");
                ink.iso(moment(row, draw), "Z");
                ink.raw("}");
            });
        }
        Make::Json(text) => ink.raw(text),
        other => unreachable!("{other:?} needs the world around it"),
    }
}

/// A list of so many items.
fn list(ink: &mut Ink, count: u64, mut each: impl FnMut(&mut Ink)) {
    ink.raw("[");
    for _ in 0..count {
        ink.item();
        each(ink);
    }
    ink.raw("]");
}

/// Some moment of the row's life.
fn moment(row: &Row, draw: &mut Draw) -> i64 {
    row.created + draw.between(0, 900 * 86_400_000) * 1_000
}

fn quoted(ink: &mut Ink, number: i64) {
    ink.raw("\"");
    ink.number(number);
    ink.raw("\"");
}

/// Every fifth user came from another system and has a longer id.
fn long_tail(ink: &mut Ink, slot: u64) {
    if slot / SLOTS % 5 == 4 {
        ink.hex(mix(slot), 8);
    }
}

fn company_name(ink: &mut Ink, slot: u64, draw: &mut Draw) {
    if draw.once_in(40) {
        return ink.inner(draw.pick(words::ODD_COMPANIES));
    }
    ink.raw(draw.pick(words::STEMS));
    ink.raw(" ");
    ink.raw(draw.pick(words::TRADES));
    ink.raw(" ");
    ink.decimal(slot / SLOTS + 1, 1);
}

fn person_name(ink: &mut Ink, make: Make, slot: u64, draw: &mut Draw) {
    let (first, last) = (draw.pick(words::FIRST), draw.pick(words::LAST));
    match make {
        Make::FirstName => ink.inner(first),
        Make::LastName => ink.inner(last),
        Make::Email => {
            let ascii: String = first.chars().filter(char::is_ascii_alphabetic).collect();
            ink.raw(&ascii.to_lowercase());
            ink.raw(".");
            ink.decimal(slot + 1, 1);
            ink.raw("@mail.example");
        }
        _ => {
            ink.inner(first);
            ink.raw(" ");
            ink.inner(last);
        }
    }
}

/// `["2025","2025-Q1","2025-3","2025-W10"]`; weeks are counted from 1 January, seven days each.
fn time_bucket(ink: &mut Ink, micros: i64) {
    let (year, month, _) = civil(micros.div_euclid(DAY));
    let mut january = micros.div_euclid(DAY);
    while civil(january - 1).0 == year {
        january -= 1;
    }
    let week = (micros.div_euclid(DAY) - january) / 7 + 1;
    ink.raw(&format!(r#"["{year}","{year}-Q{}","{year}-{month}","{year}-W{week}"]"#, (month - 1) / 3 + 1));
}

/// The free-form object, with the labels that people gave their fields.
fn custom(ink: &mut Ink, row: &Row, draw: &mut Draw) {
    ink.raw("{");
    if draw.once_in(6) {
        return ink.raw("}");
    }
    ink.key("# Open Tickets");
    ink.number(draw.between(0, 20));
    ink.key("Days in Phase");
    ink.number(draw.between(0, 400));
    ink.key("Contract Type");
    ink.text(draw.pick(&["Standard", "Enterprise", "undefined", ""]));
    ink.key("Modules");
    ink.raw(draw.pick(&["[]", r#"["A"]"#, r#"["A","B"]"#, "null"]));
    if draw.once_in(4) {
        ink.key("Region");
        ink.text(draw.pick(&["North", "Süd", "東"]));
        ink.key("region");
        ink.number(draw.between(1, 9));
    }
    if draw.once_in(5) {
        ink.key("Go-Live / Date");
        ink.iso(moment(row, draw), "Z");
    }
    if draw.once_in(5) {
        ink.key("closed_at");
        ink.iso(moment(row, draw), "+0000");
    }
    if draw.once_in(7) {
        ink.key("Health Note 📝");
        ink.text(draw.pick(words::SENTENCES));
    }
    if draw.once_in(50) {
        ink.key("Legacy \"Id\"");
        ink.raw(draw.pick(words::WIDE));
    }
    if draw.once_in(60) {
        ink.key("");
        ink.raw(r#"{"a":{"b":[1,2.50,{"c":null}]}}"#);
    }
    ink.raw("}");
}
