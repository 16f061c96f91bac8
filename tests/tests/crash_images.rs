//! Every moment of many scripts at which the power may go: after each job that a shard's log gives
//! its disk, and after each that ends, what may be on the medium is enumerated, recovered by the
//! production code and judged by what every writer was told. Some images are crashed a second time,
//! inside the recovery or inside the first writes after it.
//!
//! A failure prints a line for `CHORDITE_CRASH` that replays it alone, in words.

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use harness::dice::Dice;
use harness::log_oracle::Oracle;
use harness::log_script::{Action, POLICIES, Script, Theme};
use harness::sim_disk::crash::{CrashChoice, CrashKind, Fate};
use harness::sim_disk::fault::Lie;
use harness::sim_disk::{DiskImage, SimDisk};
use harness::sim_shard::SimShard;
use proto::time::Now;

/// What has to be checked in an ordinary run.
const IMAGES_MIN: u64 = 16_000;

/// Seeds of each theme and policy.
const SEEDS: u64 = 3;

/// Things done in a script.
const ACTIONS: usize = 60;

#[test]
fn crash_images_lose_nothing_and_invent_nothing() {
    if let Ok(replay) = env::var("CHORDITE_CRASH") {
        return replay_one(&replay);
    }
    let scripts = catalogue();
    let started = Instant::now();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let counts = Mutex::new(Counts::default());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut run = Run::new(*script);
                    if let Err(failure) = run.play() {
                        found.lock().expect("no panic").push(failure);
                    }
                    counts.lock().expect("no panic").add(&run.counts);
                }
            });
        }
    });
    let (counts, found) = (counts.into_inner().expect("no panic"), found.into_inner());
    println!(
        "{} scripts in {:.1?}: {counts:?}",
        scripts.len(),
        started.elapsed()
    );
    let found = found.expect("no panic");
    for failure in found.iter().take(5) {
        println!("{failure}\n");
    }
    assert!(found.is_empty(), "{} scripts found a loss", found.len());
    assert!(
        counts.total() >= IMAGES_MIN,
        "too few images: {}",
        counts.total()
    );
}

/// Every theme under every policy; `always`, which promises most, with twice the seeds.
fn catalogue() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (_, sync) in POLICIES {
        let seeds = if SimShard::is_strict(sync) {
            2 * SEEDS
        } else {
            SEEDS
        };
        for theme in Theme::ALL {
            scripts.extend((1..=seeds).map(|seed| Script { theme, sync, seed }));
        }
    }
    scripts
}

/// How many images were checked.
#[derive(Clone, Default, Debug)]
struct Counts {
    steps: u64,
    by_kind: BTreeMap<CrashKind, u64>,
    recovered_twice: u64,
    crashed_again: u64,
    killed_then_cut: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        for (kind, count) in &other.by_kind {
            *self.by_kind.entry(*kind).or_default() += count;
        }
        self.recovered_twice += other.recovered_twice;
        self.crashed_again += other.crashed_again;
        self.killed_then_cut += other.killed_then_cut;
    }

    fn total(&self) -> u64 {
        self.by_kind.values().sum::<u64>() + self.crashed_again + self.killed_then_cut
    }
}

/// One script, played to its end with a crash at every step.
struct Run {
    script: Script,
    counts: Counts,
    revision: u64,
    lie: Option<Lie>,
}

/// Which image of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    step: u64,
    choice: CrashChoice,
    /// Decides what is done with the image besides recovering it.
    inner: u64,
}

impl Run {
    fn new(script: Script) -> Self {
        Self {
            script,
            counts: Counts::default(),
            revision: u64::MAX,
            lie: None,
        }
    }

    fn play(&mut self) -> Result<(), String> {
        let mut shard = fresh(&self.script);
        if let Some(lie) = self.lie {
            shard.disk.lie(lie);
        }
        let script = self.script;
        let mut look = |shard: &SimShard| self.enumerate(shard);
        let mut played = shard.recover(&mut look);
        for action in script.actions(ACTIONS) {
            played = played.and_then(|()| shard.act(&action, &mut look));
        }
        let trace = || shard.trace().join("\n  ");
        played.map_err(|why| {
            if why.contains("CHORDITE_CRASH") {
                return why;
            }
            format!(
                "{script} fails without a crash at step {}: {why}\n  {}",
                shard.steps(),
                trace()
            )
        })
    }

    fn enumerate(&mut self, shard: &SimShard) -> Result<(), String> {
        // A read, or a sync that begins, changes nothing of what a crash may leave.
        if shard.disk.revision() == self.revision {
            return Ok(());
        }
        self.revision = shard.disk.revision();
        self.counts.steps += 1;
        let mut dice = Dice::new(self.script.seed.wrapping_mul(1_000_003) + shard.steps());
        for (kind, choice) in CrashChoice::plan(shard.disk.loose_count(), 1, &mut dice) {
            let (step, inner) = (shard.steps(), dice.below(1 << 32));
            *self.counts.by_kind.entry(kind).or_default() += 1;
            let place = Place {
                step,
                choice,
                inner,
            };
            examine(shard, &place, &mut self.counts)
                .map_err(|why| report(&self.script, shard, place, &why))?;
        }
        Ok(())
    }
}

