//! Judges a crawled ring: whether the invariant of CHORD.md holds, and whether the ring is ideal.
//!
//! The invariant must hold at every moment; a ring is ideal once joins and failures have been
//! worked in. A crawl is no instant, so while members come and go it can show what never was.

use std::fmt;

use node::engine::request::{MemberName, RingMember};

use node::exit::Exit;
use proto::chord::invariant::{self, MemberState};
use proto::id::Id;

use super::{short, shown};
use crate::cli::failure::Failure;

/// What a crawled ring is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// How many members are in the ring.
    members: usize,
    /// What breaks the invariant.
    violations: Vec<String>,
    /// Who does not answer: nobody can vouch for their pointers.
    silent: Vec<String>,
    /// What keeps the ring from being ideal.
    flaws: Vec<String>,
}

impl Verdict {
    /// Whether the invariant holds, as far as everybody in the ring was heard.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.silent.is_empty()
    }

    /// Whether everybody's neighbours are the true ones.
    pub(crate) fn is_ideal(&self) -> bool {
        self.is_clean() && self.flaws.is_empty()
    }

    /// The first thing that is wrong.
    pub(crate) fn first_flaw(&self) -> Option<&str> {
        self.violations
            .iter()
            .chain(&self.silent)
            .chain(&self.flaws)
            .next()
            .map(String::as_str)
    }
}

/// One line for each violation and flaw, then the sum.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        for member in &self.silent {
            writeln!(f, "unconfirmed: {member}")?;
        }
        for flaw in &self.flaws {
            writeln!(f, "not ideal: {flaw}")?;
        }
        let invariant = match (self.violations.is_empty(), self.silent.is_empty()) {
            (true, true) => "holds",
            (true, false) => "cannot be confirmed",
            (false, _) => "is violated",
        };
        let ideal = if self.is_ideal() {
            "ideal"
        } else {
            "not ideal"
        };
        writeln!(
            f,
            "{} members, the invariant {invariant}, the ring is {ideal}",
            self.members
        )
    }
}

/// Judges `members`, which are in the order of the circle, with successor lists of length
/// `successors`.
pub(crate) fn check(members: &[RingMember], successors: usize) -> Result<Verdict, Failure> {
    let states: Result<Vec<MemberState>, Failure> = members.iter().map(state).collect();
    let states = states?;
    let violations = invariant::check(&states, successors);
    let (mut silent, mut flaws) = (Vec::new(), Vec::new());
    for member in members.iter().filter(|member| !is_inside(member)) {
        let name = format!("{}/{}", member.node, member.vnode);
        match member.phase.as_str() {
            UNREACHABLE => silent.push(format!("{name} does not answer")),
            phase => flaws.push(format!("{name} is {phase}")),
        }
    }
    let inside: Vec<&RingMember> = members.iter().filter(|member| is_inside(member)).collect();
    for rank in 0..inside.len() {
        flaws.extend(flaw(&inside, rank, successors));
    }
    Ok(Verdict {
        members: inside.len(),
        violations: violations.iter().map(ToString::to_string).collect(),
        silent,
        flaws,
    })
}

/// A member that leaves owns its arc until it has left.
fn is_inside(member: &RingMember) -> bool {
    matches!(member.phase.as_str(), "member" | "leaving")
}

fn state(member: &RingMember) -> Result<MemberState, Failure> {
    let successors: Result<Vec<Id>, Failure> = member
        .successors
        .iter()
        .map(|other| id(&other.id))
        .collect();
    Ok(MemberState {
        id: id(&member.id)?,
        predecessor: member
            .predecessor
            .as_ref()
            .map(|other| id(&other.id))
            .transpose()?,
        successors: successors?,
        live: is_inside(member),
    })
}

fn id(digits: &str) -> Result<Id, Failure> {
    let mut bytes = [0; 32];
    match hex::decode_to_slice(digits, &mut bytes) {
        Ok(()) => Ok(Id::from_bytes(bytes)),
        Err(_) => Err(Failure::new(
            Exit::Network,
            format!("`{digits}` is not an id"),
        )),
    }
}

