//! `chordite ring`: the whole ring as one node crawls it, for people, for Graphviz, and checked
//! against the invariant.

mod check;
mod dot;

use clap::Args;
use node::engine::request::{MemberName, RingMember};
use node::exit::Exit;

pub(crate) use check::check;

use super::admin::AdminArgs;
use super::failure::Failure;
use super::{print, table};

/// Show every member of the ring
#[derive(Args, Debug)]
pub(crate) struct Ring {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print the node's JSON
    #[arg(long, group = "form")]
    json: bool,
    /// Print a graph for Graphviz: `chordite ring --dot | circo -Tsvg > ring.svg`
    #[arg(long, group = "form")]
    dot: bool,
    /// Check the ring's invariant: exit 0 when it holds, 1 otherwise
    #[arg(long, group = "form")]
    check: bool,
}

impl Ring {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        if self.json {
            let answer = self.admin.get("/ring")?;
            print::text(&format!("{}\n", answer.trim_end()))?;
            return Ok(Exit::Ok);
        }
        let members = self.admin.ring()?;
        if self.check {
            let verdict = check(&members, self.admin.successors()?)?;
            print::text(&verdict.to_string())?;
            return Ok(if verdict.is_clean() {
                Exit::Ok
            } else {
                Exit::Absent
            });
        }
        print::text(&if self.dot {
            dot::render(&members)
        } else {
            render(&members)
        })?;
        Ok(Exit::Ok)
    }
}

/// One row a member, in the order of the circle.
pub(crate) fn render(members: &[RingMember]) -> String {
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            [
                short(&member.id).to_owned(),
                format!("{}/{}", member.node, member.vnode),
                member.phase.clone(),
                member
                    .predecessor
                    .as_ref()
                    .map_or_else(|| "-".into(), shown),
                member.successors.first().map_or_else(|| "-".into(), shown),
                member.successors.len().to_string(),
            ]
        })
        .collect();
    table::render(
        ["ID", "MEMBER", "PHASE", "PREDECESSOR", "SUCCESSOR", "LIST"],
        &rows,
    )
}

/// `host:port/vnode`, as everything else names a member.
pub(crate) fn shown(member: &MemberName) -> String {
    format!("{}/{}", member.node, member.vnode)
}

/// The first eight digits of an id: enough to tell members apart.
pub(crate) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
