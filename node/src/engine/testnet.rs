//! Whole nodes of several cores each, driven in memory on virtual time: what the shell and the
//! network do in earnest, done here in the order of arrival.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::chord::{ChordConfig, Pace, RouterConfig};
use proto::message::Role;
use proto::peer::{NodeName, RingParams};
use proto::time::Now;

use super::core::{Core, CoreConfig};
use super::mail::Mail;
use super::output::Output;
use super::request::{AdminAnswer, AdminRequest, ClientAnswer, ClientRequest, Ticket};
use super::shard::{ShardConfig, TtlPolicy};
use super::wal::disk::DiskJob;
use super::wal::memory_disk::MemoryDisk;
use super::wal::settings::{LogConfig, SyncPolicy};

/// A place frames go to: node, core.
type Place = (usize, u8);

enum Event {
    Frames {
        to: Place,
        link: u64,
        frames: Vec<u8>,
    },
    Answers {
        to: Place,
        from: usize,
        frames: Vec<u8>,
    },
    Mail {
        to: Place,
        mail: Mail,
    },
    Unreachable {
        to: Place,
        name: NodeName,
    },
    Disk {
        to: Place,
        job: DiskJob,
    },
}

/// Nodes and what travels between them.
pub(super) struct TestNet {
    nodes: Vec<Option<Vec<Core>>>,
    cores: u8,
    now_ms: u64,
    events: VecDeque<Event>,
    answers: BTreeMap<Ticket, ClientAnswer>,
    admin: BTreeMap<Ticket, AdminAnswer>,
    closed: Vec<String>,
    tickets: u64,
    sync: Option<SyncPolicy>,
    /// The disk of each core.
    pub(super) disks: BTreeMap<Place, MemoryDisk>,
    /// While disks are stuck: what they do not do.
    held_jobs: Vec<Event>,
    pub(super) are_disks_stuck: bool,
}

impl TestNet {
    /// `nodes` nodes of `cores` cores; all but the first join through the first, at once.
    pub(super) fn new(nodes: usize, cores: u8) -> Self {
        Self::with_logs(nodes, cores, None)
    }

    /// [`TestNet::new`] with a log for every core.
    pub(super) fn with_logs(nodes: usize, cores: u8, sync: Option<SyncPolicy>) -> Self {
        let mut net = Self {
            nodes: Vec::new(),
            cores,
            now_ms: 1_000_000,
            events: VecDeque::new(),
            answers: BTreeMap::new(),
            admin: BTreeMap::new(),
            closed: Vec::new(),
            tickets: 0,
            sync,
            disks: BTreeMap::new(),
            held_jobs: Vec::new(),
            are_disks_stuck: false,
        };
        net.nodes = (0..nodes).map(|_| None).collect();
        (0..nodes).for_each(|node| net.start(node));
        net
    }

    /// Starts a node on what its disks hold.
    pub(super) fn start(&mut self, node: usize) {
        self.nodes[node] = Some(self.build(node));
        for core in 0..self.cores {
            let files = self.disks.entry((node, core)).or_default().files();
            self.on((node, core), |core, now| core.recover(&files, now));
        }
        self.deliver();
        self.on((node, 0), Core::start);
    }

    fn build(&self, node: usize) -> Vec<Core> {
        let bootstrap = if node == 0 { Vec::new() } else { vec![name(0)] };
        (0..self.cores)
            .map(|core| {
                let mut config = config(node, core, self.cores, &bootstrap);
                config.log = self.sync.map(|sync| log(node, core, sync));
                Core::new(config)
            })
            .collect()
    }

    /// Disks do what they did not do while they were stuck.
    pub(super) fn free_disks(&mut self) {
        self.are_disks_stuck = false;
        self.events.extend(std::mem::take(&mut self.held_jobs));
        self.deliver();
    }

