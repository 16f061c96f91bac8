//! `chordite ca`: the small certificate authority of a ring. Arguments only; the work is done in
//! `node::ca`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use node::ca::{self, Subject};
use node::exit::Exit;
use proto::message::Role;
use proto::peer::{NodeName, RingParams};

use super::address;
use super::failure::Failure;

/// Make a ring's certificate authority and issue identities
#[derive(Subcommand, Debug)]
pub(crate) enum Ca {
    /// Make an authority: ca.pem and ca-key.pem
    Init {
        /// The folder of the authority
        dir: PathBuf,
    },
    /// Issue an identity: key.pem, cert.pem and ca.pem
    Issue {
        /// The folder of the authority
        dir: PathBuf,
        /// The name of the node, HOST:PORT; for a client any that tells it apart
        #[arg(long, value_name = "HOST:PORT", value_parser = address::parse)]
        advertise: NodeName,
        /// What the holder may do
        #[arg(long, value_enum, default_value_t = RoleArg::Node)]
        role: RoleArg,
        /// The ring it belongs to
        #[arg(long, default_value = "chordite", value_parser = parse_ring)]
        ring: String,
        /// Days until it expires
        #[arg(long, default_value_t = 365,
              value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// The folder the identity is written to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum, Debug)]
pub(crate) enum RoleArg {
    /// A member of the ring
    Node,
    /// A client of the native API
    Client,
}

impl Ca {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Init { dir } => ca::init(&dir)?,
            Self::Issue {
                dir,
                advertise,
                role,
                ring,
                days,
                out,
            } => {
                let role = match role {
                    RoleArg::Node => Role::Node,
                    RoleArg::Client => Role::Client,
                };
                let expires = ca::in_days(days);
                let subject = Subject {
                    name: advertise,
                    role,
                    ring,
                    expires,
                };
                ca::issue(&dir, &subject, &out)?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn parse_ring(text: &str) -> Result<String, String> {
    if RingParams::is_ring_name(text) {
        return Ok(text.to_owned());
    }
    Err("a ring's name is 1 to 64 letters, digits, `-`, `_` and `.`".into())
}
