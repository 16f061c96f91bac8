//! Every operation of the disk fails, one after the other: with EIO, for want of room, interrupted,
//! short; once and for ever. Nothing panics, nothing is acknowledged that is not so, reads go on,
//! a full disk is written to again when there is room, a broken one is not; and what comes after
//! a restart has everything that was acknowledged.
//!
//! A failure prints the line that replays it: `CHORDITE_FAULT='SCRIPT N FAULT'`.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use harness::dice::Dice;
use harness::log_oracle::Oracle;
use harness::log_script::{Action, POLICIES, Script, Theme};
use harness::sim_disk::SimDisk;
use harness::sim_disk::crash::{CrashChoice, Fate};
use harness::sim_disk::fault::{Fault, FaultPlan};
use harness::sim_shard::SimShard;
use node::engine::wal::disk::DiskErrorKind;
use node::engine::wal::log::AppendError;
use proto::time::Now;

/// Things done in a script.
const ACTIONS: usize = 40;

const FAULTS: [(&str, Fault); 4] = [
    ("broken", Fault::Error(DiskErrorKind::Broken)),
    ("full", Fault::Error(DiskErrorKind::Full)),
    ("interrupted", Fault::Error(DiskErrorKind::Interrupted)),
    ("short", Fault::ShortWrite),
];

#[test]
fn every_operation_may_fail() {
    if let Ok(replay) = env::var("CHORDITE_FAULT") {
        let words: Vec<&str> = replay.split_whitespace().collect();
        let [script, number, fault, lasting] = words[..] else {
            panic!("SCRIPT N FAULT once|for-ever, not `{replay}`");
        };
        let fault = FAULTS.iter().find(|(name, _)| *name == fault);
        let case = Case {
            script: script.parse().expect("a script"),
            number: number.parse().expect("a number"),
            fault: *fault.expect("a fault"),
            is_lasting: lasting == "for-ever",
        };
        return case.run(&mut Seen::default()).expect("it is well now");
    }
    let started = Instant::now();
    let cases: Vec<Case> = scripts().into_iter().flat_map(cases_of).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let seen = Mutex::new(Seen::default());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Seen::default();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = case.run(&mut own) {
                        found
                            .lock()
                            .expect("no panic")
                            .push(format!("{case}\n  {why}"));
                    }
                }
                seen.lock().expect("no panic").add(&own);
            });
        }
    });
    let seen = seen.into_inner().expect("no panic");
    println!(
        "{} faults in {:.1?}: {seen:?}",
        cases.len(),
        started.elapsed()
    );
    let found = found.into_inner().expect("no panic");
    for failure in found.iter().take(8) {
        println!("{failure}\n");
    }
    assert!(
        found.is_empty(),
        "{} of {} faults",
        found.len(),
        cases.len()
    );
    seen.assert_all();
}

/// Every theme where answers are promises, and some where they are not.
fn scripts() -> Vec<Script> {
    let [(_, always), (_, interval), (_, never)] = POLICIES;
    let all = Theme::ALL.into_iter();
    let mut scripts: Vec<Script> = all
        .map(|theme| Script {
            theme,
            sync: always,
            seed: 77,
        })
        .collect();
    for theme in [Theme::Compaction, Theme::Restarts] {
        scripts.push(Script {
            theme,
            sync: interval,
            seed: 78,
        });
        scripts.push(Script {
            theme,
            sync: never,
            seed: 79,
        });
    }
    scripts
}

