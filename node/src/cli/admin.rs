//! What every command against a node's admin address shares: the arguments and the question. The
//! answers are the engine's own types, read back from JSON.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use node::engine::request::RingMember;
use node::exit::Exit;
use proto::peer::NodeName;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::http::{self, HttpError, Response};
use super::{address, duration};

/// Which node to ask, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdminArgs {
    /// The node's admin address
    #[arg(short = 'a', long = "admin", value_name = "HOST:PORT", default_value = DEFAULT,
          value_parser = address::parse)]
    pub(crate) address: NodeName,
    /// Give up after this time (500ms, 10s, 1m)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

impl AdminArgs {
    /// The body of `path`, which must be answered with 200.
    pub(crate) fn get(&self, path: &str) -> Result<String, Failure> {
        let mut addresses = address::resolve(&self.address)?.into_iter();
        loop {
            let address = addresses
                .next()
                .expect("resolving gives at least one address");
            match http::get(address, path, self.timeout) {
                // A host name often has an IPv6 and an IPv4 address of which one is listened on.
                Err(HttpError::Connect(..)) if addresses.len() > 0 => {}
                answer => return body(address, answer?),
            }
        }
    }

    /// The whole ring in the order of the circle, crawled by the node.
    pub(crate) fn ring(&self) -> Result<Vec<RingMember>, Failure> {
        let mut members: Vec<RingMember> = parse(&self.get("/ring")?)?;
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(members)
    }

    /// The length of the ring's successor lists, as the node's status says.
    pub(crate) fn successors(&self) -> Result<usize, Failure> {
        Ok(parse::<Parameters>(&self.get("/status")?)?.successors)
    }
}

/// The part of `/status` that judging a ring takes.
#[derive(Deserialize, Debug)]
struct Parameters {
    successors: usize,
}

/// The JSON of an answer as `T`.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| {
        Failure::new(
            Exit::Network,
            format!("the node's answer is not understood: {error}"),
        )
    })
}

fn body(address: SocketAddr, response: Response) -> Result<String, Failure> {
    if response.status == 200 {
        return Ok(response.body);
    }
    let reason = response.body.trim();
    let message = format!("{address} answers {}: {reason}", response.status);
    Err(Failure::new(Exit::Network, message))
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::new(Exit::Network, error.to_string())
    }
}

/// Where a node listens for its operator when nothing else is configured.
pub(crate) const DEFAULT: &str = "127.0.0.1:7601";
