//! Turning a stored column into a wider one.

use arrow::array::ArrayRef;

use crate::Type;

/// A value that has no place in the wider type.
#[derive(Debug, thiserror::Error)]
#[error("a value of type {from} does not fit {to}")]
pub struct CastError {
    /// The stored type.
    pub from: Type,
    /// The type asked for.
    pub to: Type,
}

/// The array with its values as `to`. Lossless, or an error.
pub fn cast(_array: &ArrayRef, from: Type, to: Type) -> Result<ArrayRef, CastError> {
    Err(CastError { from, to })
}
