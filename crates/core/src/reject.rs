//! Rows that were set aside.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A row that was set aside, and why.
///
/// Its text is that of the row after `select` and `transform`, masks included; what the pipeline does not want
/// written anywhere is not here either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The page of its slice, from 1.
    pub page: u64,
    /// Its place in the page, from 1.
    pub row: u64,
    /// A stable word for why: `key_missing`, `invalid_row`, `type_change`, `new_column`, `expression`.
    pub code: String,
    /// The field that is to blame, where it is one.
    pub field: Option<String>,
    /// Why, in a sentence.
    pub message: String,
    /// The row as one JSON object; absent where it could not be read and so not be masked either.
    pub raw: Option<String>,
    /// The length of the row as it was sent, in bytes.
    pub bytes: u64,
    /// XXH3 with 128 bits over the row as it was sent, in hexadecimal digits.
    pub hash: String,
    /// A hash over the values of its primary key, in hexadecimal digits; absent where it has none.
    pub identity: Option<String>,
    /// When its page was asked for, UTC.
    pub at: Timestamp,
}
