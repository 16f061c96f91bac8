//! Values that describe themselves, so that whatever comes back can be judged without a table of
//! what was written.
//!
//! ```text
//! 0 u64 xxh3 of all bytes that follow, seeded with the data seed | 8 u64 key index
//! 16 u64 sequence of the write | 24 filler cut from a fixed block     little-endian
//! ```
//!
//! Values below 24 bytes have no room for that: they hold the first bytes of a stream that follows
//! from the key index, so a wrong one is still noticed, an old one is not.

use std::fmt;
use std::str::FromStr;

use proto::limits::VALUE_BYTES_MAX;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::keyspace::mix;

/// Writes values and judges them.
#[derive(Clone, Debug)]
pub struct Payloads {
    data_seed: u64,
    filler: Vec<u8>,
}

impl Payloads {
    /// Values of the data set `data_seed`.
    #[must_use]
    pub fn new(data_seed: u64) -> Self {
        let words = (VALUE_BYTES_MAX + FILLER_OFFSETS).div_ceil(8) as u64;
        let filler = (0..words)
            .flat_map(|word| mix(data_seed ^ word).to_le_bytes())
            .collect();
        Self { data_seed, filler }
    }

    /// Appends the value of `bytes` bytes that write `sequence` gives key `key`.
    pub fn write(&self, out: &mut Vec<u8>, key: u64, sequence: u64, bytes: usize) {
        assert!(bytes <= VALUE_BYTES_MAX);
        if bytes < HEADER_BYTES {
            out.extend_from_slice(&self.short(key)[..bytes]);
            return;
        }
        let start = out.len();
        // The top bits of a product: enough to give neighbours different fillers, and cheap.
        let spread = (key ^ sequence).wrapping_mul(FILLER_SPREAD);
        let offset = (spread >> (64 - FILLER_OFFSETS.ilog2())) as usize;
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&self.filler[offset..offset + bytes - HEADER_BYTES]);
        let checksum = xxh3_64_with_seed(&out[start + 8..], self.data_seed);
        out[start..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Checks that `value` is one that was written to `key`; the sequence of that write is
    /// returned, 0 for values too short to tell.
    pub fn verify(&self, key: u64, value: &[u8]) -> Result<u64, Wrong> {
        let (Some(checksum), Some(index), Some(sequence)) =
            (word(value, 0), word(value, 8), word(value, 16))
        else {
            return if !value.is_empty() && self.short(key).starts_with(value) {
                Ok(0)
            } else {
                Err(Wrong::Damaged)
            };
        };
        if xxh3_64_with_seed(&value[8..], self.data_seed) != checksum {
            return Err(Wrong::Damaged);
        }
        if index != key {
            return Err(Wrong::Foreign { index });
        }
        Ok(sequence)
    }

    fn short(&self, key: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        for (number, chunk) in (1u64..).zip(bytes.chunks_exact_mut(8)) {
            let word = mix(self.data_seed ^ mix(key).wrapping_mul(number));
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Why a value cannot have been written to the key it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Wrong {
    /// The checksum does not fit: torn, cut, mixed or made up.
    #[error("the value is damaged, or of another data seed")]
    Damaged,
    /// A whole value, of another key.
    #[error("the value belongs to key {index}")]
    Foreign {
        /// The key it was written to.
        index: u64,
    },
}

/// How long values are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueSizes {
    /// All alike.
    Fixed(u32),
    /// Every length from the first to the second, evenly.
    Uniform(u32, u32),
    /// One of these, evenly; naming one twice doubles its weight.
    List(Vec<u32>),
}

impl ValueSizes {
    /// Draws a length in bytes.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform(from, to) => rng.random_range(*from..=*to),
            Self::List(sizes) => sizes[rng.random_range(0..sizes.len())],
        }
    }
}

/// `64`, `16-1024` or `64,256,1024`.
impl FromStr for ValueSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = |text: &str| match text.trim().parse() {
            Ok(bytes) if (1..=VALUE_BYTES_MAX as u32).contains(&bytes) => Ok(bytes),
            _ => Err(format!(
                "`{text}` is not a value size from 1 to {VALUE_BYTES_MAX} bytes"
            )),
        };
        if let Some((from, to)) = text.split_once('-') {
            let (from, to) = (size(from)?, size(to)?);
            return if from <= to {
                Ok(Self::Uniform(from, to))
            } else {
                Err(format!("`{text}` runs backwards"))
            };
        }
        let sizes = text.split(',').map(size).collect::<Result<Vec<_>, _>>()?;
        match sizes[..] {
            [bytes] => Ok(Self::Fixed(bytes)),
            _ => Ok(Self::List(sizes)),
        }
    }
}

/// As it is parsed.
impl fmt::Display for ValueSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes}"),
            Self::Uniform(from, to) => write!(f, "{from}-{to}"),
            Self::List(sizes) => {
                let sizes: Vec<_> = sizes.iter().map(u32::to_string).collect();
                f.write_str(&sizes.join(","))
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}

const HEADER_BYTES: usize = 24;

/// How many different cuts of the filler block there are.
const FILLER_OFFSETS: usize = 4096;

/// 2^64 over the golden ratio.
const FILLER_SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(payloads: &Payloads, key: u64, sequence: u64, bytes: usize) -> Vec<u8> {
        let mut out = vec![0xee; 3];
        payloads.write(&mut out, key, sequence, bytes);
        out.split_off(3)
    }

    #[test]
    fn every_size_is_written_and_verified() {
        let payloads = Payloads::new(1);
        for bytes in [1, 8, 23, 24, 25, 64, 1_000, VALUE_BYTES_MAX] {
            let value = value(&payloads, 7, 99, bytes);
            assert_eq!(value.len(), bytes);
            let want = if bytes < 24 { 0 } else { 99 };
            assert_eq!(payloads.verify(7, &value), Ok(want), "{bytes}");
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let payloads = Payloads::new(1);
        for bytes in [5, 64] {
            let good = value(&payloads, 7, 99, bytes);
            for at in 0..bytes {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert_eq!(
                    payloads.verify(7, &bad),
                    Err(Wrong::Damaged),
                    "{bytes} {at}"
                );
            }
        }
    }

    #[test]
    fn foreign_torn_cut_and_empty_values_are_noticed() {
        let payloads = Payloads::new(1);
        let ours = value(&payloads, 7, 1, 100);
        let other = value(&payloads, 7, 2, 100);
        assert_eq!(payloads.verify(8, &ours), Err(Wrong::Foreign { index: 7 }));
        let torn = [&ours[..50], &other[50..]].concat();
        assert_eq!(payloads.verify(7, &torn), Err(Wrong::Damaged));
        assert_eq!(payloads.verify(7, &ours[..99]), Err(Wrong::Damaged));
        assert_eq!(payloads.verify(7, &[]), Err(Wrong::Damaged));
        assert_eq!(Payloads::new(2).verify(7, &ours), Err(Wrong::Damaged));
        assert_eq!(
            payloads.verify(7, &value(&payloads, 8, 1, 10)),
            Err(Wrong::Damaged)
        );
    }

    #[test]
    fn sizes_are_parsed_and_printed() {
        for text in ["64", "16-1024", "64,256,1024"] {
            assert_eq!(text.parse::<ValueSizes>().unwrap().to_string(), text);
        }
        for bad in ["", "0", "x", "9-3", "1,,2", "65496", "-5"] {
            assert!(bad.parse::<ValueSizes>().is_err(), "{bad}");
        }
    }
}
