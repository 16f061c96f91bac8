//! Small rings explored exhaustively: production members (`proto::chord::Chord`), every order in
//! which messages, timers, joins and failures can follow each other.
//!
//! *Same state* means the same members up to `Chord::essence` and the same in flight. Time is left
//! out: with pauses of no length any timer may fire at any moment (`actor`), and members alike but
//! for time are compared by what they do, so that a projection too coarse ends the run (`cell`).
//! *Approximations*: nobody alive falls silent; a death is noticed by broken links, for all open
//! questions to the dead at once; a lookup may name any member, more than a real one (a lonely
//! member's names who claims it); nobody leaves on purpose; a member is a host of its own.
//! *Shortcuts* (a choice) answer at once a question whose way changes nothing: `rules`.

pub mod actor;
pub mod cast;
pub mod cell;
pub mod claims;
pub mod healing;
pub mod rings;
pub mod rules;
pub mod run;
pub mod state;
