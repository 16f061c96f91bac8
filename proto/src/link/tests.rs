//! Two links in memory, with every way of cutting the bytes, and every refusal seen from both
//! sides.

mod authority;
mod flow;
mod refusals;

use std::sync::Arc;

use super::*;
use crate::codec::kind;
use crate::frame::PROTOCOL_VERSION;
use crate::limits::HANDSHAKE_BYTES_MAX;
use crate::peer::RingParams;
use crate::tls::TlsSetup;
use authority::{Authority, Wish};

/// A node or client of the ring `test`, with the certificate of its name.
fn config(authority: &Authority, name: &str, role: Role) -> Arc<LinkConfig> {
    let wish = Wish::new(name, role);
    LinkConfig::new(&authority.issue(&wish), hello(name, role)).unwrap()
}

fn hello(name: &str, role: Role) -> Hello {
    Hello {
        role,
        name: NodeName::parse(name).unwrap(),
        params: params(),
        features: 0,
    }
}

fn params() -> RingParams {
    RingParams {
        ring: "test".into(),
        successors: 16,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    }
}

const A: &str = "127.0.0.1:7501";
const B: &str = "127.0.0.2:7502";

/// A dialler and an acceptor whose bytes are carried by hand.
struct Pair {
    dialler: Link,
    acceptor: Link,
}

impl Pair {
    /// `a` dials `to`, and `b` is who answers there.
    fn new(a: &Arc<LinkConfig>, b: &Arc<LinkConfig>, to: &str) -> Self {
        let to = NodeName::parse(to).unwrap();
        Self {
            dialler: Link::dial(a, Some(&to)).unwrap(),
            acceptor: Link::accept(b),
        }
    }

    /// Carries bytes both ways in chunks of `chunk` until nobody has any more to say. The socket of
    /// a side that failed is closed after its last words. The results are the first errors.
    fn run(&mut self, chunk: usize) -> (Option<LinkError>, Option<LinkError>) {
        let (mut first, mut second) = (None, None);
        loop {
            let forth = carry(&mut self.dialler, &mut self.acceptor, chunk, &mut second);
            let back = carry(&mut self.acceptor, &mut self.dialler, chunk, &mut first);
            if !forth && !back {
                return (first, second);
            }
        }
    }

    /// Runs until both are ready.
    fn ready(mut self, chunk: usize) -> Self {
        assert_eq!(self.run(chunk), (None, None));
        assert!(self.dialler.is_ready() && self.acceptor.is_ready());
        self
    }
}

fn carry(from: &mut Link, to: &mut Link, chunk: usize, error: &mut Option<LinkError>) -> bool {
    let mut bytes = Vec::new();
    from.transmit(&mut bytes);
    for piece in bytes.chunks(chunk) {
        if let Err(now) = to.receive(piece) {
            error.get_or_insert(now);
        }
    }
    !bytes.is_empty()
}

fn frame(request: u64, message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(&mut out, RequestId(request), message);
    out
}

fn polled(link: &mut Link) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| link.poll_frame().map(|frame| frame.bytes.to_vec())).collect()
}
