//! One production member and the little that makes time irrelevant to it: a clock of its own that
//! moves only when a pause has to pass, and the numbers of its lookups under way.
//! An input goes in, the machine's own outputs come out in compact form; nothing is decided here.

use std::time::Duration;

use proto::chord::{
    Chord, ChordOutput, Essence, FingerTable, LookupFound, Phase, Pointers, Purpose,
};
use proto::message::{
    GetNeighbours, Join, Leave, Message, Notify, ReplyTo, RequestId, RequestIds, Route,
};
use proto::peer::{NodeName, Peer};
use proto::planted::Bug;
use proto::time::Now;

use super::cast::{Cast, List, Rank, Said};

/// A member with its clock.
#[derive(Clone, Debug)]
pub struct Actor {
    chord: Chord,
    clock: Duration,
    place: Option<u64>,
    itself: Option<u64>,
}

/// What can happen to a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// Its next stabilisation is due.
    Timer,
    /// It is notified.
    Notified(Rank),
    /// It is asked for its neighbours.
    Neighbours,
    /// It is asked for a place by a joiner.
    Place(Rank),
    /// Its question is answered.
    Answered(Purpose, Said),
    /// It learns that a member it has asked is dead.
    Dead(Rank),
    /// Its lookup of its own place names the predecessor-to-be.
    PlaceFound(Rank),
    /// Its lookup of itself names an owner.
    SelfFound(Rank),
    /// It is to leave.
    Leave,
    /// A neighbour tells that it leaves, and what it knew: predecessor and list.
    Parting(Rank, Option<Rank>, List),
}

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Asks a member.
    Ask(Purpose, Rank),
    /// Notifies a member.
    Notify(Rank),
    /// Answers.
    Answer(Said),
}

impl Actor {
    /// A member of a ring that stands, with these pointers.
    #[must_use]
    pub fn placed(cast: &Cast, rank: Rank, before: Option<Rank>, after: &[Rank]) -> Self {
        let peer = |rank: &Rank| cast.peer(*rank).clone();
        let pointers = Pointers {
            predecessor: before.as_ref().map(peer),
            successors: after.iter().map(peer).collect(),
            fingers: FingerTable::new(1),
        };
        let (ids, me) = (RequestIds::new(0, 0, 0), cast.peer(rank).clone());
        let clock = Duration::from_secs(1000);
        let now = moment(clock);
        let chord = Chord::placed(cast.config(), ids, me, 0, pointers, now);
        Self::of(chord, clock)
    }

    /// A joiner whose place is being looked up.
    #[must_use]
    pub fn joining(cast: &Cast, rank: Rank) -> Self {
        let ids = RequestIds::new(0, 0, 0);
        let chord = Chord::new(cast.config(), ids, cast.peer(rank).clone(), 0);
        let mut actor = Self::of(chord, Duration::from_secs(1000));
        actor.chord.start(actor.now());
        let effects = actor.drain(cast);
        assert!(effects.is_empty(), "a joiner begins with a lookup");
        actor
    }

    /// The state up to the passing of time.
    #[must_use]
    pub fn essence(&self) -> Essence {
        self.chord.essence()
    }

    /// The machine.
    #[must_use]
    pub const fn chord(&self) -> &Chord {
        &self.chord
    }

    /// Gives the machine one input and collects what it does. A planted bug is a matter of the
    /// thread that drives the machine.
    pub fn step(&mut self, cast: &Cast, bug: Option<Bug>, input: Input) -> Vec<Effect> {
        plant(bug);
        let asked: Vec<_> = self.chord.questions().map(|(number, ..)| number).collect();
        match input {
            Input::Timer => self.chord.handle_timeout(self.now()),
            Input::Notified(by) => {
                let (vnode, candidate) = (0, cast.peer(by).clone());
                self.request(cast, by, &Message::Notify(Notify { vnode, candidate }));
            }
            Input::Neighbours => {
                let ask = Message::GetNeighbours(GetNeighbours { vnode: 0 });
                self.request(cast, self.rank(cast), &ask);
            }
            Input::Place(by) => {
                let (vnode, joiner) = (0, cast.peer(by).clone());
                self.request(cast, by, &Message::Join(Join { vnode, joiner }));
            }
            Input::Answered(purpose, said) => self.answer(cast, purpose, said),
            Input::Dead(who) => self.learn_death(cast.peer(who)),
            Input::PlaceFound(before) => self.found(cast, self.place, before),
            Input::SelfFound(owner) => self.found(cast, self.itself, owner),
            Input::Leave => self.chord.leave(self.now()),
            Input::Parting(by, before, list) => {
                let leave = Leave {
                    vnode: 0,
                    leaver: cast.peer(by).clone(),
                    predecessor: before.map(|rank| cast.peer(rank).clone()),
                    successors: cast.peers_of(list),
                };
                self.request(cast, by, &Message::Leave(leave));
            }
        }
        let mut effects = self.drain(cast);
        self.wind_up(cast);
        let new = self
            .chord
            .questions()
            .filter(|(number, ..)| !asked.contains(number));
        effects.extend(new.map(|(_, why, of)| Effect::Ask(why, cast.rank(&of.id()))));
        effects
    }

