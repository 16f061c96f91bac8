//! The disk of one core as its host drives it: which job ends when, and which goes wrong. What
//! survives is the business of `sim_disk`.

use std::time::Duration;

use node::engine::wal::disk::{DiskDone, DiskErrorKind, DiskJob, DiskOp};
use node::engine::wal::names::FileName;
use node::engine::wal::recovery::FoundFile;

use super::net::nanos;
use super::tally::{FaultKind, Tally};
use crate::dice::Dice;
use crate::sim_disk::SimDisk;
use crate::sim_disk::crash::{CrashChoice, Fate};
use crate::sim_disk::fault::{Fault, FaultPlan};

/// How a host's disks behave. Of `one_in` jobs one goes wrong, none when 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskMood {
    /// Shortest time of a job.
    pub latency_min: Duration,
    /// Usual longest time.
    pub latency_max: Duration,
    /// Jobs that take much longer.
    pub slow_one_in: u64,
    /// The longest time of those.
    pub slow_max: Duration,
    /// Jobs that fail for good; reads are spared.
    pub error_one_in: u64,
    /// Jobs that have to be tried again.
    pub interrupted_one_in: u64,
    /// Writes that write less than they should.
    pub short_one_in: u64,
    /// Reads with a wrong bit.
    pub flipped_one_in: u64,
    /// No file gets larger.
    pub is_full: bool,
    /// No job ends.
    pub is_stuck: bool,
}

/// The disk of one core.
pub(super) struct Drive {
    disk: SimDisk,
    /// Jobs under way, in the order of the disk.
    flights: Vec<Flight>,
    /// Those that would have ended while the disk was stuck.
    stuck: Vec<u64>,
    next: u64,
}

struct Flight {
    number: u64,
    fault: Option<Fault>,
}

impl Default for DiskMood {
    fn default() -> Self {
        Self {
            latency_min: Duration::from_micros(50),
            latency_max: Duration::from_micros(400),
            slow_one_in: 0,
            slow_max: Duration::from_millis(100),
            error_one_in: 0,
            interrupted_one_in: 0,
            short_one_in: 0,
            flipped_one_in: 0,
            is_full: false,
            is_stuck: false,
        }
    }
}

impl Drive {
    /// An empty disk.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            flights: Vec::new(),
            stuck: Vec::new(),
            next: 0,
        }
    }

    /// What a process that starts finds: past the system's cache.
    pub(super) fn files(&mut self) -> Vec<FoundFile> {
        self.disk.forget_doomed();
        self.disk.files()
    }

    /// Takes a job; gives its number and how long it takes, in nanoseconds.
    pub(super) fn submit(
        &mut self,
        job: DiskJob,
        mood: &DiskMood,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> (u64, u64) {
        let fault = mood.fault(&job.op, dice);
        if let Some(fault) = fault {
            let plan = FaultPlan::once(fault, self.disk.submitted());
            self.disk.plan_fault(plan);
        }
        self.disk.submit(job);
        let number = self.next;
        self.next += 1;
        self.flights.push(Flight { number, fault });
        let (min, max) = (nanos(mood.latency_min), nanos(mood.latency_max));
        if mood.slow_one_in > 0 && dice.one_in(mood.slow_one_in) {
            tally.count(FaultKind::SlowDisk);
            return (number, max + dice.below(nanos(mood.slow_max)));
        }
        (number, min + dice.below(max.saturating_sub(min) + 1))
    }

    /// The moment of a job has come: how it ended. None when the process that gave it has ended
    /// meanwhile, or while the disk is stuck.
    pub(super) fn complete(
        &mut self,
        number: u64,
        is_stuck: bool,
        tally: &mut Tally,
    ) -> Option<DiskDone> {
        let is_meant = |flight: &Flight| flight.number == number;
        let index = self.flights.iter().position(is_meant)?;
        if is_stuck {
            tally.count(FaultKind::StuckDisk);
            self.stuck.push(number);
            return None;
        }
        let flight = self.flights.remove(index);
        if let Some(fault) = flight.fault {
            tally.count(kind_of(fault));
        }
        let done = self.disk.complete(index);
        if flight.fault.is_some() && self.flights.iter().all(|flight| flight.fault.is_none()) {
            self.disk.clear_faults();
        }
        Some(done)
    }

    /// The disk is not stuck any more: the jobs that wait to end.
    pub(super) fn take_stuck(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stuck)
    }

    /// The process has ended; the system goes on.
    pub(super) fn kill(&mut self, dice: &mut Dice) {
        let (_, choice) = CrashChoice::any(self.disk.flying_effects(), dice);
        self.disk.kill(&choice);
        self.forget_flights();
    }

    /// The power is gone.
    pub(super) fn crash(&mut self, dice: &mut Dice, tally: &mut Tally) {
        let (_, choice) = CrashChoice::any(self.disk.loose_count(), dice);
        for fate in &choice.0 {
            match fate {
                Fate::Lost => tally.count(FaultKind::LostWrite),
                Fate::Torn(_) | Fate::Garbage(_) => tally.count(FaultKind::TornWrite),
                Fate::Whole => {}
            }
        }
        let image = self.disk.crash(&choice);
        self.disk = SimDisk::from_image(image, dice.roll());
        self.forget_flights();
    }

    /// Turns over one bit of one segment, while the power is off; which file it was.
    pub(super) fn flip_bit(&mut self, dice: &mut Dice, tally: &mut Tally) -> Option<FileName> {
        let mut image = self.disk.crash(&CrashChoice::default());
        let files = image.files();
        let written = files.iter().filter(|file| file.bytes > 0);
        let written: Vec<&FoundFile> = written.collect();
        let file = *written.get(dice.index(written.len()))?;
        let (byte, bit) = if dice.one_in(2) {
            (dice.below(file.bytes), dice.below(8))
        } else {
            spot(&image.content(file.name), dice)
        };
        let bit = u8::try_from(bit).expect("a bit of a byte");
        image.flip(file.name, byte, bit);
        self.disk = SimDisk::from_image(image, dice.roll());
        tally.count(FaultKind::BitFlip);
        Some(file.name)
    }

    fn forget_flights(&mut self) {
        self.flights.clear();
        self.stuck.clear();
        self.disk.clear_faults();
    }
}

