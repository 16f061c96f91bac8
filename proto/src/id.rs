//! Positions on the circle of 2^256 and half-open arcs of it.
//!
//! Ids are unsigned 256-bit integers kept as 32 big-endian bytes, so that the order of the bytes is
//! the order of the numbers. All arithmetic is modulo 2^256.

use std::fmt;

use sha2::{Digest, Sha256};

/// Number of bits of an [`Id`].
pub const ID_BITS: u32 = 256;

/// A position on the circle: a big-endian unsigned integer modulo 2^256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id([u8; 32]);

impl Id {
    /// The smallest id.
    pub const ZERO: Self = Self([0; 32]);

    /// An id of its 32 big-endian bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id whose most significant 64 bits are `high` and whose other bits are zero: handy where
    /// a test or a plot wants ids spread by hand.
    #[must_use]
    pub fn from_high(high: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        Self(bytes)
    }

    /// The 32 big-endian bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The most significant 64 bits.
    #[must_use]
    pub fn high(&self) -> u64 {
        let mut high = [0; 8];
        high.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(high)
    }

    /// SHA-256 over the concatenation of `parts`.
    #[must_use]
    pub fn digest(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// `self + 2^exponent`; exponents of [`ID_BITS`] and more add nothing.
    #[must_use]
    pub fn plus_pow2(&self, exponent: u32) -> Self {
        if exponent >= ID_BITS {
            return *self;
        }
        let mut bytes = self.0;
        let mut index = 31 - (exponent / 8) as usize;
        let mut carry = 1u16 << (exponent % 8);
        loop {
            let sum = u16::from(bytes[index]) + carry;
            bytes[index] = sum.to_le_bytes()[0];
            carry = sum >> 8;
            if carry == 0 || index == 0 {
                return Self(bytes);
            }
            index -= 1;
        }
    }

    /// `self + other` modulo 2^256.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let (low, carry) = self.low().overflowing_add(other.low());
        let high = self
            .top()
            .wrapping_add(other.top())
            .wrapping_add(u128::from(carry));
        Self::from_halves(high, low)
    }

    /// The clockwise distance from `self` to `other`: `other − self` modulo 2^256.
    #[must_use]
    pub fn distance_to(&self, other: &Self) -> Self {
        let (low, borrow) = other.low().overflowing_sub(self.low());
        let high = other
            .top()
            .wrapping_sub(self.top())
            .wrapping_sub(u128::from(borrow));
        Self::from_halves(high, low)
    }

    /// Strict and circular betweenness: walking clockwise from `after`, `self` is met before
    /// `before`. With `after == before` every other id lies between (CHORD.md, Zave 2017).
    #[must_use]
    pub fn is_between(&self, after: &Self, before: &Self) -> bool {
        if after < before {
            after < self && self < before
        } else {
            after < self || self < before
        }
    }

    fn top(&self) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        u128::from_be_bytes(half)
    }

    fn low(&self) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[16..]);
        u128::from_be_bytes(half)
    }

    fn from_halves(top: u128, low: u128) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&top.to_be_bytes());
        bytes[16..].copy_from_slice(&low.to_be_bytes());
        Self(bytes)
    }
}

/// All 64 hexadecimal digits.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first eight hexadecimal digits: enough to tell ids apart in logs and failed assertions.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The half-open arc `(after, upto]`; the whole circle when both ends are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IdArc {
    /// The end that is not part of the arc: the predecessor's id.
    pub after: Id,
    /// The end that is part of the arc: the owner's id.
    pub upto: Id,
}

impl IdArc {
    /// The arc `(after, upto]`.
    #[must_use]
    pub const fn new(after: Id, upto: Id) -> Self {
        Self { after, upto }
    }

    /// Whether `id` lies in `(after, upto]`.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        *id == self.upto || self.is_full() || id.is_between(&self.after, &self.upto)
    }

    /// Whether the arc is the whole circle.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.after == self.upto
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn betweenness_with_equal_ends_is_everything_else() {
        let a = Id::from_high(7);
        assert!(Id::from_high(3).is_between(&a, &a));
        assert!(!a.is_between(&a, &a));
    }

    #[test]
    fn full_arc_contains_everything() {
        let arc = IdArc::new(Id::from_high(9), Id::from_high(9));
        assert!(arc.contains(&Id::ZERO) && arc.contains(&Id::from_high(9)));
    }

    #[test]
    fn adding_a_power_carries_over_bytes() {
        let all = Id::from_bytes([0xff; 32]);
        assert_eq!(all.plus_pow2(0), Id::ZERO);
        assert_eq!(Id::ZERO.plus_pow2(255), Id::from_high(1 << 63));
        assert_eq!(Id::ZERO.plus_pow2(256), Id::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn distance_undoes_addition(a: [u8; 32], b: [u8; 32]) {
            let (a, b) = (Id::from_bytes(a), Id::from_bytes(b));
            prop_assert_eq!(a.plus(&a.distance_to(&b)), b);
        }

        #[test]
        fn betweenness_is_the_order_of_distances(a: [u8; 32], b: [u8; 32], x: [u8; 32]) {
            let (a, b, x) = (Id::from_bytes(a), Id::from_bytes(b), Id::from_bytes(x));
            let by_distance = x != a && (a == b || a.distance_to(&x) < a.distance_to(&b));
            prop_assert_eq!(x.is_between(&a, &b), by_distance);
        }

        #[test]
        fn a_power_is_an_addition(a: [u8; 32], e in 0u32..256) {
            let a = Id::from_bytes(a);
            prop_assert_eq!(a.plus_pow2(e), a.plus(&Id::ZERO.plus_pow2(e)));
        }
    }
}
