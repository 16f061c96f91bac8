//! The order of answers on one DHT API connection, as a pure machine: which request may start,
//! which answer leaves when, and when to stop reading. No sockets, no clocks.
//!
//! The DHT API has no request ids, so answers leave in request order. A GET answered at once writes
//! straight into the output as long as no older GET waits; others take a slot. Requests of one key
//! never overtake each other: the later one waits unless both only read, or the shard of this core
//! keeps their order.

use std::collections::VecDeque;

use proto::dht_api::MESSAGE_BYTES_MAX;
use proto::key::Key;

use crate::engine::core::Taker;

use super::limits::{API_IN_FLIGHT_BYTES_MAX, API_IN_FLIGHT_MAX, API_OUTPUT_BYTES_PAUSE};

/// Requests under way and answers not yet taken by the writer.
#[derive(Default)]
pub(crate) struct ApiQueue {
    output: Vec<u8>,
    reads: VecDeque<Read>,
    /// Number of the read at the front.
    first_read: u32,
    reads_waiting: usize,
    /// PUTs that other cores or nodes have.
    writes: Vec<Write>,
    /// PUTs that the shard of this core has, by number: they end in this order, but for those that
    /// are refused.
    shard_writes: VecDeque<Write>,
    shard_writes_ended: usize,
    next_write: u32,
    /// Values of writes under way and answers that wait for an older one.
    held_bytes: usize,
    answer_bytes: AnswerBytes,
    is_finished: bool,
    is_broken: bool,
}

/// How large the next answer may be: the largest one of late. Before the first answer, the largest
/// there can be, so that a stranger is let ask for little at first.
struct AnswerBytes(usize);

impl AnswerBytes {
    fn learn(&mut self, bytes: usize) {
        self.0 = bytes.max(self.0 - self.0 / 4);
    }
}

impl Default for AnswerBytes {
    fn default() -> Self {
        Self(MESSAGE_BYTES_MAX)
    }
}

/// The number of a request under way; comes back with its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Number {
    /// A GET: it has an answer, which leaves in its turn.
    Read(u32),
    /// A PUT: it has none, and holds nothing back but requests of its key.
    Write(u32),
}

struct Read {
    key: Key,
    /// `None` while it is under way.
    answer: Option<Vec<u8>>,
}

struct Write {
    number: u32,
    key: Key,
    held_bytes: usize,
    has_ended: bool,
}