impl DiskMood {
    /// What goes wrong with the next job, when something does.
    fn fault(&self, op: &DiskOp, dice: &mut Dice) -> Option<Fault> {
        let mut comes_up = |one_in: u64| one_in > 0 && dice.one_in(one_in);
        let is_read = matches!(op, DiskOp::Read { .. });
        let grows = matches!(op, DiskOp::Create { .. } | DiskOp::Zero { .. });
        if self.is_full && grows {
            return Some(Fault::Error(DiskErrorKind::Full));
        }
        if is_read && comes_up(self.flipped_one_in) {
            return Some(Fault::FlippedBit);
        }
        if comes_up(self.error_one_in) {
            return Some(Fault::Error(DiskErrorKind::Broken));
        }
        if comes_up(self.interrupted_one_in) {
            return Some(Fault::Error(DiskErrorKind::Interrupted));
        }
        let is_data = matches!(op, DiskOp::Write { .. } | DiskOp::Zero { .. });
        (is_data && comes_up(self.short_one_in)).then_some(Fault::ShortWrite)
    }
}

const fn kind_of(fault: Fault) -> FaultKind {
    match fault {
        Fault::Error(DiskErrorKind::Full) => FaultKind::DiskFull,
        Fault::Error(DiskErrorKind::Interrupted) => FaultKind::DiskInterrupted,
        Fault::Error(DiskErrorKind::Broken) => FaultKind::DiskError,
        Fault::ShortWrite => FaultKind::ShortWrite,
        Fault::FlippedBit => FaultKind::FlippedRead,
    }
}

/// A low bit of a word in use, or of the length of a record, which a bit chosen among all hits far
/// too seldom.
fn spot(content: &[u8], dice: &mut Dice) -> (u64, u64) {
    let is_meant = if dice.one_in(2) {
        claims_length
    } else {
        |word: &[u8]| word.iter().any(|byte| *byte != 0)
    };
    let words = content.chunks(WORD_BYTES).enumerate();
    let meant = words.filter(|(_, word)| is_meant(word));
    let meant: Vec<usize> = meant.map(|(number, _)| number).collect();
    let word = meant.get(dice.index(meant.len())).copied().unwrap_or(0);
    ((word * WORD_BYTES) as u64, dice.below(3))
}

/// Whether a word looks like the length and kind of a record of the log.
fn claims_length(word: &[u8]) -> bool {
    let Some(word) = word.first_chunk() else {
        return false;
    };
    let word = u64::from_le_bytes(*word);
    let (length, kind) = (word & 0xffff_ffff, word >> 32);
    (48..1 << 17).contains(&length) && (1..=3).contains(&kind)
}

/// Records start on a multiple of so many bytes.
const WORD_BYTES: usize = 8;
