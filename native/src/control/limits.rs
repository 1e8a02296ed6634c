//! Every bound of the control channel, in one place.

use std::time::Duration;

/// Version of the control protocol that this engine speaks.
pub const CONTROL_VERSION: u64 = 1;
/// Most clients at a time; one more is told so and closed.
pub const MAX_CLIENTS: usize = 16;
/// Longest request, bytes, without its newline. A longer one ends the connection.
pub const MAX_LINE: usize = 64 << 10;
/// Most bytes that wait for a client that does not read. One more ends the connection.
pub const MAX_QUEUED: usize = 256 << 10;
/// Most orders of one client that the data thread has not answered.
pub const MAX_PENDING_ORDERS: usize = 16;
/// Connections that wait to be accepted.
pub const LISTEN_BACKLOG: i32 = 16;
/// How long a server that is being shut down goes on delivering what it has to say.
pub const FAREWELL_TIME: Duration = Duration::from_millis(500);
