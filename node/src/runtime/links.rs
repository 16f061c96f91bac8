//! The links of a core: those peers and native clients have dialled, by number, and its own, one
//! for each peer, dialled when something is to be sent. Decides who gets a link; `link_session` and
//! `dial` do the work.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proto::link::{Link, LinkConfig};
use proto::peer::NodeName;

use super::control::Drain;
use super::deadlines::Watchdog;
use super::limits::{
    HANDSHAKE_DEADLINE, LINK_DIALLING_BYTES_MAX, LINK_OUTPUT_BYTES_MAX, LINKS_MAX,
    REDIAL_PAUSE_MAX, REDIAL_PAUSE_MIN,
};
use super::link_session::{PeerLink, Side};
use super::notify::Gate;
use super::shell::Shell;
use super::slots::Slots;
use super::socket::{self, Purpose};
use super::{dial, link_session};

/// All links of a core.
pub(crate) struct Links {
    config: Arc<LinkConfig>,
    accepted: RefCell<Slots<Rc<PeerLink>>>,
    dialled: RefCell<HashMap<NodeName, Dialled>>,
    unreachable: RefCell<Vec<NodeName>>,
    /// Opens when no further link is accepted or dialled.
    pub(crate) closing: Gate,
    /// What happened to links.
    pub(crate) counts: LinkCounts,
}

/// What happened to the links of a core.
#[derive(Default)]
pub(crate) struct LinkCounts {
    /// Links accepted from peers and native clients.
    pub(crate) accepted: Cell<u64>,
    /// Links dialled.
    pub(crate) dialled: Cell<u64>,
    /// Links that ended before they were up, by either side's fault.
    pub(crate) refused: Cell<u64>,
    /// Links that ended by an error after they were up.
    pub(crate) broken: Cell<u64>,
    /// Bytes sent, sealed.
    pub(crate) bytes_out: Cell<u64>,
    /// Bytes received, sealed.
    pub(crate) bytes_in: Cell<u64>,
}

/// This core's own link to a peer.
enum Dialled {
    /// Up or on its way up.
    Link(Rc<PeerLink>),
    /// It could not be had: not dialled again before `until`.
    Down { until: Duration, pause: Duration },
}

impl Links {
    /// No links yet.
    pub(crate) fn new(config: Arc<LinkConfig>) -> Self {
        Self {
            config,
            accepted: RefCell::default(),
            dialled: RefCell::default(),
            unreachable: RefCell::default(),
            closing: Gate::default(),
            counts: LinkCounts::default(),
        }
    }

    /// Sends frames to a peer over this core's own link, dialling it when there is none.
    pub(crate) fn send(&self, shell: &Rc<Shell>, to: NodeName, frames: Vec<u8>) {
        let mut dialled = self.dialled.borrow_mut();
        let now = shell.now().mono;
        let pause = match dialled.get(&to) {
            Some(Dialled::Link(link)) => {
                let limit = if link.is_up() {
                    LINK_OUTPUT_BYTES_MAX
                } else {
                    LINK_DIALLING_BYTES_MAX
                };
                return link.send(frames, limit, now);
            }
            Some(Dialled::Down { until, .. }) if now < *until => {
                return self.unreachable.borrow_mut().push(to);
            }
            Some(Dialled::Down { pause, .. }) => *pause,
            None => Duration::ZERO,
        };
        if dialled.len() >= LINKS_MAX {
            dialled.retain(|_, dialled| dialled.is_needed(now));
        }
        if self.closing.is_open() || dialled.len() >= LINKS_MAX {
            return self.unreachable.borrow_mut().push(to);
        }
        let machine = match Link::dial(&self.config, Some(&to)) {
            Ok(machine) => machine,
            Err(error) => {
                tracing::warn!(peer = %to, %error, "cannot dial");
                return self.unreachable.borrow_mut().push(to);
            }
        };
        let link = Rc::new(PeerLink::new(Side::Dialled(to.clone()), machine));
        link.send(frames, LINK_DIALLING_BYTES_MAX, now);
        super::api::bump(&self.counts.dialled, 1);
        dialled.insert(to.clone(), Dialled::Link(Rc::clone(&link)));
        shell.spawn(dial::live(Rc::clone(shell), to, link, pause));
    }