    const fn of(chord: Chord, clock: Duration) -> Self {
        Self {
            chord,
            clock,
            place: None,
            itself: None,
        }
    }

    fn rank(&self, cast: &Cast) -> Rank {
        cast.rank(&self.chord.me().id())
    }

    fn now(&self) -> Now {
        moment(self.clock)
    }

    fn request(&mut self, cast: &Cast, from: Rank, message: &Message<'_>) {
        let reply = ReplyTo {
            core: 0,
            link: 0,
            request: RequestId(0),
        };
        let from = cast.peer(from).name();
        let verdict = self.chord.handle_request(reply, from, message, self.now());
        verdict.expect("honest members do not misbehave");
    }

    fn answer(&mut self, cast: &Cast, purpose: Purpose, said: Said) {
        let mut questions = self.chord.questions();
        let question = questions.find(|(_, why, _)| *why == purpose);
        let (number, _, of) = question.expect("what is answered was asked");
        let of = of.clone();
        drop(questions);
        let message = cast.message(&of, said);
        let verdict = self
            .chord
            .handle_answer(number, of.name(), &message, self.now());
        verdict.expect("honest members do not misbehave");
    }

    /// The links to a dead node break, and fresh ones are refused, until nothing waits for it.
    fn learn_death(&mut self, who: &Peer) {
        let name = who.name().clone();
        let others = self.waiting_for_others(&name);
        for _ in 0..VERDICT_STEPS_MAX {
            self.chord.handle_unreachable(&name, self.now());
            if self.chord.questions().all(|(_, _, of)| *of.name() != name) {
                let kept = self.waiting_for_others(&name);
                let lost = others.iter().any(|number| !kept.contains(number));
                assert!(!lost, "silence of the living is not part of the model");
                return;
            }
            self.clock += RELINK_WAIT;
            self.chord.handle_timeout(self.now());
        }
        panic!("{who:?} is dead and goes on being asked");
    }

    fn waiting_for_others(&self, name: &NodeName) -> Vec<RequestId> {
        let questions = self.chord.questions();
        let others = questions.filter(|(_, _, of)| of.name() != name);
        others.map(|(number, ..)| number).collect()
    }

    fn found(&mut self, cast: &Cast, ticket: Option<u64>, owner: Rank) {
        let found = LookupFound {
            owner: cast.peer(owner).clone(),
            predecessor: None,
            route: Route::default(),
            path: Vec::new(),
        };
        let ticket = ticket.expect("what is found was looked up");
        self.chord.handle_lookup(ticket, Ok(found), self.now());
    }

    /// Lookups are always under way where the machine would sooner or later start one: a joiner
    /// begins anew after its pause, and a member goes on looking itself up.
    fn wind_up(&mut self, cast: &Cast) {
        let essence = self.chord.essence();
        let waits = essence.seeks_place || !essence.asking.is_empty();
        let rests = essence.phase == Phase::Joining && !waits;
        let unaware = essence.phase == Phase::Member && !essence.seeks_itself;
        if rests {
            let due = self.chord.poll_timeout().expect("a joiner goes on");
            self.clock = self.clock.max(due);
        }
        if rests || (unaware && essence.stabilising) {
            self.chord.handle_timeout(self.now());
            let effects = self.drain(cast);
            assert!(effects.is_empty(), "only lookups start here: {effects:?}");
        }
    }

    fn drain(&mut self, cast: &Cast) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(output) = self.chord.poll_output() {
            match output {
                // New questions are read off the machine; the same one sent again is none.
                ChordOutput::Ask { message, .. } => check_question(&message),
                ChordOutput::Tell { to, message } => {
                    assert!(matches!(message, Message::Notify(_)), "{message:?}");
                    let peer = cast.ranks().find(|rank| *cast.peer(*rank).name() == to);
                    effects.push(Effect::Notify(peer.expect("a member is told")));
                }
                ChordOutput::Answer { message, .. } => {
                    effects.push(Effect::Answer(cast.said(&message)));
                }
                ChordOutput::Lookup { ticket, target, .. } if target == self.chord.me().id() => {
                    match self.chord.phase() {
                        Phase::Joining => self.place = Some(ticket),
                        _ => self.itself = Some(ticket),
                    }
                }
                // A finger: never answered, since fingers decide nothing.
                ChordOutput::Lookup { .. } => {}
            }
        }
        effects
    }
}

fn check_question(message: &Message<'_>) {
    use Message::{GetNeighbours, Join, Leave};
    let known = matches!(message, GetNeighbours(_) | Join(_) | Leave(_));
    assert!(known, "a question the model does not know: {message:?}");
}

fn moment(clock: Duration) -> Now {
    Now {
        mono: clock,
        wall_ms: 0,
    }
}

#[cfg(feature = "planted")]
fn plant(bug: Option<Bug>) {
    proto::planted::plant(bug);
}

#[cfg(not(feature = "planted"))]
fn plant(bug: Option<Bug>) {
    assert!(bug.is_none(), "bugs are planted with the feature `planted`");
}

/// How long the machine waits before it tries a fresh link, and a little more.
const RELINK_WAIT: Duration = Duration::from_millis(51);

/// A verdict may lead to the next question to the same dead node; there are few to ask.
const VERDICT_STEPS_MAX: usize = 12;
