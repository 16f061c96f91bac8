//! The pure engine of a node: one `Core` a worker thread, without sockets, files, clocks or threads.

pub mod core;
pub mod counters;
mod crawl;
mod gateway;
mod inbound;
mod index;
pub mod mail;
mod operation;
mod outbox;
pub mod output;
pub mod record;
pub mod request;
mod service;
pub mod shard;
mod status;
mod turn;
mod slab;
pub mod store;
mod wheel;
