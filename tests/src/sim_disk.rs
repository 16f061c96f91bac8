//! A disk made of memory that carries out the jobs of a shard's log: the folder of one shard, as a
//! running process sees it, and what of it is durable, which is less. Deterministic and without
//! time: the driver says which job ends next, and when the power is cut.
//!
//! It holds to what `node::engine::wal::disk` says of disks and to nothing more: a durable write
//! that ended is on the medium; other bytes are after a sync of the file that was *submitted* after
//! they were written; names after a sync of the folder. Everything else may be on the medium or
//! not, in whole, in sectors or as noise. It also watches its user: two jobs under way whose order
//! matters, or a write that is not made of blocks, is a bug of the machine and panics.

mod contract;
pub mod crash;
pub mod fault;
mod image;
mod medium;

use node::engine::wal::buffer::Buffer;
use node::engine::wal::disk::{DiskDone, DiskError, DiskErrorKind, DiskJob, DiskOp};
use node::engine::wal::names::FileName;
use node::engine::wal::recovery::FoundFile;

pub use self::contract::describe;
use self::contract::{Shown, assert_blocks, conflict, error};
use self::crash::{CrashChoice, Fate};
use self::fault::{Fault, FaultPlan, Lie};
pub use self::image::DiskImage;
use self::medium::{Data, Effect, FileId, Medium};
use crate::dice::Dice;

/// The folder of one shard on a disk that can lose its power.
#[derive(Clone, Debug)]
pub struct SimDisk {
    /// What a process reads.
    visible: Medium,
    /// What a power cut leaves for certain, `pending` apart.
    durable: Medium,
    /// Effects that are visible and not in `durable`, in their order.
    pending: Vec<Pending>,
    flights: Vec<Flight>,
    next_file: u64,
    next_effect: u64,
    submitted: u64,
    revision: u64,
    faults: Vec<FaultPlan>,
    lie: Option<Lie>,
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Pending {
    number: u64,
    effect: Effect,
    state: PendingState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PendingState {
    /// Durable after a sync.
    Loose,
    /// Durable; waits for an earlier one that touches the same.
    Firm,
    /// Its write or a sync of it failed: no later sync makes it durable (what Linux does).
    Doomed,
}

/// A job under way.
#[derive(Clone, Debug)]
struct Flight {
    job: DiskJob,
    number: u64,
    effect: Option<Effect>,
    file: Option<FileId>,
    /// Effects with a smaller number are covered by this sync.
    covers: u64,
}

impl SimDisk {
    /// An empty folder. The seed decides what failed operations leave.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_image(DiskImage::default(), seed)
    }

    /// A folder after a crash: all there is, is durable.
    #[must_use]
    pub fn from_image(image: DiskImage, seed: u64) -> Self {
        let next_file = image.0.names.values().max().map_or(0, |file| file.0 + 1);
        Self {
            visible: image.0.clone(),
            durable: image.0,
            pending: Vec::new(),
            flights: Vec::new(),
            next_file,
            next_effect: 0,
            submitted: 0,
            revision: 0,
            faults: Vec::new(),
            lie: None,
            dice: Dice::new(seed),
        }
    }

    /// Adds a fault.
    pub fn plan_fault(&mut self, plan: FaultPlan) {
        self.faults.push(plan);
    }

    /// Ends all faults: the disk was mended, or room was made.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Lies from now on.
    pub fn lie(&mut self, lie: Lie) {
        self.lie = Some(lie);
    }

    /// The files a process finds.
    #[must_use]
    pub fn files(&self) -> Vec<FoundFile> {
        DiskImage(self.visible.clone()).files()
    }

    /// How many jobs are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// A job under way, in words.
    #[must_use]
    pub fn name_of(&self, index: usize) -> String {
        describe(&self.flights[index].job.op)
    }

    /// How many jobs were submitted.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Grows with every change of what a crash may leave.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes a job. It ends with [`SimDisk::complete`].
    ///
    /// # Panics
    /// When the job breaks the contract of `DiskOp`: that is a bug of the machine that gave it.
    pub fn submit(&mut self, job: DiskJob) {
        assert_blocks(&job.op);
        for flight in &self.flights {
            assert!(
                !conflict(&flight.job.op, &job.op),
                "{} while {} is under way",
                describe(&job.op),
                describe(&flight.job.op)
            );
            assert_ne!(flight.job.id, job.id, "a number is given once");
        }
        let name = match &job.op {
            DiskOp::Rename { from, .. } => Some(*from),
            other => other.file(),
        };
        let file = name.and_then(|name| self.visible.names.get(&name).copied());
        let effect = self.effect_of(&job.op, file);
        self.revision += u64::from(effect.is_some());
        self.flights.push(Flight {
            job,
            number: self.submitted,
            effect,
            file,
            covers: self.next_effect,
        });
        self.submitted += 1;
    }

    /// Ends a job under way, the first being 0, and says how.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn complete(&mut self, index: usize) -> DiskDone {
        let flight = self.flights.remove(index);
        if !matches!(flight.job.op, DiskOp::Read { .. }) {
            self.revision += 1;
        }
        let plans = self.faults.iter();
        let fault = plans
            .filter_map(|plan| plan.fault(flight.number, &flight.job.op))
            .next();
        let id = flight.job.id;
        let result = match fault {
            None => self.do_well(&flight),
            Some(fault) => self.go_wrong(&flight, fault),
        };
        let buffer = match flight.job.op {
            DiskOp::Write { buffer, .. } => Some(buffer),
            DiskOp::Read {
                file,
                offset,
                mut buffer,
            } => {
                self.read(file, offset, &mut buffer, fault);
                Some(buffer)
            }
            _ => None,
        };
        DiskDone { id, result, buffer }
    }

