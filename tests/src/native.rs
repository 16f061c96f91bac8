//! A blocking client of the native API over [`proto::link`]: what a node or a client program of
//! another language would see, its errors included.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::codec;
use proto::frame::Frame;
use proto::link::{Link, LinkConfig, LinkPems};
use proto::message::{Hello, Message, RequestId, Role};
use proto::peer::{NodeName, RingParams};

use crate::certs::Pems;
use crate::circle;
use crate::deadline;

/// One link.
pub struct Native {
    stream: TcpStream,
    link: Link,
    params: RingParams,
    last: u64,
}

/// A link's own side: identity and Hello.
#[derive(Clone, Debug)]
pub struct Own {
    /// Key and certificates.
    pub pems: Pems,
    /// What it says of itself; has to agree with the certificate.
    pub hello: Hello,
}

impl Own {
    /// A node or a client called `name` in the ring called `ring`.
    #[must_use]
    pub fn new(pems: Pems, ring: &str, name: &NodeName, role: Role) -> Self {
        let params = circle::params(ring);
        Self {
            pems,
            hello: Hello {
                role,
                name: name.clone(),
                params,
                features: 0,
            },
        }
    }

    /// The client whose identity lies in `dir`, in the ring called `ring`.
    #[must_use]
    pub fn of_client(dir: &Path, ring: &str) -> Self {
        let pems = Pems::read(dir);
        let facts = proto::identity::inspect_pem(pems.cert.as_bytes()).expect("a certificate");
        let uri = facts[0].uris[0].strip_suffix("?role=client");
        let name = uri.and_then(|uri| uri.rsplit('/').next());
        let name = NodeName::parse(name.expect("a client's URI")).expect("a name");
        Self::new(pems, ring, &name, Role::Client)
    }

    /// The configuration of its links.
    pub fn config(&self) -> Arc<LinkConfig> {
        let pems = LinkPems {
            key: self.pems.key.clone().into_bytes(),
            cert_chain: self.pems.cert.clone().into_bytes(),
            ca_certs: vec![self.pems.ca.clone().into_bytes()],
        };
        LinkConfig::new(&pems, self.hello.clone()).expect("an identity that agrees with its Hello")
    }
}

impl Native {
    /// Dials `addr` and does the handshake; the error is what this side would log.
    pub fn dial(addr: SocketAddr, own: &Own, to: Option<&NodeName>) -> Result<Self, String> {
        Self::dial_with(addr, &own.config(), &own.hello.params, to)
    }

    /// Like `dial`, with a configuration that was made before: for who dials often.
    pub fn dial_with(
        addr: SocketAddr,
        config: &Arc<LinkConfig>,
        params: &RingParams,
        to: Option<&NodeName>,
    ) -> Result<Self, String> {
        let link = Link::dial(config, to).map_err(|error| error.to_string())?;
        let stream = TcpStream::connect_timeout(&addr, LIMIT).map_err(|error| error.to_string())?;
        Self::over(stream, link, params)
    }

    /// Accepts one connection of `listener` and does the handshake.
    pub fn accept(listener: &TcpListener, own: &Own, limit: Duration) -> Result<Self, String> {
        listener
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
        let accepted = || match listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        };
        let stream = deadline::until("somebody connects", limit, accepted);
        stream
            .set_nonblocking(false)
            .map_err(|error| error.to_string())?;
        Self::over(stream, Link::accept(&own.config()), &own.hello.params)
    }

    fn over(stream: TcpStream, link: Link, params: &RingParams) -> Result<Self, String> {
        let params = params.clone();
        let mut native = Self {
            stream,
            link,
            params,
            last: 0,
        };
        native.flush()?;
        let end = Instant::now() + LIMIT;
        while native.link.peer().is_none() {
            native.pump(end)?;
        }
        Ok(native)
    }

    /// Sends a message and gives the id it was sent under.
    pub fn send(&mut self, message: &Message<'_>) -> RequestId {
        self.last += 1;
        let request = RequestId(self.last);
        self.send_as(request, message);
        request
    }

    /// Sends a message under `request`, such as an answer.
    pub fn send_as(&mut self, request: RequestId, message: &Message<'_>) {
        let mut frame = Vec::new();
        codec::encode(&mut frame, request, message);
        self.send_bytes(&frame);
    }

    /// Sends whole frames as they are.
    pub fn send_bytes(&mut self, frames: &[u8]) {
        self.link.write_frames(frames);
        // A node that has refused us may be gone; the reason comes with the next receive.
        let _ = self.flush();
    }

    /// Sends `message` and gives what `read` makes of the answer.
    pub fn ask<T>(&mut self, message: &Message<'_>, read: impl Fn(&Message<'_>) -> T) -> T {
        let request = self.send(message);
        let answer = self.receive(|header, message| (header == request).then(|| read(message)));
        answer.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Receives messages until `pick` takes one; the error when the link ends first.
    pub fn receive<T>(
        &mut self,
        mut pick: impl FnMut(RequestId, &Message<'_>) -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + LIMIT;
        loop {
            while let Some(frame) = self.link.poll_frame() {
                let Frame { header, body, .. } = frame;
                let message = codec::decode(&self.params, header.kind, body);
                let message = message.map_err(|error| error.to_string())?;
                if let Some(picked) = pick(header.request, &message) {
                    return Ok(picked);
                }
            }
            self.pump(end)?;
        }
    }

    /// Waits until the other side ends the link; its reason.
    pub fn expect_refused(&mut self) -> String {
        match self.receive(|_, _| None::<()>) {
            Err(reason) => reason,
            Ok(()) => unreachable!("nothing is picked"),
        }
    }

    /// Reads once and answers what TLS wants answered.
    fn pump(&mut self, end: Instant) -> Result<(), String> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("silence until the deadline".into());
        }
        self.stream
            .set_read_timeout(Some(left))
            .map_err(|error| error.to_string())?;
        let mut buffer = [0; 16 * 1024];
        let received = match self.stream.read(&mut buffer) {
            Ok(0) => self
                .link
                .receive_end()
                .and(Err(proto::link::LinkError::BrokenOff)),
            Ok(read) => self.link.receive(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let flushed = self.flush();
        if let Err(error) = received {
            // The last words have left; now the other side may read them to the end.
            let _ = self.stream.shutdown(Shutdown::Write);
            return Err(error.to_string());
        }
        flushed
    }

    fn flush(&mut self) -> Result<(), String> {
        let mut out = Vec::new();
        self.link.transmit(&mut out);
        self.stream
            .write_all(&out)
            .map_err(|error| error.to_string())
    }
}

/// Longest wait for anything on a link.
const LIMIT: Duration = Duration::from_secs(10);
