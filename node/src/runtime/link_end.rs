//! Why a link ended and by whose fault, and the one line about it. What a peer has done wrong is
//! found in `proto::link` and in the engine; here it is only told.

use std::fmt;

use proto::link::LinkError;

use super::api::bump;
use super::link_session::PeerLink;
use super::shell::Shell;

/// Why a link ended.
#[derive(Clone, Debug)]
pub(crate) enum LinkEnd {
    /// The other side closed it.
    Closed,
    /// TLS, the Hello exchange or the framing failed; the text says by whose fault.
    Failed(LinkError),
    /// The connection broke.
    Broken(String),
    /// This side ends it, with the reason that the other side was told.
    Refused(String),
    /// The handshake was not finished in time.
    Stalled,
    /// The other side does not read what it asked for.
    Stuck,
    /// It was never up: it could not be dialled.
    Unreachable(String),
    /// This node stops.
    Stopped,
}

/// One line about a link that ended by anybody's fault, and a count.
pub(crate) fn report(shell: &Shell, link: &PeerLink, end: &LinkEnd) {
    let counts = &shell.links.counts;
    let peer = link.to_string();
    if matches!(end, LinkEnd::Stopped | LinkEnd::Closed) && link.is_up() {
        return tracing::debug!(peer, %end, "link ended");
    }
    bump(
        if link.is_up() {
            &counts.broken
        } else {
            &counts.refused
        },
        1,
    );
    if shell.links.closing.is_open() {
        return;
    }
    let now = shell.now().mono;
    let kind = if link.is_up() { "broken" } else { "refused" };
    if let Some(left_out) = shell.log_gate.borrow_mut().pass(kind, &link.log_key(), now) {
        let what = if link.is_up() {
            "link ended"
        } else {
            "no link"
        };
        tracing::warn!(left_out, "{what} {peer}: {end}");
    }
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the peer closed it"),
            Self::Failed(error) => error.fmt(f),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Refused(reason) => write!(f, "refused by this node: {reason}"),
            Self::Stalled => f.write_str("the peer did not finish the handshake in time"),
            Self::Stuck => f.write_str("the peer does not read what is sent to it"),
            Self::Unreachable(reason) => write!(f, "the peer cannot be reached: {reason}"),
            Self::Stopped => f.write_str("this node stops"),
        }
    }
}
