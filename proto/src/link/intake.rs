//! What a link does with the bytes it receives: the checks before TLS, the two Hellos, and whether
//! each message may come from this peer now. All of it decides on headers, as soon as they are
//! there.

use std::io::BufRead;

use super::{Link, LinkError, PeerIdentity, Side, Stage, hello};
use crate::codec::{self, kind};
use crate::frame::{FrameError, Header};
use crate::limits::{HANDSHAKE_BYTES_MAX, HELLO_BYTES_MAX};
use crate::message::{Hello, Message, Refuse};

impl Link {
    /// Decrypts `ciphertext` and takes what is in it, as far as it is allowed.
    pub(super) fn take_in(&mut self, mut ciphertext: &[u8]) -> Result<(), LinkError> {
        self.inbox.compact();
        if !self.is_ready() {
            self.check_start(ciphertext)?;
        }
        while !ciphertext.is_empty() && !self.peer_closed {
            let read = self.tls.read_tls(&mut ciphertext);
            let read = read.map_err(|error| LinkError::Tls {
                why: error.to_string(),
            })?;
            if read == 0 {
                break;
            }
            let processed = self.tls.process_new_packets();
            // What was readable before an error counts first: it may be a Refuse with the reason.
            self.take_plaintext();
            if matches!(self.stage, Stage::Handshake) && !self.tls.is_handshaking() {
                self.handshake_done()?;
            }
            self.take_frames()?;
            self.peer_closed |= processed?.peer_has_closed();
        }
        if self.peer_closed && !self.is_ready() {
            return Err(LinkError::ClosedEarly);
        }
        Ok(())
    }

    /// What is wrong before rustls needs to see it: plaintext, and too much of anything.
    fn check_start(&mut self, ciphertext: &[u8]) -> Result<(), LinkError> {
        if let (0, Some(first)) = (self.handshake_bytes, ciphertext.first()) {
            let plaintext = match self.side {
                Side::Accepted => *first != TLS_HANDSHAKE,
                Side::Dialled(_) => *first != TLS_HANDSHAKE && *first != TLS_ALERT,
            };
            if plaintext {
                return Err(LinkError::Plaintext { first: *first });
            }
        }
        self.handshake_bytes = self.handshake_bytes.saturating_add(ciphertext.len());
        if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
            return Err(LinkError::HandshakeTooLong);
        }
        Ok(())
    }

    fn take_plaintext(&mut self) {
        let mut reader = self.tls.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            let len = chunk.len();
            self.inbox.extend(chunk);
            reader.consume(len);
        }
    }

    /// The certificates have verified: whose are they? The dialler speaks first.
    fn handshake_done(&mut self) -> Result<(), LinkError> {
        let certified = hello::certified(&self.tls, &self.side, &self.config.hello)?;
        self.certified = Some(certified);
        self.stage = Stage::AwaitHello;
        if let Side::Dialled(_) = self.side {
            let hello = Message::Hello(self.config.hello.clone());
            self.send_control(&hello);
        }
        Ok(())
    }

    /// Checks the headers of the frames that have arrived, each as soon as it is there, and takes
    /// the messages that are the link's own.
    fn take_frames(&mut self) -> Result<(), LinkError> {
        while let Some(header) = self.inbox.next_header(self.config.version)? {
            self.check_kind(&header)?;
            let Some(frame) = self.inbox.next_frame(header) else {
                return Ok(());
            };
            if !matches!(header.kind, kind::HELLO | kind::REFUSE) {
                self.inbox.pass(header);
                continue;
            }
            let message = codec::decode(&self.config.hello.params, header.kind, frame.body)?;
            match message {
                Message::Hello(hello) => {
                    self.inbox.swallow(header);
                    self.take_hello(hello)?;
                }
                Message::Refuse(Refuse { reason }) => return Err(LinkError::Refused { reason }),
                _ => return Err(LinkError::Unexpected { kind: header.kind }),
            }
        }
        Ok(())
    }

    /// Whether the peer may send this kind now, before its body is read.
    fn check_kind(&self, header: &Header) -> Result<(), LinkError> {
        let kind = header.kind;
        match kind {
            kind::HELLO | kind::REFUSE if header.body_len as usize > HELLO_BYTES_MAX => {
                let (got, max) = (header.body_len, HELLO_BYTES_MAX);
                Err(LinkError::Frame(FrameError::TooLong { got, max }))
            }
            kind::REFUSE => Ok(()),
            kind::HELLO if matches!(self.stage, Stage::AwaitHello) => Ok(()),
            kind::HELLO => Err(LinkError::Unexpected { kind }),
            _ => match (&self.peer, &self.side) {
                (None, _) => Err(LinkError::Unexpected { kind }),
                (Some((peer, _)), Side::Accepted) if !codec::allowed(peer.role, kind) => {
                    Err(LinkError::Forbidden { kind })
                }
                (Some(_), _) => Ok(()),
            },
        }
    }

    fn take_hello(&mut self, theirs: Hello) -> Result<(), LinkError> {
        let Some(certified) = &self.certified else {
            return Err(LinkError::Unexpected { kind: kind::HELLO });
        };
        hello::check(&self.config.hello, &theirs, certified)?;
        if let Side::Accepted = self.side {
            let ours = Message::Hello(self.config.hello.clone());
            self.send_control(&ours);
        }
        let identity = PeerIdentity {
            name: theirs.name.clone(),
            role: theirs.role,
        };
        self.peer = Some((identity, theirs));
        self.stage = Stage::Ready;
        Ok(())
    }
}

const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;
