//! What whoever looks on sees of a core's inputs and outputs: lines for people, and the bytes that
//! go into the hash of a run.

use node::engine::output::Output;
use node::engine::request::ClientAnswer;
use node::engine::wal::disk::{DiskDone, DiskOp};

use super::host::{Asked, Input, Place};
use super::link::LinkId;
use super::net::Side;
use super::watch::{Spoken, plain};
use super::world::World;
use crate::sim_disk::describe;

impl World {
    pub(super) fn observe_timeout(&mut self, to: Place) {
        if self.is_observed() {
            self.take(to, TIMEOUT, &[]);
            self.note(usize::from(to.node), Some(to.core), || "timer");
        }
    }

    pub(super) fn observe_input(&mut self, to: Place, input: &Input) {
        if !self.is_observed() {
            return;
        }
        match input {
            Input::Frames(link, bytes) | Input::Answers(link, bytes) => {
                self.take(to, LINK, &link.number().to_le_bytes());
                self.take(to, FRAMES, bytes);
            }
            Input::Disk(done) => self.take(to, DONE, &digest_of(done)),
            other => self.take(to, INPUT, plain(other).as_bytes()),
        }
        let told = self.has_watcher().then(|| self.tell_input(input));
        if let Some(told) = told {
            self.note(usize::from(to.node), Some(to.core), || told);
        }
    }

    pub(super) fn observe_output(&mut self, from: Place, output: &Output) {
        if !self.is_observed() {
            return;
        }
        match output {
            Output::Send { to, frames } => {
                self.take(from, LINK, to.as_str().as_bytes());
                self.take(from, SEND, frames);
            }
            Output::Reply { link, frames } => {
                self.take(from, LINK, &link.to_le_bytes());
                self.take(from, REPLY, frames);
            }
            Output::Disk(job) => {
                self.take(from, JOB, describe(&job.op).as_bytes());
                if let DiskOp::Write { buffer, .. } = &job.op {
                    self.take(from, JOB, buffer.as_bytes());
                }
            }
            other => self.take(from, OUTPUT, plain(other).as_bytes()),
        }
        let told = self.has_watcher().then(|| self.tell_output(output));
        if let Some(told) = told {
            self.note(usize::from(from.node), Some(from.core), || told);
        }
    }

    fn take(&mut self, place: Place, tag: u64, bytes: &[u8]) {
        let (node, core) = (u64::from(place.node), u64::from(place.core));
        let tag = self.now ^ node << 48 ^ core << 56 ^ tag << 60;
        if let Some(digest) = &mut self.digest {
            digest.take(tag, bytes);
        }
    }

    fn tell_input(&self, input: &Input) -> String {
        let peer = |link: &LinkId, side| self.net.link(*link).node(side);
        match input {
            Input::Frames(link, bytes) => {
                let from = peer(link, Side::Dialler);
                format!("<- {from}: {}", Spoken(&self.setup.params, bytes))
            }
            Input::Answers(link, bytes) => {
                let from = peer(link, Side::Acceptor);
                format!("<= {from}: {}", Spoken(&self.setup.params, bytes))
            }
            Input::Ended(link, Side::Dialler) => {
                format!("link to {} ended", peer(link, Side::Acceptor))
            }
            Input::Ended(link, Side::Acceptor) => {
                format!("link from {} ended", peer(link, Side::Dialler))
            }
            Input::Ask(ticket, Asked::Op(op)) => {
                format!(
                    "client {} asks: {}",
                    ticket.0,
                    shown(&format!("{:?}", op.request()))
                )
            }
            Input::Disk(done) => match &done.result {
                Ok(bytes) => format!("disk ends {}: {bytes}", done.id.0),
                Err(error) => format!("disk fails {}: {error}", done.id.0),
            },
            other => shown(&plain(other)).to_owned(),
        }
    }

    fn tell_output(&self, output: &Output) -> String {
        match output {
            Output::Send { to, frames } => {
                format!("-> {to}: {}", Spoken(&self.setup.params, frames))
            }
            Output::Reply { link, frames } => {
                let to = self.net.link(LinkId::of_core(*link)).node(Side::Dialler);
                format!("=> {to}: {}", Spoken(&self.setup.params, frames))
            }
            Output::Answer {
                ticket,
                answer: ClientAnswer::Value { version, value, .. },
            } => format!("client {} hears: {version:?} {} B", ticket.0, value.len()),
            Output::Answer { ticket, answer } => format!("client {} hears: {answer:?}", ticket.0),
            Output::Disk(job) => format!("disk begins {}: {}", job.id.0, describe(&job.op)),
            other => shown(&plain(other)).to_owned(),
        }
    }
}

/// The end of a job, with the bytes that were read or come back.
fn digest_of(done: &DiskDone) -> Vec<u8> {
    let mut bytes = plain(&(done.id, &done.result)).into_bytes();
    if let Some(buffer) = &done.buffer {
        bytes.extend_from_slice(buffer.as_bytes());
    }
    bytes
}

/// As much as a line takes.
fn shown(text: &str) -> &str {
    let end = text.char_indices().nth(CHARS_MAX).map(|(at, _)| at);
    end.map_or(text, |end| &text[..end])
}

const CHARS_MAX: usize = 400;

const TIMEOUT: u64 = 1;
const FRAMES: u64 = 2;
const DONE: u64 = 3;
const INPUT: u64 = 4;
const SEND: u64 = 5;
const REPLY: u64 = 6;
const JOB: u64 = 7;
const OUTPUT: u64 = 8;
const LINK: u64 = 9;
