//! Rows that a request asks for.

use std::cell::RefCell;
use std::fmt::Write;

use crate::field::{Field, Row, World};
use crate::ink::{DAY, Hand, Ink};
use crate::stream::Stream;
use crate::table::Order;

/// A filter that the provider honours.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The field it looks at, with its number.
    pub(crate) field: (usize, &'static Field),
    pub(crate) test: Test,
}

/// What a filter asks of a value.
#[derive(Debug)]
pub(crate) enum Test {
    /// To be one of these, or a list with one of them in it.
    OneOf(Vec<String>),
    /// To be none of these.
    NoneOf(Vec<String>),
    /// To be a greater number.
    More(i64),
    /// The row was created on one of these days, counted from 1970-01-01.
    Days(i64, i64),
}

/// What a request asks for.
pub(crate) struct Wish<'a> {
    pub(crate) order: Order,
    pub(crate) filters: &'a [Filter],
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    /// Whether the answer tells how many there are.
    pub(crate) count: bool,
}

/// The rows of a page and what is needed to write them.
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    /// Rows that pass the filters, where that was asked.
    pub(crate) matching: u64,
    /// Rows there are.
    pub(crate) total: u64,
    pub(crate) world: World,
    pub(crate) salt: u64,
}

impl Found {
    /// Writes the rows with commas between.
    pub(crate) fn write(&self, ink: &mut Ink, stream: &Stream, wanted: impl Fn(&str) -> bool) {
        for row in &self.rows {
            ink.item();
            self.world.write(ink, self.salt, stream.fields, row, &wanted);
        }
    }
}

impl Filter {
    /// A filter on a field of the stream.
    pub(crate) fn new(stream: &Stream, field: &str, test: Test) -> Self {
        let field = stream.field(field).expect("filters name fields of their stream");
        Self { field, test }
    }

    /// What the provider leaves out of the listing unless asked.
    pub(crate) fn hiding(stream: &Stream) -> Option<Self> {
        let hidden = stream.hidden?;
        Some(Self::new(stream, hidden, Test::NoneOf(vec!["true".to_owned()])))
    }
}

/// A text that is the same for the same filters; empty where there are none.
pub(crate) fn name(filters: &[Filter]) -> String {
    let mut name = String::new();
    for filter in filters {
        write!(name, "{}{:?};", filter.field.1.name, filter.test).expect("text takes all text");
    }
    name
}

/// Whether a row passes all filters.
pub(crate) fn test<'a>(world: &'a World, salt: u64, filters: &'a [Filter]) -> impl Fn(&Row) -> bool + 'a {
    let scratch = RefCell::new(Ink::new(Hand::Plain));
    move |row| {
        filters.iter().all(|filter| {
            if let Test::Days(from, to) = filter.test {
                return (from..=to).contains(&row.created.div_euclid(DAY));
            }
            let ink = &mut *scratch.borrow_mut();
            ink.out.clear();
            let (number, field) = filter.field;
            world.write_field(ink, salt, number, field, row, false);
            passes(&filter.test, std::str::from_utf8(&ink.out).expect("only text is written"))
        })
    }
}

fn passes(test: &Test, value: &str) -> bool {
    let bare = value.trim_matches('"');
    let is = |wanted: &String| {
        bare == wanted || (value.starts_with('[') && value.contains(&format!("\"{wanted}\"")))
    };
    match test {
        Test::OneOf(wanted) => wanted.iter().any(is),
        Test::NoneOf(unwanted) => !unwanted.iter().any(is),
        Test::More(bound) => bare.parse::<i64>().is_ok_and(|number| number > *bound),
        Test::Days(..) => true,
    }
}
