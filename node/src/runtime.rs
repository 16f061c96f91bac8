//! The shell of the node: the parts that touch sockets, threads and clocks.

pub mod mailbox;
