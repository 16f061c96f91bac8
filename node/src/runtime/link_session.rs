//! The life of one link: a reader that feeds the TLS machine and hands whole frames to the core, a
//! writer that seals what waits and sends it, deadlines and the way out.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use proto::link::{Link, LinkError};
use proto::message::Role;
use proto::peer::NodeName;

use super::api::bump;
use super::deadlines::Watchdog;
use super::limits::{
    LINGER_DEADLINE, LINK_FRAMES_PER_BATCH, LINK_OUTPUT_BYTES_PAUSE, LINK_USER_TIMEOUT,
};
use super::link_end::{LinkEnd, report};
use super::notify::Notify;
use super::receive_buffer::ReceiveBuffer;
use super::send_queue::SendQueue;
use super::shell::Shell;
use super::socket::{Reader, Writer};

/// One link, shared by its reader, its writer and whoever sends.
pub(crate) struct PeerLink {
    side: Side,
    machine: RefCell<Link>,
    peer: OnceCell<(NodeName, Role)>,
    queue: RefCell<SendQueue>,
    writer: Notify,
    reader: Notify,
    is_paused: Cell<bool>,
    is_sending: Cell<bool>,
    watchdog: RefCell<Option<Rc<Watchdog>>>,
    ending: RefCell<Option<LinkEnd>>,
    /// When the last send went through, or the first of those queued came, in monotonic time.
    progress: Cell<Duration>,
}

/// Who has dialled.
pub(crate) enum Side {
    /// The other side.
    Accepted {
        /// The core's number for the link.
        number: u64,
        /// Where it comes from.
        from: SocketAddr,
    },
    /// This core, to reach the node of this name.
    Dialled(NodeName),
}

impl PeerLink {
    /// A link without a connection yet.
    pub(crate) fn new(side: Side, machine: Link) -> Self {
        Self {
            side,
            machine: RefCell::new(machine),
            peer: OnceCell::new(),
            queue: RefCell::default(),
            writer: Notify::default(),
            reader: Notify::default(),
            is_paused: Cell::new(false),
            is_sending: Cell::new(false),
            watchdog: RefCell::default(),
            ending: RefCell::default(),
            progress: Cell::default(),
        }
    }

    /// Whether both sides know who the other one is.
    pub(crate) fn is_up(&self) -> bool {
        self.peer.get().is_some()
    }

    /// Whether a native client is at the other end.
    pub(crate) fn is_of_client(&self) -> bool {
        matches!(self.peer.get(), Some((_, Role::Client)))
    }

    /// Whether nothing waits to be sent, or never will be.
    pub(crate) fn is_flushed(&self) -> bool {
        self.is_ending() || self.queue.borrow().bytes() == 0 && !self.is_sending.get()
    }

    /// Queues whole frames. Beyond `limit` a link that is up has to make progress: one on which no
    /// send went through lately counts as stuck and ends. One that is not up loses the frames.
    pub(crate) fn send(&self, frames: Vec<u8>, limit: usize, now: Duration) {
        let mut queue = self.queue.borrow_mut();
        if queue.bytes() == 0 {
            self.progress.set(now);
        }
        let moves = self.is_up() && now.saturating_sub(self.progress.get()) <= LINK_USER_TIMEOUT;
        if moves || queue.bytes() + frames.len() <= limit {
            queue.push(frames);
            return self.writer.notify();
        }
        drop(queue);
        if self.is_up() {
            self.set_end(LinkEnd::Stuck);
            self.cut();
        }
    }

    /// Tells the other side why, then ends.
    pub(crate) fn refuse(&self, reason: &str) {
        self.machine.borrow_mut().refuse(reason);
        self.set_end(LinkEnd::Refused(reason.to_owned()));
        self.writer.notify();
    }

    /// Ends because this node stops: what is queued still leaves when the link is up.
    pub(crate) fn end(&self) {
        self.set_end(LinkEnd::Stopped);
        if self.is_up() {
            self.writer.notify();
        } else {
            self.cut();
        }
    }

