//! What a peer can do against the rules of the ring, told as the sentence both sides log.
//! Silence, delay and old knowledge are none of it: they are failures, not faults.

use thiserror::Error;

use crate::peer::{NodeName, Peer};

/// A message that its sender had no right to send; the link it came on is closed with this reason.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Misbehaviour {
    /// A message speaks for a member of another node than the one that sent it.
    #[error("{from} sent a {kind} that speaks for {claimed}, a member of another node")]
    Impersonation {
        /// Who sent it, as its certificate says.
        from: NodeName,
        /// Kind of the message.
        kind: &'static str,
        /// For whom it speaks.
        claimed: Box<Peer>,
    },
    /// An answer speaks for another member than the one asked.
    #[error("{from} answered for {got} where {asked} was asked")]
    WrongMember {
        /// Who sent it, as its certificate says.
        from: NodeName,
        /// The member that was asked.
        asked: Box<Peer>,
        /// The member that is said to answer.
        got: Box<Peer>,
    },
    /// An answer to a question that was put to another node.
    #[error("{from} answered a question put to {asked}")]
    WrongNode {
        /// Who sent it, as its certificate says.
        from: NodeName,
        /// Who was asked.
        asked: NodeName,
    },
    /// An owner whose own arc does not contain the position looked for.
    #[error("{from} claims a position outside of its own arc")]
    WrongArc {
        /// Who sent it, as its certificate says.
        from: NodeName,
    },
    /// A message that does not fit: no request of the ring, or no answer to the question.
    #[error("{from} sent a message that does not fit: {what}")]
    Unexpected {
        /// Who sent it, as its certificate says.
        from: NodeName,
        /// What was expected.
        what: &'static str,
    },
}

/// Refuses a message of kind `kind` that speaks for a member of another node than `from`.
pub(super) fn speaks_for(
    from: &NodeName,
    kind: &'static str,
    claimed: &Peer,
) -> Result<(), Misbehaviour> {
    if claimed.name() == from {
        return Ok(());
    }
    Err(Misbehaviour::Impersonation {
        from: from.clone(),
        kind,
        claimed: Box::new(claimed.clone()),
    })
}
