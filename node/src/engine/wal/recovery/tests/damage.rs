//! Media faults: whatever was acknowledged is there or missed aloud, and never wrong. What is
//! missed is named to the byte and the record.

use std::thread;

use super::*;

/// Four batches of records of many lengths, the last attested, that fill most of 64 KiB.
fn long() -> Made {
    let mut made = Made::new(1, 1);
    for (puts, value_bytes) in [(30, 301), (1, 20_000), (0, 0), (9, 17), (2, 5_000)] {
        let durable = made.lsn - 1;
        made.batch_of(durable, puts, value_bytes);
    }
    let durable = made.lsn - 1;
    made.batch(durable, 0);
    assert!(made.at < made.bytes.len(), "a part of it was never written");
    made
}

fn flip(files: &mut BTreeMap<FileName, Vec<u8>>, name: FileName, bit: usize) {
    let bytes = files.get_mut(&name).expect("the file is there");
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// The same as [`recover_files`] without the reading, which half a million flips can do without.
fn judge(files: &BTreeMap<FileName, Vec<u8>>) -> Outcome {
    let mut walk = Walk::new(false);
    let mut puts = Vec::new();
    let start = walk_all(files, &mut walk, &mut puts);
    let report = walk.report;
    Outcome {
        start,
        puts,
        origins: Vec::new(),
        report,
    }
}

fn walk_all(
    files: &BTreeMap<FileName, Vec<u8>>,
    walk: &mut Walk,
    puts: &mut Vec<u64>,
) -> Result<LogStart, RecoveryError> {
    for (name, bytes) in files {
        let file = FoundFile {
            name: *name,
            bytes: bytes.len() as u64,
        };
        let blocks = &bytes[..2 * BLOCK];
        let head = Head::read(&config(false), file, blocks, &mut walk.report.warnings)?;
        walk.add(head);
    }
    walk.set_limits();
    let read: Vec<usize> = walk.lengths().map(|(index, _)| index).collect();
    for (index, bytes) in files.values().enumerate() {
        if read.contains(&index) {
            walk.read(index, bytes, &mut |entry: &Entry<'_>| {
                puts.push(origin(entry).0);
                Ok(())
            })?;
        } else {
            walk.pass(index)?;
        }
    }
    walk.finish()
}

/// Flips bits one after the other; each time everything is there or the log is refused.
fn flip_each(segments: &[&Made], name: FileName, bits: impl Iterator<Item = usize>) -> [u64; 2] {
    let mut files: BTreeMap<_, _> = segments.iter().map(|made| made.file()).collect();
    let whole = recover_files(&files, config(false), |_, _| None);
    let mut counts = [0; 2];
    for bit in bits {
        flip(&mut files, name, bit);
        let outcome = judge(&files);
        flip(&mut files, name, bit);
        match &outcome.start {
            Ok(_) => assert_eq!(outcome.puts, whole.puts, "{name} bit {bit}"),
            Err(RecoveryError::Damaged(_)) => counts[1] += 1,
            Err(other) => panic!("{name} bit {bit}: {other}"),
        }
        counts[0] += u64::from(!outcome.is_noticed());
    }
    counts
}

#[test]
fn every_flipped_bit_of_a_segment_is_noticed_and_none_loses_a_record_silently() {
    let made = long();
    let bits = made.bytes.len() * 8;
    let halves = thread::scope(|scope| {
        let halves = [0..bits / 2, bits / 2..bits];
        let run = |half| scope.spawn(|| flip_each(&[&made], made.name(), half));
        halves.map(run).map(|half| half.join().unwrap())
    });
    let unnoticed = halves[0][0] + halves[1][0];
    let refused = halves[0][1] + halves[1][1];
    assert_eq!(unnoticed, 0);
    // Header, padding, the last batch and the rest lose nothing; all else is refused.
    let used = (made.at - 2 * BLOCK) * 8;
    assert!(
        refused as usize > used / 2 && refused as usize <= used,
        "{refused}"
    );
}

#[test]
fn flipped_bits_in_a_recycled_segment_lose_no_record_silently() {
    let mut made = long();
    made.header.is_recycled = true;
    made.bytes[..BLOCK].copy_from_slice(made.header.encode().as_bytes());
    let at = made.at;
    for (place, byte) in made.bytes[at..].iter_mut().enumerate() {
        *byte = (place % 251) as u8;
    }
    flip_each(&[&made], made.name(), (0..at * 8).step_by(11));
}

