//! What the roles need of the outside. `host.rs` is the real one; the simulator is the other.

use std::io;

use crate::clock::Clock;
use crate::guest::{GuestError, Start, Trial, Vm};
use crate::link::{Caller, Dial, Door, Link, Transport};
use crate::release::Device;
use crate::spec::Spec;

/// Everything that a role reaches outside of itself.
pub trait Ports {
    /// Runs guests.
    type Vm: Vm;
    /// Tells the time.
    type Clock: Clock;
    /// Leads to the world.
    type Device: Device;
    /// Carries a link.
    type Transport: Transport;
    /// Reaches the peer.
    type Dialer: Dial<Self::Transport>;
    /// Lets the peer in.
    type Door: Door<Self::Transport>;
    /// Tries a state.
    type Trial: Trial;

    /// Starts a guest with its vCPUs stopped.
    ///
    /// # Errors
    /// A [`GuestError`]; nothing of the guest is left then.
    fn start_guest(&self, spec: &Spec, how: Start) -> Result<Self::Vm, GuestError>;

    /// Begins to try whether this host could go on with the state of the guest whose replica is in the RAM of `guest`; a turn
    /// with [`Ready::orders`] follows when that is known.
    ///
    /// # Errors
    /// A [`GuestError`] if the trial cannot be made.
    fn begin_trial(&self, spec: &Spec, guest: &Self::Vm) -> Result<Self::Trial, GuestError>;

    /// Makes `bridge` forget behind which of its ports which address is.
    ///
    /// # Errors
    /// Whatever the kernel reports.
    fn forget_addresses(&self, bridge: &str) -> io::Result<()>;
}

/// A link of these ports.
pub type PeerLink<P> = Link<<P as Ports>::Transport>;

/// A caller of these ports.
pub type PeerCaller<P> = Caller<<P as Ports>::Transport>;

/// What has something to say. A flag too many costs a look, one too few is made good at the next turn.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of six independent flags, as poll(2) returns it"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// The link can be read, or written if something waits.
    pub link: bool,
    /// The guest has sent something.
    pub guest: bool,
    /// The world has sent something.
    pub world: bool,
    /// An order, a caller or the result of dialing is there.
    pub orders: bool,
    /// There is news of the guest.
    pub news: bool,
    /// Whoever ran the guest is gone.
    pub death: bool,
}

impl Ready {
    /// Whether nothing has.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}
