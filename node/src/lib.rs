//! The Chordite node. `engine` decides and is pure; `runtime` carries out what it decides.

pub mod engine;
pub mod runtime;
