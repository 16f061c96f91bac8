//! The Chordite node. `engine` decides and is pure; `runtime` carries out what it decides.
//! Beside them stand the files of an operator (`config`, `ca`, `trust`) and the exit codes.

pub mod ca;
pub mod config;
pub mod engine;
pub mod exit;
pub mod rewrite;
pub mod runtime;
pub mod trust;
