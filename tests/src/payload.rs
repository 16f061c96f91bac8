//! Keys and values of the rigs: a value says whose it is and which write carried it, and every byte
//! of it follows from that, so that a torn or mixed-up value is seen.

use proto::key::Key;

use crate::dice::Dice;
use crate::journal::Seen;

/// The key with this number of the writer with this name.
#[must_use]
pub fn key(writer: &str, number: u64) -> Key {
    Key::from_text(&format!("{writer}-{number}"))
}

/// The value that write `seq` of `key` carries: 24 to `bytes_max` bytes.
#[must_use]
pub fn value(key: &Key, seq: u64, bytes_max: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed(key) ^ seq);
    let room = bytes_max.saturating_sub(BYTES_MIN) as u64 + 1;
    // Mostly small, at times as large as allowed.
    let room = if !dice.one_in(5) { room.min(300) } else { room };
    let bytes = BYTES_MIN + usize::try_from(dice.below(room)).unwrap_or(0);
    filled(key, seq, bytes)
}

/// Which write of `key` carried `bytes`.
#[must_use]
pub fn read(key: &Key, bytes: &[u8]) -> Seen {
    let Some(head) = bytes.first_chunk::<8>() else {
        return Seen::Foreign;
    };
    let seq = u64::from_le_bytes(*head);
    let is_whole = bytes.len() >= BYTES_MIN && filled(key, seq, bytes.len()) == bytes;
    if is_whole {
        Seen::Value(seq)
    } else {
        Seen::Foreign
    }
}

fn filled(key: &Key, seq: u64, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    value.extend_from_slice(&seq.to_le_bytes());
    value.extend_from_slice(&(bytes as u64).to_le_bytes());
    let mut dice = Dice::new(seed(key) ^ seq.rotate_left(32) ^ bytes as u64);
    while value.len() < bytes {
        value.extend_from_slice(&dice.roll().to_le_bytes());
    }
    value.truncate(bytes);
    value
}

fn seed(key: &Key) -> u64 {
    let words = key.as_bytes().chunks_exact(8);
    let word = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    words.fold(0, |seed, chunk| Dice::new(seed ^ word(chunk)).roll())
}

const BYTES_MIN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_write_and_any_change_is_seen() {
        let mine = key("one", 7);
        for seq in 1..200 {
            let bytes = value(&mine, seq, 4000);
            assert!((24..=4000).contains(&bytes.len()));
            assert_eq!(read(&mine, &bytes), Seen::Value(seq));
            assert_eq!(read(&key("two", 7), &bytes), Seen::Foreign);
            let at = usize::try_from(seq).unwrap() % bytes.len();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(read(&mine, &flipped), Seen::Foreign, "byte {at}");
            assert_eq!(read(&mine, &bytes[..bytes.len() - 1]), Seen::Foreign);
        }
        assert_eq!(read(&mine, &[]), Seen::Foreign);
    }
}