impl ApiQueue {
    /// Whether the node should stop reading requests of this connection for now.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= API_OUTPUT_BYTES_PAUSE
            || self.reads.len() + self.writes.len() + self.shard_writes.len() >= API_IN_FLIGHT_MAX
            || self.held_bytes + self.reads_waiting * self.answer_bytes.0 >= API_IN_FLIGHT_BYTES_MAX
    }

    /// Whether a GET of `key` has to wait for a PUT under way elsewhere. One that this core's shard
    /// has taken is seen by every later read of the shard.
    pub(crate) fn must_read_wait(&self, key: &Key) -> bool {
        self.writes.iter().any(|write| write.key == *key)
    }

    /// Whether a GET that goes elsewhere has to wait for a PUT that this core's shard has taken:
    /// the key has changed its owner in between.
    pub(crate) fn must_leave_wait(&self, key: &Key) -> bool {
        let is_it = |write: &Write| !write.has_ended && write.key == *key;
        self.shard_writes.iter().any(is_it)
    }

    /// Whether a PUT of `key` has to wait for a request under way. The shard keeps the order of the
    /// PUTs that it has taken; one that goes elsewhere, because the key has changed its owner in
    /// between, has a higher version.
    pub(crate) fn must_write_wait(&self, key: &Key) -> bool {
        let is_read = |read: &Read| read.answer.is_none() && read.key == *key;
        self.must_read_wait(key) || (self.reads_waiting > 0 && self.reads.iter().any(is_read))
    }

    /// Appends an answer that is known at once with `encode`, behind whatever is older.
    pub(crate) fn answer_now(&mut self, key: &Key, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.reads.is_empty() {
            return encode(&mut self.output);
        }
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.held_bytes += bytes.len();
        self.reads.push_back(Read {
            key: *key,
            answer: Some(bytes),
        });
    }

    /// A GET is under way.
    pub(crate) fn start_read(&mut self, key: Key) -> Number {
        let offset = u32::try_from(self.reads.len()).unwrap_or(u32::MAX);
        self.reads_waiting += 1;
        self.reads.push_back(Read { key, answer: None });
        Number::Read(self.first_read.wrapping_add(offset))
    }

    /// The number of the PUT that is about to start.
    pub(crate) fn next_write(&mut self) -> u32 {
        let number = self.next_write;
        self.next_write = number.wrapping_add(1);
        number
    }

    /// The PUT `number` of `held_bytes` is under way; `taker` has it.
    pub(crate) fn start_write(&mut self, number: u32, key: Key, held_bytes: usize, taker: Taker) {
        self.held_bytes += held_bytes;
        let write = Write {
            number,
            key,
            held_bytes,
            has_ended: false,
        };
        match taker {
            Taker::Shard => self.shard_writes.push_back(write),
            Taker::Other => self.writes.push(write),
        }
    }

    /// A GET has ended; `encode` gets its key and appends the answer.
    pub(crate) fn end_read(&mut self, number: u32, encode: impl FnOnce(&Key, &mut Vec<u8>)) {
        let index = number.wrapping_sub(self.first_read) as usize;
        let Some(read) = self.reads.get_mut(index) else {
            return;
        };
        if read.answer.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        let out = if index == 0 {
            &mut self.output
        } else {
            &mut bytes
        };
        if !self.is_broken {
            let before = out.len();
            encode(&read.key, out);
            self.answer_bytes.learn(out.len() - before);
        }
        self.reads_waiting -= 1;
        self.held_bytes += bytes.len();
        read.answer = Some(bytes);
        self.release();
    }

    /// A PUT has ended.
    pub(crate) fn end_write(&mut self, number: u32) {
        if self.end_shard_write(number) {
            return;
        }
        let Some(index) = self.writes.iter().position(|write| write.number == number) else {
            return;
        };
        self.held_bytes -= self.writes.swap_remove(index).held_bytes;
    }

    /// Ends a PUT when this core's shard has it.
    fn end_shard_write(&mut self, number: u32) -> bool {
        let first = self.shard_writes.front().map_or(0, |write| write.number);
        let age = |number: u32| number.wrapping_sub(first);
        let writes = &mut self.shard_writes;
        let index = writes.partition_point(|write| age(write.number) < age(number));
        let Some(write) = writes.get_mut(index).filter(|it| it.number == number) else {
            return false;
        };
        if !write.has_ended {
            write.has_ended = true;
            self.held_bytes -= write.held_bytes;
            self.shard_writes_ended += 1;
        }
        while self.shard_writes.front().is_some_and(|it| it.has_ended) {
            self.shard_writes.pop_front();
            self.shard_writes_ended -= 1;
        }
        true
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> usize {
        let shard_writes = self.shard_writes.len() - self.shard_writes_ended;
        self.reads_waiting + self.writes.len() + shard_writes
    }

    /// No further request comes: what is under way is still answered.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
    }

    /// The connection is gone: answers are dropped as they come.
    pub(crate) fn abandon(&mut self) {
        self.is_finished = true;
        self.is_broken = true;
        self.output = Vec::new();
    }

    /// Whether the connection is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_broken
    }

    /// Whether answers wait for the writer.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Gives the collected answers to the writer in exchange for an emptied buffer.
    pub(crate) fn take_output(&mut self, emptied: &mut Vec<u8>) -> Next {
        if self.is_broken {
            return Next::End;
        }
        if !self.output.is_empty() {
            std::mem::swap(&mut self.output, emptied);
            return Next::Write;
        }
        if self.is_finished && self.reads.is_empty() {
            Next::End
        } else {
            Next::Wait
        }
    }

    /// Moves answers from the front into the output up to the first GET still under way.
    fn release(&mut self) {
        while let Some(Read {
            answer: Some(bytes),
            ..
        }) = self.reads.front()
        {
            self.held_bytes -= bytes.len();
            if !self.is_broken {
                self.output.extend_from_slice(bytes);
            }
            self.reads.pop_front();
            self.first_read = self.first_read.wrapping_add(1);
        }
    }
}