#[test]
fn flipped_bits_in_a_log_with_a_past_lose_no_record_silently() {
    // A crash across a rotation, a cut, and a log that went on behind it.
    let mut first = Made::new(1, 1);
    first.batch(0, 3);
    let lost = first.batch(4, 2);
    first.batch(4, 2);
    first.lose(lost);
    let mut second = Made::new(2, 11);
    second.batch(4, 2);
    let mut third = Made::new(3, 5);
    third.batch(4, 3);
    third.batch(8, 2);
    let mut fourth = Made::new(4, 12);
    fourth.batch(11, 4);
    fourth.batch(16, 0);
    let all = [&first, &second, &third, &fourth];
    let whole = recover(&all);
    assert_eq!(whole.sealed(), [(1, 1, 4), (3, 5, 11), (4, 12, 17)]);
    for made in all {
        let bits = made.at * 8;
        let [_, refused] = flip_each(&all, made.name(), (0..bits).step_by(7));
        assert_eq!(refused > 0, made.header.number.0 != 2, "{}", made.name());
    }
}

#[test]
fn damage_is_named_to_the_byte_and_the_record() {
    let mut made = Made::new(1, 1);
    made.batch(0, 2);
    let laid = made.batch(3, 9);
    made.batch(13, 0);
    // The third put of it: lsn 7.
    let from = laid.from + 48 + 2 * 184;
    made.bytes[from + 100] ^= 1;
    let expected = DamagedRange {
        segment: SegmentNumber(1),
        from: from as u64,
        to: from as u64 + 184,
        first: Lsn(7),
        last: Lsn(7),
    };
    let outcome = recover(&[&made]);
    assert_eq!(*outcome.damaged(), expected);
    assert_eq!(outcome.puts, [2, 3, 5, 6], "nothing behind it");
    let text = outcome.start.unwrap_err().to_string();
    assert!(text.contains("records 7 to 7 are lost"), "{text}");
}

#[test]
fn a_whole_batch_that_vanished_is_damage_when_a_later_one_attests_it() {
    let mut made = Made::new(1, 1);
    made.batch(0, 2);
    let lost = made.batch(3, 2);
    made.batch(3, 2);
    let attests = made.batch(6, 0);
    made.lose(lost);
    let outcome = recover(&[&made]);
    let range = outcome.damaged();
    assert_eq!((range.from, range.to), (lost.from as u64, lost.to as u64));
    assert_eq!((range.first, range.last), (Lsn(4), Lsn(6)));
    // Without the one that attests it, it is the torn end.
    made.lose(attests);
    assert_eq!(recover(&[&made]).next_lsn(), 4);
}

#[test]
fn a_tail_that_vanished_is_damage_when_a_later_segment_attests_it() {
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let end = first.at as u64;
    let lost = first.batch(3, 4);
    first.lose(lost);
    let mut second = Made::new(2, 9);
    second.batch(3, 1);
    let outcome = recover(&[&first, &second]);
    assert_eq!(outcome.next_lsn(), 4, "not yet attested");
    second.batch(8, 0);
    let outcome = recover(&[&first, &second]);
    let expected = DamagedRange {
        segment: SegmentNumber(1),
        from: end,
        to: first.bytes.len() as u64,
        first: Lsn(4),
        last: Lsn(8),
    };
    assert_eq!(*outcome.damaged(), expected);
}

#[test]
fn the_segment_whose_first_batch_is_damaged_is_blamed() {
    // Segment 1 was cut at lsn 4 and holds a void batch behind the cut, as segment 2 does.
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let lost = first.batch(3, 2);
    first.batch(3, 2);
    first.lose(lost);
    let mut second = Made::new(2, 10);
    second.batch(3, 2);
    let mut third = Made::new(3, 4);
    let laid = third.batch(3, 3);
    third.batch(7, 0);
    third.bytes[laid.from + 20] ^= 4;
    let outcome = recover(&[&first, &second, &third]);
    let expected = DamagedRange {
        segment: SegmentNumber(3),
        from: laid.from as u64,
        to: laid.from as u64 + 48,
        first: Lsn(4),
        last: Lsn(4),
    };
    assert_eq!(*outcome.damaged(), expected);
    // A salvage takes nothing void for what was lost.
    let outcome = recover_with(&[&first, &second, &third], true);
    assert_eq!(outcome.puts, [2, 3, 5, 6, 7]);
    assert_eq!(outcome.report.damage, [expected]);
}

