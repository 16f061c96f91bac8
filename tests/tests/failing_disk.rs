//! A disk that breaks under the running node: writes are refused and say so, nothing that failed is
//! acknowledged, reads go on out of memory, and once the disk is mended a restart has everything
//! that was acknowledged. A disk that is only slow, or takes writes in parts, breaks nothing.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use harness::deadline::{self, secs};
use harness::durable::{self, Durable};
use harness::mounts::{self, Disk, Mount};
use harness::pass_through::{Fault, PassThrough};
use harness::permit::Permit;
use harness::workdir;
use harness::writer::{Mix, Writer};
use rustix::io::Errno;

/// The file system takes no more writes, as after an error that it has found in itself.
#[test]
fn a_file_system_that_turns_read_only_stops_the_writes() {
    ext4_breaks(|disk, _| disk.fail(), |_| {});
}

/// Everything fails from one moment on, reads of the disk included.
#[test]
fn a_file_system_that_is_gone_stops_the_writes() {
    ext4_breaks(|disk, _| disk.mounted().cut(), |_| {});
}

/// The disk below the file system loses blocks for which it has no place left: it promised more
/// than it has.
#[test]
fn a_disk_that_has_promised_too_much_stops_the_writes() {
    ext4_breaks(
        |_, memory| drop(memory.ballast(1 << 20)),
        |memory| fs::remove_file(memory.path().join("ballast")).expect("it is there"),
    );
}

#[test]
fn a_disk_whose_writes_fail_stops_the_writes() {
    pass_through_breaks(Fault::Writes(Errno::IO), "fsync = always");
}

/// A failed sync is never repeated: the second one would succeed with the data lost.
#[test]
fn a_disk_whose_syncs_fail_stops_the_writes() {
    pass_through_breaks(Fault::Syncs(Errno::IO), "fsync = interval(10)");
}

#[test]
fn a_disk_that_takes_writes_in_parts_loses_nothing() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(UNITS);
    for driver in DRIVERS {
        let shown = PassThrough::create(&workdir::create("backing"));
        let data = shown.path().join("data");
        let mut node = Durable::create("parts", &data, &[SETTINGS, &[driver, ALWAYS]].concat());
        node.start();
        let mut writers = [writer(1)];
        for _ in 0..5 {
            shown.set(Fault::Short(1));
            work(&mut writers[0], &node, 200);
            assert_eq!(shown.hits(), 1, "a write was taken in part");
        }
        // A new segment that is taken in part looks like the end of the room, for a second.
        assert_eq!(writers[0].tally.refusals("StorageFailed"), 0);
        node.kill();
        node.start();
        durable::verify(&mut writers, &node);
    }
}

/// A disk that does not answer holds up writes, and reads of the keys that are being written:
/// nobody else.
#[test]
fn a_disk_that_keeps_silent_holds_up_nobody_who_reads() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::whole_machine();
    for driver in DRIVERS {
        let shown = PassThrough::create(&workdir::create("backing"));
        let data = shown.path().join("data");
        let settings = [SETTINGS, &[driver, ALWAYS, "request_deadline = 1s"]].concat();
        let mut node = Durable::create("silent", &data, &settings);
        node.start();
        let mut writers = [writer(1), writer(2)];
        for writer in &mut writers {
            work(writer, &node, 1000);
        }
        let [waiting, reading] = &mut writers;
        shown.set(Fault::Silence);
        let end = deadline::Limit::new(secs(20));
        let worked = waiting.work(&mut node.client(), &AtomicU64::new(0), |tally| {
            end.check("writes to a silent disk end as unknown");
            tally.unknown < 32
        });
        assert_eq!(worked, Ok(()), "the link stays");
        assert!(shown.hits() > 0, "the disk was asked");
        let asked = Instant::now();
        reading.verify(&mut node.client());
        let took = asked.elapsed();
        assert!(
            took < READS_LIMIT,
            "3,000 reads took {took:?} beside a silent disk"
        );

        shown.set(Fault::None);
        for writer in &mut writers {
            work(writer, &node, 1000);
        }
        durable::verify(&mut writers, &node);
        node.kill();
        node.start();
        durable::verify(&mut writers, &node);
    }
}