/// What the writer of a connection does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Write the buffer it was given.
    Write,
    /// Wait for answers.
    Wait,
    /// Everything is answered and written, or nobody is there to read it.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; 32])
    }

    fn start_read(queue: &mut ApiQueue, byte: u8) -> u32 {
        match queue.start_read(key(byte)) {
            Number::Read(number) => number,
            Number::Write(_) => unreachable!("a read was started"),
        }
    }

    fn start_write(queue: &mut ApiQueue, byte: u8, held_bytes: usize, taker: Taker) -> u32 {
        let number = queue.next_write();
        queue.start_write(number, key(byte), held_bytes, taker);
        number
    }

    fn text(text: &'static [u8]) -> impl FnOnce(&Key, &mut Vec<u8>) {
        move |_, out| out.extend_from_slice(text)
    }

    fn written(queue: &mut ApiQueue) -> Vec<u8> {
        let mut bytes = Vec::new();
        match queue.take_output(&mut bytes) {
            Next::Write => bytes,
            Next::Wait | Next::End => Vec::new(),
        }
    }

    #[test]
    fn answers_leave_in_request_order() {
        let mut queue = ApiQueue::default();
        let a = start_read(&mut queue, 1);
        let b = start_read(&mut queue, 2);
        queue.answer_now(&key(3), |out| out.extend_from_slice(b"c"));
        queue.end_read(b, text(b"b"));
        assert_eq!(written(&mut queue), b"");
        queue.end_read(a, text(b"a"));
        assert_eq!(written(&mut queue), b"abc");
        queue.answer_now(&key(3), |out| out.extend_from_slice(b"d"));
        assert_eq!(written(&mut queue), b"d");
        assert_eq!(queue.held_bytes, 0);
    }

    #[test]
    fn a_read_waits_for_a_write_of_its_key_only() {
        let mut queue = ApiQueue::default();
        let write = start_write(&mut queue, 1, 10, Taker::Other);
        assert!(queue.must_read_wait(&key(1)) && queue.must_write_wait(&key(1)));
        assert!(!queue.must_read_wait(&key(2)) && !queue.must_write_wait(&key(2)));
        queue.end_write(write);
        assert!(!queue.must_read_wait(&key(1)) && !queue.must_write_wait(&key(1)));
        assert_eq!(queue.held_bytes, 0);
    }

    #[test]
    fn writes_of_one_key_are_under_way_together_when_the_shard_keeps_their_order() {
        let mut queue = ApiQueue {
            next_write: u32::MAX - 1,
            ..ApiQueue::default()
        };
        let start = |queue: &mut ApiQueue, taker| start_write(queue, 1, 10, taker);
        let [a, b, c] = [(); 3].map(|()| start(&mut queue, Taker::Shard));
        assert!(!queue.must_read_wait(&key(1)) && !queue.must_write_wait(&key(1)));
        assert!(queue.must_leave_wait(&key(1)) && !queue.must_leave_wait(&key(2)));
        let elsewhere = start(&mut queue, Taker::Other);
        assert!(queue.must_read_wait(&key(1)) && queue.must_write_wait(&key(1)));
        assert_eq!((queue.in_flight(), queue.held_bytes), (4, 40));
        for (ended, left) in [(b, 3), (b, 3), (elsewhere, 2), (a, 1), (c, 0)] {
            queue.end_write(ended);
            assert_eq!((queue.in_flight(), queue.held_bytes), (left, left * 10));
        }
        assert!(!queue.must_leave_wait(&key(1)) && queue.shard_writes.is_empty());
    }

    #[test]
    fn a_write_waits_for_a_read_of_its_key_and_reads_share() {
        let mut queue = ApiQueue::default();
        let read = start_read(&mut queue, 1);
        assert!(queue.must_write_wait(&key(1)) && !queue.must_read_wait(&key(1)));
        queue.end_read(read, text(b"r"));
        assert!(!queue.must_write_wait(&key(1)));
        assert_eq!(queue.in_flight(), 0);
    }

    #[test]
    fn a_write_under_way_holds_no_answer_back() {
        let mut queue = ApiQueue::default();
        start_write(&mut queue, 1, 10, Taker::Other);
        queue.answer_now(&key(2), |out| out.extend_from_slice(b"later"));
        assert_eq!(written(&mut queue), b"later");
    }

    #[test]
    fn a_finished_connection_ends_after_its_last_answer() {
        let mut queue = ApiQueue::default();
        let read = start_read(&mut queue, 1);
        queue.finish();
        assert_eq!(queue.take_output(&mut Vec::new()), Next::Wait);
        queue.end_read(read, text(b"r"));
        assert_eq!(written(&mut queue), b"r");
        assert_eq!(queue.take_output(&mut Vec::new()), Next::End);
    }

    #[test]
    fn an_abandoned_connection_drops_answers_and_counts_down() {
        let mut queue = ApiQueue::default();
        let (a, b) = (start_read(&mut queue, 1), start_read(&mut queue, 2));
        queue.abandon();
        assert_eq!(queue.take_output(&mut Vec::new()), Next::End);
        queue.end_read(b, text(b"b"));
        queue.end_read(a, text(b"a"));
        assert_eq!((queue.in_flight(), queue.held_bytes), (0, 0));
        assert!(queue.output.is_empty());
    }

    #[test]
    fn every_bound_stops_reading() {
        let mut queue = ApiQueue::default();
        queue.answer_now(&key(1), |out| out.resize(API_OUTPUT_BYTES_PAUSE, 0));
        assert!(queue.is_full());
        queue.take_output(&mut Vec::new());
        assert!(!queue.is_full());
        queue.answer_bytes = AnswerBytes(1);
        let numbers: Vec<u32> = (0..API_IN_FLIGHT_MAX)
            .map(|_| start_read(&mut queue, 1))
            .collect();
        assert!(queue.is_full());
        numbers
            .into_iter()
            .for_each(|number| queue.end_read(number, |_, _| {}));
        assert!(!queue.is_full());
        start_write(&mut queue, 1, API_IN_FLIGHT_BYTES_MAX, Taker::Other);
        assert!(queue.is_full());
    }

    #[test]
    fn few_large_answers_are_awaited_at_once_and_many_small_ones() {
        let mut queue = ApiQueue::default();
        let fill = |queue: &mut ApiQueue| {
            let before = queue.in_flight();
            while !queue.is_full() {
                start_read(queue, 1);
            }
            queue.in_flight() - before
        };
        assert!(
            fill(&mut queue) <= 17,
            "nothing is known of the answers yet"
        );
        (0..16).for_each(|number| queue.end_read(number, text(b"small")));
        assert!(fill(&mut queue) >= 200, "all of them were small");
        queue.end_read(16, |_, out| out.resize(60_000, 0));
        assert!(queue.is_full(), "one was large");
    }

    #[test]
    fn numbers_wrap_around() {
        let mut queue = ApiQueue {
            first_read: u32::MAX,
            ..ApiQueue::default()
        };
        let (a, b) = (start_read(&mut queue, 1), start_read(&mut queue, 2));
        assert_eq!((a, b), (u32::MAX, 0));
        queue.end_read(b, text(b"b"));
        queue.end_read(a, text(b"a"));
        assert_eq!(written(&mut queue), b"ab");
    }

    #[test]
    fn a_second_end_of_the_same_request_is_ignored() {
        let mut queue = ApiQueue::default();
        let read = start_read(&mut queue, 1);
        queue.end_read(read, text(b"a"));
        queue.end_read(read, text(b"a"));
        queue.end_write(7);
        assert_eq!(written(&mut queue), b"a");
    }
}
