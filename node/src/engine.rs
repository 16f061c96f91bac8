//! The pure engine of a node: one `Core` a worker thread, without sockets, files, clocks or
//! threads. Inputs come from `runtime`, or from a test network; effects leave as `Output`.

pub mod core;
#[cfg(test)]
mod core_tests;
pub mod counters;
mod crawl;
mod disk_waits;
#[cfg(test)]
mod disk_waits_tests;
mod gateway;
mod inbound;
mod index;
pub mod journal;
#[cfg(test)]
mod journal_tests;
pub mod mail;
pub mod operation;
mod outbox;
pub mod output;
mod pending;
mod prefetch;
pub mod record;
pub mod request;
pub mod service;
pub mod shard;
mod size_class;
mod slab;
mod status;
pub mod store;
#[cfg(test)]
mod testnet;
mod turn;
mod waiting;
pub mod wal;
mod wheel;
