//! The benchmark harness: starts real processes, lets them take turns at a load, forms ratios and
//! keeps results.
//!
//! It knows the node only as a program with a command line and the load generator only by the
//! schema of its report. Processes are started in `process` and nowhere else; figures are formed in
//! pure files (`stats`, `ratio`, `verdict`, `measure`) and written by `result`.

#![forbid(unsafe_code)]

pub mod admin;
pub mod binaries;
pub mod calendar;
pub mod deadline;
pub mod disk;
pub mod echo;
pub mod forecast;
pub mod generator;
pub mod log_watch;
pub mod machine;
pub mod measure;
pub mod minimal_client;
pub mod process;
pub mod ratio;
pub mod report;
pub mod result;
pub mod ring;
pub mod rival;
pub mod run;
pub mod scenario;
pub mod smoke;
pub mod stats;
pub mod steps;
pub mod subject;
pub mod table;
pub mod turn;
pub mod usage;
pub mod verdict;
