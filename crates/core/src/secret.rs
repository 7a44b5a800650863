//! Text that nobody gets to see.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret: prints as `***`, cannot be serialised or compared, and is overwritten in memory when dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes ownership of a secret text.
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The text itself. Called where a request leaves the process, and by the scrubber; nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are the same text. Takes as long for two that differ at the end as for two that differ at the
    /// beginning.
    pub fn is(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |apart, (a, b)| apart | (a ^ b)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
