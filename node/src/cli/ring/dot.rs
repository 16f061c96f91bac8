//! The ring as a Graphviz graph: solid arrows to first successors, dotted ones to predecessors that
//! do not mirror them, so that an ideal ring is one plain circle.

use std::fmt::Write as _;

use node::engine::request::RingMember;

use super::{short, shown};

/// The graph of `members`, which are in the order of the circle.
pub(super) fn render(members: &[RingMember]) -> String {
    let mut graph = String::from("digraph ring {\n  layout=circo;\n  node [shape=box];\n");
    for member in members {
        let style = if member.phase == "member" {
            "solid"
        } else {
            "dashed"
        };
        let _ = writeln!(
            graph,
            "  \"{}\" [label=\"{}/{}\\n{} {}\", style={style}];",
            member.id,
            member.node,
            member.vnode,
            short(&member.id),
            member.phase,
        );
    }
    for member in members {
        if let Some(successor) = member.successors.first() {
            let _ = writeln!(graph, "  \"{}\" -> \"{}\";", member.id, successor.id);
        }
        let predecessor = member.predecessor.as_ref();
        if let Some(odd) = predecessor.filter(|other| !mirrors(members, &other.id, &member.id)) {
            let arrow = format!("\"{}\" -> \"{}\"", member.id, odd.id);
            let _ = writeln!(
                graph,
                "  {arrow} [style=dotted, tooltip=\"predecessor {}\"];",
                shown(odd)
            );
        }
    }
    graph.push_str("}\n");
    graph
}

/// Whether the first successor of `from` is `to`.
fn mirrors(members: &[RingMember], from: &str, to: &str) -> bool {
    let from = members.iter().find(|member| member.id == from);
    from.and_then(|member| member.successors.first())
        .is_some_and(|first| first.id == to)
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::member;
    use super::*;

    #[test]
    fn a_predecessor_without_mirror_is_dotted() {
        let mut members = [member(1, 3, &[2]), member(2, 1, &[3]), member(3, 2, &[1])];
        assert!(!render(&members).contains("dotted"));
        members[1].predecessor = members[0].predecessor.clone();
        let graph = render(&members);
        assert_eq!(graph.matches("dotted").count(), 1, "{graph}");
    }
}