    /// The effects a crash may keep or lose, one line each: what a choice decides about.
    #[must_use]
    pub fn loose_effects(&self) -> Vec<String> {
        let pending = self.pending.iter().filter(|it| it.is_loose());
        let pending = pending.map(|pending| format!("{}", Shown(&pending.effect, &self.visible)));
        let flights = self.flights.iter().filter_map(|flight| {
            let effect = flight.effect.as_ref()?;
            Some(format!("{}, under way", Shown(effect, &self.visible)))
        });
        pending.chain(flights).collect()
    }

    /// How many effects a crash may keep or lose.
    #[must_use]
    pub fn loose_count(&self) -> usize {
        self.pending.iter().filter(|it| it.is_loose()).count()
            + self
                .flights
                .iter()
                .filter(|flight| flight.effect.is_some())
                .count()
    }

    /// The power is cut: what lies on the medium afterwards, when the effects that were not durable
    /// fare as the choice says.
    #[must_use]
    pub fn crash(&self, choice: &CrashChoice) -> DiskImage {
        let mut medium = self.durable.clone();
        let mut loose = 0;
        for pending in &self.pending {
            if pending.is_loose() {
                medium.apply_torn(&pending.effect, choice.fate(loose));
                loose += 1;
            } else {
                medium.apply(&pending.effect);
            }
        }
        for effect in self.flights.iter().filter_map(|it| it.effect.as_ref()) {
            medium.apply_torn(effect, choice.fate(loose));
            loose += 1;
        }
        medium.collect(|_| false);
        DiskImage(medium)
    }

    /// The process is killed: jobs under way end as the choice says, one fate for each that changes
    /// something, and nobody hears of it. What is not durable stays so, in the cache of the system.
    pub fn kill(&mut self, choice: &CrashChoice) {
        let flights = std::mem::take(&mut self.flights);
        let effects = flights.into_iter().filter_map(|flight| flight.effect);
        for (at, effect) in effects.enumerate() {
            match (choice.fate(at), effect) {
                (Fate::Lost, _) => {}
                (Fate::Whole, effect) => self.keep(effect, PendingState::Loose),
                (Fate::Torn(seed) | Fate::Garbage(seed), Effect::Data { file, offset, data }) => {
                    let bytes = Dice::new(seed).below(data.len() / SECTOR + 1) * SECTOR;
                    let data = data.front(bytes);
                    self.keep(Effect::Data { file, offset, data }, PendingState::Loose);
                }
                (_, effect) => self.keep(effect, PendingState::Loose),
            }
        }
        self.revision += 1;
    }

    /// A process starts that reads past the system's cache: bytes of which a sync failed are not
    /// what it finds, although the cache still shows them.
    pub fn forget_doomed(&mut self) {
        self.pending
            .retain(|pending| pending.state != PendingState::Doomed);
        self.visible = self.durable.clone();
        for pending in &self.pending {
            self.visible.apply(&pending.effect);
        }
        self.revision += 1;
    }

