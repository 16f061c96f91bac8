//! The shell's bounds: bytes, counts and deadlines of connections and links, in one place.
//! Relations between them are checked when this file is compiled.

use std::time::Duration;

use proto::limits::{FRAME_BODY_BYTES_MAX, VALUE_BYTES_MAX};

/// Entries of each worker's submission queue: rings count against RLIMIT_MEMLOCK.
pub(crate) const RING_ENTRIES: u32 = 256;

/// Mails handled in one turn.
pub(crate) const MAILS_PER_TURN: usize = 256;

/// First size of a receive buffer, and what it shrinks back to.
pub(crate) const RECEIVE_BYTES_MIN: usize = 4 * 1024;

/// Largest receive buffer: one whole DHT API message and more, and with it the byte budget of one
/// connection in one turn of the event loop.
pub(crate) const RECEIVE_BYTES_MAX: usize = 128 * 1024;

/// Output waiting on one API connection at which the node stops reading its requests.
pub(crate) const API_OUTPUT_BYTES_PAUSE: usize = 64 * 1024;

/// Requests of one API connection that may be under way elsewhere.
pub(crate) const API_IN_FLIGHT_MAX: usize = 256;

/// Bytes of values in those requests, of answers that wait for an earlier one, and of answers that
/// are expected by the size of the last ones.
pub(crate) const API_IN_FLIGHT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of values that the requests under way of one core may hold, whoever asked.
pub(crate) const OPERATIONS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// API connections of one core.
pub(crate) const API_CONNECTIONS_MAX: usize = 16 * 1024;

/// Time for a whole message from its first byte on.
pub(crate) const FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// Time for a peer to finish TLS and the Hello exchange.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// Time for a TCP connection to a peer.
pub(crate) const DIAL_DEADLINE: Duration = Duration::from_secs(2);

/// How long a connection that is being closed may still take the last answer.
pub(crate) const LINGER_DEADLINE: Duration = Duration::from_secs(1);

/// Shortest and longest pause before a peer that could not be reached is dialled again.
pub(crate) const REDIAL_PAUSE_MIN: Duration = Duration::from_millis(50);
/// See [`REDIAL_PAUSE_MIN`].
pub(crate) const REDIAL_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Links of one core in each direction.
pub(crate) const LINKS_MAX: usize = 4096;

/// Bytes waiting for a link that is not yet up; more are dropped, as a network would.
pub(crate) const LINK_DIALLING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Replies waiting on an accepted link at which the node stops reading its requests.
pub(crate) const LINK_OUTPUT_BYTES_PAUSE: usize = 1024 * 1024;

/// Bytes waiting on a link at which its peer counts as stuck and the link is closed.
pub(crate) const LINK_OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Frames of a link handed to the core before what they brought about is carried out.
pub(crate) const LINK_FRAMES_PER_BATCH: usize = 64;

/// Frames sealed and sent at once: a link's byte budget for one turn.
pub(crate) const LINK_CHUNK_BYTES: usize = 128 * 1024;

/// Unacknowledged data for this long ends a connection between nodes.
pub(crate) const LINK_USER_TIMEOUT: Duration = Duration::from_secs(8);

/// Silence of a peer after which TCP asks whether it is alive, and how often it asks.
pub(crate) const LINK_KEEPALIVE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(2)];

/// The same for clients, of which there may be many thousands that rest.
pub(crate) const API_KEEPALIVE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(10)];

/// Connections taken from a listener before other work has its turn.
pub(crate) const ACCEPTS_PER_TURN: usize = 64;

/// Pause after an accept that failed for want of descriptors or memory.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listen queue of every socket.
pub(crate) const LISTEN_BACKLOG: i32 = 1024;

/// Calls from the admin thread that may wait for a core.
pub(crate) const CONTROL_QUEUE: usize = 256;

/// Jobs that may wait for a worker's disk thread: more than a log or a recovery has under way.
pub(crate) const DISK_QUEUE: usize = 256;

/// Segments of which a worker's ring has a handle: the one written, and some that are read.
pub(crate) const RING_FILES_MAX: usize = 16;

/// Time an operator's request may take.
pub(crate) const ADMIN_DEADLINE: Duration = Duration::from_secs(15);

/// Time to finish client requests in flight at shutdown.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Time to leave the ring at shutdown.
pub(crate) const LEAVE_DEADLINE: Duration = Duration::from_secs(10);

/// Time for links and workers to end at shutdown.
pub(crate) const FINISH_DEADLINE: Duration = Duration::from_secs(3);

/// At most one log line for each peer and kind of trouble in this time.
pub(crate) const LOG_PAUSE: Duration = Duration::from_secs(5);

/// Peers whose log lines are told apart; beyond, the oldest are forgotten.
pub(crate) const LOG_PEERS_MAX: usize = 1024;

const _: () = assert!(RECEIVE_BYTES_MAX > VALUE_BYTES_MAX + 40);
const _: () = assert!(LINK_OUTPUT_BYTES_PAUSE > FRAME_BODY_BYTES_MAX);
const _: () = assert!(LINK_OUTPUT_BYTES_MAX > LINK_OUTPUT_BYTES_PAUSE);
const _: () = assert!(API_IN_FLIGHT_BYTES_MAX > VALUE_BYTES_MAX);
