//! The DHT API connections of a core: requests parsed in place, answers collected in order.
//!
//! A GET of a key this core holds is answered from the store straight into the connection's output;
//! everything else goes through the core and comes back with its ticket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use proto::dht_api::{self, Parse, Request, Violation};
use proto::key::Key;
use proto::time::Now;

use super::api_queue::{ApiQueue, Number};
use super::deadlines::Watchdog;
use super::notify::{Gate, Notify};
use super::receive_buffer::ReceiveBuffer;
use super::shell::Shell;
use super::slots::Slots;
use super::ticket::{ApiTicket, Front};
use crate::engine::core::{Core, LocalRead};
use crate::engine::request::{ClientAnswer, ClientRequest};
use crate::engine::store::Probe;

/// All DHT API connections of a core.
#[derive(Default)]
pub(crate) struct ApiConnections {
    places: RefCell<Slots<Rc<ApiConnection>>>,
    open: Cell<usize>,
    /// Notified when a connection closes.
    pub(crate) closed: Notify,
    /// Opens when no further connection is accepted.
    pub(crate) closing: Gate,
    /// What was served.
    pub(crate) counts: ApiCounts,
}

/// What the DHT API of a core has served.
#[derive(Default)]
pub(crate) struct ApiCounts {
    /// Connections accepted.
    pub(crate) connections: Cell<u64>,
    /// GETs received.
    pub(crate) gets: Cell<u64>,
    /// PUTs received.
    pub(crate) puts: Cell<u64>,
    /// GETs answered with a value.
    pub(crate) hits: Cell<u64>,
    /// PUTs that were refused or lost; the client is not told.
    pub(crate) failed_puts: Cell<u64>,
    /// Connections closed because of what they sent.
    pub(crate) violations: Cell<u64>,
}

/// One connection, shared by its reader, its writer and the answers that come in between.
pub(crate) struct ApiConnection {
    /// Its place: part of its tickets.
    pub(crate) place: u32,
    /// Order of answers.
    pub(crate) queue: RefCell<ApiQueue>,
    /// Notified when there may be something to write.
    pub(crate) writer: Notify,
    /// Notified when reading may go on.
    pub(crate) reader: Notify,
    /// Ends it when a deadline passes.
    pub(crate) watchdog: Rc<Watchdog>,
    is_paused: Cell<bool>,
    is_closed: Cell<bool>,
}

/// How far the requests in a receive buffer were served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Served {
    /// All whole ones; what is left needs more bytes.
    All,
    /// Up to one that has to wait until answers come or leave.
    Paused,
    /// Up to bytes that are no request.
    Violation(Violation),
}

impl ApiConnections {
    /// Takes a place for a new connection.
    pub(crate) fn insert(&self, watchdog: Rc<Watchdog>) -> Rc<ApiConnection> {
        let mut places = self.places.borrow_mut();
        let number = places.insert(|number| Rc::new(ApiConnection::new(number as u32, watchdog)));
        self.open.set(self.open.get() + 1);
        bump(&self.counts.connections, 1);
        Rc::clone(places.get(number).expect("the place was just taken"))
    }

