//! A salvage keeps everything but what is damaged, and says what that is. What an earlier recovery
//! cut off stays away.

use super::*;

#[test]
fn everything_but_the_damaged_records_is_kept() {
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let laid = first.batch(3, 9);
    first.batch(13, 2);
    let mut second = Made::new(2, 17);
    let also = second.batch(16, 3);
    second.batch(20, 1);
    let spare = Made::new(3, 23);
    let whole = recover_with(&[&first, &second, &spare], true);
    assert_eq!(whole.puts.len(), 2 + 9 + 2 + 3 + 1);
    assert!(!whole.is_noticed() && whole.report.damage.is_empty());

    first.bytes[laid.from + 48 + 184 + 20] ^= 1;
    second.bytes[also.from + 20] ^= 1;
    let outcome = recover_with(&[&first, &second, &spare], true);
    let lost = outcome.report.damage.iter();
    let lost: Vec<(u64, u64)> = lost.map(|range| (range.first.0, range.last.0)).collect();
    assert_eq!(lost, [(6, 6), (17, 17)]);
    let kept: Vec<u64> = whole.puts.iter().copied().filter(|lsn| *lsn != 6).collect();
    assert_eq!(outcome.puts, kept);
    assert_eq!((outcome.next_lsn(), outcome.leftovers()), (23, vec![3]));
    assert_eq!(outcome.sealed(), [(1, 1, 16), (2, 18, 22)]);
}

#[test]
fn the_torn_end_is_cut_off_in_a_salvage_too() {
    let mut made = Made::new(1, 1);
    let laid = made.batch(0, 3);
    made.batch(4, 1);
    let torn = made.batch(6, 2);
    made.batch(6, 2);
    made.lose(torn);
    made.bytes[laid.from + 48 + 10] ^= 1;
    let outcome = recover_with(&[&made], true);
    assert_eq!(
        (outcome.puts.clone(), outcome.next_lsn()),
        (vec![3, 4, 6], 7)
    );
    assert_eq!(outcome.report.damage.len(), 1);
    assert!(outcome.report.torn_bytes > 0);
}

#[test]
fn a_segment_without_a_header_is_passed_over() {
    let mut first = Made::new(1, 1);
    first.batch(0, 2);
    let mut second = Made::new(2, 4);
    second.batch(3, 2);
    let mut third = Made::new(3, 7);
    third.batch(6, 2);
    second.bytes[..BLOCK].fill(0);
    let outcome = recover_with(&[&first, &second, &third], true);
    assert_eq!(outcome.puts, [2, 3, 8, 9]);
    let range = &outcome.report.damage[0];
    assert_eq!((range.first, range.last), (Lsn(4), Lsn(6)));
    assert_eq!(
        outcome.leftovers(),
        Vec::<u64>::new(),
        "nobody may remove it"
    );
}

#[test]
fn blocks_that_cannot_be_read_cost_what_is_in_them() {
    let mut made = Made::new(1, 1);
    made.batch(0, 2);
    let lost = made.batch(3, 2);
    made.batch(6, 2);
    let files = BTreeMap::from([made.file()]);
    let broken = |_, range: std::ops::Range<u64>| {
        range.contains(&(lost.from as u64)).then(|| {
            Err(DiskError {
                kind: DiskErrorKind::Broken,
                reason: "EIO".to_owned(),
            })
        })
    };
    let outcome = recover_files(&files, config(true), broken);
    assert_eq!(outcome.puts, [2, 3, 8, 9]);
    assert_eq!(outcome.report.damage.len(), 1);
    assert!(outcome.report.warnings[0].contains("byte 8192 cannot be read"));
}