/// A shard on an empty disk.
fn fresh(script: &Script) -> SimShard {
    let config = script.config();
    let oracle = Oracle::new(SimShard::is_strict(script.sync));
    let now = Now::at_ms(1_000_000_000);
    SimShard::start(config, SimDisk::new(script.seed), oracle, now, script.seed)
}

/// Recovers an image and judges it; some are recovered twice, some are crashed again.
fn examine(shard: &SimShard, place: &Place, counts: &mut Counts) -> Result<(), String> {
    let image = shard.disk.crash(&place.choice);
    let mut dice = Dice::new(place.inner);
    let (one_more, again, kill) = (dice.one_in(8), dice.one_in(16), dice.one_in(24));
    let wall_ms = start_ms(shard, true, &mut dice);
    let mut after = recovered(shard, image.clone(), wall_ms, &mut dice)?;
    let records = after.records();
    shard.oracle.check(&records, after.clocks())?;
    if one_more {
        counts.recovered_twice += 1;
        let twin = recovered(shard, image, wall_ms, &mut dice)?;
        if twin.records() != records {
            return Err("a second recovery of the same image differs".to_owned());
        }
    }
    if after.is_set_back() {
        after.oracle = shard.oracle.clone();
        after.oracle.settle(&records, after.clocks(), true);
        return write_after_set_back(&mut after, &mut dice);
    }
    if again {
        after.oracle = shard.oracle.clone();
        after.oracle.settle(&records, after.clocks(), true);
        crash_again(&mut after, &mut dice, &mut counts.crashed_again)?;
    }
    if kill {
        kill_then_cut(shard, &mut dice, &mut counts.killed_then_cut)?;
    }
    Ok(())
}

/// What the wall clock reads at a start: the same, a while later, or less than before.
fn start_ms(shard: &SimShard, may_set_back: bool, dice: &mut Dice) -> u64 {
    let wall_ms = shard.now.wall_ms;
    match dice.below(32) {
        0 if may_set_back => wall_ms - 1 - dice.below(3_600_000),
        1..=8 => wall_ms + dice.below(3_000),
        _ => wall_ms,
    }
}

/// The shard that has started on an image.
fn recovered(
    shard: &SimShard,
    image: DiskImage,
    wall_ms: u64,
    dice: &mut Dice,
) -> Result<SimShard, String> {
    let disk = SimDisk::from_image(image, dice.roll());
    let oracle = Oracle::new(SimShard::is_strict(shard.config().sync));
    let mut after = SimShard::start(shard.config(), disk, oracle, shard.now, dice.roll());
    after.set_wall(wall_ms);
    after.recover(&mut |_| Ok(()))?;
    Ok(after)
}

/// The wall clock reads less than before the crash: versions grow all the same.
fn write_after_set_back(after: &mut SimShard, dice: &mut Dice) -> Result<(), String> {
    let actions = first_writes(dice.roll()).into_iter();
    for action in actions.filter(|action| matches!(action, Action::Put { .. } | Action::Settle)) {
        after.act(&action, &mut |_| Ok(()))?;
    }
    Ok(())
}

/// Goes on writing after a recovery, with the power cut at a sample of the steps.
fn crash_again(after: &mut SimShard, dice: &mut Dice, count: &mut u64) -> Result<(), String> {
    let mut inner = dice.clone();
    let seed = dice.roll();
    for action in first_writes(seed) {
        after.act(&action, &mut |shard| cut_now(shard, &mut inner, count))?;
    }
    Ok(())
}

/// Cuts the power at this step, one time in two, and judges what the next start finds.
fn cut_now(shard: &SimShard, dice: &mut Dice, count: &mut u64) -> Result<(), String> {
    if dice.one_in(2) {
        return Ok(());
    }
    *count += 1;
    let (_, choice) = CrashChoice::any(shard.disk.loose_count(), dice);
    let wall_ms = start_ms(shard, false, dice);
    let again = recovered(shard, shard.disk.crash(&choice), wall_ms, dice);
    let judged = again.and_then(|again| shard.oracle.check(&again.records(), again.clocks()));
    judged.map_err(|why| second(shard, &choice, &why))
}

/// The process is killed, another starts on what the system's cache shows, and the power goes at
/// any step of its recovery or of its first writes.
fn kill_then_cut(shard: &SimShard, dice: &mut Dice, count: &mut u64) -> Result<(), String> {
    let mut disk = shard.disk.clone();
    let (_, choice) = CrashChoice::any(disk.flying_effects(), dice);
    disk.kill(&choice);
    let (oracle, config) = (shard.oracle.clone(), shard.config());
    let mut after = SimShard::start(config, disk, oracle, shard.now, dice.roll());
    let killed = |why: String| format!("killed with {choice}, then: {why}");
    let mut inner = dice.clone();
    let look = &mut |shard: &SimShard| cut_now(shard, &mut inner, count);
    after.reopen(look).map_err(killed)?;
    crash_again(&mut after, dice, count).map_err(killed)
}