    /// A dialled link has ended. Failures in a row double the pause before the next attempt; a
    /// link that was up may be dialled again at once.
    pub(crate) fn down(&self, name: &NodeName, was_up: bool, last_pause: Duration, now: Duration) {
        let mut dialled = self.dialled.borrow_mut();
        if was_up {
            dialled.remove(name);
            return;
        }
        let pause = (last_pause * 2).clamp(REDIAL_PAUSE_MIN, REDIAL_PAUSE_MAX);
        dialled.insert(
            name.clone(),
            Dialled::Down {
                until: now + pause,
                pause,
            },
        );
    }

    /// Sends frames on an accepted link, if it still is there.
    pub(crate) fn reply(&self, number: u64, frames: Vec<u8>, now: Duration) {
        if let Some(link) = self.accepted.borrow().get(number) {
            link.send(frames, LINK_OUTPUT_BYTES_MAX, now);
        }
    }

    /// Closes an accepted link whose peer broke the rules.
    pub(crate) fn refuse(&self, number: u64, reason: &str) {
        if let Some(link) = self.accepted.borrow().get(number) {
            link.refuse(reason);
        }
    }

    /// Takes a connection that was just accepted.
    pub(crate) fn take(shell: &Rc<Shell>, stream: TcpStream, from: SocketAddr) {
        let links = &shell.links;
        if links.accepted.borrow().len() >= LINKS_MAX {
            return shell.warn("links full", |left_out| {
                tracing::warn!(%from, left_out, "too many links: this one is closed");
            });
        }
        let (reader, writer, closer) = match socket::open(stream, Purpose::Link) {
            Ok(parts) => parts,
            Err(error) => {
                return shell.warn("link open", |left_out| {
                    tracing::warn!(%from, %error, left_out, "a link is closed at once");
                });
            }
        };
        let machine = Link::accept(&links.config);
        let make = |number| Rc::new(PeerLink::new(Side::Accepted { number, from }, machine));
        let number = links.accepted.borrow_mut().insert(make);
        let Some(link) = links.accepted.borrow().get(number).map(Rc::clone) else {
            return;
        };
        super::api::bump(&links.counts.accepted, 1);
        let watchdog = Watchdog::new(closer);
        shell
            .deadlines
            .arm(&watchdog, shell.now().mono + HANDSHAKE_DEADLINE);
        link.watch(watchdog);
        shell.spawn(link_session::accepted(
            Rc::clone(shell),
            link,
            number,
            reader,
            writer,
        ));
    }

    /// An accepted link has ended.
    pub(crate) fn remove_accepted(&self, number: u64) {
        self.accepted.borrow_mut().remove(number);
    }

    /// Whether a send has found a peer unreachable since `take_unreachable`.
    pub(crate) fn has_unreachable(&self) -> bool {
        !self.unreachable.borrow().is_empty()
    }

    /// Peers that a send found unreachable since the last call.
    pub(crate) fn take_unreachable(&self) -> Vec<NodeName> {
        self.unreachable.take()
    }

    /// Whether accepted links, or only those of clients, have sent all that was queued on them.
    pub(crate) fn are_flushed(&self, what: Drain) -> bool {
        let is_meant = |link: &&Rc<PeerLink>| what == Drain::All || link.is_of_client();
        let accepted = self.accepted.borrow();
        accepted
            .iter()
            .filter(is_meant)
            .all(|link| link.is_flushed())
    }

    /// Ends every link.
    pub(crate) fn end_all(&self) {
        self.closing.open();
        for link in self.accepted.borrow().iter() {
            link.end();
        }
        for dialled in self.dialled.borrow().values() {
            if let Dialled::Link(link) = dialled {
                link.end();
            }
        }
    }

    /// How many links are open: accepted, and dialled ones that are up.
    pub(crate) fn open(&self) -> (usize, usize) {
        let is_up = |dialled: &&Dialled| matches!(dialled, Dialled::Link(link) if link.is_up());
        let dialled = self.dialled.borrow().values().filter(is_up).count();
        (self.accepted.borrow().len(), dialled)
    }
}

impl Dialled {
    /// Whether forgetting it would change anything.
    fn is_needed(&self, now: Duration) -> bool {
        match self {
            Self::Link(_) => true,
            Self::Down { until, .. } => now < *until,
        }
    }
}
