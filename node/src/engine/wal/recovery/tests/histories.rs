//! Lives of logs, made up: batches under way, rotations, crashes that leave of what was under way
//! whatever a disk may leave, recoveries, files removed late or never. Then media faults.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// What a crash leaves of a batch under way.
#[derive(Clone, Debug)]
enum Fate {
    Whole,
    Lost,
    /// Its first sectors.
    Prefix(usize),
    /// Sectors as the bits say.
    Sectors(u64),
    /// All its sectors, some of them something else.
    Garbage(u64),
}

/// A run of the process: what it writes until it crashes.
#[derive(Clone, Debug)]
struct Life {
    /// Puts of each batch, and bytes of their values.
    batches: Vec<(u64, usize)>,
    /// What becomes of the batches under way, the last ones.
    fates: Vec<Fate>,
    /// Whether the leftovers of the recovery before are removed.
    is_tidy: bool,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        Just(Fate::Whole),
        Just(Fate::Lost),
        (0_usize..20).prop_map(Fate::Prefix),
        any::<u64>().prop_map(Fate::Sectors),
        any::<u64>().prop_map(Fate::Garbage),
    ];
    prop::collection::vec(fate, 0..=4)
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let batches = prop::collection::vec((0_u64..12, 0_usize..1500), 0..24);
    let life = (batches, fates(), any::<bool>());
    let life = life.prop_map(|(batches, fates, is_tidy)| Life {
        batches,
        fates,
        is_tidy,
    });
    prop::collection::vec(life, 1..6)
}

/// The files of a log that is used and crashes, again and again.
#[derive(Default)]
struct World {
    segments: Vec<Made>,
    /// Puts that were acknowledged, or that a recovery has found: they have to stay. Lsn and
    /// segment, because what is written behind a cut has the lsns of what was cut off.
    must: Vec<(u64, u64)>,
    /// Puts that were written.
    may: Vec<(u64, u64)>,
    next_number: u64,
}

impl World {
    fn live(&mut self, life: &Life, start: &LogStart) {
        if life.is_tidy {
            let is_left = |made: &Made| start.leftovers.contains(&made.name());
            self.segments.retain(|made| !is_left(made));
        }
        self.open(start.next_lsn.0);
        let mut under_way = Vec::new();
        for (at, (puts, value_bytes)) in life.batches.iter().enumerate() {
            let bytes = (48 + *puts as usize * (80 + value_bytes.next_multiple_of(8)))
                .next_multiple_of(BLOCK);
            let current = self.segments.last().unwrap();
            if current.at + bytes > current.bytes.len() {
                self.open(current.lsn);
            }
            let segment = self.segments.len() - 1;
            let made = &mut self.segments[segment];
            let first = made.lsn;
            let is_under_way = at + life.fates.len() >= life.batches.len();
            // Nothing that is under way at the end is attested.
            let durable = under_way.first().map_or(first, |(_, _, first)| *first) - 1;
            let laid = made.batch_of(durable, *puts, *value_bytes);
            let number = made.header.number.0;
            let written = (first + 1..=first + puts).map(|lsn| (lsn, number));
            self.may.extend(written.clone());
            if is_under_way {
                under_way.push((segment, laid, first));
            } else {
                self.must.extend(written);
            }
        }
        for ((segment, laid, _), fate) in under_way.into_iter().zip(&life.fates) {
            self.crash(segment, laid, fate);
        }
    }

    fn open(&mut self, lsn: u64) {
        self.next_number += 1;
        self.segments.push(Made::new(self.next_number, lsn));
    }

    fn crash(&mut self, segment: usize, laid: Laid, fate: &Fate) {
        let batch = &mut self.segments[segment].bytes[laid.from..laid.to];
        for (at, sector) in batch.chunks_mut(512).enumerate() {
            match fate {
                Fate::Whole => {}
                Fate::Lost => sector.fill(0),
                Fate::Prefix(sectors) if at < *sectors => {}
                Fate::Prefix(_) => sector.fill(0),
                Fate::Sectors(bits) if bits >> (at % 64) & 1 == 1 => {}
                Fate::Sectors(_) => sector.fill(0),
                Fate::Garbage(bits) if bits >> (at % 64) & 1 == 1 => {}
                Fate::Garbage(bits) => sector.fill((bits >> 8) as u8),
            }
        }
    }

    fn recover(&self) -> Outcome {
        let segments: Vec<&Made> = self.segments.iter().collect();
        recover(&segments)
    }

    fn settle(&mut self, outcome: &Outcome) {
        let puts: Vec<(u64, u64)> = outcome.found().collect();
        assert!(puts.iter().all(|put| self.may.contains(put)));
        assert!(self.must.iter().all(|put| puts.contains(put)));
        self.must.clone_from(&puts);
        self.may = puts;
    }
}

fn story(lives: &[Life]) -> (World, Outcome) {
    let mut world = World::default();
    let mut outcome = world.recover();
    for life in lives {
        let start = outcome.start.clone().unwrap();
        world.live(life, &start);
        outcome = world.recover();
        assert!(outcome.start.is_ok(), "{:?}", outcome.start);
        world.settle(&outcome);
    }
    (world, outcome)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_crash_loses_what_was_acknowledged_or_refuses_the_log(lives in lives()) {
        let (world, outcome) = story(&lives);
        prop_assert_eq!(world.recover(), outcome, "the same again");
    }

    #[test]
    fn a_flipped_bit_is_missed_aloud_or_costs_nothing(
        lives in lives(),
        flips in prop::collection::vec((any::<Index>(), any::<Index>()), 8),
    ) {
        let (mut world, _) = story(&lives);
        // At rest: everything is attested.
        let last = world.segments.last_mut().unwrap();
        if last.at == last.bytes.len() {
            return Ok(());
        }
        let whole = world.recover();
        let next = whole.next_lsn();
        world.open(next);
        world.segments.last_mut().unwrap().batch(next - 1, 0);
        let whole = world.recover();
        for (segment, bit) in flips {
            let segment = segment.index(world.segments.len());
            let bit = bit.index(world.segments[segment].bytes.len() * 8);
            world.segments[segment].bytes[bit / 8] ^= 1 << (bit % 8);
            let outcome = world.recover();
            world.segments[segment].bytes[bit / 8] ^= 1 << (bit % 8);
            match &outcome.start {
                Ok(_) => prop_assert_eq!(&outcome.puts, &whole.puts),
                Err(error) => prop_assert!(matches!(error, RecoveryError::Damaged(_))),
            }
        }
    }

    #[test]
    fn arbitrary_bytes_end_without_a_panic(
        files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 0..4),
        patches in prop::collection::vec((any::<Index>(), any::<u64>()), 0..20),
        is_salvage in any::<bool>(),
    ) {
        let mut segments: BTreeMap<FileName, Vec<u8>> = BTreeMap::new();
        for (number, bytes) in files.iter().enumerate() {
            let mut made = Made::new(number as u64 + 1, 1);
            made.batch(0, 5);
            made.batch(6, 5);
            for (at, word) in &patches {
                let at = at.index(made.bytes.len() - 8);
                made.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            let kept = made.bytes.len() - bytes.len();
            made.bytes[kept..].copy_from_slice(bytes);
            segments.extend([made.file()]);
        }
        recover_files(&segments, config(is_salvage), |_, _| None);
    }
}