/// What is done after a recovery.
fn first_writes(seed: u64) -> Vec<Action> {
    let themes = [
        Theme::Overwrites,
        Theme::Deletes,
        Theme::Rotation,
        Theme::Mixture,
    ];
    let theme = themes[Dice::new(seed).index(themes.len())];
    let sync = POLICIES[0].1;
    Script { theme, sync, seed }.actions(6)
}

fn second(shard: &SimShard, choice: &CrashChoice, why: &str) -> String {
    format!(
        "crashed again at step {} with {choice}: {why}\n  after\n  {}\n  loose:\n  {}",
        shard.steps(),
        shard.trace().join("\n  "),
        fates(shard, choice),
    )
}

/// What failed, in words, with the line that replays it. The choice is made as plain as it can be.
fn report(script: &Script, shard: &SimShard, mut place: Place, why: &str) -> String {
    let mut why = why.to_owned();
    for at in 0..place.choice.0.len() {
        for fate in [Fate::Whole, Fate::Lost] {
            let mut plainer = place.clone();
            plainer.choice.0[at] = fate;
            if plainer != place
                && let Err(still) = examine(shard, &plainer, &mut Counts::default())
            {
                (place, why) = (plainer, still);
                break;
            }
        }
    }
    format!(
        "CHORDITE_CRASH='{script} step={} choice={} inner={}'\n  {why}\n  the last steps:\n  {}\n  \
         not durable at the crash:\n  {}",
        place.step,
        place.choice,
        place.inner,
        shard.trace().join("\n  "),
        fates(shard, &place.choice),
    )
}

fn fates(shard: &SimShard, choice: &CrashChoice) -> String {
    let effects = shard.disk.loose_effects().into_iter().enumerate();
    let lines = effects.map(|(at, effect)| format!("{effect}: {:?}", choice.fate(at)));
    lines.collect::<Vec<_>>().join("\n  ")
}

/// Plays a script up to the step and examines the one image.
fn replay_one(replay: &str) {
    let mut words = replay.split_whitespace();
    let script: Script = words
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a script");
    let mut value = |name: &str| {
        let word = words.next().and_then(|word| word.strip_prefix(name));
        word.unwrap_or_else(|| panic!("{name}… comes next in {replay}"))
            .to_owned()
    };
    let place = Place {
        step: value("step=").parse().expect("a number"),
        choice: value("choice=").parse().expect("fates"),
        inner: value("inner=").parse().expect("a number"),
    };
    let mut shard = fresh(&script);
    let mut look = |shard: &SimShard| {
        if shard.steps() != place.step {
            return Ok(());
        }
        let judged = examine(shard, &place, &mut Counts::default());
        let verdict = judged.map_or_else(
            |why| report(&script, shard, place.clone(), &why),
            |()| format!("{script}: step {} is well now", place.step),
        );
        Err(verdict)
    };
    let mut played = shard.recover(&mut look);
    for action in script.actions(ACTIONS) {
        played = played.and_then(|()| shard.act(&action, &mut look));
    }
    let verdict = played.expect_err("the step is reached");
    assert!(verdict.ends_with("is well now"), "{verdict}");
}

/// Disks that do not do what they say: what the net is there to catch. The script is one that has
/// nothing to complain of on an honest disk.
const LIES: &[(&str, Lie, &str)] = &[
    (
        "a durable write is lost",
        Lie::DurableWriteLost(4),
        "overwrites/always/1",
    ),
    (
        "a sync of a file does nothing",
        Lie::SyncIgnored,
        "puts/always/1",
    ),
    (
        "a sync of the folder does nothing",
        Lie::FolderSyncIgnored,
        "puts/always/1",
    ),
    (
        "half a write is all of it",
        Lie::ShortReportedFull(4),
        "overwrites/always/1",
    ),
    (
        "closing syncs nothing",
        Lie::SyncIgnored,
        "restarts/interval/1",
    ),
    (
        "closing syncs no name",
        Lie::FolderSyncIgnored,
        "restarts/never/1",
    ),
];

#[test]
fn a_disk_that_lies_is_found_out() {
    for (what, lie, script) in LIES {
        let script = script.parse().expect("a script");
        let mut run = Run::new(script);
        run.lie = Some(*lie);
        let found = run.play();
        println!(
            "{what}: {}",
            found
                .as_ref()
                .err()
                .map_or("", |why| why.lines().nth(1).unwrap_or(why))
        );
        assert!(found.is_err(), "{what}: not found in {:?}", run.counts);
    }
}