    /// Puts the connection, and the attempt to get one, under a watchdog.
    pub(crate) fn watch(&self, watchdog: Rc<Watchdog>) {
        self.watchdog.replace(Some(watchdog));
    }

    /// Why this side ends the link, when it does.
    pub(crate) fn set_end(&self, end: LinkEnd) {
        self.ending.borrow_mut().get_or_insert(end);
    }

    /// Whether this side ends the link.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }

    fn cut(&self) {
        if let Some(watchdog) = &*self.watchdog.borrow() {
            watchdog.closer().end();
        }
        self.writer.notify();
        self.reader.notify();
    }

    /// Takes received bytes, and notes who the other side is as soon as that is known.
    fn receive(&self, received: &[u8]) -> Result<(), LinkError> {
        let mut machine = self.machine.borrow_mut();
        let outcome = machine.receive(received);
        if self.peer.get().is_none() {
            if let Some(peer) = machine.peer() {
                let _ = self.peer.set((peer.name.clone(), peer.role));
                let watchdog = self.watchdog.borrow();
                watchdog.iter().for_each(|watchdog| watchdog.disarm());
            }
            self.writer.notify();
        }
        outcome
    }

    /// Hands some of the whole frames received to the core; whether there may be more.
    fn hand_over(&self, shell: &Shell) -> bool {
        let Some((name, role)) = self.peer.get() else {
            return false;
        };
        let mut machine = self.machine.borrow_mut();
        let broken = shell.input(|core, now| {
            for _ in 0..LINK_FRAMES_PER_BATCH {
                let Some(frame) = machine.poll_frame() else {
                    return Ok(false);
                };
                match &self.side {
                    Side::Accepted { number, .. } => {
                        core.handle_frame(*number, name, *role, frame.bytes, now);
                    }
                    Side::Dialled(_) => core
                        .handle_answer(name, frame.bytes, now)
                        .map_err(|broken| broken.to_string())?,
                }
            }
            Ok(true)
        });
        drop(machine);
        broken.unwrap_or_else(|broken: String| {
            self.refuse(&broken);
            false
        })
    }

    /// Waits while the other side asks for more than it reads.
    async fn unflooded(&self) {
        while self.is_flooded() && !self.is_ending() {
            self.is_paused.set(true);
            self.reader.notified().await;
        }
    }

    /// Seals the next chunk, when the link is up, and takes what is to be sent.
    fn seal(&self, out: &mut Vec<u8>) {
        let mut machine = self.machine.borrow_mut();
        let chunk = if self.is_up() {
            self.queue.borrow_mut().pop()
        } else {
            None
        };
        if let Some(chunk) = chunk {
            machine.write_frames(&chunk);
        }
        if self.is_ending() && self.queue.borrow().bytes() == 0 && machine.failure().is_none() {
            machine.close();
        }
        machine.transmit(out);
    }

    /// Whether the other side asks for more than it reads.
    fn is_flooded(&self) -> bool {
        matches!(self.side, Side::Accepted { .. })
            && self.queue.borrow().bytes() >= LINK_OUTPUT_BYTES_PAUSE
    }
}

/// The life of a link that was accepted.
pub(crate) async fn accepted(
    shell: Rc<Shell>,
    link: Rc<PeerLink>,
    number: u64,
    reader: Reader,
    writer: Writer,
) {
    let end = live(&shell, &link, reader, writer).await;
    shell.links.remove_accepted(number);
    report(&shell, &link, &end);
    shell.input(|core, _| core.handle_link_closed(number));
}

/// Runs a link from its connection to its end.
pub(crate) async fn live(
    shell: &Rc<Shell>,
    link: &Rc<PeerLink>,
    reader: Reader,
    writer: Writer,
) -> LinkEnd {
    let written = Rc::new(Notify::default());
    let write = write_frames(
        Rc::clone(shell),
        Rc::clone(link),
        writer,
        Rc::clone(&written),
    );
    shell.spawn(write);
    let mut reader = reader;
    let mut buffer = ReceiveBuffer::default();
    let end = read_frames(shell, link, &mut reader, &mut buffer).await;
    link.set_end(end);
    link.writer.notify();
    written.notified().await;
    let end = link.ending.borrow().clone().unwrap_or(LinkEnd::Closed);
    linger(&mut reader, &mut buffer).await;
    if let Some(watchdog) = link.watchdog.take() {
        watchdog.disarm();
        watchdog.closer().end();
    }
    end
}

