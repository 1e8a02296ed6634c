//! What a link asks of whatever carries its bytes: a connection to the other engine, or a simulated one.

use std::io::{self, Read, Write};
use std::time::Duration;

/// A byte stream in both directions whose reads and writes do not block: they report `WouldBlock` instead. So does
/// `flush` as long as anything that was written waits within.
pub trait Transport: Read + Write {
    /// Waits until something can be written, or `timeout` has passed; which of the two does not matter.
    ///
    /// # Errors
    /// Whatever waiting reports; the connection is of no more use then.
    fn wait_writable(&mut self, timeout: Duration) -> io::Result<()>;

    /// Whether something that was written waits within, so that the peer cannot have its last byte.
    fn wants_write(&self) -> bool;
}
