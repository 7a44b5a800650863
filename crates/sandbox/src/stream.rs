//! What a provider has to offer: its streams, as data.

use crate::field::Field;

/// A collection of a provider.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Provider and stream, such as `planhat/companies`.
    pub(crate) name: &'static str,
    /// Where it is listed: `companies`, `crm/account`.
    pub(crate) path: &'static str,
    /// Rows unless told otherwise.
    pub(crate) rows: u64,
    /// Rows of a page unless the client asks.
    pub(crate) page: u64,
    /// Rows of a page at most.
    pub(crate) page_max: u64,
    /// Filters the provider honours, with the field that each looks at. All others are ignored.
    pub(crate) filters: &'static [(&'static str, &'static str)],
    /// A filter that stands on false until the client sets it.
    pub(crate) hidden: Option<&'static str>,
    /// The fields; the first is the id.
    pub(crate) fields: &'static [Field],
}

impl Stream {
    /// The field of that name, with its number.
    pub(crate) fn field(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name == name)
    }
}