async fn read_frames(
    shell: &Rc<Shell>,
    link: &PeerLink,
    reader: &mut Reader,
    buffer: &mut ReceiveBuffer,
) -> LinkEnd {
    loop {
        link.unflooded().await;
        match reader.receive(buffer).await {
            Ok(0)
                if link
                    .watchdog
                    .borrow()
                    .as_ref()
                    .is_some_and(|dog| dog.has_bitten()) =>
            {
                return LinkEnd::Stalled;
            }
            Ok(0) => {
                return link
                    .machine
                    .borrow_mut()
                    .receive_end()
                    .map_or_else(LinkEnd::Failed, |()| LinkEnd::Closed);
            }
            Ok(count) => bump(&shell.links.counts.bytes_in, count as u64),
            Err(error) => return LinkEnd::Broken(error.to_string()),
        }
        if link.is_ending() {
            return LinkEnd::Closed;
        }
        let outcome = link.receive(buffer.unread());
        if let Err(error) = &outcome {
            // Known at once, so that a flooded link does not wait for a peer that is not served.
            link.set_end(LinkEnd::Failed(error.clone()));
            link.writer.notify();
        }
        buffer.consume(buffer.unread().len());
        // Small questions may have large answers: what they were is looked at in between.
        while link.hand_over(shell) {
            shell.settle_decided();
            link.unflooded().await;
        }
        if let Err(error) = outcome {
            return LinkEnd::Failed(error);
        }
    }
}

async fn write_frames(
    shell: Rc<Shell>,
    link: Rc<PeerLink>,
    mut writer: Writer,
    written: Rc<Notify>,
) {
    let mut out = Vec::new();
    loop {
        link.seal(&mut out);
        if out.is_empty() {
            if link.is_ending() {
                break;
            }
            link.writer.notified().await;
            continue;
        }
        if link.is_paused.replace(false) {
            link.reader.notify();
        }
        bump(&shell.links.counts.bytes_out, out.len() as u64);
        link.is_sending.set(true);
        let (result, emptied) = writer.send(std::mem::take(&mut out)).await;
        link.is_sending.set(false);
        out = emptied;
        if let Err(error) = result {
            link.set_end(LinkEnd::Broken(error.to_string()));
            link.cut();
            break;
        }
        link.progress.set(shell.now().mono);
    }
    finish(&shell, &link);
    written.notify();
}

/// Says that nothing more comes and gives the other side a moment to read why.
fn finish(shell: &Shell, link: &PeerLink) {
    if let Some(watchdog) = &*link.watchdog.borrow() {
        watchdog.closer().finish();
        shell
            .deadlines
            .arm(watchdog, shell.now().mono + LINGER_DEADLINE);
    }
}

/// Reads on for a moment: a socket closed over unread bytes sends a reset, which may overtake the
/// alert or the reason that was just sent.
async fn linger(reader: &mut Reader, buffer: &mut ReceiveBuffer) {
    while matches!(reader.receive(buffer).await, Ok(1..)) {
        buffer.consume(buffer.unread().len());
    }
}

impl PeerLink {
    /// Whom the log gate counts as one.
    pub(crate) fn log_key(&self) -> String {
        match &self.side {
            Side::Accepted { from, .. } => from.ip().to_string(),
            Side::Dialled(name) => name.to_string(),
        }
    }
}

/// Who is at the other end, as far as it is known.
impl fmt::Display for PeerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.side, self.peer.get()) {
            (Side::Dialled(name), _) => write!(f, "to {name}"),
            (Side::Accepted { from, .. }, Some((name, _))) => write!(f, "from {name} ({from})"),
            (Side::Accepted { from, .. }, None) => write!(f, "from {from}"),
        }
    }
}
