//! `chordite status`: one node as it sees itself.

use clap::Args;
use node::engine::request::RingStatus;
use node::exit::Exit;
use serde_json::{Map, Value};

use super::admin::{self, AdminArgs};
use super::failure::Failure;
use super::{print, ring, table};

/// Show a node: its members, neighbours and peers
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print the node's JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let answer = self.admin.get("/status")?;
        let text = if self.json {
            format!("{}\n", answer.trim_end())
        } else {
            render(&answer)?
        };
        print::text(&text)?;
        Ok(Exit::Ok)
    }
}

/// The status for people: plain facts, own members, measured peers.
pub(crate) fn render(answer: &str) -> Result<String, Failure> {
    let status: RingStatus = admin::parse(answer)?;
    let all: Map<String, Value> = admin::parse(answer)?;
    let mut text = facts(&all);
    text.push('\n');
    text.push_str(&ring::render(&status.members));
    if !status.peers.is_empty() {
        let rows = status.peers.iter().map(|peer| {
            [
                peer.node.clone(),
                peer.rtt_us.to_string(),
                peer.rto_us.to_string(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        text.push('\n');
        text.push_str(&table::render(["PEER", "RTT_US", "RTO_US"], &rows));
    }
    Ok(text)
}

/// Every plain value of the answer, whatever the node chooses to tell.
fn facts(all: &Map<String, Value>) -> String {
    let plain = all.iter().filter_map(|(name, value)| match value {
        Value::Array(_) | Value::Object(_) | Value::Null => None,
        Value::String(text) => Some((name, text.clone())),
        other => Some((name, other.to_string())),
    });
    plain
        .map(|(name, value)| format!("{name:<18} {value}\n"))
        .collect()
}
