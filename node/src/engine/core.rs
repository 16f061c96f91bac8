//! Stand-in until the core is merged.
#![allow(missing_docs, clippy::all)]
use super::counters::Counters;
use super::mail::Mail;
use super::output::Output;
use super::request::*;
use super::shard::*;
use proto::key::Key;
use proto::message::*;
use proto::peer::*;
use proto::time::Now;
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct CoreConfig {
    pub core: u8,
    pub cores: u8,
    pub params: RingParams,
    pub name: NodeName,
    pub virtual_nodes: u16,
    pub shard: ShardConfig,
    pub request_deadline: Duration,
    pub operations_max: usize,
    pub seed: u64,
}
pub struct Core { shard: Shard, out: VecDeque<Output>, counters: Counters }
pub enum LocalRead<'a> { Value(&'a [u8]), Absent, Elsewhere }
impl Core {
    pub fn new(config: CoreConfig) -> Self { Self { shard: Shard::new(config.shard), out: VecDeque::new(), counters: Counters::default() } }
    pub fn start(&mut self, _: Now) {}
    pub fn read_local(&mut self, key: &Key, now: Now) -> LocalRead<'_> {
        self.counters.local_reads += 1;
        std::hint::black_box(key.position());
        match self.shard.get(key, now) { Some(r) => LocalRead::Value(r.value), None => LocalRead::Absent }
    }
    pub fn handle_client(&mut self, ticket: Ticket, request: &ClientRequest<'_>, now: Now) {
        let answer = match *request {
            ClientRequest::Put { key, ttl_s, replication, value } => {
                std::hint::black_box(key.position());
                match self.shard.put(key, ttl_s, replication, value, now) {
                    Ok(a) => ClientAnswer::Stored(Stored { version: a.version, hosts: 1, route: Route::default() }),
                    Err(e) => ClientAnswer::Failed(Failed { code: FailureCode::MemoryFull, reason: e.to_string() }),
                }
            }
            _ => ClientAnswer::Absent(Route::default()),
        };
        self.out.push_back(Output::Answer { ticket, answer });
    }
    pub fn handle_frame(&mut self, _: u64, _: &NodeName, _: Role, _: &[u8], _: Now) {}
    pub fn handle_answer(&mut self, _: &NodeName, _: &[u8], _: Now) {}
    pub fn handle_link_closed(&mut self, _: u64, _: Now) {}
    pub fn handle_mail(&mut self, _: Mail, _: Now) {}
    pub fn handle_unreachable(&mut self, _: &NodeName, _: Now) {}
    pub fn handle_admin(&mut self, ticket: Ticket, request: AdminRequest, _: Now) {
        let answer = match request { AdminRequest::Leave => AdminAnswer::Left, AdminRequest::Ring => AdminAnswer::Ring(vec![]),
            AdminRequest::Status => AdminAnswer::Status(Box::new(RingStatus { members: vec![], peers: vec![], epoch: 0 })) };
        self.out.push_back(Output::Admin { ticket, answer });
    }
    pub fn handle_timeout(&mut self, now: Now) { self.shard.handle_timeout(now); }
    pub fn poll_timeout(&self) -> Option<Duration> { self.shard.poll_timeout() }
    pub fn poll_output(&mut self) -> Option<Output> { self.out.pop_front() }
    pub fn counters(&self) -> &Counters { &self.counters }
    pub fn shard(&self) -> &Shard { &self.shard }
    pub fn operations_len(&self) -> usize { 0 }
    pub fn is_member(&self) -> bool { true }
}