    /// How many jobs under way would change something: what [`SimDisk::kill`] asks fates for.
    #[must_use]
    pub fn flying_effects(&self) -> usize {
        self.flights
            .iter()
            .filter(|flight| flight.effect.is_some())
            .count()
    }
}

impl SimDisk {
    /// What a job changes when it ends well; a sync and a read change nothing by themselves.
    fn effect_of(&mut self, op: &DiskOp, file: Option<FileId>) -> Option<Effect> {
        Some(match op {
            DiskOp::Create { file: name } => match file {
                Some(file) => Effect::Truncate { file },
                None => {
                    let file = FileId(self.next_file);
                    self.next_file += 1;
                    Effect::Link { name: *name, file }
                }
            },
            DiskOp::Zero { offset, bytes, .. } => Effect::Data {
                file: file?,
                offset: *offset,
                data: Data::Zeros(*bytes),
            },
            DiskOp::Write { offset, buffer, .. } => Effect::Data {
                file: file?,
                offset: *offset,
                data: Data::Bytes(buffer.as_bytes().into()),
            },
            DiskOp::Rename { from, to } => Effect::Rename {
                from: *from,
                to: *to,
                file: file?,
            },
            DiskOp::Remove { file: name } => Effect::Unlink {
                name: *name,
                file: file?,
            },
            DiskOp::Sync { .. } | DiskOp::SyncFolder | DiskOp::Read { .. } => return None,
        })
    }

    fn do_well(&mut self, flight: &Flight) -> Result<u64, DiskError> {
        let op = &flight.job.op;
        if flight.file.is_none() && !matches!(op, DiskOp::Create { .. } | DiskOp::SyncFolder) {
            return Err(error(DiskErrorKind::Broken, op, "no such file"));
        }
        match op {
            DiskOp::Sync { .. } => {
                if self.lie != Some(Lie::SyncIgnored) {
                    let file = flight.file;
                    self.settle(PendingState::Firm, flight.covers, |effect| {
                        !effect.is_name() && Some(effect.file()) == file
                    });
                }
                Ok(0)
            }
            DiskOp::SyncFolder => {
                if self.lie != Some(Lie::FolderSyncIgnored) {
                    self.settle(PendingState::Firm, flight.covers, Effect::is_name);
                }
                Ok(0)
            }
            DiskOp::Write {
                buffer, is_durable, ..
            } => {
                let effect = flight.effect.clone().expect("its file is there");
                self.write(effect, *is_durable);
                Ok(buffer.len() as u64)
            }
            DiskOp::Read {
                file,
                offset,
                buffer,
            } => {
                let bytes = self
                    .visible
                    .file(*file)
                    .map_or(0, |(_, content)| content.bytes());
                Ok(bytes.saturating_sub(*offset).min(buffer.len() as u64))
            }
            _ => {
                let bytes = match op {
                    DiskOp::Zero { bytes, .. } => *bytes,
                    _ => 0,
                };
                if let Some(effect) = flight.effect.clone() {
                    self.keep(effect, PendingState::Loose);
                }
                Ok(bytes)
            }
        }
    }

    /// A write that ended well, or of which the disk says so.
    fn write(&mut self, effect: Effect, is_durable: bool) {
        let state = if is_durable {
            PendingState::Firm
        } else {
            PendingState::Loose
        };
        match self.lie {
            Some(Lie::DurableWriteLost(of)) if is_durable && self.dice.one_in(of) => {
                self.keep(effect, PendingState::Loose);
            }
            Some(Lie::ShortReportedFull(of)) if self.dice.one_in(of) => {
                let Effect::Data { file, offset, data } = effect else {
                    return;
                };
                let data = data.front(data.len() / 2);
                self.keep(Effect::Data { file, offset, data }, state);
            }
            _ => self.keep(effect, state),
        }
    }

    fn go_wrong(&mut self, flight: &Flight, fault: Fault) -> Result<u64, DiskError> {
        let op = &flight.job.op;
        let kind = match (fault, &flight.effect) {
            (Fault::FlippedBit, _) => return self.do_well(flight),
            (Fault::ShortWrite, Some(Effect::Data { file, offset, data })) => {
                let (file, offset, bytes) = (*file, *offset, self.dice.below(data.len()));
                let data = data.front(bytes);
                let is_durable = matches!(
                    op,
                    DiskOp::Write {
                        is_durable: true,
                        ..
                    }
                );
                self.write(Effect::Data { file, offset, data }, is_durable);
                return Ok(bytes);
            }
            (Fault::ShortWrite, _) => DiskErrorKind::Interrupted,
            (Fault::Error(kind), _) => kind,
        };
        if kind != DiskErrorKind::Interrupted {
            self.fail_partly(flight, kind);
        }
        Err(error(kind, op, "injected"))
    }