    /// A connection has ended. Its place stays taken until its last ticket has come back.
    pub(crate) fn close(&self, connection: &ApiConnection) {
        connection.is_closed.set(true);
        self.open.set(self.open.get() - 1);
        self.release(connection);
        self.closed.notify();
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    /// Stops reading on every connection; what was received is still answered.
    pub(crate) fn stop_reading(&self) {
        for connection in self.places.borrow().iter() {
            connection.watchdog.closer().stop_reading();
        }
    }

    /// Ends every connection.
    pub(crate) fn end_all(&self) {
        for connection in self.places.borrow().iter() {
            connection.watchdog.closer().end();
        }
    }

    /// An answer of the core.
    pub(crate) fn answer(&self, ticket: ApiTicket, answer: &ClientAnswer) {
        let connection = self.places.borrow().get_place(ticket.place).map(Rc::clone);
        let Some(connection) = connection else { return };
        match ticket.number {
            Number::Read(number) => {
                bump(
                    &self.counts.hits,
                    u64::from(matches!(answer, ClientAnswer::Value { .. })),
                );
                let encode = |key: &Key, out: &mut Vec<u8>| encode_answer(key, answer, out);
                connection.queue.borrow_mut().end_read(number, encode);
                connection.writer.notify();
            }
            Number::Write(number) => {
                let is_stored = matches!(answer, ClientAnswer::Stored(_));
                bump(&self.counts.failed_puts, u64::from(!is_stored));
                connection.queue.borrow_mut().end_write(number);
            }
        }
        connection.resume();
        self.release(&connection);
    }

    fn release(&self, connection: &ApiConnection) {
        if connection.is_closed.get() && connection.queue.borrow().in_flight() == 0 {
            self.places.borrow_mut().remove_place(connection.place);
        }
    }
}

impl ApiConnection {
    fn new(place: u32, watchdog: Rc<Watchdog>) -> Self {
        Self {
            place,
            queue: RefCell::default(),
            writer: Notify::default(),
            reader: Notify::default(),
            watchdog,
            is_paused: Cell::new(false),
            is_closed: Cell::new(false),
        }
    }

    /// Wakes the reader when it has paused.
    pub(crate) fn resume(&self) {
        if self.is_paused.replace(false) {
            self.reader.notify();
        }
    }

    /// Serves the whole requests in `buffer`.
    pub(crate) fn serve(&self, shell: &Rc<Shell>, buffer: &mut ReceiveBuffer) -> Served {
        let now = shell.now();
        let mut unread = usize::MAX;
        let served = loop {
            let served = shell.input(|core, _| self.serve_batch(shell, core, buffer, now));
            // Whatever a request waits for may have been decided already: look before pausing.
            if served != Served::Paused || buffer.unread().len() == unread {
                break served;
            }
            unread = buffer.unread().len();
            shell.settle_decided();
        };
        self.is_paused.set(served == Served::Paused);
        if self.queue.borrow().has_output() {
            self.writer.notify();
        }
        served
    }

    fn serve_batch(
        &self,
        shell: &Shell,
        core: &mut Core,
        buffer: &mut ReceiveBuffer,
        now: Now,
    ) -> Served {
        let mut queue = self.queue.borrow_mut();
        let (mut gets, mut puts, mut hits, mut consumed) = (0, 0, 0, 0);
        let unread = buffer.unread();
        let mut ahead = Ahead::default();
        let served = loop {
            if queue.is_full() || puts >= PUTS_PER_BATCH {
                break Served::Paused;
            }
            let rest = unread.get(consumed..).unwrap_or(&[]);
            ahead.look(core, rest);
            let (request, length) = match dht_api::parse(rest) {
                Parse::NeedMore => break Served::All,
                Parse::Violation(reason) => break Served::Violation(reason),
                Parse::Message { message, consumed } => (message, consumed),
            };
            match request {
                Request::Get { key } if queue.must_read_wait(&key) => break Served::Paused,
                Request::Get { key } => match self.get(core, &mut queue, &ahead, key, now) {
                    Some(is_hit) => {
                        gets += 1;
                        hits += u64::from(is_hit);
                    }
                    None => break Served::Paused,
                },
                Request::Put { key, .. } if queue.must_write_wait(&key) => break Served::Paused,
                Request::Put {
                    ttl_s,
                    replication,
                    key,
                    value,
                } => {
                    puts += 1;
                    let ttl_s = u32::from(ttl_s);
                    let number = queue.next_write();
                    let request = ClientRequest::Put {
                        key,
                        ttl_s,
                        replication,
                        value,
                    };
                    let ticket = self.ticket(Number::Write(number));
                    let taker = core.handle_client(ticket, &request, now);
                    queue.start_write(number, key, value.len(), taker);
                }
            }
            consumed += length;
            ahead.pass();
        };
        buffer.consume(consumed);
        bump(&shell.api.counts.gets, gets);
        bump(&shell.api.counts.puts, puts);
        bump(&shell.api.counts.hits, hits);
        served
    }

