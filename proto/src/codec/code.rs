//! The single bytes that stand for roles, modes and reasons on the wire.
//!
//! A code is never used again for another meaning. An unknown one is the peer's fault: within a
//! released protocol version none are added.

use crate::message::{FailureCode, LookupFailure, LookupMode, Role};

/// A fieldless enum with one byte a variant.
pub(super) trait Code: Copy + 'static {
    /// What the enum is, for errors.
    const WHAT: &'static str;
    /// Every variant with its byte.
    const TABLE: &'static [(u8, Self)];

    /// The byte of this variant.
    fn to_byte(self) -> u8;

    /// The variant of a byte.
    fn from_byte(byte: u8) -> Option<Self> {
        let found = Self::TABLE.iter().find(|(code, _)| *code == byte);
        found.map(|(_, variant)| *variant)
    }
}

/// Writes both directions of a table, so that they cannot differ.
macro_rules! codes {
    ($enum:ident, $what:literal, { $($variant:ident = $byte:literal),+ $(,)? }) => {
        impl Code for $enum {
            const WHAT: &'static str = $what;
            const TABLE: &'static [(u8, Self)] = &[$(($byte, $enum::$variant)),+];

            fn to_byte(self) -> u8 {
                match self {
                    $($enum::$variant => $byte),+
                }
            }
        }
    };
}

codes!(Role, "role", { Node = 1, Client = 2 });

codes!(LookupFailure, "reason of a failed lookup", {
    HopLimit = 1,
    NoRoute = 2,
    Deadline = 3,
    NotMember = 4,
});

codes!(LookupMode, "lookup mode", {
    Cached = 0,
    Recursive = 1,
    Traced = 2,
    Iterative = 3,
});

codes!(FailureCode, "failure code", {
    Invalid = 1,
    Forbidden = 2,
    MemoryFull = 3,
    Overloaded = 4,
    NoRoute = 5,
    NotMember = 6,
    Unknown = 7,
    StorageFull = 8,
    StorageFailed = 9,
});

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn both_ways<C: Code + PartialEq + Debug>(bytes: &[u8]) {
        let table: Vec<u8> = C::TABLE.iter().map(|(byte, _)| *byte).collect();
        assert_eq!(table, bytes, "{}", C::WHAT);
        for byte in 0..=255 {
            let back = C::from_byte(byte).map(C::to_byte);
            assert_eq!(back, bytes.contains(&byte).then_some(byte), "{}", C::WHAT);
        }
    }

    #[test]
    fn codes_are_kept_and_lead_both_ways() {
        both_ways::<Role>(&[1, 2]);
        both_ways::<LookupFailure>(&[1, 2, 3, 4]);
        both_ways::<LookupMode>(&[0, 1, 2, 3]);
        both_ways::<FailureCode>(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
