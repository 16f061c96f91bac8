//! Small rings explored exhaustively: production members (`proto::chord::Chord`), every order in
//! which messages, timers, joins, failures and departures can follow each other.
//!
//! *Same state* means the same members up to `Chord::essence` and the same in flight. Time is left
//! out: with pauses of no length any timer may fire at any moment (`actor`), and members alike but
//! for time are compared by what they do, so that a projection too coarse ends the run (`cell`).
//! *Approximations*: nobody alive falls silent; a death is noticed by broken links, for all open
//! questions to the dead at once, and a member that rests then stabilises; a lookup may name any
//! member, more than a real one (a lonely member's names who claims it); a notice is in flight
//! once at most; each member is a host of its own. *Shortcuts* are a choice: see `rules`.

pub mod actor;
pub mod cast;
pub mod cell;
pub mod claims;
pub mod healing;
pub mod rings;
pub mod rules;
pub mod run;
pub mod state;
