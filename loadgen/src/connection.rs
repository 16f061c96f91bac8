//! One connection: a reader and a writer task, and what they share.
//!
//! tokio-uring neither cancels nor outlives operations: no operation is ever dropped, a connection
//! is ended by shutting the socket down, and both tasks end before the socket is closed. The
//! reader parses every whole answer of a receive; the writer sends what has piled up with one
//! write.

use std::cell::{Cell, RefCell};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::TcpStream;

use crate::dialect::{Dialect, Fault};
use crate::lane::Lane;
use crate::plan::Target;
use crate::recorder::ErrorKind;
use crate::signal::Signal;
use crate::source::Due;
use crate::window::{Pending, Window};
use crate::workload::Kind;

/// How a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Not ready for the first time yet.
    Opening,
    /// Requests may be sent.
    Up,
    /// Could not be opened, or broke; tried again.
    Down,
}

/// One connection to one target.
pub(crate) struct Connection<D: Dialect> {
    target: Target,
    status: Cell<Status>,
    wire: RefCell<Option<Wire<D>>>,
    stream: RefCell<Option<Rc<TcpStream>>>,
    to_write: Signal,
    /// The writer is to end once everything is written.
    ending: Cell<bool>,
    /// Since when requests have timed out with nothing heard at all.
    silent_since_ns: Cell<Option<u64>>,
}

/// What exists only while the socket is open.
struct Wire<D> {
    dialect: D,
    window: Window,
    out: Vec<u8>,
}