fn ext4_breaks(spoil: impl Fn(&Disk, &Mount), mend: impl Fn(&Mount)) {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(UNITS);
    for driver in DRIVERS {
        let memory = Mount::tmpfs("128m");
        let image = memory.path().join("image");
        let disk = RefCell::new(Disk::with(&image, 96 << 20, "errors=remount-ro"));
        let data = disk.borrow().path().join("data");
        breaks(
            &data,
            &[driver, ALWAYS],
            || spoil(&disk.borrow(), &memory),
            || {
                disk.borrow_mut().unmount();
                mend(&memory);
                disk.borrow_mut().mount();
            },
        );
    }
}

fn pass_through_breaks(fault: Fault, fsync: &str) {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(UNITS);
    for driver in DRIVERS {
        let shown = PassThrough::create(&workdir::create("backing"));
        let data = shown.path().join("data");
        let mend = || {
            assert!(shown.hits() > 0, "the fault was met");
            shown.set(Fault::None);
        };
        breaks(&data, &[driver, fsync], || shown.set(fault), mend);
    }
}

/// Breaks the disk of a node at work, and mends it.
fn breaks(data: &Path, settings: &[&str], spoil: impl Fn(), mend: impl Fn()) {
    let mut node = Durable::create("broken", data, &[SETTINGS, settings].concat());
    node.start();
    let mut writers = [writer(1)];
    durable::under_load(&mut writers, &mut node, 1000, Durable::kill);
    node.start();
    durable::verify(&mut writers, &node);

    let before = writers[0].tally.acknowledged;
    let end = deadline::Limit::new(secs(20));
    let mut is_spoilt = false;
    let worked = writers[0].work(&mut node.client(), &AtomicU64::new(0), |tally| {
        if !is_spoilt && tally.acknowledged > before + 500 {
            spoil();
            is_spoilt = true;
        }
        end.check("the node refuses writes on a broken disk");
        tally.refusals("StorageFailed") < 300
    });
    assert_eq!(worked, Ok(()), "the link stays");
    node.wait_readyz(503, &["failed"], secs(10));
    assert_eq!(node.metric("chordite_wal_failed"), Some(1.0));
    let refused = &writers[0].tally.refused;
    let told = refused.keys().all(|(kind, _)| kind == "StorageFailed");
    assert!(told, "refused for other reasons: {refused:?}");
    writers[0].look(&mut node.client());
    writers[0].judge();

    node.kill();
    mend();
    node.start();
    durable::verify(&mut writers, &node);
    durable::under_load(&mut writers, &mut node, 1000, Durable::kill);
    node.start();
    durable::verify(&mut writers, &node);
}

/// Writes until `count` more are acknowledged.
fn work(writer: &mut Writer, node: &Durable, count: u64) {
    let goal = writer.tally.acknowledged + count;
    let end = deadline::Limit::new(secs(20));
    let worked = writer.work(&mut node.client(), &AtomicU64::new(0), |tally| {
        end.check("writes are acknowledged");
        tally.acknowledged < goal
    });
    assert_eq!(worked, Ok(()), "the link stays");
}

fn writer(seed: u64) -> Writer {
    let mix = Mix {
        keys: 3000,
        gets: 5,
        deletes: 5,
        value_bytes_max: 8000,
        depth: 32,
    };
    Writer::new(&format!("breaker{seed}"), mix, seed)
}

const DRIVERS: [&str; 2] = ["io_driver = io_uring", "io_driver = epoll"];
const SETTINGS: &[&str] = &["segment_bytes = 1MiB"];
const ALWAYS: &str = "fsync = always";
const READS_LIMIT: Duration = Duration::from_secs(1);
const UNITS: usize = 8;