    /// Lets everything arrive and `ms` milliseconds pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            self.deliver();
            let due = self
                .cores()
                .filter_map(|place| self.core(place)?.poll_timeout())
                .min();
            let due_ms = due.map_or(u64::MAX, |due| {
                u64::try_from(due.as_millis()).unwrap_or(end) + 1
            });
            if due_ms > end {
                self.now_ms = end;
                return;
            }
            self.now_ms = self.now_ms.max(due_ms);
            for place in self.cores().collect::<Vec<_>>() {
                let now = self.now();
                let is_due = self.core(place).and_then(Core::poll_timeout);
                if is_due.is_some_and(|due| due <= now.mono) {
                    self.on(place, Core::handle_timeout);
                }
            }
        }
    }

    /// Ends a node without a word.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// A client's request at a core, and its answer within `ms` milliseconds.
    pub(super) fn ask(
        &mut self,
        place: Place,
        request: &ClientRequest<'_>,
        ms: u64,
    ) -> ClientAnswer {
        let ticket = self.begin(place, request);
        for _ in 0..ms {
            if let Some(answer) = self.answer(ticket) {
                return answer;
            }
            self.run(1);
        }
        panic!("{request:?} at {place:?} got no answer within {ms} ms");
    }

    /// A client's request at a core, whose answer is not waited for.
    pub(super) fn begin(&mut self, place: Place, request: &ClientRequest<'_>) -> Ticket {
        let ticket = self.ticket();
        self.on(place, |core, now| {
            core.handle_client(ticket, request, now);
        });
        ticket
    }

    /// The answer to a request, once, when it has come.
    pub(super) fn answer(&mut self, ticket: Ticket) -> Option<ClientAnswer> {
        self.answers.remove(&ticket)
    }

    /// An operator's request to a node.
    pub(super) fn operate(&mut self, node: usize, request: AdminRequest) -> AdminAnswer {
        let ticket = self.ticket();
        self.on((node, 0), |core, now| {
            core.handle_admin(ticket, request, now);
        });
        for _ in 0..10_000 {
            if let Some(answer) = self.admin.remove(&ticket) {
                return answer;
            }
            self.run(1);
        }
        panic!("{request:?} at {node} got no answer");
    }

    /// A frame from a peer as if it had come over a link of its own.
    pub(super) fn inject(&mut self, to: Place, from: &NodeName, role: Role, frame: &[u8]) {
        self.on(to, |core, now| {
            core.handle_frame(STRANGER, from, role, frame, now);
        });
        self.deliver();
    }

    /// Why links were closed so far.
    pub(super) fn closed(&self) -> &[String] {
        &self.closed
    }

    /// A core that lives.
    pub(super) fn core(&self, (node, core): Place) -> Option<&Core> {
        self.nodes[node]
            .as_ref()
            .map(|cores| &cores[usize::from(core)])
    }

    pub(super) fn now(&self) -> Now {
        Now::at_ms(self.now_ms)
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn cores(&self) -> impl Iterator<Item = Place> + use<> {
        let cores = self.cores;
        (0..self.nodes.len()).flat_map(move |node| (0..cores).map(move |core| (node, core)))
    }

    /// Hands something to a core and collects what it wants done.
    pub(super) fn on(&mut self, place: Place, hand: impl FnOnce(&mut Core, Now)) {
        let now = self.now();
        let Some(cores) = &mut self.nodes[place.0] else {
            return;
        };
        let core = &mut cores[usize::from(place.1)];
        hand(core, now);
        while let Some(output) = core.poll_output() {
            match output {
                Output::Send { to, frames } => self.events.push_back(send(place, &to, frames)),
                Output::Reply { link, frames } => self.events.extend(reply(place, link, frames)),
                Output::Answer { ticket, answer } => drop(self.answers.insert(ticket, answer)),
                Output::Admin { ticket, answer } => drop(self.admin.insert(ticket, answer)),
                Output::Mail { to, mail } => {
                    self.events.push_back(Event::Mail {
                        to: (place.0, to),
                        mail,
                    });
                }
                Output::Disk(job) => self.events.push_back(Event::Disk { to: place, job }),
                Output::Close { reason, .. } => self.closed.push(reason),
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Frames { to, link, frames } => self.deliver_frames(to, link, &frames),
                Event::Answers { to, from, frames } => {
                    let from = name(from);
                    for frame in whole(&frames) {
                        self.on(to, |core, now| {
                            core.handle_answer(&from, &frame, now)
                                .expect("peers keep the rules");
                        });
                    }
                }
                Event::Mail { to, mail } => self.on(to, |core, now| core.handle_mail(mail, now)),
                Event::Unreachable { to, name } => {
                    self.on(to, |core, now| core.handle_unreachable(&name, now));
                }
                Event::Disk { .. } if self.are_disks_stuck => self.held_jobs.push(event),
                Event::Disk { to, job } => {
                    let done = self.disks.entry(to).or_default().carry_out(job);
                    self.on(to, |core, now| core.handle_disk(done, now));
                }
            }
        }
    }

    fn deliver_frames(&mut self, to: Place, link: u64, frames: &[u8]) {
        let from = dialler(link);
        if self.nodes.get(to.0).is_none_or(Option::is_none) {
            let name = name(to.0);
            return self.events.push_back(Event::Unreachable { to: from, name });
        }
        let speaker = name(from.0);
        for frame in whole(frames) {
            self.on(to, |core, now| {
                core.handle_frame(link, &speaker, Role::Node, &frame, now);
            });
        }
    }
}

