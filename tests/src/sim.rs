//! The discrete-event simulator of whole nodes.
//! Its parts are in the folder of the same name.

pub mod history;
mod judge;
mod wall;