    /// Answers a GET at once when this core has the key and no write of it waits for the disk;
    /// whether there was a value. `None` when the GET may not start yet.
    fn get(
        &self,
        core: &mut Core,
        queue: &mut ApiQueue,
        ahead: &Ahead,
        key: Key,
        now: Now,
    ) -> Option<bool> {
        let read = match ahead.probe() {
            Some(probe) => core.read_prepared(probe, &key, now),
            None => core.read_local(&key, now),
        };
        match read {
            LocalRead::Value(value) => {
                queue.answer_now(&key, |out| dht_api::encode_success(out, &key, value));
                return Some(true);
            }
            LocalRead::Absent => queue.answer_now(&key, |out| dht_api::encode_failure(out, &key)),
            LocalRead::Elsewhere if queue.must_leave_wait(&key) => return None,
            LocalRead::Pending | LocalRead::Elsewhere => {
                let number = queue.start_read(key);
                core.handle_client(self.ticket(number), &ClientRequest::Get { key }, now);
            }
        }
        Some(false)
    }

    fn ticket(&self, number: Number) -> crate::engine::request::Ticket {
        Front::Api(ApiTicket {
            place: self.place,
            number,
        })
        .ticket()
    }
}

/// The keys of the next requests in a receive buffer, whose records are being fetched into the
/// cache while earlier ones are served: in a large store cache misses are what a request costs.
#[derive(Default)]
struct Ahead {
    probes: [Option<Probe>; AHEAD_MAX],
    count: usize,
    next: usize,
}

impl Ahead {
    /// Looks ahead into `rest`, when it is time and there is enough to look at.
    fn look(&mut self, core: &Core, mut rest: &[u8]) {
        if self.next < self.count || rest.len() < AHEAD_BYTES_MIN {
            return;
        }
        (self.count, self.next) = (0, 0);
        for probe in &mut self.probes {
            let Parse::Message { message, consumed } = dht_api::parse(rest) else {
                break;
            };
            let (Request::Get { key } | Request::Put { key, .. }) = message;
            *probe = Some(core.prepare(&key));
            rest = rest.get(consumed..).unwrap_or(&[]);
            self.count += 1;
        }
        let probes = self.probes.iter().take(self.count);
        probes.flatten().for_each(|probe| core.warm(*probe));
    }

    /// The probe of the request at hand.
    fn probe(&self) -> Option<Probe> {
        if self.next < self.count {
            self.probes.get(self.next).copied().flatten()
        } else {
            None
        }
    }

    /// Goes on to the next request.
    fn pass(&mut self) {
        self.next += 1;
    }
}

/// Requests looked at ahead, and the bytes below which that does not pay.
const AHEAD_MAX: usize = 32;
const AHEAD_BYTES_MIN: usize = 8 * 36;

/// PUTs after which what the core has decided is carried out: a bound on those under way, all of
/// which a later request of the same key is compared with.
const PUTS_PER_BATCH: u64 = 32;

/// Adds to a count of this core.
pub(crate) fn bump(count: &Cell<u64>, by: u64) {
    count.set(count.get() + by);
}

fn encode_answer(key: &Key, answer: &ClientAnswer, out: &mut Vec<u8>) {
    match answer {
        ClientAnswer::Value { value, .. } => dht_api::encode_success(out, key, value),
        ClientAnswer::Absent(_)
        | ClientAnswer::Failed(_)
        | ClientAnswer::Stored(_)
        | ClientAnswer::Owner(_) => dht_api::encode_failure(out, key),
    }
}
