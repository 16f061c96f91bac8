//! The pure engine of a node: one `Core` a worker thread, without sockets, files, clocks or threads.

pub mod mail;
pub mod output;
pub mod request;
