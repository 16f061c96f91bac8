//! A disk that breaks under the running node: writes are refused and say so, nothing that failed is
//! acknowledged, reads go on out of memory, and once the disk is mended a restart has everything
//! that was acknowledged.

use std::sync::atomic::AtomicU64;

use harness::deadline::{self, secs};
use harness::durable::{self, Durable};
use harness::mounts::{self, Disk, Mount};
use harness::permit::Permit;
use harness::writer::{Mix, Writer};

/// The file system takes no more writes, as after an error that it has found in itself.
#[test]
fn a_file_system_that_turns_read_only_stops_the_writes() {
    breaks(
        |disk, _| disk.fail(),
        |disk, _| {
            disk.unmount();
            disk.mount();
        },
    );
}

/// Everything fails from one moment on, reads of the disk included.
#[test]
fn a_file_system_that_is_gone_stops_the_writes() {
    breaks(
        |disk, _| disk.mounted().cut(),
        |disk, _| {
            disk.unmount();
            disk.mount();
        },
    );
}

/// The disk below the file system loses blocks for which it has no place left: it promised more
/// than it has.
#[test]
fn a_disk_that_has_promised_too_much_stops_the_writes() {
    breaks(
        |_, memory| drop(memory.ballast(1 << 20)),
        |disk, memory| {
            disk.unmount();
            std::fs::remove_file(memory.path().join("ballast")).expect("it is there");
            disk.mount();
        },
    );
}

fn breaks(spoil: impl Fn(&Disk, &Mount), mend: impl Fn(&mut Disk, &Mount)) {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(UNITS);
    for driver in ["io_driver = io_uring", "io_driver = epoll"] {
        let memory = Mount::tmpfs("128m");
        let image = memory.path().join("image");
        let mut disk = Disk::with(&image, 96 << 20, "errors=remount-ro");
        let data = disk.path().join("data");
        let mut node = Durable::create("broken", &data, &[SETTINGS, &[driver]].concat());
        node.start();
        let mut writers = [writer(1)];
        durable::under_load(&mut writers, &mut node, 1000, Durable::kill);
        node.start();
        durable::verify(&mut writers, &node);

        let mut client = node.client();
        let before = writers[0].tally.acknowledged;
        let end = deadline::Limit::new(secs(20));
        let mut is_spoilt = false;
        let worked = writers[0].work(&mut client, &AtomicU64::new(0), |tally| {
            if !is_spoilt && tally.acknowledged > before + 500 {
                spoil(&disk, &memory);
                is_spoilt = true;
            }
            end.check("the node refuses writes on a broken disk");
            tally.refusals("StorageFailed") < 300
        });
        assert_eq!(worked, Ok(()), "the link stays");
        node.wait_readyz(503, &["failed"], secs(10));
        let refused = &writers[0].tally.refused;
        let told = refused.keys().all(|(kind, _)| kind == "StorageFailed");
        assert!(told, "refused for other reasons: {refused:?}");
        writers[0].look(&mut node.client());
        writers[0].judge();

        node.kill();
        mend(&mut disk, &memory);
        node.start();
        durable::verify(&mut writers, &node);
        durable::under_load(&mut writers, &mut node, 1000, Durable::kill);
        node.start();
        durable::verify(&mut writers, &node);
    }
}

fn writer(seed: u64) -> Writer {
    let mix = Mix {
        keys: 3000,
        gets: 5,
        deletes: 5,
        value_bytes_max: 8000,
        depth: 32,
    };
    Writer::new("breaker", mix, seed)
}

const SETTINGS: &[&str] = &["fsync = always", "segment_bytes = 1MiB"];
const UNITS: usize = 8;
