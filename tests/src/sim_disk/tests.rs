//! The simulated disk against what `disk.rs` of the log says of disks: what survives, what may, and
//! what its user must not do.
//! What these tests allow, the proofs that use the disk take for possible.

use node::engine::wal::buffer::BLOCK_BYTES;
use node::engine::wal::disk::JobId;
use node::engine::wal::names::SegmentNumber;

use super::*;

const ONE: FileName = FileName::Fresh(SegmentNumber(1));
const TWO: FileName = FileName::Segment(SegmentNumber(1));

fn buffer(fill: u8) -> Buffer {
    let mut buffer = Buffer::with_capacity(BLOCK_BYTES);
    buffer.extend(&[fill; BLOCK_BYTES]);
    buffer
}

fn write(file: FileName, offset: u64, fill: u8, is_durable: bool) -> DiskOp {
    let buffer = buffer(fill);
    DiskOp::Write {
        file,
        offset,
        buffer,
        is_durable,
    }
}

fn submit(disk: &mut SimDisk, op: DiskOp) {
    let id = JobId(disk.submitted());
    disk.submit(DiskJob { id, op });
}

fn run(disk: &mut SimDisk, op: DiskOp) -> DiskDone {
    submit(disk, op);
    disk.complete(disk.in_flight() - 1)
}

/// A disk with one file of two durable blocks under its name.
fn disk() -> SimDisk {
    let mut disk = SimDisk::new(1);
    run(&mut disk, DiskOp::Create { file: TWO });
    run(
        &mut disk,
        DiskOp::Zero {
            file: TWO,
            offset: 0,
            bytes: 8_192,
        },
    );
    run(&mut disk, DiskOp::Sync { file: TWO });
    run(&mut disk, DiskOp::SyncFolder);
    assert_eq!(disk.loose_effects(), Vec::<String>::new());
    disk
}

fn after(disk: &SimDisk, choice: &str) -> DiskImage {
    disk.crash(&choice.parse().unwrap())
}

fn block(image: &DiskImage, at: usize) -> Vec<u8> {
    image.content(TWO)[at * BLOCK_BYTES..][..BLOCK_BYTES].to_vec()
}

#[test]
fn a_durable_write_that_ended_survives_and_others_need_a_later_sync() {
    let mut disk = disk();
    submit(&mut disk, DiskOp::Sync { file: TWO });
    run(&mut disk, write(TWO, 0, 1, true));
    run(&mut disk, write(TWO, 4096, 2, false));
    assert_eq!(disk.complete(0).result, Ok(0));
    assert_eq!(
        disk.loose_effects().len(),
        1,
        "the sync was submitted too early"
    );
    assert_eq!(block(&after(&disk, "-"), 0), [1; 4096]);
    assert_eq!(block(&after(&disk, "-"), 1), [0; 4096]);
    assert_eq!(block(&after(&disk, "+"), 1), [2; 4096]);
    run(&mut disk, DiskOp::Sync { file: TWO });
    assert_eq!(block(&after(&disk, ""), 1), [2; 4096]);
}

#[test]
fn a_write_under_way_is_lost_whole_or_torn_at_sectors() {
    let mut disk = disk();
    submit(&mut disk, write(TWO, 0, 7, true));
    assert_eq!(disk.loose_effects().len(), 1);
    assert_eq!(block(&after(&disk, "-"), 0), [0; 4096]);
    assert_eq!(block(&after(&disk, "+"), 0), [7; 4096]);
    let mut seen = [false; 3];
    for seed in 0..40 {
        for sector in block(&after(&disk, &format!("t{seed}")), 0).chunks(512) {
            assert!(sector == [0; 512] || sector == [7; 512]);
            seen[usize::from(sector[0] == 7)] = true;
        }
        let noisy = block(&after(&disk, &format!("g{seed}")), 0);
        seen[2] |= noisy.iter().any(|byte| !matches!(byte, 0 | 7));
        assert_eq!(block(&after(&disk, &format!("g{seed}")), 1), [0; 4096]);
    }
    assert_eq!(seen, [true; 3]);
    assert_eq!(disk.complete(0).result, Ok(4096));
    assert_eq!(block(&after(&disk, ""), 0), [7; 4096]);
}

