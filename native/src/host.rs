//! The real outside of the roles: QEMU, TCP, the TAP device and the host's clock.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::HostClock;
use crate::guest::{Guest, GuestError, Platform, Scratch, Start};
use crate::interfaces::Interfaces;
use crate::limits::HEARTBEAT;
use crate::link::{Channel, Dialer, Listener};
use crate::role::{Fatal, Ports};
use crate::spec::Spec;
use crate::sys::bridge;
use crate::sys::interface::Tap;
use crate::wake::Wake;

/// This host.
#[derive(Debug)]
pub struct Host {
    /// What the guest runs on.
    pub platform: Platform,
    /// Rung for orders, callers and results of dialing.
    pub wake: Wake,
}

impl Ports for Host {
    type Vm = Guest;
    type Clock = HostClock;
    type Device = Interfaces<Tap>;
    type Transport = Channel;
    type Dialer = Dialer;
    type Door = Listener;
    type Trial = Scratch;

    fn start_guest(&self, spec: &Spec, how: Start) -> Result<Guest, GuestError> {
        Guest::start(spec, &self.platform, how)
    }

    fn begin_trial(&self, spec: &Spec, guest: &Guest) -> Result<Scratch, GuestError> {
        guest.begin_trial(spec, self.wake.clone())
    }

    fn forget_addresses(&self, bridge: &str) -> io::Result<()> {
        bridge::forget_addresses(bridge)
    }
}

/// What to wait for on a link: readiness to be written only while something waits.
pub fn link_flags(anything_waits: bool) -> PollFlags {
    if anything_waits {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    }
}

/// Waits until one of `descriptors` is ready or `timeout` has passed; returns which are ready. An unused
/// place is never ready.
///
/// # Errors
/// [`Fatal::Poll`].
pub fn wait<const N: usize>(
    wake: &Wake,
    descriptors: [(Option<BorrowedFd<'_>>, PollFlags); N],
    timeout: Duration,
) -> Result<[bool; N], Fatal> {
    // An unused place polls the wake for nothing, which costs less than a list of changing length.
    let mut polled = descriptors.map(|(descriptor, flags)| match descriptor {
        Some(descriptor) => PollFd::from_borrowed_fd(descriptor, flags),
        None => PollFd::new(wake, PollFlags::empty()),
    });
    let timeout =
        Timespec::try_from(timeout.min(HEARTBEAT)).map_err(|e| Fatal::Poll(io::Error::other(e)))?;
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {
            Ok(polled.map(|descriptor| !descriptor.revents().is_empty()))
        }
        Err(error) => Err(Fatal::Poll(error.into())),
    }
}