impl<D: Dialect> Connection<D> {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            status: Cell::new(Status::Opening),
            wire: RefCell::new(None),
            stream: RefCell::new(None),
            to_write: Signal::default(),
            ending: Cell::new(false),
            silent_since_ns: Cell::new(None),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.get()
    }

    /// Requests waiting for their answers.
    pub(crate) fn under_way(&self) -> usize {
        self.wire
            .borrow()
            .as_ref()
            .map_or(0, |wire| wire.window.live())
    }

    /// Keeps the connection open until the lane closes.
    pub(crate) async fn keep(self: Rc<Self>, lane: Rc<Lane<D>>) {
        let mut backoff = BACKOFF_MIN;
        while !lane.closing.get() {
            let fault = match dial(self.target.address).await {
                Ok(stream) => self.clone().live(&lane, Rc::new(stream)).await,
                Err(fault) => fault,
            };
            if lane.closing.get() {
                break;
            }
            let was_up = self.status.replace(Status::Down) == Status::Up;
            if was_up {
                backoff = BACKOFF_MIN;
            }
            let example = format!("{}: {fault}", self.target.name);
            lane.recorder
                .borrow_mut()
                .disconnected(&fault, was_up, example);
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            if !lane.closing.get() {
                lane.recorder.borrow_mut().counts().reconnects += 1;
            }
        }
    }

    /// Sends whatever fits into the window. Called whenever there may be room or work.
    pub(crate) fn fill(&self, lane: &Lane<D>, now_ns: u64) {
        if self.status.get() != Status::Up {
            return;
        }
        let mut wire = self.wire.borrow_mut();
        let Some(wire) = wire.as_mut() else {
            return;
        };
        let mut source = lane.source.borrow_mut();
        let mut asked = false;
        while wire.window.live() < source.depth()
            && let Some(due) = source.take(now_ns)
        {
            wire.ask(lane, &due);
            asked = true;
        }
        if asked {
            self.to_write.raise();
        }
    }

    /// Whether another request may be sent.
    pub(crate) fn has_room(&self, depth: usize) -> bool {
        let has_room = |wire: &Wire<D>| wire.window.live() < depth;
        self.status.get() == Status::Up && self.wire.borrow().as_ref().is_some_and(has_room)
    }

    /// Gives up requests that waited too long, and the connection when it has fallen silent.
    pub(crate) fn sweep(&self, lane: &Lane<D>, now_ns: u64) {
        let deadline_ns = lane.plan.deadline.as_nanos() as u64;
        if let Some(wire) = self.wire.borrow_mut().as_mut() {
            let limit_ns = now_ns.saturating_sub(deadline_ns);
            wire.window.expire(limit_ns, |pending| {
                lane.fail(pending, ErrorKind::Timeout);
                let since = self.silent_since_ns.get().unwrap_or(now_ns);
                self.silent_since_ns.set(Some(since));
            });
        }
        match self.silent_since_ns.get() {
            Some(since_ns) if now_ns.saturating_sub(since_ns) > deadline_ns => self.cut(),
            _ => self.fill(lane, now_ns),
        }
    }

    /// Ends the connection politely: what is queued is written, then the target sees the end.
    pub(crate) fn close(&self) {
        if let Some(wire) = self.wire.borrow_mut().as_mut() {
            wire.dialect.close();
        }
        self.ending.set(true);
        self.to_write.raise();
    }

    /// Ends the connection at once: operations under way return.
    pub(crate) fn cut(&self) {
        if let Some(stream) = self.stream.borrow().as_ref() {
            // A socket that is not connected any more is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    async fn live(self: Rc<Self>, lane: &Rc<Lane<D>>, stream: Rc<TcpStream>) -> Fault {
        let dialect = match D::open(&lane.setup, &self.target) {
            Ok(dialect) => dialect,
            Err(fault) => return fault,
        };
        let wire = Wire {
            dialect,
            window: Window::new(D::BY_ID),
            out: Vec::new(),
        };
        *self.wire.borrow_mut() = Some(wire);
        *self.stream.borrow_mut() = Some(stream.clone());
        self.silent_since_ns.set(None);
        self.ending.set(false);
        let mut writer = tokio_uring::spawn(self.clone().write(lane.clone(), stream.clone()));
        let fault = match self.took(lane, &[], lane.clock.now_ns()) {
            Ok(_) => self.read(lane, &stream).await,
            Err(fault) => fault,
        };
        // A reason for the other side may still be queued; a target that reads nothing gets none.
        self.close();
        if tokio::time::timeout(GOODBYE_MAX, &mut writer)
            .await
            .is_err()
        {
            self.cut();
            let _ = writer.await;
        }
        self.cut();
        self.stream.borrow_mut().take();
        if let Some(mut wire) = self.wire.borrow_mut().take() {
            wire.window
                .abandon(|pending| lane.fail(pending, ErrorKind::Broken));
        }
        fault
    }

    async fn read(&self, lane: &Lane<D>, stream: &TcpStream) -> Fault {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        loop {
            let filled = buffer.len();
            if filled == buffer.capacity() {
                buffer.reserve(READ_BYTES);
            }
            let (result, slice) = stream.read(buffer.slice(filled..)).await;
            buffer = slice.into_inner();
            match result {
                Ok(0) => return Fault::Closed,
                Ok(_) => {}
                Err(error) => return Fault::Io(error.to_string()),
            }
            match self.took(lane, &buffer, lane.clock.now_ns()) {
                Ok(used) if used == buffer.len() => buffer.clear(),
                Ok(used) => {
                    buffer.drain(..used);
                }
                Err(fault) => return fault,
            }
        }
    }

    /// Bytes came: settles every whole answer in them, then refills the window.
    fn took(&self, lane: &Lane<D>, bytes: &[u8], now_ns: u64) -> Result<usize, Fault> {
        lane.activity.set(lane.activity.get() + 1);
        if !bytes.is_empty() {
            self.silent_since_ns.set(None);
            lane.full.set(false);
        }
        let used = {
            let mut wire = self.wire.borrow_mut();
            let Some(wire) = wire.as_mut() else {
                return Err(Fault::Closed);
            };
            let window = &mut wire.window;
            let used = wire
                .dialect
                .receive(bytes, |answer| lane.settle(window, &answer, now_ns))?;
            if wire.dialect.is_ready() {
                self.status.set(Status::Up);
            } else {
                self.to_write.raise();
            }
            used
        };
        self.fill(lane, now_ns);
        Ok(used)
    }

    async fn write(self: Rc<Self>, lane: Rc<Lane<D>>, stream: Rc<TcpStream>) {
        let mut batch = Vec::new();
        loop {
            self.to_write.wait().await;
            while self.next_batch(&lane, &mut batch) {
                let (result, written) = stream.write_all(batch).await;
                batch = written;
                batch.clear();
                if result.is_err() {
                    // The reader learns of it by the end of the stream.
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
            if self.ending.get() {
                let _ = stream.shutdown(Shutdown::Write);
                return;
            }
        }
    }

    /// Moves what has piled up to `batch`; the requests in it count as sent from now on.
    fn next_batch(&self, lane: &Lane<D>, batch: &mut Vec<u8>) -> bool {
        let mut wire = self.wire.borrow_mut();
        let Some(wire) = wire.as_mut() else {
            return false;
        };
        if wire.dialect.flush(&mut wire.out) {
            wire.window.set_answered(true);
        }
        if wire.out.is_empty() {
            return false;
        }
        std::mem::swap(&mut wire.out, batch);
        wire.window.mark_sent(lane.clock.now_ns());
        lane.activity.set(lane.activity.get() + 1);
        true
    }
}

impl<D: Dialect> Wire<D> {
    fn ask(&mut self, lane: &Lane<D>, due: &Due) {
        let mut pending = Pending::new(due.request, due.intended_ns, due.measured);
        if due.request.kind == Kind::Get {
            pending.stored_before = lane.data.must_exist(due.request.key);
        }
        if due.measured {
            lane.recorder.borrow_mut().counts().sent += 1;
        }
        let id = self.window.push(pending);
        let answered = self.dialect.ask(id, &due.request, &mut self.out);
        self.window.set_answered(answered);
    }
}

/// Connects through the runtime's readiness driver, because that can be given up after a while and
/// an operation of the ring cannot.
async fn dial(address: SocketAddr) -> Result<TcpStream, Fault> {
    let connecting = tokio::net::TcpStream::connect(address);
    let stream = tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .map_err(|_| Fault::Io(format!("no connection within {} s", CONNECT_MAX.as_secs())))?
        .map_err(|error| Fault::Io(error.to_string()))?;
    let blocking = stream.into_std().and_then(|stream| {
        stream.set_nodelay(true)?;
        // The ring reports EAGAIN instead of waiting on a non-blocking socket.
        stream.set_nonblocking(false)?;
        Ok(stream)
    });
    blocking
        .map(TcpStream::from_std)
        .map_err(|error| Fault::Io(error.to_string()))
}

const READ_BYTES: usize = 64 * 1024;

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long a failed connection may take to hand its last words over.
const GOODBYE_MAX: Duration = Duration::from_millis(200);

const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
