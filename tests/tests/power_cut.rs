//! A power cut at any moment under load: the data folder is on an ext4 of its own, which loses
//! everything that was not forced to the disk. kill −9 alone keeps the page cache and can never
//! show a missing sync.
//!
//! Half of the rounds cut the file system below: there the disk itself has a volatile cache, and a
//! write past the page cache that nobody flushed is lost too. `CHORDITE_ROUNDS` sets the number of
//! rounds; `just power-cut` takes 1,000.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::deadline;
use harness::dht::Client;
use harness::dice::Dice;
use harness::durable::{self, Durable};
use harness::mounts::{self, Disk, Mount};
use harness::payload;
use harness::permit::Permit;
use harness::rounds;
use harness::writer::{Mix, Writer};
use rustix::fs::{Mode, OFlags};

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::whole_machine();
    let seed = rounds::seed("power_cut");
    let mut dice = Dice::new(seed);
    for (variant, settings) in VARIANTS.iter().enumerate() {
        for cache in [Cache::None, Cache::Volatile] {
            let mut stack = Stack::create(cache);
            let name = format!("cut{variant}");
            let mut node = Durable::create(&name, &stack.data(), &[settings, SETTINGS].concat());
            let mut writers = writers(seed);
            let rounds = rounds::count(20).div_ceil(2 * VARIANTS.len() as u64);
            for _ in 0..rounds {
                node.start();
                durable::verify(&mut writers, &node);
                let acknowledged = 50 + dice.below(1500);
                let moment = Duration::from_micros(dice.below(5000));
                durable::under_load(&mut writers, &mut node, acknowledged, |node| {
                    deadline::pass(moment);
                    stack.cut();
                    node.kill();
                });
                stack.mend();
                if dice.one_in(5) {
                    // Once more, in the middle of the start.
                    node.launch();
                    deadline::pass(Duration::from_micros(dice.below(60_000)));
                    stack.cut();
                    node.end();
                    stack.mend();
                }
            }
            node.start();
            durable::verify(&mut writers, &node);
            let acknowledged: u64 = writers.iter().map(|it| it.tally.acknowledged).sum();
            println!("{settings:?}, {cache:?}: {rounds} cuts, {acknowledged} acknowledged, 0 lost");
        }
    }
}

/// A value that was served is durable, although the DHT API acknowledges nothing.
#[test]
fn a_value_that_was_served_is_there_after_a_power_cut() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::whole_machine();
    let mut stack = Stack::create(Cache::Volatile);
    let mut node = Durable::create("served", &stack.data(), &["fsync = always"]);
    node.start();
    let mut served: Vec<u64> = Vec::new();
    for round in 0..rounds::count(5).div_ceil(4) {
        let mut client = node.serve().client();
        for number in round * 300..(round + 1) * 300 {
            put(&mut client, number);
            if is_there(&mut client, number) {
                served.push(number);
            }
        }
        stack.cut();
        node.kill();
        stack.mend();
        node.start();
        let mut client = node.serve().client();
        let lost = served
            .iter()
            .filter(|number| !is_there(&mut client, **number));
        assert_eq!(
            lost.count(),
            0,
            "of {} values that were served",
            served.len()
        );
    }
    assert!(
        served.len() >= 300,
        "only {} GETs were served",
        served.len()
    );
}

/// The rig itself: without syncs a power cut takes acknowledged writes, on either disk.
#[test]
fn a_node_that_never_syncs_is_found_out() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::whole_machine();
    for cache in [Cache::None, Cache::Volatile] {
        let lost = (0..SELF_PROOF_ROUNDS).any(|round| {
            let mut stack = Stack::create(cache);
            let mut node = Durable::create("unsynced", &stack.data(), &["fsync = never"]);
            node.start();
            let mut writers = writers(round);
            durable::under_load(&mut writers, &mut node, 2000, |node| {
                stack.cut();
                node.kill();
            });
            stack.mend();
            node.start();
            durable::read_back(&mut writers, &node) > 0
        });
        assert!(
            lost,
            "{cache:?}: {SELF_PROOF_ROUNDS} cuts without a loss: the rig is blind"
        );
    }
}

