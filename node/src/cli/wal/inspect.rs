//! `chordite wal inspect`: what lies in the segments, whether a node would use it or not. Neither
//! values nor salts are shown.

mod records;
mod segment;

use std::fs;
use std::path::Path;

use clap::Args;
use node::engine::wal::names::{FileName, SegmentNumber};
use node::exit::Exit;
use node::rewrite::watch::{Phase, Progress};
use node::runtime::disk_folder::Listing;
use serde::Serialize;

use self::records::Lines;
use self::segment::SegmentReport;
use super::SCHEMA;
use super::folder::{FolderArgs, FolderFacts, LockedFolder};
use super::meter::Meter;
use crate::cli::failure::Failure;
use crate::cli::{print, table};

/// Show what lies in the log: its segments and, with --records, every record
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    #[command(flatten)]
    folder: FolderArgs,
    /// Only this segment: its number, or the name of its file
    #[arg(long, value_name = "N", value_parser = parse_segment)]
    segment: Option<SegmentNumber>,
    /// Only this shard
    #[arg(long, value_name = "K")]
    shard: Option<u16>,
    /// Show every record: never its value
    #[arg(long)]
    records: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What lies in a data folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Report {
    schema: u32,
    command: &'static str,
    #[serde(flatten)]
    folder: FolderFacts,
    shards: Vec<ShardReport>,
}

/// What lies in the folder of a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct ShardReport {
    shard: u16,
    segments: Vec<SegmentReport>,
    /// Segments that are being made; they hold nothing.
    unfinished: Vec<String>,
    /// What is none of the log's.
    others: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let folder = self.folder.open()?;
        if let Some(shard) = self.shard
            && shard >= u16::from(folder.manifest().shards)
        {
            let shards = folder.manifest().shards;
            let words = format!("there is no shard {shard}: the log has {shards}, from 0 on");
            return Err(Failure::usage(words));
        }
        let mut lines = Lines::new(self.records, self.json);
        let shards = self.shards(&folder, &mut lines)?;
        if let Some(segment) = self.segment
            && shards.iter().all(|shard| shard.segments.is_empty())
        {
            return Err(Failure::usage(format!("there is no segment {}", segment.0)));
        }
        let report = Report {
            schema: SCHEMA,
            command: "wal inspect",
            folder: folder.facts(),
            shards,
        };
        let text = if self.json {
            super::json(&report)?
        } else {
            report.render()
        };
        print::text(&lines.join(&text))?;
        Ok(Exit::Ok)
    }

    fn shards(
        &self,
        folder: &LockedFolder,
        lines: &mut Lines,
    ) -> Result<Vec<ShardReport>, Failure> {
        let generation = folder.generation();
        let mut meter = Meter::new();
        let mut progress = Progress {
            phase: Phase::Reading,
            bytes_total: generation.segment_bytes()?,
            ..Progress::default()
        };
        let mut read = |shard, path: &Path, file: FileName| -> Result<SegmentReport, Failure> {
            let path = path.join(file.to_string());
            let bytes = fs::read(&path).map_err(|error| cannot_read(&path, &error))?;
            let report = SegmentReport::read(file, &bytes, |place, placed| {
                lines.tell(shard, place, placed)
            })?;
            progress.bytes_read += bytes.len() as u64;
            progress.records_read += report.records();
            meter.tell(&progress);
            Ok(report)
        };
        let wanted = |(shard, _): &(u16, _)| self.shard.is_none_or(|wanted| wanted == *shard);
        let shards = generation.shards().filter(wanted);
        let reports = shards.map(|(shard, path)| {
            let listing = Listing::read(&path).map_err(|error| cannot_read(&path, &error))?;
            self.shard(shard, listing, |file| read(shard, &path, file))
        });
        reports.collect()
    }

    fn shard(
        &self,
        shard: u16,
        listing: Listing,
        mut read: impl FnMut(FileName) -> Result<SegmentReport, Failure>,
    ) -> Result<ShardReport, Failure> {
        let (mut segments, mut unfinished) = (Vec::new(), Vec::new());
        for file in listing.files.iter().map(|file| file.name) {
            let is_wanted = self.segment.is_none_or(|wanted| wanted == file.number());
            match file {
                FileName::Fresh(_) => unfinished.push(file.to_string()),
                FileName::Segment(_) if is_wanted => segments.push(read(file)?),
                FileName::Segment(_) => {}
            }
        }
        segment::mark_void(&mut segments);
        Ok(ShardReport {
            shard,
            segments,
            unfinished,
            others: listing.others,
        })
    }
}

impl Report {
    fn render(&self) -> String {
        let rows = self.shards.iter().flat_map(|shard| {
            let segments = shard.segments.iter();
            segments.map(|segment| segment.row(shard.shard))
        });
        let mut text = self.folder.render();
        text.push('\n');
        text.push_str(&table::render(segment::HEAD, &rows.collect::<Vec<_>>()));
        let lines: String = self.shards.iter().map(ShardReport::lines).collect();
        if !lines.is_empty() {
            text.push('\n');
            text.push_str(&lines);
        }
        text
    }
}

impl ShardReport {
    /// Everything about it that does not fit a table.
    fn lines(&self) -> String {
        let shard = self.shard;
        let mut text: String = self
            .segments
            .iter()
            .map(|segment| segment.lines(shard))
            .collect();
        for file in &self.unfinished {
            text.push_str(&format!(
                "shard {shard}, {file}: is being made, holds nothing\n"
            ));
        }
        for name in &self.others {
            text.push_str(&format!("shard {shard}, {name}: none of the log's files\n"));
        }
        text
    }
}

/// A number, or the name of a file with or without its ending.
fn parse_segment(text: &str) -> Result<SegmentNumber, String> {
    let named = FileName::parse(text).or_else(|| FileName::parse(&format!("{text}.wal")));
    let number = named.map(FileName::number);
    let number = number.or_else(|| text.parse().ok().map(SegmentNumber));
    number.ok_or_else(|| "neither a number nor the name of a segment's file".into())
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    let exit = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => Exit::Data,
        _ => Exit::Storage,
    };
    Failure::new(exit, format!("reading {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_named_by_number_or_file() {
        assert_eq!(parse_segment("10"), Ok(SegmentNumber(10)));
        assert_eq!(parse_segment("0000000000000010"), Ok(SegmentNumber(16)));
        assert_eq!(parse_segment("000000000000001f.wal"), Ok(SegmentNumber(31)));
        assert!(parse_segment("first").is_err());
    }
}
