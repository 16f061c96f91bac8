//! A disk without room: writes are refused and say so, reads go on, nothing acknowledged is lost,
//! and with room again writes are taken again, without anybody's help.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use harness::binaries;
use harness::deadline::{self, secs};
use harness::durable::{self, Durable};
use harness::mounts::{self, Disk, Mount};
use harness::permit::Permit;
use harness::process::Process;
use harness::workdir;
use harness::writer::{Mix, Writer};

#[test]
fn a_full_tmpfs_refuses_writes_until_there_is_room() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(UNITS);
    let memory = Mount::tmpfs("64m");
    fill(&memory, "io_driver = io_uring");
}

#[test]
fn a_full_ext4_refuses_writes_until_there_is_room() {
    if mounts::is_skipped() {
        return;
    }
    let _permit = Permit::take(UNITS);
    let memory = Mount::tmpfs("80m");
    let disk = Disk::create(&memory.path().join("image"), 64 << 20);
    fill(disk.mounted(), "io_driver = epoll");
}

/// A file may not grow as long as a segment is: EFBIG, and a signal that ends whoever does not
/// ignore it.
#[test]
fn a_limit_on_file_sizes_does_not_kill_the_node() {
    let prlimit = Path::new("/usr/bin/prlimit");
    if !prlimit.exists() {
        assert!(std::env::var_os("CI").is_none(), "CI has to have prlimit");
        println!("skipped: prlimit is not there");
        return;
    }
    let _permit = Permit::take(UNITS);
    for driver in ["io_driver = io_uring", "io_driver = epoll"] {
        let data = workdir::create("limited");
        let mut node = Durable::create("limited", &data, &[SETTINGS, &[driver]].concat());
        node.launch_under(prlimit, &["--fsize=196608"]);
        node.wait_readyz(503, &["too large"], secs(20));
        let mut writer = [writer(1)];
        let mut client = node.client();
        let end = deadline::Limit::new(secs(20));
        let worked = writer[0].work(&mut client, &AtomicU64::new(0), |tally| {
            end.check("writes are refused");
            tally.refusals("StorageFull") < 100
        });
        assert_eq!(worked, Ok(()), "the link stays");
        assert_eq!(writer[0].tally.acknowledged, 0);
        durable::verify(&mut writer, &node);
        node.kill();
        node.start();
        durable::under_load(&mut writer, &mut node, 500, Durable::kill);
        node.start();
        durable::verify(&mut writer, &node);
    }
}

/// Fills the file system with a node's log, and gives it room again.
fn fill(disk: &Mount, driver: &str) {
    let data = disk.path().join("data");
    let mut node = Durable::create("full", &data, &[SETTINGS, &[driver]].concat());
    node.start();
    let ballast = disk.ballast(6 << 20);
    let mut writers = [writer(1)];
    until_full(&mut writers[0], &node);
    assert!(
        writers[0].tally.acknowledged > 100,
        "{:?}",
        writers[0].tally
    );
    is_full(&mut writers, &node);

    node.kill();
    node.launch();
    is_full(&mut writers, &node);
    until_full(&mut writers[0], &node);

    fs::remove_file(ballast).expect("it is there");
    node.wait_readyz(200, &[], secs(10));
    let goal = writers[0].tally.acknowledged + 2000;
    let worked = writers[0].work(&mut node.client(), &AtomicU64::new(0), |tally| {
        tally.acknowledged < goal
    });
    assert_eq!(worked, Ok(()), "writes are taken again");
    durable::under_load(&mut writers, &mut node, 500, Durable::kill);
    node.start();
    durable::verify(&mut writers, &node);
}

/// Writes until the node has refused for a while.
fn until_full(writer: &mut Writer, node: &Durable) {
    let refused = writer.tally.refusals("StorageFull");
    let end = deadline::Limit::new(secs(20));
    let worked = writer.work(&mut node.client(), &AtomicU64::new(0), |tally| {
        end.check("the node refuses writes on a full disk");
        tally.refusals("StorageFull") < refused + 300
    });
    assert_eq!(worked, Ok(()), "the link stays");
    let kinds = &writer.tally.refused;
    let told = kinds
        .keys()
        .all(|(kind, why)| kind == "StorageFull" && why.contains("full"));
    assert!(told, "refused for other reasons, or for none: {kinds:?}");
}

/// Everything an operator and a client see of a full disk; reads go on.
fn is_full(writers: &mut [Writer], node: &Durable) {
    node.wait_readyz(503, &["full"], secs(20));
    // The log tries again every second: for a moment it may look as if there were room.
    deadline::until("a metric says so too", secs(20), || {
        (node.metric("chordite_wal_full") == Some(1.0)).then_some(())
    });
    durable::verify(writers, node);
    let identity: PathBuf = node.client_pems().write(&node.plan.dir.join("client"));
    let (identity, name) = (identity.display().to_string(), node.plan.at(1));
    let args = ["put", "key", "value", "--identity", &identity, "-a", &name];
    // Compaction may free a segment now and then, and a single put be taken.
    let refused = deadline::until("a put is refused on the command line", secs(20), || {
        let put = Process::finish(&binaries::chordite(), &args, secs(20));
        (put.code != Some(0)).then_some(put)
    });
    assert_eq!(refused.code, Some(6), "{}", refused.stderr);
    assert!(refused.stderr.contains("full"), "{}", refused.stderr);
}

fn writer(seed: u64) -> Writer {
    let mix = Mix {
        keys: 200_000,
        gets: 5,
        deletes: 1,
        value_bytes_max: 8000,
        depth: 64,
    };
    Writer::new("filler", mix, seed)
}

const SETTINGS: &[&str] = &["fsync = always", "segment_bytes = 256KiB"];
const UNITS: usize = 8;
