//! What the disk answers: pieces in any order, short ones, interruptions, errors.

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
