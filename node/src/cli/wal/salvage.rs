//! `chordite wal salvage`: keeps of a damaged log what can be read. Asks nothing, removes nothing;
//! the work is done in `node::rewrite`.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use node::exit::Exit;
use node::rewrite::salvage::{Loss, Salvage as Reading, Salvaged};
use node::rewrite::watch::Watch;
use node::rewrite::{Layout, RewriteError};
use proto::time::Now;
use serde::Serialize;

use super::SCHEMA;
use super::folder::{FolderArgs, FolderFacts, LockedFolder};
use super::meter::Meter;
use super::verify::DamageReport;
use crate::cli::failure::Failure;
use crate::cli::print;

/// Write anew what can be read of a damaged log; the damaged files are kept, renamed to
/// quarantine-GENERATION
#[derive(Args, Debug)]
pub(crate) struct Salvage {
    #[command(flatten)]
    folder: FolderArgs,
    /// Write what can be read to this folder, which is empty or not there, and change nothing else
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only say what could be kept and what is lost
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was done, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Report {
    schema: u32,
    command: &'static str,
    #[serde(flatten)]
    folder: FolderFacts,
    outcome: Outcome,
    /// Records that were kept, or would be: one for each key.
    records_kept: u64,
    /// Records in the damaged ranges, those of the log itself included.
    records_lost: u64,
    lost: Vec<LossReport>,
    /// The folder that has what was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    written_to: Option<String>,
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// Where the damaged files are.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    NothingToDo,
    WouldSalvage,
    Salvaged,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct LossReport {
    shard: u16,
    #[serde(flatten)]
    damage: DamageReport,
}

impl Salvage {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let folder = self.folder.open()?;
        let mut meter = Meter::new();
        let mut tell = |progress: &_| -> io::Result<()> {
            meter.tell(progress);
            Ok(())
        };
        let mut watch = Watch::new(&mut tell);
        let report = self.salvage(&folder, &mut watch)?;
        drop(meter);
        let text = if self.json {
            super::json(&report)?
        } else {
            report.render()
        };
        print::text(&text)?;
        Ok(Exit::Ok)
    }

    fn salvage(&self, folder: &LockedFolder, watch: &mut Watch<'_>) -> Result<Report, Failure> {
        let (dir, manifest) = (folder.path(), folder.manifest());
        let layout = layout(folder)?;
        let reading = Reading::examine(dir, manifest, &layout, watch)?;
        let mut report = Report::of(folder, &reading);
        if self.dry_run || report.outcome == Outcome::NothingToDo {
            return Ok(report);
        }
        let (target, salvaged) = match &self.out {
            Some(out) => (out.as_path(), reading.copy(out, manifest, &layout, watch)?),
            None => (dir, reading.mend(dir, manifest, &layout, watch)?),
        };
        let Salvaged {
            rewritten,
            quarantine,
        } = salvaged;
        report.outcome = Outcome::Salvaged;
        report.records_kept = rewritten.records;
        report.generation = Some(rewritten.generation);
        report.written_to = Some(target.display().to_string());
        report.quarantine = quarantine.map(|path| path.display().to_string());
        Ok(report)
    }
}

impl Report {
    fn of(folder: &LockedFolder, reading: &Reading) -> Self {
        let losses = reading.losses();
        let outcome = if losses.is_empty() {
            Outcome::NothingToDo
        } else {
            Outcome::WouldSalvage
        };
        let lost = losses.iter().map(|loss| LossReport {
            shard: loss.shard,
            damage: DamageReport::of(&loss.range),
        });
        Self {
            schema: SCHEMA,
            command: "wal salvage",
            folder: folder.facts(),
            outcome,
            records_kept: reading.records(),
            records_lost: losses.iter().map(Loss::records).sum(),
            lost: lost.collect(),
            written_to: None,
            generation: None,
            quarantine: None,
        }
    }

    fn render(&self) -> String {
        let Self {
            records_kept,
            records_lost,
            ..
        } = self;
        if self.outcome == Outcome::NothingToDo {
            return format!("nothing to do: all {records_kept} records can be read\n");
        }
        let lost = self.lost.iter().map(|loss| loss.damage.line(loss.shard));
        let mut text: String = lost.map(|line| line + "\n").collect();
        let verb = match self.outcome {
            Outcome::Salvaged => "were",
            Outcome::WouldSalvage | Outcome::NothingToDo => "can be",
        };
        text.push_str(&format!(
            "records lost: {records_lost}; if a delete or a newer value is among them, an older \
             value may be back\nvalues that {verb} kept: {records_kept}\n"
        ));
        if let (Some(target), Some(generation)) = (&self.written_to, self.generation) {
            text.push_str(&format!("written to {target} as generation {generation}\n"));
        }
        if let Some(quarantine) = &self.quarantine {
            text.push_str(&format!("the damaged files are in {quarantine}\n"));
        }
        text
    }
}

/// As many shards as there were, and segments as long as the configuration says or as they were.
fn layout(folder: &LockedFolder) -> Result<Layout, Failure> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall_ms = wall.unwrap_or(Duration::ZERO).as_millis();
    let segment_bytes = match folder.config() {
        Some(config) => config.segment_bytes,
        None => folder.generation().longest_segment()?,
    };
    Ok(Layout {
        node: folder.node(),
        shards: folder.manifest().shards,
        segment_bytes,
        // Whether all of it fits the memory is for the node to say that is started with it.
        memory_max: u64::MAX,
        seed: seed()?,
        now: Now {
            mono: Duration::ZERO,
            wall_ms: u64::try_from(wall_ms).unwrap_or(u64::MAX),
        },
    })
}

fn seed() -> Result<u64, Failure> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    let random = std::fs::File::open("/dev/urandom");
    let read = random.and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Failure::new(Exit::Bug, format!("reading random bytes: {error}")))?;
    Ok(u64::from_ne_bytes(bytes))
}

impl From<RewriteError> for Failure {
    fn from(error: RewriteError) -> Self {
        Self::new(error.exit(), error.to_string())
    }
}
