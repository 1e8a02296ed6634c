//! Faults, and the trap in which one waits for its transaction.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use rustix::net::connect_unspec;

use super::Shared;
use super::frame::Frame;
use crate::common::side::Side;
use crate::common::{PATIENCE, eventually};

/// What can happen to one frame of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One bit of it is flipped; the number says which.
    Flip(usize),
    /// The connection breaks within it; the number says where.
    Truncate(usize),
    /// The connection breaks before it.
    Cut,
    /// It comes twice.
    Repeat,
    /// It never comes.
    Lose,
    /// The commit of the transaction before comes first.
    Old,
    /// It comes after the next one.
    Swap,
    /// It is in the node's receive queue, and then the connection to the node is reset.
    Reset,
}

/// Where it happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trap {
    /// Whole transactions to let pass before.
    pub(super) transactions: usize,
    /// Frames of the transaction to let pass before; its commit is the last that can be hit.
    pub(super) frames: usize,
    pub(super) fault: Fault,
}

/// What is to happen to the transaction that begins, once the test has had its look at the secondary.
pub(super) fn wait_at_trap(shared: &Shared, epoch: u64) -> Option<(usize, Fault)> {
    let mut state = shared.lock();
    match &mut state.trap {
        None => return None,
        Some(trap) if trap.transactions > 0 => {
            trap.transactions -= 1;
            return None;
        }
        Some(_) => {}
    }
    let trap = state.trap.take()?;
    state.trapped = Some(epoch);
    let (_state, timeout) = shared
        .changed
        .wait_timeout_while(state, PATIENCE, |state| !state.release)
        .expect("the proxy's state");
    assert!(!timeout.timed_out(), "the trap was never sprung");
    Some((trap.frames, trap.fault))
}

/// Lets `fault` happen to `frame`.
pub(super) fn spoil(
    fault: Fault,
    frame: &Frame,
    primary: &mut impl Read,
    mut secondary: &Side,
    last_commit: Option<&[u8]>,
) -> io::Result<()> {
    let broken = || Err(io::Error::from(io::ErrorKind::BrokenPipe));
    let bytes = &frame.bytes;
    match fault {
        Fault::Flip(bit) => {
            let mut spoiled = bytes.clone();
            let bit = bit % (bytes.len() * 8);
            spoiled[bit / 8] ^= 1 << (bit % 8);
            secondary.write_all(&spoiled)
        }
        Fault::Truncate(length) => {
            secondary.write_all(&bytes[..length % bytes.len()])?;
            broken()
        }
        Fault::Cut => broken(),
        Fault::Repeat => {
            secondary.write_all(bytes)?;
            secondary.write_all(bytes)
        }
        Fault::Lose => Ok(()),
        Fault::Old => {
            secondary.write_all(last_commit.unwrap_or(bytes))?;
            secondary.write_all(bytes)
        }
        Fault::Swap => {
            let next = Frame::read(primary)?;
            secondary.write_all(&next.bytes)?;
            secondary.write_all(bytes)
        }
        Fault::Reset => {
            secondary.write_all(bytes)?;
            // A reset takes back what has not arrived.
            eventually("the node's kernel has everything", || {
                (unacknowledged_bytes(secondary.socket()) == 0).then_some(())
            });
            // Unlike a close, it resets at once, whoever else holds the socket (connect(2)).
            connect_unspec(secondary.socket()).expect("reset");
            broken()
        }
    }
}

/// Bytes that were written but have not arrived (tcp(7), `SIOCOUTQ`).
fn unacknowledged_bytes(stream: &TcpStream) -> libc::c_int {
    let mut bytes = 0;
    // SAFETY: TIOCOUTQ writes one int to the address, which is that of a live local variable.
    let outcome = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
    bytes
}