#[test]
fn names_are_durable_after_the_folder_only() {
    let mut disk = SimDisk::new(1);
    run(&mut disk, DiskOp::Create { file: ONE });
    run(&mut disk, write(ONE, 0, 3, true));
    assert_eq!(after(&disk, "-").files(), []);
    run(&mut disk, DiskOp::SyncFolder);
    run(&mut disk, DiskOp::Rename { from: ONE, to: TWO });
    let names = |choice| {
        let files = after(&disk, choice).files().into_iter();
        files
            .map(|file| (file.name, file.bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("-"), [(ONE, 4096)]);
    assert_eq!(names("+"), [(TWO, 4096)]);
    run(&mut disk, DiskOp::SyncFolder);
    run(&mut disk, DiskOp::Remove { file: TWO });
    assert_eq!(after(&disk, "-").files().len(), 1);
    assert_eq!(after(&disk, "+").files(), []);
    run(&mut disk, DiskOp::SyncFolder);
    assert_eq!((after(&disk, "").files(), disk.loose_count()), (vec![], 0));
}

#[test]
fn what_a_failed_sync_covered_is_never_durable_again() {
    let mut disk = disk();
    run(&mut disk, write(TWO, 0, 5, false));
    let number = disk.submitted();
    disk.plan_fault(FaultPlan::once(Fault::Error(DiskErrorKind::Broken), number));
    assert!(run(&mut disk, DiskOp::Sync { file: TWO }).result.is_err());
    assert_eq!(run(&mut disk, DiskOp::Sync { file: TWO }).result, Ok(0));
    assert_eq!(block(&after(&disk, "-"), 0), [0; 4096]);
}

#[test]
fn faults_come_at_their_number() {
    let mut disk = disk();
    let number = disk.submitted();
    disk.plan_fault(FaultPlan::once(Fault::ShortWrite, number));
    let full = Fault::Error(DiskErrorKind::Full);
    disk.plan_fault(FaultPlan::for_ever(full, number + 2));
    let short = run(&mut disk, write(TWO, 0, 5, true));
    assert!(short.result.is_ok_and(|bytes| bytes < 4096) && short.buffer.is_some());
    assert_eq!(run(&mut disk, write(TWO, 0, 5, true)).result, Ok(4096));
    for _ in 0..3 {
        let done = run(&mut disk, write(TWO, 4096, 5, true));
        assert_eq!(
            done.result.map_err(|error| error.kind),
            Err(DiskErrorKind::Full)
        );
    }
    disk.clear_faults();
    assert_eq!(run(&mut disk, write(TWO, 4096, 5, true)).result, Ok(4096));
    let image = after(&disk, "-");
    assert_eq!(
        (block(&image, 0), block(&image, 1)),
        (vec![5; 4096], vec![5; 4096])
    );
}

#[test]
fn reads_see_what_was_written_and_end_with_the_file() {
    let mut disk = disk();
    run(&mut disk, write(TWO, 4096, 9, false));
    let read = DiskOp::Read {
        file: TWO,
        offset: 4096,
        buffer: Buffer::zeroed(8192),
    };
    let done = run(&mut disk, read.clone());
    assert_eq!(done.result, Ok(4096));
    assert_eq!(done.buffer.unwrap().as_bytes()[..4096], [9; 4096]);
    let number = disk.submitted();
    disk.plan_fault(FaultPlan::once(Fault::FlippedBit, number));
    let flipped = run(&mut disk, read).buffer.unwrap();
    let bits = flipped.as_bytes()[..4096]
        .iter()
        .map(|byte| (byte ^ 9).count_ones());
    assert_eq!(bits.sum::<u32>(), 1);
}

#[test]
fn a_killed_process_leaves_the_cache_and_a_power_cut_after_it_does_not() {
    let mut disk = disk();
    submit(&mut disk, write(TWO, 0, 4, true));
    submit(&mut disk, write(TWO, 4096, 6, true));
    assert_eq!(disk.flying_effects(), 2);
    disk.kill(&"+,-".parse().unwrap());
    let read = DiskOp::Read {
        file: TWO,
        offset: 0,
        buffer: Buffer::zeroed(8192),
    };
    let seen = run(&mut disk, read).buffer.unwrap();
    assert_eq!((seen.as_bytes()[0], seen.as_bytes()[4096]), (4, 0));
    assert_eq!(block(&after(&disk, "-"), 0), [0; 4096]);
    run(&mut disk, DiskOp::Sync { file: TWO });
    assert_eq!(block(&after(&disk, "-"), 0), [4; 4096]);
}

#[test]
#[should_panic(expected = "under way")]
fn jobs_whose_order_matters_are_a_bug_of_their_giver() {
    let mut disk = disk();
    submit(&mut disk, write(TWO, 0, 4, true));
    submit(&mut disk, DiskOp::Rename { from: TWO, to: ONE });
}

#[test]
fn lies_are_told() {
    let mut disk = disk();
    disk.lie(Lie::DurableWriteLost(1));
    run(&mut disk, write(TWO, 0, 4, true));
    assert_eq!(block(&after(&disk, "-"), 0), [0; 4096]);
    disk.lie(Lie::ShortReportedFull(1));
    assert_eq!(run(&mut disk, write(TWO, 4096, 4, true)).result, Ok(4096));
    assert_eq!(block(&after(&disk, "-"), 1)[2047..2049], [4, 0]);
    disk.lie(Lie::FolderSyncIgnored);
    run(&mut disk, DiskOp::Remove { file: TWO });
    run(&mut disk, DiskOp::SyncFolder);
    assert_eq!(after(&disk, "-,-").files().len(), 1);
}
