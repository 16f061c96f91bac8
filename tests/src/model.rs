//! Small rings explored exhaustively (draft).
//! Its parts are in the folder of the same name.

pub mod actor;
pub mod cast;
pub mod cell;
pub mod claims;
pub mod healing;
pub mod rules;
pub mod run;
pub mod state;
