//! `chordite wal verify`: reads the log as a starting node does and says what it would find. Where
//! that ends at the first damage, a reading for a salvage finds the rest of it.

use std::io;

use clap::Args;
use node::engine::wal::disk::DiskErrorKind;
use node::engine::wal::names::FileName;
use node::engine::wal::recovery::{DamagedRange, RecoveryConfig, RecoveryError};
use node::exit::Exit;
use node::rewrite::reading::{ShardRead, list, read_shard};
use node::rewrite::recovery_exit;
use node::rewrite::watch::{Phase, Watch};
use node::runtime::disk_folder::Listing;
use serde::Serialize;

use super::SCHEMA;
use super::folder::{FolderArgs, FolderFacts, LockedFolder};
use super::meter::Meter;
use crate::cli::failure::Failure;
use crate::cli::{print, table};

/// Check the log: exit 0 when a node would start with it, 6 when it is damaged, 3 when it is
/// another node's or a newer version's
#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    folder: FolderArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is said of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Report {
    schema: u32,
    command: &'static str,
    #[serde(flatten)]
    folder: FolderFacts,
    verdict: Verdict,
    would_start: bool,
    shards: Vec<ShardReport>,
}

/// What is said of one shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct ShardReport {
    pub(super) shard: u16,
    verdict: Verdict,
    segments: u64,
    records: u64,
    bytes: u64,
    /// The lsn that the next record would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_lsn: Option<u64>,
    /// Bytes behind the end of the log: written, never acknowledged.
    torn_bytes: u64,
    pub(super) damage: Vec<DamageReport>,
    pub(super) warnings: Vec<String>,
    /// Why it cannot be used, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A damaged range.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct DamageReport {
    file: String,
    from_byte: u64,
    to_byte: u64,
    first_lsn: u64,
    last_lsn: u64,
}

/// In the order of their weight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    TornTail,
    Damaged,
    Foreign,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let folder = self.folder.open()?;
        let report = Report::of(&folder)?;
        let text = if self.json {
            super::json(&report)?
        } else {
            report.render()
        };
        print::text(&text)?;
        Ok(report.exit())
    }
}

impl Report {
    fn of(folder: &LockedFolder) -> Result<Self, Failure> {
        let generation = folder.generation();
        let mut meter = Meter::new();
        let mut tell = |progress: &_| -> io::Result<()> {
            meter.tell(progress);
            Ok(())
        };
        let mut watch = Watch::new(&mut tell);
        watch.begin(Phase::Reading, generation.segment_bytes()?);
        let mut shards = Vec::new();
        for (shard, path) in generation.shards() {
            let mut read = |is_salvage| {
                let node = folder.node();
                let config = RecoveryConfig {
                    node,
                    shard,
                    is_salvage,
                };
                read_shard(&path, config, &mut watch, |_| Ok(()))
            };
            let found = read(false)?;
            // A recovery ends at the first damage; a salvage sees all of it.
            let all = match &found.outcome {
                Err(RecoveryError::Damaged(_)) => Some(read(true)?),
                _ => None,
            };
            let mut report = ShardReport::of(shard, &found, all.as_ref());
            report.add_files(&list(&path)?);
            shards.push(report);
        }
        let verdict = shards.iter().map(|shard| shard.verdict).max();
        let verdict = verdict.unwrap_or(Verdict::Ok);
        Ok(Self {
            schema: SCHEMA,
            command: "wal verify",
            folder: folder.facts(),
            verdict,
            would_start: verdict <= Verdict::TornTail,
            shards,
        })
    }

    fn exit(&self) -> Exit {
        match self.verdict {
            Verdict::Ok | Verdict::TornTail => Exit::Ok,
            Verdict::Damaged => Exit::Storage,
            Verdict::Foreign => Exit::Data,
        }
    }

    fn render(&self) -> String {
        let rows = self.shards.iter().map(|shard| {
            [
                shard.shard.to_string(),
                shard.verdict.word().to_owned(),
                shard.segments.to_string(),
                shard.records.to_string(),
                shard.bytes.to_string(),
                shard.next_lsn.map_or("-".into(), |lsn| lsn.to_string()),
            ]
        });
        let head = [
            "SHARD", "VERDICT", "SEGMENTS", "RECORDS", "BYTES", "NEXT_LSN",
        ];
        let mut text = self.folder.render();
        text.push('\n');
        text.push_str(&table::render(head, &rows.collect::<Vec<_>>()));
        let lines: String = self.shards.iter().map(ShardReport::lines).collect();
        if !lines.is_empty() {
            text.push('\n');
            text.push_str(&lines);
        }
        text.push('\n');
        text.push_str(match self.verdict {
            Verdict::Ok => "ok: a node would start with it\n",
            Verdict::TornTail => {
                "ok: a node would start with it and cut off what was never acknowledged\n"
            }
            Verdict::Damaged => {
                "damaged: a node would not start; `chordite wal salvage` keeps what can be read\n"
            }
            Verdict::Foreign => "foreign: a node would not start with it\n",
        });
        text
    }
}