/// One fault of one operation.
#[derive(Clone, Copy, Debug)]
struct Case {
    script: Script,
    number: u64,
    fault: (&'static str, Fault),
    is_lasting: bool,
}

/// What the faults have led to: each has to come up, or the test tests nothing.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    unharmed: u64,
    refused_when_full: u64,
    poisoned: u64,
    refused_at_start: u64,
    wrote_again: u64,
    restarts: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.unharmed += other.unharmed;
        self.refused_when_full += other.refused_when_full;
        self.poisoned += other.poisoned;
        self.refused_at_start += other.refused_at_start;
        self.wrote_again += other.wrote_again;
        self.restarts += other.restarts;
    }

    fn assert_all(&self) {
        let all = [
            self.unharmed,
            self.refused_when_full,
            self.poisoned,
            self.refused_at_start,
            self.wrote_again,
            self.restarts,
        ];
        assert!(all.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// Every operation of a script with every fault.
fn cases_of(script: Script) -> Vec<Case> {
    let mut shard = fresh(&script);
    play(&mut shard, &script).unwrap_or_else(|why| panic!("{script} without a fault: {why}"));
    let mut cases = Vec::new();
    for number in 0..shard.disk.submitted() {
        for fault in FAULTS {
            let both = [false, true].into_iter();
            cases.extend(both.map(|is_lasting| Case {
                script,
                number,
                fault,
                is_lasting,
            }));
        }
    }
    cases
}

fn fresh(script: &Script) -> SimShard {
    let oracle = Oracle::new(SimShard::is_strict(script.sync));
    let now = Now::at_ms(1_000_000_000);
    SimShard::start(
        script.config(),
        SimDisk::new(script.seed),
        oracle,
        now,
        script.seed,
    )
}

fn play(shard: &mut SimShard, script: &Script) -> Result<(), String> {
    shard.recover(&mut |_| Ok(()))?;
    for action in script.actions(ACTIONS) {
        shard.act(&action, &mut |_| Ok(()))?;
    }
    Ok(())
}

impl Case {
    fn run(&self, seen: &mut Seen) -> Result<(), String> {
        let mut shard = fresh(&self.script);
        shard.disk.plan_fault(if self.is_lasting {
            FaultPlan::for_ever(self.fault.1, self.number)
        } else {
            FaultPlan::once(self.fault.1, self.number)
        });
        let played = play(&mut shard, &self.script).and_then(|()| self.go_on(&mut shard, seen));
        match played {
            Ok(()) => {}
            Err(why) if why.starts_with("refused") => seen.refused_at_start += 1,
            Err(why) => return Err(format!("{why}\n  {}", shard.trace().join("\n  "))),
        }
        shard.disk.clear_faults();
        self.restart(&shard, seen)
    }

    /// What holds while the fault is there, and after it has gone.
    fn go_on(&self, shard: &mut SimShard, seen: &mut Seen) -> Result<(), String> {
        read_all(shard)?;
        let before = shard.write_refusal();
        match &before {
            None => seen.unharmed += 1,
            Some(AppendError::Full { .. }) => seen.refused_when_full += 1,
            Some(AppendError::Poisoned { .. }) => seen.poisoned += 1,
            Some(AppendError::Busy) => return Err("busy at rest".to_owned()),
        }
        shard.disk.clear_faults();
        for _ in 0..4 {
            shard.act(&Action::Rest { ms: 1_100 }, &mut |_| Ok(()))?;
            shard.act(&Action::Settle, &mut |_| Ok(()))?;
        }
        let after = shard.write_refusal();
        let acknowledged = shard.oracle.greatest();
        shard.act(
            &Action::Put {
                key: 5,
                bytes: 100,
                ttl_s: 1_000,
            },
            &mut |_| Ok(()),
        )?;
        shard.act(&Action::Settle, &mut |_| Ok(()))?;
        let is_taken = shard.oracle.greatest() > acknowledged;
        match (before, after) {
            (Some(AppendError::Poisoned { .. }), Some(AppendError::Poisoned { .. })) => {
                if is_taken {
                    return Err("a failed log has taken a write".to_owned());
                }
            }
            (_, None) if is_taken => seen.wrote_again += 1,
            (_, after) => return Err(format!("no write is taken: {after:?}")),
        }
        read_all(shard)
    }

    /// Everything acknowledged is there after a restart: of the process, and of the machine.
    fn restart(&self, shard: &SimShard, seen: &mut Seen) -> Result<(), String> {
        let mut dice = Dice::new(self.number);
        let effects = shard.disk.loose_count();
        let choices = [
            CrashChoice::all(Fate::Lost, effects),
            CrashChoice::all(Fate::Whole, effects),
            CrashChoice::any(effects, &mut dice).1,
        ];
        for choice in choices {
            let disk = SimDisk::from_image(shard.disk.crash(&choice), dice.roll());
            self.recover(shard, disk, &mut dice).map_err(|why| {
                format!("after {choice}: {why}\n  {}", shard.trace().join("\n  "))
            })?;
            seen.restarts += 1;
        }
        let mut disk = shard.disk.clone();
        disk.kill(&CrashChoice::any(disk.flying_effects(), &mut dice).1);
        disk.forget_doomed();
        seen.restarts += 1;
        let killed = self.recover(shard, disk, &mut dice);
        killed.map_err(|why| format!("killed: {why}\n  {}", shard.trace().join("\n  ")))
    }

    fn recover(&self, shard: &SimShard, disk: SimDisk, dice: &mut Dice) -> Result<(), String> {
        let oracle = shard.oracle.clone();
        let config = self.script.config();
        let mut after = SimShard::start(config, disk, oracle, shard.now, dice.roll());
        let done = go_on_after_restart(&mut after);
        done.map_err(|why| format!("{why}\n  {}\n  before:", after.trace().join("\n  ")))
    }
}

fn go_on_after_restart(after: &mut SimShard) -> Result<(), String> {
    after.recover(&mut |_| Ok(()))?;
    let (records, clocks) = (after.records(), after.clocks());
    after.oracle.check(&records, clocks)?;
    after.oracle.settle(&records, clocks, true);
    for key in 0..4 {
        after.act(
            &Action::Put {
                key,
                bytes: 200,
                ttl_s: 1_000,
            },
            &mut |_| Ok(()),
        )?;
    }
    after.act(&Action::Settle, &mut |_| Ok(()))?;
    match after.write_refusal() {
        None => read_all(after),
        Some(refusal) => Err(refusal.to_string()),
    }
}

/// Reads are served, whatever the disk does.
fn read_all(shard: &mut SimShard) -> Result<(), String> {
    let before = shard.refused_reads();
    for key in 0..12 {
        shard.act(&Action::Get { key }, &mut |_| Ok(()))?;
    }
    shard.act(&Action::Settle, &mut |_| Ok(()))?;
    if shard.refused_reads() > before {
        return Err("a read was refused".to_owned());
    }
    Ok(())
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            script,
            number,
            fault,
            is_lasting,
        } = self;
        let lasting = if *is_lasting { "for-ever" } else { "once" };
        write!(
            f,
            "CHORDITE_FAULT='{script} {number} {} {lasting}'",
            fault.0
        )
    }
}