#[test]
fn the_start_of_the_oldest_segment_may_be_damaged() {
    let mut made = Made::new(7, 100);
    let first = made.batch(99, 3);
    made.batch(103, 0);
    made.bytes[first.from + 9] ^= 1;
    let outcome = recover(&[&made]);
    let range = outcome.damaged();
    assert_eq!((range.first, range.last), (Lsn(100), Lsn(100)));
    assert_eq!((range.from, range.to), (4096, 4096 + 48));
    // All of it gone, but the next segment goes on behind it.
    made.bytes[first.from..first.to].fill(7);
    made.lose(Laid {
        from: first.to,
        to: made.at,
    });
    let mut next = Made::new(8, 104);
    next.batch(103, 1);
    let outcome = recover(&[&made, &next]);
    let range = outcome.damaged();
    assert_eq!((range.segment, range.from), (SegmentNumber(7), 4096));
    assert_eq!((range.first, range.last), (Lsn(100), Lsn(103)));
}

#[test]
fn an_empty_segment_says_where_the_log_starts() {
    // Nothing was ever synced: the first segment's batches were lost, one of the next was not.
    let (first, mut next) = (Made::new(1, 1), Made::new(2, 1).starting_at(9));
    next.batch(0, 2);
    let outcome = recover(&[&first, &next]);
    assert_eq!((outcome.puts.len(), outcome.next_lsn()), (0, 1));
    // After the cut the log goes on in a third one, whatever else is still there.
    let mut third = Made::new(3, 1);
    third.batch(0, 2);
    for kept in [&[&first, &next, &third][..], &[&next, &third], &[&third]] {
        assert_eq!(recover(kept).puts, [2, 3]);
    }
}

#[test]
fn a_header_is_read_from_either_copy_and_missed_when_both_are_gone() {
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let mut second = Made::new(2, 4);
    second.batch(3, 2);
    let mut third = Made::new(3, 7);
    third.batch(6, 2);
    second.bytes[3] ^= 1;
    let outcome = recover(&[&first, &second, &third]);
    assert_eq!((outcome.next_lsn(), outcome.report.warnings.len()), (10, 1));
    second.bytes[2048] ^= 1;
    let outcome = recover(&[&first, &second, &third]);
    let expected = DamagedRange {
        segment: SegmentNumber(2),
        from: 0,
        to: second.bytes.len() as u64,
        first: Lsn(4),
        last: Lsn(6),
    };
    assert_eq!(*outcome.damaged(), expected);
    // The last one: nobody knows how much it held.
    let outcome = recover(&[&first, &second]);
    assert_eq!(outcome.damaged().segment, SegmentNumber(2));
    // A void one may be damaged as it likes.
    let mut cut = Made::new(3, 4);
    cut.batch(3, 2);
    let outcome = recover(&[&first, &second, &cut]);
    assert_eq!(
        (outcome.puts.clone(), outcome.next_lsn()),
        (vec![2, 3, 5, 6], 7)
    );
    assert_eq!(
        (outcome.leftovers(), outcome.report.warnings.len()),
        (vec![2], 1)
    );
}

#[test]
fn a_segment_that_is_missing_is_missed() {
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let mut third = Made::new(3, 9);
    third.batch(8, 2);
    let outcome = recover(&[&first, &third]);
    let range = outcome.damaged();
    assert_eq!((range.first, range.last), (Lsn(4), Lsn(8)));
    assert_eq!(range.from, 2 * BLOCK as u64);
}

#[test]
fn a_file_that_was_cut_short_is_missed() {
    let mut made = Made::new(1, 1);
    made.batch(0, 2);
    made.batch(3, 2);
    let mut next = Made::new(2, 7);
    next.batch(6, 2);
    for length in [0, 100, BLOCK, BLOCK + 100, 2 * BLOCK, 3 * BLOCK - 1000] {
        let mut short = made.clone();
        short.bytes.truncate(length);
        let outcome = recover(&[&short, &next]);
        let refused = outcome.start.as_ref().unwrap_err();
        assert!(
            matches!(refused, RecoveryError::Damaged(_)),
            "{length}: {refused}"
        );
        let outcome = recover_with(&[&short, &next], true);
        let lost = outcome.report.damage.len() + outcome.report.warnings.len();
        assert!(lost > 0 && outcome.puts.ends_with(&[8, 9]), "{length}");
    }
}