/// What is not ideal about the member of rank `rank`.
fn flaw(inside: &[&RingMember], rank: usize, successors: usize) -> Option<String> {
    let member = inside[rank];
    let at = |step: usize| inside[(rank + step) % inside.len()];
    let others = inside.len() - 1;
    let name = format!("{} {}/{}", short(&member.id), member.node, member.vnode);
    let list: Vec<&str> = member
        .successors
        .iter()
        .map(|other| other.id.as_str())
        .collect();
    let want: Vec<&str> = (1..=others.min(successors))
        .map(|step| at(step).id.as_str())
        .collect();
    if list != want {
        let list: Vec<&str> = list.into_iter().map(short).collect();
        let want: Vec<&str> = want.into_iter().map(short).collect();
        return Some(format!(
            "{name} has successors {list:?} instead of {want:?}"
        ));
    }
    let predecessor = member
        .predecessor
        .as_ref()
        .filter(|other| other.id != member.id);
    let want = (others > 0).then(|| at(others));
    if predecessor.map(|other| &other.id) != want.map(|other| &other.id) {
        let found = predecessor.map_or_else(|| "none".to_owned(), shown);
        let want = want.map_or_else(|| "none".to_owned(), |other| shown(&name_of(other)));
        return Some(format!("{name} has predecessor {found} instead of {want}"));
    }
    None
}

fn name_of(member: &RingMember) -> MemberName {
    MemberName {
        id: member.id.clone(),
        node: member.node.clone(),
        vnode: member.vnode,
    }
}

/// What a crawl calls a member that is named by others and does not answer.
const UNREACHABLE: &str = "unreachable";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn verdict(members: &[RingMember], successors: usize) -> Verdict {
        check(members, successors).unwrap()
    }

    fn name(id: u8) -> MemberName {
        MemberName {
            id: format!("{id:02x}").repeat(32),
            node: format!("n{id}:1"),
            vnode: 0,
        }
    }

    /// A member of a made-up ring.
    pub(in super::super) fn member(id: u8, predecessor: u8, successors: &[u8]) -> RingMember {
        let MemberName { id, node, vnode } = name(id);
        let successors = successors.iter().map(|id| name(*id)).collect();
        let (predecessor, fingers) = (Some(name(predecessor)), Vec::new());
        RingMember {
            id,
            node,
            vnode,
            phase: "member".into(),
            predecessor,
            successors,
            fingers,
        }
    }

    #[test]
    fn an_ideal_ring_has_the_true_neighbours() {
        let ring = [
            member(1, 3, &[2, 3]),
            member(2, 1, &[3, 1]),
            member(3, 2, &[1, 2]),
        ];
        let found = verdict(&ring, 16);
        assert!(found.is_ideal(), "{found}");
        assert_eq!(
            found.to_string(),
            "3 members, the invariant holds, the ring is ideal\n"
        );
        assert!(!verdict(&ring, 1).is_ideal(), "lists longer than s");
    }

    #[test]
    fn a_ring_of_one_names_nobody() {
        let mut alone = member(1, 1, &[]);
        alone.predecessor = None;
        assert!(verdict(&[alone], 16).is_ideal());
    }

    #[test]
    fn explanations_agree_with_the_definition_of_ideal() {
        let ideal = [
            member(1, 3, &[2, 3]),
            member(2, 1, &[3, 1]),
            member(3, 2, &[1, 2]),
        ];
        let mut rings = vec![ideal.to_vec()];
        for rank in 0..ideal.len() {
            let mut ring = ideal.to_vec();
            ring[rank].predecessor = None;
            rings.push(ring.clone());
            ring[rank] = ideal[rank].clone();
            ring[rank].successors.pop();
            rings.push(ring);
        }
        for ring in rings {
            let states: Vec<_> = ring.iter().map(|member| state(member).unwrap()).collect();
            let flaws = verdict(&ring, 16).flaws;
            assert_eq!(
                flaws.is_empty(),
                invariant::is_ideal(&states, 16),
                "{flaws:?}"
            );
        }
    }

    #[test]
    fn a_silent_member_leaves_the_ring_unjudged() {
        let mut ring = [
            member(1, 3, &[2, 3]),
            member(2, 1, &[3, 1]),
            member(3, 2, &[1, 2]),
        ];
        ring[2].phase = UNREACHABLE.into();
        let found = verdict(&ring, 16);
        assert!(!found.is_clean());
        assert_eq!(found.first_flaw(), Some("n3:1/0 does not answer"));
        assert!(
            found
                .to_string()
                .contains("the invariant cannot be confirmed"),
            "{found}"
        );
    }

    #[test]
    fn a_lost_successor_violates_the_invariant() {
        let mut ring = [member(1, 2, &[2]), member(2, 1, &[1])];
        ring[0].successors.clear();
        let found = verdict(&ring, 16);
        assert!(!found.is_clean());
        assert!(
            found
                .to_string()
                .starts_with("violation: 01010101 has no live successor\n")
        );
    }

    #[test]
    fn a_member_on_its_way_is_a_flaw() {
        let mut ring = [member(1, 2, &[2]), member(2, 1, &[1]), member(3, 2, &[1])];
        ring[2].phase = "joining".into();
        let found = verdict(&ring, 16);
        assert!(found.is_clean() && !found.is_ideal());
        assert_eq!(found.first_flaw(), Some("n3:1/0 is joining"));
    }
}
