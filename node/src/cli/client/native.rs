//! The native side of the client: mutual TLS with a client certificate, driven over a blocking
//! socket. The link is the same machine that nodes use.

use std::path::Path;
use std::time::Duration;

use node::exit::Exit;
use node::trust::IdentityFiles;
use proto::codec;
use proto::key::Key;
use proto::link::{Link, LinkError};
use proto::message::{Delete, Get, Message, Put, RequestId, RequestIds, Stored};
use proto::peer::NodeName;

use super::socket::Socket;
use super::{About, Got, NewValue, refused};
use crate::cli::failure::Failure;

/// A link to a node.
#[derive(Debug)]
pub(crate) struct NativeClient {
    socket: Socket,
    link: Link,
    requests: RequestIds,
}

impl NativeClient {
    /// Connects to the node called `name` with the identity in `dir`.
    pub(super) fn connect(name: &NodeName, dir: &Path, limit: Duration) -> Result<Self, Failure> {
        let files = IdentityFiles::in_folder("--identity", dir);
        let links = files.client_links()?;
        let link = Link::dial(&links, Some(name))?;
        let socket = Socket::connect(name, limit)?;
        let mut client = Self {
            socket,
            link,
            requests: RequestIds::new(0, 0, 0),
        };
        while !client.link.is_ready() {
            client.turn()?;
        }
        Ok(client)
    }

    pub(super) fn get(&mut self, key: &Key) -> Result<Option<Got>, Failure> {
        self.ask(&Message::Get(Get { key: *key }), |answer| match answer {
            Message::Value(got) => {
                let about = About {
                    version: got.version,
                    expiry_ms: got.expiry_ms,
                    route: got.route,
                };
                Some(Some(Got {
                    value: got.value.to_vec(),
                    about: Some(about),
                }))
            }
            Message::Absent(_) => Some(None),
            _ => None,
        })
    }

    pub(super) fn put(&mut self, new: &NewValue<'_>) -> Result<Stored, Failure> {
        let NewValue {
            key,
            ttl_s,
            replication,
            value,
        } = *new;
        let put = Put {
            key: *key,
            ttl_s,
            replication,
            value,
        };
        self.ask(&Message::Put(put), |answer| match answer {
            Message::Stored(stored) => Some(*stored),
            _ => None,
        })
    }

    pub(super) fn delete(&mut self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.ask(
            &Message::Delete(Delete { key: *key }),
            |answer| match answer {
                Message::Stored(stored) => Some(Some(*stored)),
                Message::Absent(_) => Some(None),
                _ => None,
            },
        )
    }

    /// Sends `message` and waits for its answer, which `read` must understand.
    fn ask<T>(
        &mut self,
        message: &Message<'_>,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        self.socket.begin();
        let request = self.requests.issue();
        codec::encode(self.link.outbox(), request, message);
        loop {
            if let Some(answer) = self.poll(request, &read)? {
                return Ok(answer);
            }
            self.turn()?;
        }
    }

    /// Looks for the answer to `request` among the frames that have arrived.
    fn poll<T>(
        &mut self,
        request: RequestId,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(params) = self.link.peer_hello().map(|hello| hello.params.clone()) else {
            return Ok(None);
        };
        while let Some(frame) = self.link.poll_frame() {
            if frame.header.request != request {
                continue;
            }
            let answer = codec::decode(&params, frame.header.kind, frame.body);
            let answer = answer.map_err(|error| Failure::new(Exit::Network, error.to_string()))?;
            if let Message::Failed(failed) = &answer {
                return Err(refused(failed));
            }
            let unexpected = || Failure::new(Exit::Network, "the node's answer is of another kind");
            return read(&answer).map(Some).ok_or_else(unexpected);
        }
        Ok(None)
    }

    /// Sends what is to be sent, then waits for what arrives next.
    fn turn(&mut self) -> Result<(), Failure> {
        self.flush()?;
        let mut received = Vec::new();
        let taken = match self.socket.read(&mut received)? {
            0 => self.link.receive_end(),
            _ => self.link.receive(&received),
        };
        if let Err(error) = taken {
            // The node's operator should learn the reason too; ours is the one to report.
            let _ = self.flush();
            return Err(error.into());
        }
        if self.link.peer_has_closed() {
            return Err(self.socket.closed());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let mut out = Vec::new();
        self.link.transmit(&mut out);
        if out.is_empty() {
            Ok(())
        } else {
            self.socket.write(&out)
        }
    }
}

/// A link that is dropped says farewell, so that the node does not log a broken connection.
impl Drop for NativeClient {
    fn drop(&mut self) {
        self.link.close();
        let _ = self.flush();
        self.socket.finish();
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let exit = match error {
            LinkError::Refused { .. }
            | LinkError::NoCertificate
            | LinkError::Certificate { .. }
            | LinkError::Identity(_)
            | LinkError::WrongNode { .. }
            | LinkError::NotANode { .. }
            | LinkError::OtherRing { .. }
            | LinkError::HelloMismatch { .. }
            | LinkError::Forbidden { .. } => Exit::Certificates,
            _ => Exit::Network,
        };
        Self::new(exit, error.to_string())
    }
}
