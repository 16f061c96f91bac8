//! A client under way while the node dies: writes, overwrites, deletes and reads its own keys over
//! one native link, many in flight, and judges with a [`journal`](crate::journal) what is there
//! afterwards.
//!
//! A key has at most two writes in flight, and none behind a read of it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::id::{Id, IdArc};
use proto::key::Key;
use proto::message::{Delete, FailureCode, Get, Message, Put, RequestId};
use proto::version::Version;

use crate::dice::Dice;
use crate::journal::{Entry, Seen, Write};
use crate::native::Native;
use crate::payload;

/// What a writer does.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// How many keys it goes round.
    pub keys: usize,
    /// Reads in per cent.
    pub gets: u64,
    /// Deletes in per cent; the rest are puts.
    pub deletes: u64,
    /// Largest value in bytes.
    pub value_bytes_max: usize,
    /// Requests in flight.
    pub depth: usize,
}

/// Keys whose acknowledgements prove nothing for a while: their owner is dead, and the host that
/// stands in for it answers out of a log of its own.
#[derive(Debug, Default)]
pub struct Doubt {
    arcs: Mutex<Vec<IdArc>>,
}

impl Doubt {
    /// From now on nothing that lies in `arcs` proves anything, and everything else does.
    pub fn set(&self, arcs: Vec<IdArc>) {
        *self.arcs.lock().unwrap_or_else(PoisonError::into_inner) = arcs;
    }

    fn covers(&self, position: &Id) -> bool {
        let arcs = self.arcs.lock().unwrap_or_else(PoisonError::into_inner);
        arcs.iter().any(|arc| arc.contains(position))
    }
}

/// Ends the work of all writers that ask `0` whether it is over, also when whoever watches them
/// panics.
#[derive(Debug)]
pub struct OverOnDrop<'a>(pub &'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What came of the requests.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Writes answered with success; not deletes that found nothing.
    pub acknowledged: u64,
    /// Reads answered.
    pub reads: u64,
    /// Writes whose end is not known.
    pub unknown: u64,
    /// Requests refused, by the kind of failure and its reason.
    pub refused: BTreeMap<(String, String), u64>,
}

/// One client and its keys.
#[derive(Debug)]
pub struct Writer {
    name: String,
    mix: Mix,
    dice: Dice,
    entries: Vec<State>,
    /// The entries it works on.
    active: Vec<usize>,
    doubt: Option<Arc<Doubt>>,
    waiting: BTreeMap<u64, Asked>,
    /// What came of the requests so far.
    pub tally: Tally,
    /// What was found wrong, with the key.
    pub complaints: Vec<String>,
}

#[derive(Debug)]
struct State {
    key: Key,
    position: Id,
    entry: Entry,
    writes: u8,
    is_read: bool,
    /// A write of it may still arrive at some owner: it is only read from now on.
    is_retired: bool,
}

