//! Crashes: what was acknowledged is there, what was not is cut off, and the next recovery, after
//! another crash, comes to the same.

use super::*;

/// Three batches, each attested by the next, and an empty one that attests the last.
fn quiet(number: u64, least: u64) -> (Made, Vec<Laid>) {
    let mut made = Made::new(number, least);
    let mut laid = Vec::new();
    for _ in 0..3 {
        let durable = made.lsn - 1;
        laid.push(made.batch(durable, 2));
    }
    let durable = made.lsn - 1;
    laid.push(made.batch(durable, 0));
    (made, laid)
}

#[test]
fn nothing_is_a_log_that_begins() {
    let outcome = recover(&[]);
    let start = outcome.start.unwrap();
    assert_eq!(
        (start.next_lsn, start.next_segment),
        (Lsn(1), SegmentNumber(1))
    );
    assert_eq!((start.sealed, start.leftovers), (vec![], vec![]));
}

#[test]
fn all_that_was_written_comes_back_in_order() {
    let (first, _) = quiet(1, 1);
    let (second, _) = quiet(2, first.lsn);
    let spare = Made::new(3, second.lsn);
    let outcome = recover(&[&first, &second, &spare]);
    assert_eq!(outcome.puts, [2, 3, 5, 6, 8, 9, 12, 13, 15, 16, 18, 19]);
    assert_eq!(outcome.sealed(), [(1, 1, 10), (2, 11, 20)]);
    assert_eq!((outcome.leftovers(), outcome.next_lsn()), (vec![3], 21));
    assert!(!outcome.is_noticed(), "{:?}", outcome.report);
    let start = outcome.start.unwrap();
    assert_eq!(start.next_segment, SegmentNumber(4));
    assert_eq!(start.sealed[0].end, 5 * BLOCK as u64);
    assert_eq!(start.sealed[0].file_bytes, 16 * BLOCK as u64);
    assert_eq!(start.stamp, 20 << 20, "of the last commit record");
    assert_eq!(outcome.report.records, 12);
    assert_eq!(outcome.report.bytes_read, outcome.report.bytes_total);
}

#[test]
fn the_greatest_stamp_may_be_a_header_a_commit_or_a_version() {
    let mut made = Made::new(1, 1);
    made.batch(0, 2);
    made.header.stamp_floor = 1 << 40;
    made.bytes[..BLOCK].copy_from_slice(made.header.encode().as_bytes());
    assert_eq!(recover(&[&made]).start.unwrap().stamp, 1 << 40);
}

#[test]
fn a_batch_that_was_not_written_is_cut_off() {
    let (mut made, laid) = quiet(1, 1);
    made.lose(laid[3]);
    let outcome = recover(&[&made]);
    assert_eq!((outcome.next_lsn(), outcome.puts.len()), (10, 6));
    made.lose(laid[2]);
    assert_eq!(recover(&[&made]).next_lsn(), 7);
}

#[test]
fn four_batches_under_way_end_in_any_way() {
    // The batch of lsn 1 to 3 is acknowledged and attested by each of the four.
    for lost in 0_u32..16 {
        let mut made = Made::new(1, 1);
        made.batch(0, 2);
        let laid: Vec<Laid> = (0..4).map(|_| made.batch(3, 2)).collect();
        for (at, laid) in laid.iter().enumerate() {
            if lost & (1 << at) != 0 {
                made.lose(*laid);
            }
        }
        let kept = lost.trailing_zeros().min(4);
        let outcome = recover(&[&made]);
        assert_eq!(outcome.next_lsn(), 4 + 3 * u64::from(kept), "{lost:04b}");
        assert_eq!(outcome.puts.len(), 2 + 2 * kept as usize);
        let is_torn = kept < 4 && lost >> kept != 0b1111 >> kept;
        assert_eq!(outcome.report.torn_bytes > 0, is_torn, "{lost:04b}");
    }
}