/// The rig itself: of two blocks written past the page cache, the one that was not flushed is gone
/// after a cut of the disk with a cache, and only there.
#[test]
fn the_disk_with_a_cache_forgets_what_was_not_flushed() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(1);
    for cache in [Cache::None, Cache::Volatile] {
        let mut stack = Stack::create(cache);
        let file = stack.inner.path().join("file");
        write(&file, 0, &[1; 2 * BLOCK], OFlags::empty());
        write(&file, 0, &[2; BLOCK], OFlags::DIRECT | OFlags::DSYNC);
        write(&file, BLOCK, &[2; BLOCK], OFlags::DIRECT);
        stack.cut();
        stack.mend();
        let bytes = fs::read(&file).expect("the file was forced to the disk");
        let kept = if cache == Cache::Volatile { 1 } else { 2 };
        assert_eq!([bytes[0], bytes[BLOCK]], [2, kept], "{cache:?}");
    }
}

/// Writes blocks at `offset`; without flags the whole file is forced to the disk afterwards.
fn write(path: &Path, offset: usize, blocks: &[u8], flags: OFlags) {
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CREATE | flags, mode);
    let file = File::from(file.expect("the file system is writable"));
    // Past the page cache only memory on a block boundary can be written.
    let mut memory = vec![0; blocks.len() + BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    memory[start..start + blocks.len()].copy_from_slice(blocks);
    let aligned = &memory[start..start + blocks.len()];
    file.write_all_at(aligned, offset as u64)
        .expect("there is room");
    if flags.is_empty() {
        file.sync_all().expect("the disk is well");
        let folder = path.parent().expect("a file has a folder");
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .expect("the disk is well");
    }
}

/// What the disk under the file system forgets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cache {
    /// Nothing: what has reached the device stays.
    None,
    /// What was not flushed.
    Volatile,
}

/// A file system in memory, an image on it, and in between, for a volatile cache, another one whose
/// page cache is the cache. Dropped from the innermost outwards.
struct Stack {
    inner: Disk,
    outer: Option<Disk>,
    _memory: Mount,
}

impl Stack {
    fn create(cache: Cache) -> Self {
        let memory = Mount::tmpfs("256m");
        let outer = (cache == Cache::Volatile)
            .then(|| Disk::create(&memory.path().join("outer"), 160 << 20));
        let below = outer.as_ref().map_or(memory.path(), Disk::path);
        let inner = Disk::create(&below.join("inner"), 96 << 20);
        Self {
            inner,
            outer,
            _memory: memory,
        }
    }

    fn data(&self) -> PathBuf {
        self.inner.path().join("data")
    }

    /// Cuts the outermost file system: nothing below it hears of anything any more.
    fn cut(&self) {
        self.outer.as_ref().unwrap_or(&self.inner).mounted().cut();
    }

    /// The power is back.
    fn mend(&mut self) {
        self.inner.unmount();
        if let Some(outer) = &mut self.outer {
            outer.unmount();
            outer.mount();
        }
        self.inner.mount();
    }
}

fn put(client: &mut Client, number: u64) {
    let key = payload::key("served", number);
    client.send(&harness::dht::put(
        key.as_bytes(),
        &payload::value(&key, 1, 3000),
    ));
}

fn is_there(client: &mut Client, number: u64) -> bool {
    let key = payload::key("served", number);
    let value = client.read(key.as_bytes());
    value.is_some_and(|value| value == payload::value(&key, 1, 3000))
}

fn writers(seed: u64) -> Vec<Writer> {
    let mix = |at: usize| Mix {
        keys: [60, 400][at],
        gets: 10,
        deletes: 10,
        value_bytes_max: [600, 6000][at],
        depth: [8, 64][at],
    };
    (0..2)
        .map(|at| Writer::new(&format!("w{at}"), mix(at), seed + at as u64))
        .collect()
}

const VARIANTS: &[&[&str]] = &[
    &["shards = 1", "io_driver = io_uring"],
    &["shards = 2", "io_driver = epoll"],
];
/// Small segments, so that cuts meet their ends and beginnings.
const SETTINGS: &[&str] = &["fsync = always", "segment_bytes = 256KiB"];
const SELF_PROOF_ROUNDS: u64 = 5;
const BLOCK: usize = 4096;
