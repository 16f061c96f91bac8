//! Keys: the 32 bytes a client names a value by, and how text becomes a key.
//! A key is not an id: its position on the ring is the hash of it.

use std::fmt;

use crate::id::Id;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// A client's key: 32 opaque bytes, stored and compared whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// A key of its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key of a text name: up to 32 bytes are padded with NUL as the VoidPhone reference client
    /// does, longer names are hashed with SHA-256.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = text.as_bytes();
        if text.len() > KEY_BYTES {
            return Self(*Id::digest(&[text]).as_bytes());
        }
        let mut bytes = [0; KEY_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The position on the ring: SHA-256 of the key, so that clients cannot choose the owner.
    #[must_use]
    pub fn position(&self) -> Id {
        Id::digest(&[&self.0])
    }
}

/// All 64 hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_padded_and_long_text_hashed() {
        let short = Key::from_text("test");
        assert_eq!(&short.as_bytes()[..5], b"test\0");
        let exact = "x".repeat(32);
        assert_eq!(Key::from_text(&exact).as_bytes(), exact.as_bytes());
        let long = "x".repeat(33);
        assert_eq!(
            Key::from_text(&long).as_bytes(),
            Id::digest(&[long.as_bytes()]).as_bytes()
        );
    }

    #[test]
    fn position_is_the_hash_of_the_key() {
        // SHA-256 of 32 zero bytes, as `head -c32 /dev/zero | sha256sum` prints it.
        let want = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(Key::from_bytes([0; 32]).position().to_string(), want);
    }
}