impl State {
    fn new(writer: &str, number: usize) -> Self {
        let key = payload::key(writer, number as u64);
        Self {
            key,
            position: key.position(),
            entry: Entry::new(),
            writes: 0,
            is_read: false,
            is_retired: false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Write { at: usize, write: Write },
    Read { at: usize, floor: Write },
}

/// An answer, out of the receive buffer.
enum Answer {
    Stored(Version),
    Value(Seen, Version),
    Absent,
    Failed(FailureCode, String),
}

impl Writer {
    /// A writer whose keys and choices follow from its name and `seed`.
    #[must_use]
    pub fn new(name: &str, mix: Mix, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            mix,
            dice: Dice::new(seed),
            entries: (0..mix.keys)
                .map(|number| State::new(name, number))
                .collect(),
            active: (0..mix.keys).collect(),
            doubt: None,
            waiting: BTreeMap::new(),
            tally: Tally::default(),
            complaints: Vec::new(),
        }
    }

    /// A writer in a ring: a write whose end is not known may be carried to an owner later, so its
    /// key is replaced by another one, and `doubt` says which answers prove nothing.
    #[must_use]
    pub fn in_ring(name: &str, mix: Mix, seed: u64, doubt: &Arc<Doubt>) -> Self {
        Self {
            doubt: Some(Arc::clone(doubt)),
            ..Self::new(name, mix, seed)
        }
    }

    /// Its keys, with the last write of each that counts.
    pub fn keys(&self) -> impl Iterator<Item = (Key, Write)> {
        self.entries
            .iter()
            .map(|state| (state.key, state.entry.settled()))
    }

    /// Works until the link ends or `goes_on` says no, and then waits for the answers that are
    /// due. Counts acknowledgements into `progress` as well. The error is why the link ended.
    pub fn work(
        &mut self,
        client: &mut Native,
        progress: &AtomicU64,
        mut goes_on: impl FnMut(&Tally) -> bool,
    ) -> Result<(), String> {
        loop {
            let is_on = goes_on(&self.tally);
            if is_on {
                self.fill(client);
            }
            if self.waiting.is_empty() {
                if is_on {
                    continue;
                }
                return Ok(());
            }
            let before = self.tally.acknowledged;
            let received = self.receive(client);
            progress.fetch_add(self.tally.acknowledged - before, Ordering::Relaxed);
            if let Err(reason) = received {
                self.forget_waiting();
                return Err(reason);
            }
        }
    }

    /// Reads every key back and judges it; nothing may be under way any more, so that what is read
    /// now has to stay.
    pub fn verify(&mut self, client: &mut Native) {
        self.read_back(client, true);
    }

    /// Reads every key back and judges it; a write whose end is not known may still come to light,
    /// such as one that a broken disk has taken.
    pub fn look(&mut self, client: &mut Native) {
        self.read_back(client, false);
    }

    fn read_back(&mut self, client: &mut Native, is_rest: bool) {
        let mut asked = BTreeMap::new();
        for start in (0..self.entries.len()).step_by(VERIFY_DEPTH) {
            let end = (start + VERIFY_DEPTH).min(self.entries.len());
            for at in start..end {
                let key = self.entries[at].key;
                asked.insert(client.send(&Message::Get(Get { key })).0, at);
            }
            while !asked.is_empty() {
                let keys = &self.entries;
                let answer = client.receive(|request, message| {
                    let at = asked.get(&request.0)?;
                    Some((request.0, read(&keys[*at].key, message)))
                });
                let (request, answer) = answer
                    .unwrap_or_else(|error| panic!("{} cannot read back: {error}", self.name));
                if let Some(at) = asked.remove(&request) {
                    self.conclude(at, answer, is_rest);
                }
            }
        }
    }

    /// Panics with all complaints, if there are any.
    pub fn judge(&self) {
        let complaints = &self.complaints;
        let shown: Vec<&str> = complaints.iter().take(20).map(String::as_str).collect();
        assert!(
            complaints.is_empty(),
            "{}: {} complaints\n{}",
            self.name,
            complaints.len(),
            shown.join("\n")
        );
    }

    fn conclude(&mut self, at: usize, answer: Answer, is_rest: bool) {
        let state = &mut self.entries[at];
        let read = match answer {
            Answer::Value(seen, version) => Ok((seen, Some(version))),
            Answer::Absent => Ok((Seen::Absent, None)),
            Answer::Failed(code, reason) => Err(format!("a read failed: {code:?}: {reason}")),
            Answer::Stored(_) => Err("a read is answered with Stored".into()),
        };
        let judged = read.and_then(|(seen, version)| {
            let floor = state.entry.settled();
            match (state.is_retired, is_rest) {
                (true, _) => state.entry.clone().observe(seen, floor),
                (false, true) => state.entry.conclude(seen, version),
                (false, false) => state.entry.observe(seen, floor),
            }
        });
        self.note(at, judged);
    }

    fn note(&mut self, at: usize, judged: Result<(), String>) {
        if let Err(complaint) = judged {
            let key = self.entries[at].key;
            self.complaints
                .push(format!("{} {at} ({key}): {complaint}", self.name));
        }
    }

    /// Sends until `depth` requests are in flight, in one write.
    fn fill(&mut self, client: &mut Native) {
        let mut tries = 4 * self.mix.depth;
        while self.waiting.len() < self.mix.depth && tries > 0 {
            tries -= 1;
            let slot = self.dice.index(self.active.len());
            let mut at = self.active[slot];
            if self.entries[at].is_retired {
                at = self.replace(slot);
            }
            let state = &self.entries[at];
            if state.is_read {
                continue;
            }
            let kind = self.dice.below(100);
            if kind < self.mix.gets {
                self.send_read(client, at);
            } else if state.writes < WRITES_PER_KEY {
                self.send_write(client, at, kind < self.mix.gets + self.mix.deletes);
            }
        }
    }

    /// A new key in the place of one that is retired.
    fn replace(&mut self, slot: usize) -> usize {
        let at = self.entries.len();
        self.entries.push(State::new(&self.name, at));
        self.active[slot] = at;
        at
    }

    fn send_read(&mut self, client: &mut Native, at: usize) {
        let state = &mut self.entries[at];
        state.is_read = true;
        let floor = state.entry.settled();
        let RequestId(request) = client.send(&Message::Get(Get { key: state.key }));
        self.waiting.insert(request, Asked::Read { at, floor });
    }

    fn send_write(&mut self, client: &mut Native, at: usize, is_delete: bool) {
        let state = &mut self.entries[at];
        state.writes += 1;
        let write = state.entry.begin(is_delete);
        let key = state.key;
        let RequestId(request) = if is_delete {
            client.send(&Message::Delete(Delete { key }))
        } else {
            client.send(&Message::Put(Put {
                key,
                ttl_s: 0,
                replication: 0,
                value: &payload::value(&key, write.seq, self.mix.value_bytes_max),
            }))
        };
        self.waiting.insert(request, Asked::Write { at, write });
    }

    /// Receives one answer.
    fn receive(&mut self, client: &mut Native) -> Result<(), String> {
        let (waiting, entries) = (&self.waiting, &self.entries);
        let (asked, answer, request) = client.receive(|request, message| {
            let asked = *waiting.get(&request.0)?;
            let (Asked::Write { at, .. } | Asked::Read { at, .. }) = asked;
            Some((asked, read(&entries[at].key, message), request.0))
        })?;
        self.waiting.remove(&request);
        match asked {
            Asked::Write { at, write } => self.end_write(at, write, answer),
            Asked::Read { at, floor } => self.end_read(at, floor, answer),
        }
        Ok(())
    }

    fn end_write(&mut self, at: usize, write: Write, answer: Answer) {
        let is_doubted = self.is_doubted(at);
        let is_ring = self.doubt.is_some();
        let state = &mut self.entries[at];
        state.writes -= 1;
        let judged = match answer {
            Answer::Stored(_) | Answer::Absent if is_doubted => {
                self.tally.unknown += 1;
                state.is_retired = true;
                Ok(())
            }
            Answer::Stored(version) => {
                self.tally.acknowledged += 1;
                state.entry.acknowledge(write, Some(version))
            }
            Answer::Absent => state.entry.nothing_to_delete(write),
            Answer::Failed(FailureCode::Unknown, _) => {
                self.tally.unknown += 1;
                state.is_retired = is_ring;
                Ok(())
            }
            Answer::Failed(code, reason) => {
                self.tally.refuse(code, reason);
                state.entry.refuse(write);
                Ok(())
            }
            Answer::Value(..) => Err("a write is answered with a value".into()),
        };
        self.note(at, judged);
    }

    fn end_read(&mut self, at: usize, floor: Write, answer: Answer) {
        let is_doubted = self.is_doubted(at);
        let state = &mut self.entries[at];
        state.is_read = false;
        let judged = match answer {
            Answer::Value(..) | Answer::Absent if is_doubted || state.is_retired => Ok(()),
            Answer::Value(seen, _) => state.entry.observe(seen, floor),
            Answer::Absent => state.entry.observe(Seen::Absent, floor),
            Answer::Failed(code, reason) => {
                self.tally.refuse(code, format!("read: {reason}"));
                Ok(())
            }
            Answer::Stored(_) => Err("a read is answered with Stored".into()),
        };
        self.tally.reads += 1;
        self.note(at, judged);
    }

    fn is_doubted(&self, at: usize) -> bool {
        let position = &self.entries[at].position;
        self.doubt
            .as_ref()
            .is_some_and(|doubt| doubt.covers(position))
    }

    fn forget_waiting(&mut self) {
        for asked in mem::take(&mut self.waiting).into_values() {
            match asked {
                Asked::Write { at, .. } => {
                    self.tally.unknown += 1;
                    self.entries[at].writes -= 1;
                    self.entries[at].is_retired = self.doubt.is_some();
                }
                Asked::Read { at, .. } => self.entries[at].is_read = false,
            }
        }
    }
}

impl Tally {
    fn refuse(&mut self, code: FailureCode, reason: String) {
        *self
            .refused
            .entry((format!("{code:?}"), reason))
            .or_default() += 1;
    }

    /// Refusals of one kind.
    #[must_use]
    pub fn refusals(&self, code: &str) -> u64 {
        let of_kind = self.refused.iter().filter(|((kind, _), _)| kind == code);
        of_kind.map(|(_, count)| count).sum()
    }
}

fn read(key: &Key, message: &Message<'_>) -> Answer {
    match message {
        Message::Stored(stored) => Answer::Stored(stored.version),
        Message::Value(value) => Answer::Value(payload::read(key, value.value), value.version),
        Message::Absent(_) => Answer::Absent,
        Message::Failed(failed) => Answer::Failed(failed.code, failed.reason.clone()),
        other => panic!("a client is answered with {other:?}"),
    }
}

/// Two, so that writes of one key meet in one batch of the log.
const WRITES_PER_KEY: u8 = 2;
const VERIFY_DEPTH: usize = 64;