    /// What a failed job leaves: a write some of its bytes, a name perhaps itself, and a sync of a
    /// file pages that the system takes for clean from then on. Names stay to be synchronised: they
    /// are the file system's own data, of which it forgets nothing without stopping for good.
    fn fail_partly(&mut self, flight: &Flight, kind: DiskErrorKind) {
        match (&flight.job.op, flight.effect.clone()) {
            (DiskOp::Sync { .. }, _) => {
                let file = flight.file;
                self.settle(PendingState::Doomed, flight.covers, |effect| {
                    !effect.is_name() && Some(effect.file()) == file
                });
            }
            (op, Some(Effect::Data { file, offset, data })) => {
                let bytes = self.dice.below(data.len() / SECTOR + 1) * SECTOR;
                let data = data.front(bytes);
                // A durable write goes past the cache: what is read of it is on the medium.
                let state = match op {
                    DiskOp::Write {
                        is_durable: true, ..
                    } => PendingState::Firm,
                    _ => PendingState::Doomed,
                };
                self.keep(Effect::Data { file, offset, data }, state);
            }
            (_, Some(effect)) if kind == DiskErrorKind::Broken && self.dice.one_in(2) => {
                self.keep(effect, PendingState::Doomed);
            }
            _ => {}
        }
    }

    /// Makes an effect visible.
    fn keep(&mut self, effect: Effect, state: PendingState) {
        self.visible.apply(&effect);
        let number = self.next_effect;
        self.next_effect += 1;
        self.pending.push(Pending {
            number,
            effect,
            state,
        });
        self.fold();
    }

    /// Changes the state of the loose effects that were there when a sync was submitted.
    fn settle(&mut self, state: PendingState, covers: u64, is_meant: impl Fn(&Effect) -> bool) {
        for pending in &mut self.pending {
            let is_loose = pending.state == PendingState::Loose;
            if is_loose && pending.number < covers && is_meant(&pending.effect) {
                pending.state = state;
            }
        }
        self.fold();
    }

    /// Moves firm effects to the durable medium, as far as none before them touches the same.
    fn fold(&mut self) {
        let mut at = 0;
        while at < self.pending.len() {
            let (before, rest) = self.pending.split_at(at);
            let effect = &rest[0].effect;
            let is_free = before
                .iter()
                .all(|earlier| !earlier.effect.interferes(effect));
            if rest[0].state == PendingState::Firm && is_free {
                let folded = self.pending.remove(at);
                self.durable.apply(&folded.effect);
            } else {
                at += 1;
            }
        }
        self.forget();
    }

    /// Forgets files that nothing names any more, now or after a crash.
    fn forget(&mut self) {
        let names = |medium: &Medium| medium.names.values().copied().collect::<Vec<_>>();
        let mut named = names(&self.visible);
        named.extend(names(&self.durable));
        named.extend(self.flights.iter().filter_map(|flight| flight.file));
        let effects = self.pending.iter().map(|pending| &pending.effect);
        named.extend(effects.filter(|it| it.is_name()).map(Effect::file));
        let is_named = |file: FileId| named.contains(&file);
        self.pending
            .retain(|pending| is_named(pending.effect.file()));
        self.durable.collect(is_named);
        self.visible.collect(is_named);
    }

    fn read(&mut self, file: FileName, offset: u64, buffer: &mut Buffer, fault: Option<Fault>) {
        let Some((_, content)) = self.visible.file(file) else {
            return;
        };
        let bytes = content.read(offset, buffer.as_mut_bytes());
        if fault == Some(Fault::FlippedBit) && bytes > 0 {
            let byte = self.dice.below(bytes);
            buffer.as_mut_bytes()[medium::at(byte)] ^= 1 << self.dice.below(8);
        }
    }
}

impl Pending {
    fn is_loose(&self) -> bool {
        self.state != PendingState::Firm
    }
}

const SECTOR: u64 = 512;

#[cfg(test)]
mod tests;
