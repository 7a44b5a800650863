//! Chance that always falls the same way: every value is a hash of seed, stream, row and field.
//!
//! The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
//! Generators", 2014).

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters the bits of a number.
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number for a text.
pub(crate) fn salt(text: &str) -> u64 {
    text.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// Chances, taken one after the other from one hash.
pub(crate) struct Draw(u64);

impl Draw {
    /// The chances of a field of a row.
    pub(crate) const fn new(row: u64, field: u64) -> Self {
        Self(row.wrapping_add(field.wrapping_mul(GOLDEN)))
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a remainder is of no concern to made-up data.
        self.bits() % bound.max(1)
    }

    /// True once in `n`.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_neighbours_differ() {
        let draw = |row, field| Draw::new(row, field).bits();
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
        assert_ne!(salt("planhat/companies"), salt("planhat/endusers"));
    }

    #[test]
    fn chances_are_about_fair() {
        let hits = (0..10_000).filter(|row| Draw::new(mix(*row), 1).once_in(10)).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert!((0..1_000).all(|row| (-3..=3).contains(&Draw::new(mix(row), 2).between(-3, 3))));
    }
}
