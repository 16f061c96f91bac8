//! What the parts of a log are called: records by their lsn, segments by their number, files by
//! what they are. A shard has a folder of its own, so that a name is unique within it.

use std::fmt;

/// Log sequence number: the place of a record in its shard's log. The first record has 1, each
/// one after it one more; 0 stands before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Lsn(pub u64);

/// The number of a segment in its shard's log: grows in the order of writing, is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentNumber(pub u64);

/// A file in a shard's folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileName {
    /// A segment whose header is durable: `0000000000000001.wal`.
    Segment(SegmentNumber),
    /// A segment that is being made: `0000000000000001.new`. It never holds a record that counts;
    /// whoever finds one at start removes it or makes it anew.
    Fresh(SegmentNumber),
}

impl Lsn {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SegmentNumber {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FileName {
    /// The name read from a folder; `None` for anything else that may lie there.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, ending) = text.split_once('.')?;
        let is_number = digits.len() == DIGITS
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = SegmentNumber(u64::from_str_radix(digits, 16).ok().filter(|_| is_number)?);
        match ending {
            "wal" => Some(Self::Segment(number)),
            "new" => Some(Self::Fresh(number)),
            _ => None,
        }
    }

    /// The segment it is, or will be.
    #[must_use]
    pub const fn number(self) -> SegmentNumber {
        match self {
            Self::Segment(number) | Self::Fresh(number) => number,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(number) => write!(f, "{:016x}.wal", number.0),
            Self::Fresh(number) => write!(f, "{:016x}.new", number.0),
        }
    }
}

/// Digits of a segment's number in a file name.
const DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            FileName::Segment(SegmentNumber(1)),
            FileName::Fresh(SegmentNumber(u64::MAX)),
        ] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in [
            "lock",
            "1.wal",
            "000000000000000G.wal",
            "+000000000000001.wal",
            "0000000000000001.tmp",
            "0000000000000001",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