#[test]
fn the_records_before_a_tear_count() {
    let mut made = Made::new(1, 1);
    made.batch(0, 2);
    let torn = made.batch_of(3, 30, 500);
    made.batch(3, 2);
    // 48 bytes of commit record, then 584 a put: sector 4 takes the fourth one's end.
    made.bytes[torn.from + 4 * 512..torn.from + 5 * 512].fill(0);
    let outcome = recover(&[&made]);
    assert_eq!(outcome.puts, [2, 3, 5, 6, 7]);
    assert_eq!(outcome.next_lsn(), 8);
    assert!(outcome.report.torn_bytes > 0);
    assert_eq!(outcome.start.unwrap().sealed[0].end, 3 * BLOCK as u64);
}

#[test]
fn a_crash_across_a_rotation_leaves_the_next_segment_void() {
    let (mut first, laid) = quiet(1, 1);
    first.lose(laid[3]);
    // Batch 3 was under way, and lsn 10 as well, when segment 2 got its first batch.
    first.lose(laid[2]);
    let mut second = Made::new(2, 11);
    second.batch(6, 2);
    second.batch(6, 2);
    let outcome = recover(&[&first, &second]);
    assert_eq!(
        (outcome.puts.clone(), outcome.next_lsn()),
        (vec![2, 3, 5, 6], 7)
    );
    assert_eq!(outcome.leftovers(), [2]);
    assert_eq!(outcome.report.torn_bytes, 2 * BLOCK as u64);

    // The log goes on in a third one; the second is not yet removed when it crashes again.
    let mut third = Made::new(3, 7);
    let begun = third.batch(6, 1);
    let mut again = third.clone();
    again.lose(begun);
    let before = recover(&[&first, &second, &again]);
    assert_eq!((before.next_lsn(), before.leftovers()), (7, vec![2, 3]));

    let after = recover(&[&first, &second, &third]);
    assert_eq!(
        (after.puts.clone(), after.next_lsn()),
        (vec![2, 3, 5, 6, 8], 9)
    );
    assert_eq!(after.sealed(), [(1, 1, 6), (3, 7, 8)]);
    assert_eq!((after.leftovers(), after.report.torn_bytes), (vec![2], 0));

    // And it grows beyond the lsns of the void one.
    third.batch(8, 9);
    third.batch(18, 0);
    let grown = recover(&[&first, &second, &third]);
    assert_eq!(grown.next_lsn(), 20);
    assert_eq!(grown.leftovers(), [2]);
    assert!(!grown.is_noticed(), "{:?}", grown.report);
}

#[test]
fn a_log_that_crashes_again_and_again_keeps_what_counted() {
    let mut segments = vec![Made::new(1, 1)];
    segments[0].batch(0, 3);
    for round in 2..9 {
        // A batch torn at its start, and one behind it that is whole: both void.
        let last = segments.last_mut().unwrap();
        let durable = last.lsn - 1;
        let cut = last.lsn;
        let lost = last.batch(durable, 2);
        last.batch(durable, 2);
        last.lose(lost);
        let borrowed: Vec<&Made> = segments.iter().collect();
        let outcome = recover(&borrowed);
        assert_eq!(outcome.next_lsn(), cut, "round {round}");
        assert_eq!(outcome.report.torn_bytes, 2 * BLOCK as u64);
        assert_eq!(outcome.puts.len() as u64, 3 * (round - 1));
        let mut next = Made::new(round, cut);
        next.batch(cut - 1, 3);
        segments.push(next);
    }
}

#[test]
fn a_recovery_whose_segment_crashed_in_its_first_batch_is_repeated() {
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let lost = first.batch(3, 2);
    first.batch(3, 2);
    first.lose(lost);
    // Segment 2 lacks its first batch and has the second one, which attests nothing new.
    let mut second = Made::new(2, 4);
    let lost = second.batch(3, 1);
    second.batch(3, 1);
    second.lose(lost);
    let outcome = recover(&[&first, &second]);
    assert_eq!((outcome.next_lsn(), outcome.leftovers()), (4, vec![2]));
    // Segment 3 has it.
    let mut third = Made::new(3, 4);
    third.batch(3, 5);
    third.batch(9, 0);
    let outcome = recover(&[&first, &second, &third]);
    assert_eq!((outcome.next_lsn(), outcome.leftovers()), (11, vec![2]));
    assert_eq!(outcome.puts, [2, 3, 5, 6, 7, 8, 9]);
}