/// Frames leave over the link of (node, core) and arrive at the core of the same number, rotated by
/// the dialling node, so that all cores get links.
fn send(from: Place, to: &NodeName, frames: Vec<u8>) -> Event {
    let node = usize::from(to.port() - PORT);
    let link = (from.0 as u64) << 8 | u64::from(from.1);
    Event::Frames {
        to: (node, from.1),
        link,
        frames,
    }
}

fn reply(from: Place, link: u64, frames: Vec<u8>) -> Option<Event> {
    (link != STRANGER).then(|| Event::Answers {
        to: dialler(link),
        from: from.0,
        frames,
    })
}

fn dialler(link: u64) -> Place {
    let core = u8::try_from(link & 0xff).expect("a core number");
    (usize::try_from(link >> 8).expect("a node number"), core)
}

fn whole(frames: &[u8]) -> Vec<Vec<u8>> {
    let frames = proto::codec::frames(frames);
    frames
        .map(|frame| frame.expect("cores send whole frames").bytes.to_vec())
        .collect()
}

/// The name of a node.
pub(super) fn name(node: usize) -> NodeName {
    let port = PORT + u16::try_from(node).expect("few nodes");
    NodeName::parse(&format!("127.0.0.1:{port}")).expect("a name")
}

/// The parameters of the test ring.
pub(super) fn params() -> RingParams {
    RingParams {
        ring: "test".into(),
        successors: 4,
        replication: 3,
        virtual_nodes_max: 4,
        value_max: 1_000,
    }
}

/// The configuration of a core.
pub(super) fn config(node: usize, core: u8, cores: u8, bootstrap: &[NodeName]) -> CoreConfig {
    let name = name(node);
    CoreConfig {
        core,
        cores,
        params: params(),
        name: name.clone(),
        virtual_nodes: 1,
        chord: ChordConfig {
            params: params(),
            stabilize_interval: Duration::from_secs(1),
            finger_bits: 4,
            pace: Pace::Adaptive,
            bootstrap: bootstrap.to_vec(),
        },
        router: RouterConfig::new(params(), name),
        shard: ShardConfig {
            memory_max: 1 << 24,
            ttl: TtlPolicy {
                default_s: 3_600,
                min_s: 1,
                max_s: 86_400,
            },
            replication: 3,
            node: node as u64,
            seed: 1,
        },
        log: None,
        request_deadline: Duration::from_secs(5),
        operations_max: 1_000,
        operations_bytes_max: 1 << 20,
        seed: node as u64,
    }
}

fn log(node: usize, core: u8, sync: SyncPolicy) -> LogConfig {
    LogConfig {
        node: node as u64,
        shard: u16::from(core),
        segment_bytes: 256 * 1024,
        sync,
        space_percent: 200,
        seed: node as u64,
    }
}

/// A link of nobody in the net.
const STRANGER: u64 = u64::MAX;
const PORT: u16 = 9_000;
