//! The DHT API side of the client. A PUT is never answered, so one is followed by a GET on the same
//! connection, which by the rules of the API sees it.

use std::time::Duration;

use node::exit::Exit;
use proto::dht_api::{self, Answer, Parse};
use proto::key::Key;
use proto::peer::NodeName;

use super::socket::Socket;
use super::{Got, NewValue};
use crate::cli::failure::Failure;

/// A connection to a node's DHT API.
#[derive(Debug)]
pub(crate) struct ApiClient {
    socket: Socket,
    received: Vec<u8>,
}

impl ApiClient {
    pub(super) fn connect(name: &NodeName, limit: Duration) -> Result<Self, Failure> {
        Ok(Self {
            socket: Socket::connect(name, limit)?,
            received: Vec::new(),
        })
    }

    pub(super) fn get(&mut self, key: &Key) -> Result<Option<Got>, Failure> {
        let mut request = Vec::new();
        dht_api::encode_get(&mut request, key);
        let value = self.ask(&request, key)?;
        Ok(value.map(|value| Got { value, about: None }))
    }

    pub(super) fn put(&mut self, new: &NewValue<'_>) -> Result<String, Failure> {
        let ttl_s = u16::try_from(new.ttl_s).map_err(|_| {
            Failure::usage("the DHT API takes a TTL of at most 65535 s: give less, or --identity")
        })?;
        let mut request = Vec::new();
        let encoded = dht_api::encode_put(&mut request, new.key, ttl_s, new.replication, new.value);
        encoded.map_err(|error| Failure::usage(error.to_string()))?;
        dht_api::encode_get(&mut request, new.key);
        match self.ask(&request, new.key)? {
            Some(value) if value == new.value => Ok(format!("stored {} bytes", value.len())),
            Some(_) => Ok("stored, and replaced by another client since".into()),
            None => Err(Failure::new(
                Exit::Storage,
                "the value was not stored, or not confirmed in time; the node's log says why",
            )),
        }
    }

    /// Sends `request`, whose one answer must be about `key`.
    fn ask(&mut self, request: &[u8], key: &Key) -> Result<Option<Vec<u8>>, Failure> {
        self.socket.begin();
        self.socket.write(request)?;
        loop {
            match dht_api::parse_answer(&self.received) {
                Parse::Message { message, consumed } => {
                    let (about, value) = match message {
                        Answer::Success { key, value } => (key, Some(value.to_vec())),
                        Answer::Failure { key } => (key, None),
                    };
                    self.received.drain(..consumed);
                    return if about == *key {
                        Ok(value)
                    } else {
                        Err(not_ours("another key"))
                    };
                }
                Parse::Violation(violation) => return Err(not_ours(&violation.to_string())),
                Parse::NeedMore => {
                    if self.socket.read(&mut self.received)? == 0 {
                        return Err(self.socket.closed());
                    }
                }
            }
        }
    }
}

fn not_ours(why: &str) -> Failure {
    Failure::new(
        Exit::Network,
        format!("the answer is not one of the DHT API: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    const LIMIT: Duration = Duration::from_secs(5);

    /// A node that answers its first connection with `answer` in two pieces, then closes.
    fn client(answer: Vec<u8>) -> ApiClient {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = NodeName::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let (first, second) = answer.split_at(answer.len().min(3));
            let _ = stream
                .write_all(first)
                .and_then(|()| stream.write_all(second));
        });
        ApiClient::connect(&name, LIMIT).unwrap()
    }

    #[test]
    fn a_put_is_confirmed_by_the_value_that_is_read_back() {
        let key = Key::from_text("k");
        let new = NewValue {
            key: &key,
            ttl_s: 1,
            replication: 1,
            value: b"v",
        };
        let mut same = Vec::new();
        dht_api::encode_success(&mut same, &key, b"v");
        assert_eq!(client(same).put(&new).unwrap(), "stored 1 bytes");
        let mut absent = Vec::new();
        dht_api::encode_failure(&mut absent, &key);
        assert_eq!(client(absent).put(&new).unwrap_err().exit, Exit::Storage);
    }

    #[test]
    fn an_answer_that_is_none_is_the_networks_fault() {
        let key = Key::from_text("k");
        let mut other = Vec::new();
        dht_api::encode_failure(&mut other, &Key::from_text("other"));
        for answer in [
            other,
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(client(answer).get(&key).unwrap_err().exit, Exit::Network);
        }
    }

    #[test]
    fn what_no_message_can_carry_is_a_usage_error() {
        let key = Key::from_text("k");
        let new = NewValue {
            key: &key,
            ttl_s: 65_536,
            replication: 1,
            value: b"v",
        };
        assert_eq!(client(Vec::new()).put(&new).unwrap_err().exit, Exit::Usage);
        let new = NewValue {
            ttl_s: 0,
            value: b"",
            ..new
        };
        assert_eq!(client(Vec::new()).put(&new).unwrap_err().exit, Exit::Usage);
    }
}
