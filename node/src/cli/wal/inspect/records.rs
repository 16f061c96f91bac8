//! The records of a log as lines or as JSON, printed while they are read: there may be millions.
//! Keys are shown as their bytes, values not at all.

use node::engine::wal::entry::{Entry, Placed};
use node::engine::wal::names::SegmentNumber;
use proto::key::Key;
use proto::version::Version;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::{print, utc};

/// Prints records when that is wanted.
pub(super) struct Lines {
    is_wanted: bool,
    is_json: bool,
    count: u64,
    text: String,
}

/// Where a record was found.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) segment: SegmentNumber,
    pub(super) offset: u64,
}

/// A record without its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct RecordReport {
    shard: u16,
    segment: u64,
    offset: u64,
    lsn: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Milliseconds since 1970; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<usize>,
    /// Everything up to this lsn was durable when the batch was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    durable_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_bytes: Option<u32>,
}

impl Lines {
    pub(super) const fn new(is_wanted: bool, is_json: bool) -> Self {
        Self {
            is_wanted,
            is_json,
            count: 0,
            text: String::new(),
        }
    }

    /// Prints one record.
    pub(super) fn tell(
        &mut self,
        shard: u16,
        place: Place,
        placed: &Placed<'_>,
    ) -> Result<(), Failure> {
        if !self.is_wanted {
            return Ok(());
        }
        self.open();
        let record = RecordReport::of(shard, place, placed);
        if self.is_json {
            self.text.push_str(if self.count == 0 { "" } else { "," });
            self.text.push_str(super::super::json(&record)?.trim_end());
        } else {
            self.text.push_str(&record.line());
        }
        self.count += 1;
        if self.text.len() >= FLUSH_BYTES {
            print::text(&std::mem::take(&mut self.text))?;
        }
        Ok(())
    }

    /// What follows the records; `report` is an object on a line of its own.
    pub(super) fn join(&mut self, report: &str) -> String {
        if !self.is_wanted {
            return report.to_owned();
        }
        self.open();
        let mut text = std::mem::take(&mut self.text);
        if self.is_json {
            text.push_str("],");
            text.push_str(report.strip_prefix('{').unwrap_or(report));
        } else {
            text.push('\n');
            text.push_str(report);
        }
        text
    }

    fn open(&mut self) {
        if self.count == 0 && self.text.is_empty() {
            self.text
                .push_str(if self.is_json { "{\"records\":[" } else { HEAD });
        }
    }
}

impl RecordReport {
    fn of(shard: u16, place: Place, placed: &Placed<'_>) -> Self {
        let bare = Self {
            shard,
            segment: place.segment.0,
            offset: place.offset,
            lsn: placed.lsn.0,
            kind: "commit",
            key: None,
            version: None,
            expiry_ms: None,
            value_bytes: None,
            durable_lsn: None,
            batch_bytes: None,
        };
        let named = |kind, key: &Key, version: &Version| Self {
            kind,
            key: Some(key.to_string()),
            version: Some(format!("{:016x}.{:016x}", version.stamp, version.node)),
            ..bare.clone()
        };
        match &placed.entry {
            Entry::Commit(commit) => Self {
                durable_lsn: Some(commit.durable.0),
                batch_bytes: Some(commit.batch_bytes),
                ..bare
            },
            Entry::Put(record) => Self {
                expiry_ms: Some(record.expiry_ms),
                value_bytes: Some(record.value.len()),
                ..named("put", &record.key, &record.version)
            },
            Entry::Delete { key, version } => named("delete", key, version),
        }
    }

    fn line(&self) -> String {
        let Self {
            shard,
            segment,
            offset,
            lsn,
            kind,
            ..
        } = self;
        let what = match (&self.key, &self.version) {
            (Some(key), Some(version)) => format!("{key}  {version}"),
            _ => format!(
                "durable up to {}, {} bytes",
                self.durable_lsn.unwrap_or_default(),
                self.batch_bytes.unwrap_or_default()
            ),
        };
        let rest = match (self.expiry_ms, self.value_bytes) {
            (Some(0), Some(bytes)) => format!("  {:<23}  {bytes}", "never"),
            (Some(ms), Some(bytes)) => format!("  {}  {bytes}", utc::show(ms / 1000)),
            _ => String::new(),
        };
        format!("{shard:<5}  {segment:<7}  {offset:<9}  {lsn:<9}  {kind:<6}  {what}{rest}\n")
    }
}

const HEAD: &str =
    "SHARD  SEGMENT  OFFSET     LSN        KIND    KEY, VERSION, EXPIRY, VALUE_BYTES\n";

const FLUSH_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use node::engine::record::Record;
    use node::engine::wal::names::Lsn;

    const PLACE: Place = Place {
        segment: SegmentNumber(3),
        offset: 4096,
    };

    fn put() -> Placed<'static> {
        let record = Record {
            key: Key::from_bytes([0xab; 32]),
            version: Version { stamp: 1, node: 2 },
            expiry_ms: 951_782_399_999,
            value: b"secret",
        };
        Placed {
            lsn: Lsn(9),
            entry: Entry::Put(record),
            bytes: 88,
        }
    }

    #[test]
    fn a_record_is_one_line_without_its_value() {
        let line = RecordReport::of(1, PLACE, &put()).line();
        let key = "ab".repeat(32);
        let version = "0000000000000001.0000000000000002";
        let words: Vec<&str> = line.split("  ").map(str::trim).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let want = ["1", "3", "4096", "9", "put", &key, version];
        assert_eq!(words[..7], want);
        assert_eq!(words[7..], ["2000-02-28 23:59:59 UTC", "6"]);
    }

    #[test]
    fn records_and_report_are_one_object() {
        let mut lines = Lines::new(true, true);
        lines.tell(1, PLACE, &put()).unwrap();
        lines.tell(1, PLACE, &put()).unwrap();
        let text = lines.join("{\"schema\":1}\n");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["records"][1]["value_bytes"], 6);
        assert!(!text.contains("secret"));
        let mut none = Lines::new(true, true);
        assert_eq!(
            none.join("{\"schema\":1}\n"),
            "{\"records\":[],\"schema\":1}\n"
        );
        assert_eq!(Lines::new(false, true).join("{}\n"), "{}\n");
    }
}