#[test]
fn the_first_batch_of_all_may_be_torn() {
    let mut made = Made::new(1, 1);
    let lost = made.batch(0, 3);
    made.batch(0, 2);
    made.lose(lost);
    let outcome = recover(&[&made]);
    assert_eq!((outcome.next_lsn(), outcome.puts), (1, vec![]));
    assert_eq!(outcome.report.torn_bytes, 2 * BLOCK as u64);
}

#[test]
fn a_segment_that_is_being_made_is_left_over() {
    let (made, _) = quiet(1, 1);
    let fresh = FileName::Fresh(SegmentNumber(7));
    let files = BTreeMap::from([made.file(), (fresh, vec![1; 100])]);
    let outcome = recover_files(&files, config(false), |_, _| None);
    let start = outcome.start.unwrap();
    assert_eq!(start.leftovers, [fresh]);
    assert_eq!(start.next_segment, SegmentNumber(8));
}

#[test]
fn what_a_file_held_under_another_salt_is_not_there() {
    let (old, laid) = quiet(1, 1);
    let mut made = old.clone();
    made.header = SegmentHeader {
        number: SegmentNumber(5),
        salt: 77,
        least_lsn: Lsn(40),
        is_recycled: true,
        ..old.header
    };
    made.bytes[..BLOCK].copy_from_slice(made.header.encode().as_bytes());
    let spare = made.clone();
    (made.at, made.lsn) = (BLOCK, 40);
    made.batch(39, 1);
    assert_eq!(made.at, laid[0].to);
    let outcome = recover(&[&made]);
    assert_eq!((outcome.puts.clone(), outcome.next_lsn()), (vec![41], 42));
    assert!(!outcome.is_noticed(), "{:?}", outcome.report);
    let outcome = recover(&[&spare]);
    assert_eq!((outcome.next_lsn(), outcome.leftovers()), (40, vec![5]));
    assert!(!outcome.is_noticed(), "{:?}", outcome.report);
}

#[test]
fn files_of_others_are_refused() {
    let (made, _) = quiet(1, 1);
    let refuse = |change: fn(&mut SegmentHeader), says: &str| {
        let mut other = made.clone();
        change(&mut other.header);
        other.bytes[..BLOCK].copy_from_slice(other.header.encode().as_bytes());
        let files = BTreeMap::from([(made.name(), other.bytes)]);
        let outcome = recover_files(&files, config(false), |_, _| None);
        let error = outcome.start.unwrap_err();
        assert!(matches!(error, RecoveryError::Foreign { .. }));
        assert!(error.to_string().contains(says), "{error}");
        assert!(outcome.puts.is_empty());
    };
    refuse(|it| it.node = 1, "node 0000000000000001");
    refuse(|it| it.shard = 2, "shard 2");
    refuse(|it| it.number = SegmentNumber(9), "renamed or copied");
    let huge = FoundFile {
        name: made.name(),
        bytes: u64::MAX,
    };
    let mut recovery = Recovery::new(config(false), &[huge]);
    assert_eq!(recovery.poll_job(), None);
    let error = recovery.poll_outcome().unwrap().unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn a_store_that_is_full_ends_the_recovery() {
    let (made, _) = quiet(1, 1);
    let file = FoundFile {
        name: made.name(),
        bytes: made.bytes.len() as u64,
    };
    let mut recovery = Recovery::new(config(false), &[file]);
    let mut taken = 0;
    while let Some(DiskJob { id, op }) = recovery.poll_job() {
        let DiskOp::Read {
            offset, mut buffer, ..
        } = op
        else {
            panic!("a recovery writes nothing");
        };
        let bytes = buffer.len();
        let from = offset as usize;
        buffer
            .as_mut_bytes()
            .copy_from_slice(&made.bytes[from..from + bytes]);
        let done = DiskDone {
            id,
            result: Ok(bytes as u64),
            buffer: Some(buffer),
        };
        recovery.handle_disk(done, |_| {
            taken += 1;
            if taken == 3 {
                Err("full".to_owned())
            } else {
                Ok(())
            }
        });
    }
    let reason = "full".to_owned();
    let outcome = recovery.poll_outcome().unwrap();
    assert_eq!(outcome, Err(RecoveryError::Memory { reason }));
    assert_eq!((taken, recovery.poll_outcome()), (3, None));
}