impl ShardReport {
    /// `all` is what a salvage finds, when there is damage.
    pub(super) fn of(shard: u16, found: &ShardRead, all: Option<&ShardRead>) -> Self {
        let report = &all.unwrap_or(found).report;
        let mut damage = report.damage.clone();
        if let (Err(RecoveryError::Damaged(range)), true) = (&found.outcome, damage.is_empty()) {
            damage.push(range.clone());
        }
        let (verdict, reason) = match &found.outcome {
            Ok(_) if report.torn_bytes > 0 => (Verdict::TornTail, None),
            Ok(_) => (Verdict::Ok, None),
            Err(error) => {
                let verdict = match recovery_exit(error) {
                    Exit::Data => Verdict::Foreign,
                    _ => Verdict::Damaged,
                };
                (verdict, Some(reason(error)))
            }
        };
        Self {
            shard,
            verdict,
            segments: report.segments,
            records: report.records,
            bytes: 0,
            next_lsn: found.outcome.as_ref().ok().map(|start| start.next_lsn.0),
            torn_bytes: report.torn_bytes,
            damage: damage.iter().map(DamageReport::of).collect(),
            warnings: report.warnings.clone(),
            reason,
        }
    }

    /// What lies in its folder, whether the recovery looks at it or not.
    fn add_files(&mut self, listing: &Listing) {
        self.bytes = listing.files.iter().map(|file| file.bytes).sum();
        let others = listing.others.iter();
        self.warnings
            .extend(others.map(|name| format!("{name}: none of the log's files")));
    }

    /// Everything about it that does not fit a table.
    fn lines(&self) -> String {
        let Self {
            shard, torn_bytes, ..
        } = self;
        let mut lines = Vec::new();
        if *torn_bytes > 0 {
            lines.push(format!(
                "shard {shard}: torn tail: {torn_bytes} bytes behind the end of the log were \
                 written and never acknowledged"
            ));
        }
        let warnings = self.warnings.iter();
        lines.extend(warnings.map(|warning| format!("shard {shard}: warning: {warning}")));
        lines.extend(self.damage.iter().map(|damage| damage.line(*shard)));
        if let (Some(reason), true) = (&self.reason, self.damage.is_empty()) {
            lines.push(format!("shard {shard}: {reason}"));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl DamageReport {
    pub(super) fn of(range: &DamagedRange) -> Self {
        Self {
            file: FileName::Segment(range.segment).to_string(),
            from_byte: range.from,
            to_byte: range.to,
            first_lsn: range.first.0,
            last_lsn: range.last.0,
        }
    }

    pub(super) fn line(&self, shard: u16) -> String {
        let Self {
            file,
            from_byte,
            to_byte,
            first_lsn,
            last_lsn,
        } = self;
        format!(
            "shard {shard}, {file}: damaged from byte {from_byte} to {to_byte}: \
             records {first_lsn} to {last_lsn} cannot be read"
        )
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TornTail => "torn tail",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
        }
    }
}

/// Why a log cannot be used; a file that cannot be read is the system's word, not the log's.
fn reason(error: &RecoveryError) -> String {
    match error {
        RecoveryError::Unreadable { error: disk, .. } if disk.kind == DiskErrorKind::Broken => {
            format!("{error}: the medium, or the right to read it, is missing")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::engine::wal::log::LogStart;
    use node::engine::wal::names::{Lsn, SegmentNumber};
    use node::engine::wal::recovery::RecoveryReport;
    use node::runtime::manifest::Manifest;

    fn report(outcome: Result<LogStart, RecoveryError>, torn_bytes: u64) -> Report {
        let read = ShardRead {
            outcome,
            report: RecoveryReport {
                torn_bytes,
                warnings: vec!["a word".into()],
                ..RecoveryReport::default()
            },
        };
        let shard = ShardReport::of(1, &read, None);
        Report {
            schema: SCHEMA,
            command: "wal verify",
            folder: FolderFacts {
                data_dir: "/data".into(),
                manifest: Manifest::first("a:1", "dev", 2),
            },
            verdict: shard.verdict,
            would_start: shard.verdict <= Verdict::TornTail,
            shards: vec![shard],
        }
    }

    #[test]
    fn every_verdict_has_its_exit_code_and_words() {
        let damaged = RecoveryError::Damaged(DamagedRange {
            segment: SegmentNumber(3),
            from: 4096,
            to: 8192,
            first: Lsn(7),
            last: Lsn(9),
        });
        let foreign = RecoveryError::Foreign {
            file: FileName::Segment(SegmentNumber(3)),
            reason: "of another node".into(),
        };
        let start = LogStart::default();
        for (report, exit, words) in [
            (
                report(Ok(start.clone()), 0),
                Exit::Ok,
                "ok: a node would start",
            ),
            (
                report(Ok(start), 512),
                Exit::Ok,
                "torn tail: 512 bytes behind",
            ),
            (
                report(Err(damaged), 0),
                Exit::Storage,
                "0000000000000003.wal: damaged from byte 4096 to 8192: records 7 to 9",
            ),
            (
                report(Err(foreign), 0),
                Exit::Data,
                "shard 1: 0000000000000003.wal: of another node",
            ),
        ] {
            let text = report.render();
            assert_eq!(report.exit(), exit, "{text}");
            assert!(
                text.contains(words) && text.contains("warning: a word"),
                "{text}"
            );
            assert_eq!(report.would_start, exit == Exit::Ok);
        }
    }
}
