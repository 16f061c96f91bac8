//! What the disk answers: pieces in any order, short ones, interruptions, errors. And how fast
//! all of it goes.

use super::*;

fn error(kind: DiskErrorKind) -> DiskError {
    DiskError {
        kind,
        reason: "EIO".to_owned(),
    }
}

/// Two segments of 3 MiB.
fn large() -> BTreeMap<FileName, Vec<u8>> {
    let mut lsn = 1;
    let mut files = BTreeMap::new();
    for number in [1, 2] {
        let mut made = Made::sized(number, lsn, 768);
        for _ in 0..20 {
            let durable = made.lsn - 1;
            made.batch_of(durable, 100, 1000);
        }
        lsn = made.lsn;
        files.extend([made.file()]);
    }
    files
}

#[test]
fn large_segments_are_read_piece_by_piece() {
    let files = large();
    let outcome = recover_files(&files, config(false), |_, _| None);
    assert_eq!(outcome.puts.len(), 2 * 20 * 100);
    let bytes: usize = files.values().map(Vec::len).sum();
    assert_eq!(outcome.report.bytes_read, (bytes + 4 * BLOCK) as u64);
    assert_eq!(outcome.report.bytes_total, outcome.report.bytes_read);
    assert_eq!(outcome.report.segments, 2);
}

#[test]
fn short_and_interrupted_reads_are_gone_on_with() {
    let files = large();
    let whole = recover_files(&files, config(false), |_, _| None);
    let outcome = recover_files(&files, config(false), |job, range| match job % 3 {
        0 if range.start != 0 => Some(Ok(3 * BLOCK as u64 + 7)),
        1 if range.start == 0 => Some(Err(error(DiskErrorKind::Interrupted))),
        _ => None,
    });
    assert_eq!((outcome.start, outcome.puts), (whole.start, whole.puts));
}

#[test]
fn a_read_that_fails_ends_the_recovery() {
    let files = large();
    for kind in [DiskErrorKind::Broken, DiskErrorKind::Interrupted] {
        let outcome = recover_files(&files, config(false), |_, range| {
            (range.start == 2 << 20).then(|| Err(error(kind)))
        });
        let told = outcome.start.unwrap_err();
        assert!(
            matches!(&told, RecoveryError::Unreadable { error: is, .. } if *is == error(kind)),
            "{told}"
        );
    }
    let outcome = recover_files(&files, config(false), |_, range| {
        (range.start > 0).then_some(Ok(0))
    });
    let error = outcome.start.unwrap_err().to_string();
    assert!(error.contains("the file ends at byte "), "{error}");
}

#[test]
fn answers_to_nothing_are_passed_over() {
    let mut recovery = Recovery::new(config(false), &[]);
    let done = DiskDone {
        id: crate::engine::wal::disk::JobId(4),
        result: Ok(9),
        buffer: None,
    };
    recovery.handle_disk(done, |_| Ok(()));
    assert!(recovery.poll_outcome().unwrap().is_ok());
}

#[test]
#[ignore = "measures: wants --release and a machine at rest"]
fn records_are_read_faster_than_a_store_takes_them() {
    let mut lsn = 1;
    let mut files = BTreeMap::new();
    for number in 1..=8 {
        let mut made = Made::sized(number, lsn, 8192);
        for _ in 0..125 {
            let durable = made.lsn - 1;
            made.batch_of(durable, 780, 256);
        }
        lsn = made.lsn;
        files.extend([made.file()]);
    }
    let rounds = (0..5).map(|_| measure(&files));
    let best = rounds.max_by(f64::total_cmp).unwrap();
    assert!(best > 1.5e6, "{best}");
}

/// Records a second. The disk is memory here, and its copying a part of the time.
fn measure(files: &BTreeMap<FileName, Vec<u8>>) -> f64 {
    let found: Vec<FoundFile> = files
        .iter()
        .map(|(name, bytes)| FoundFile {
            name: *name,
            bytes: bytes.len() as u64,
        })
        .collect();
    let mut recovery = Recovery::new(config(false), &found);
    let mut value_bytes = 0;
    let started = std::time::Instant::now();
    while let Some(DiskJob { id, op }) = recovery.poll_job() {
        let DiskOp::Read {
            file,
            offset,
            mut buffer,
        } = op
        else {
            panic!("a recovery writes nothing");
        };
        let from = offset as usize;
        let rest = &files[&file][from..from + buffer.len()];
        buffer.as_mut_bytes().copy_from_slice(rest);
        let done = DiskDone {
            id,
            result: Ok(rest.len() as u64),
            buffer: Some(buffer),
        };
        recovery.handle_disk(done, |entry| {
            if let Entry::Put(record) = entry {
                value_bytes += record.value.len();
            }
            Ok(())
        });
    }
    let taken = started.elapsed().as_secs_f64();
    assert!(recovery.poll_outcome().is_some_and(|start| start.is_ok()));
    let records = recovery.report().records as f64;
    assert_eq!(value_bytes as f64, records * 256.0);
    println!(
        "{records} records in {taken:.3} s: {:.0} ns each, {:.2} M/s, {:.0} MB/s",
        taken / records * 1e9,
        records / taken / 1e6,
        recovery.report().bytes_read as f64 / taken / 1e6
    );
    records / taken
}
