//! A still ring against the truth: owners, counts, the dead, and what memory is kept.
//! Rings are small here; the gates of the papers' tables are in `papers`.

use proto::message::LookupMode;

use super::*;

fn papers(successors: u8) -> Setup {
    Setup::of_papers("still", 1, successors)
}

#[test]
fn every_lookup_names_the_owner() {
    for virtual_nodes in [1, 4] {
        let setup = Setup {
            virtual_nodes,
            ..Setup::of_nodes("still", 4, 4)
        };
        let mut ring = StillRing::of_size(setup, 100);
        let mut dice = Dice::new(1);
        for mode in [
            LookupMode::Recursive,
            LookupMode::Cached,
            LookupMode::Iterative,
        ] {
            for _ in 0..300 {
                let (origin, target) = (ring.any_host(&mut dice), any_id(&mut dice));
                let walked = ring.lookup(origin, target, mode);
                let found = walked.result.expect("a ring in which nobody died");
                assert_eq!(&found.owner, ring.owner(&target));
                assert_eq!(found.route.timeouts, 0);
            }
        }
    }
}

#[test]
fn rings_of_one_and_two_know_everything() {
    let mut dice = Dice::new(2);
    for size in [1, 2] {
        let mut ring = StillRing::of_size(papers(4), size);
        for _ in 0..20 {
            let walked = ring.lookup(0, any_id(&mut dice), LookupMode::Recursive);
            assert!(walked.result.is_ok() && walked.rpcs() < size as u64);
            assert_eq!(walked.forwards(), 0);
        }
    }
}

#[test]
fn the_dead_are_met_and_gone_round_in_every_lookup_anew() {
    let mut ring = StillRing::of_size(papers(20), 200);
    let mut dice = Dice::new(3);
    ring.kill(0.4, true, &mut dice);
    assert!((90..150).contains(&ring.living()), "{}", ring.living());
    let (origin, mut timeouts) = (ring.any_host(&mut dice), 0);
    for _ in 0..200 {
        let target = any_id(&mut dice);
        let walked = ring.lookup(origin, target, LookupMode::Recursive);
        timeouts += walked.timeouts();
        let found = walked
            .result
            .as_ref()
            .expect("lists of twenty name somebody alive");
        assert_eq!(&found.owner, ring.owner(&target));
        let again = ring.lookup(origin, target, LookupMode::Recursive);
        assert_eq!(again.timeouts(), walked.timeouts(), "nothing was learned");
    }
    assert!(timeouts > 200, "{timeouts}");
}

#[test]
fn before_anybody_noticed_positions_of_the_dead_have_no_owner_rather_than_a_wrong_one() {
    let mut ring = StillRing::of_size(papers(20), 200);
    let mut dice = Dice::new(6);
    ring.kill(0.3, false, &mut dice);
    let mut failed = 0;
    for _ in 0..500 {
        let (origin, target) = (ring.any_host(&mut dice), any_id(&mut dice));
        match ring.lookup(origin, target, LookupMode::Recursive).result {
            Ok(found) => assert_eq!(&found.owner, ring.owner(&target)),
            Err(_) => failed += 1,
        }
    }
    assert!((75..225).contains(&failed), "{failed}");
}

/// The tail of a successor list is dead: a node asked the first it knew beyond it, far past the
/// owner, and the lookup went round the ring until its hops were used up.
#[test]
fn a_list_whose_tail_is_dead_leads_no_lookup_past_the_owner() {
    let mut dice = Dice::new(7);
    for round in 0..4 {
        let mut ring = StillRing::of_size(Setup::of_nodes(&format!("tail-{round}"), 1, 16), 1000);
        ring.kill(0.4, true, &mut dice);
        for _ in 0..1000 {
            let (origin, target) = (ring.any_host(&mut dice), any_id(&mut dice));
            let walked = ring.lookup(origin, target, LookupMode::Recursive);
            let found = walked
                .result
                .expect("sixteen successors name somebody alive");
            assert_eq!(&found.owner, ring.owner(&target));
        }
    }
}

/// An answer to a step names four members. When all of them were dead, the lookup ended, although
/// whoever named them knew others: with 40 % dead that was one lookup in thirty.
#[test]
fn steps_whose_answers_name_only_the_dead_are_asked_again() {
    let mut dice = Dice::new(8);
    for bits in [1, 4] {
        let mut ring = StillRing::of_size(Setup::of_nodes("steps", bits, 16), 1000);
        ring.kill(0.4, true, &mut dice);
        for _ in 0..2000 {
            let (origin, target) = (ring.any_host(&mut dice), any_id(&mut dice));
            let walked = ring.lookup(origin, target, LookupMode::Iterative);
            let found = walked
                .result
                .expect("sixteen successors name somebody alive");
            assert_eq!(&found.owner, ring.owner(&target));
        }
    }
}

#[test]
fn dropping_routers_changes_no_lookup() {
    let lookups = |routers_max| {
        let mut ring = StillRing::of_size(papers(2), 100);
        ring.routers_max = routers_max;
        let mut dice = Dice::new(4);
        let mut rpcs = Vec::new();
        for _ in 0..100 {
            let (origin, target) = (ring.any_host(&mut dice), any_id(&mut dice));
            rpcs.push(ring.lookup(origin, target, LookupMode::Recursive).rpcs());
            assert!(ring.built <= routers_max + 10);
        }
        rpcs
    };
    assert_eq!(lookups(100), lookups(7));
}

#[test]
fn traffic_is_a_request_and_an_acknowledgement_a_hop_and_one_answer() {
    let setup = Setup {
        weighs: true,
        ..papers(2)
    };
    let mut ring = StillRing::of_size(setup, 100);
    let mut dice = Dice::new(5);
    for _ in 0..50 {
        let walked = ring.lookup(0, any_id(&mut dice), LookupMode::Recursive);
        let rpcs = walked.rpcs();
        let messages = if rpcs == 0 { 0 } else { 2 * rpcs + 1 };
        assert_eq!(walked.traffic.messages, messages);
        assert!(walked.traffic.bytes >= 20 * messages);
    }
}
