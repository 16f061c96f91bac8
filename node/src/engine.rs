//! The pure engine of a node: one `Core` a worker thread, without sockets, files, clocks or threads.

mod index;
pub mod mail;
pub mod output;
mod prefetch;
pub mod record;
pub mod request;
pub mod shard;
mod size_class;
mod slab;
pub mod store;
mod wheel;
