//! The data thread: one owner of the guest, the hold, the replica and the link, in one of two roles.
//!
//! ```text
//!            promote                       demote (handed over)
//!  secondary ───────► primary ───────────────────────────────────► a new, empty secondary
//! ```

mod admission;
mod primary;
mod replica;
mod secondary;
mod strays;

use std::os::fd::BorrowedFd;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use uuid::Uuid;

use crate::checkpoint::{Part, Statistics, Tuning, TuningChange, TuningError};
use crate::control::messages::GuestState;
use crate::control::messages::{PauseParts, PromotionTimes, Quantiles};
use crate::control::{Event, EventSender, Order, Role, State, StatusBoard};
use crate::guest::accel::Choice;
use crate::guest::{Guest, GuestError};
use crate::limits::HEARTBEAT;
use crate::link::{Caller, Dialer, Listener};
use crate::release::Outlet;
use crate::spec::Spec;
use crate::wake::Wake;

pub use primary::Primary;
pub use secondary::Secondary;

/// What ends an engine that was not told to stop. QEMU is dead or has to be: its state is not known any more.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The guest is lost.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The staging area is not to be had.
    #[error("cannot allocate the staging area")]
    Staging(#[source] std::io::Error),
    /// Waiting failed.
    #[error("poll failed")]
    Poll(#[source] std::io::Error),
    /// The guest's device state is too large.
    #[error("the guest's device state cannot be staged")]
    DeviceState(#[source] std::io::Error),
    /// The guest's network socket failed.
    #[error("the guest's network socket failed")]
    Network(#[source] std::io::Error),
}

/// What the data thread does next.
pub enum Next {
    /// Begin as a secondary; with a primary that waits at the door, if there is one.
    Secondary(Option<Caller>),
    /// Run the guest.
    Primary(Box<Primary>),
    /// End.
    Stopped,
}

/// What both roles use.
pub struct Engine {
    /// What we were told.
    pub spec: Spec,
    /// This life of this engine.
    pub id: Uuid,
    /// How QEMU runs the guest.
    pub accel: Choice,
    /// What the control thread says of us.
    pub board: StatusBoard,
    /// The way to the subscribers.
    pub events: EventSender,
    /// What we are asked to do.
    pub orders: Receiver<Order>,
    /// Rung for orders, callers and results of dialing.
    pub wake: Wake,
    /// The way out.
    pub outlet: Outlet,
    /// The way to the peer.
    pub dialer: Dialer,
    /// The peer's way to us.
    pub listener: Listener,
    /// How a guest is kept in step here.
    pub tuning: Tuning,
    /// Pauses and sizes.
    pub statistics: Statistics,
    /// The last promotion.
    pub promotion: Option<PromotionTimes>,
}

/// What is shown of a role, beside what the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// Role as the cluster sees it.
    pub role: Role,
    /// State within the role.
    pub state: State,
    /// What the guest does.
    pub guest: GuestState,
    /// Generation of the guest or of the replica.
    pub generation: u64,
    /// Last acknowledged or applied epoch.
    pub epoch: u64,
}

impl Engine {
    /// Publishes `face`; subscribers hear of a change of role, state or generation.
    pub fn show(&self, face: Face) {
        let mut changed = false;
        self.board.update(|status| {
            changed = (status.role, status.state, status.generation)
                != (face.role, face.state, face.generation);
            (status.role, status.state, status.guest) = (face.role, face.state, face.guest);
            (status.generation, status.epoch) = (face.generation, face.epoch);
            status.released_packets = self.outlet.released();
            status.checkpoints = self.statistics.checkpoints();
            status.checkpoint_pages = self.statistics.pages();
            status.checkpoint_bytes = self.statistics.bytes();
            status.promotion_us = self.promotion;
        });
        if changed {
            tracing::info!(role = ?face.role, state = ?face.state, generation = face.generation, epoch = face.epoch, "state");
            self.events.send(Event::State {
                role: face.role,
                state: face.state,
                generation: face.generation,
                epoch: face.epoch,
            });
        }
    }

    /// Synchronizes differently from now on.
    ///
    /// # Errors
    /// If a setting would be out of its bounds; nothing has changed then.
    pub fn configure(&mut self, change: &TuningChange) -> Result<Tuning, TuningError> {
        let tuning = self.tuning.with(change)?;
        tracing::info!(?tuning, "synchronization");
        self.tuning = tuning;
        self.board.update(|status| status.tuning = tuning);
        Ok(tuning)
    }

    /// Publishes the quantiles; they cost more than the rest.
    pub fn show_statistics(&self) {
        let quantiles = |(p50, p99, max)| Quantiles { p50, p99, max };
        let part = |part| self.statistics.part_us(part).map(quantiles);
        let pause = self.statistics.pause_us().map(quantiles);
        let parts = PauseParts::from_parts(Part::ALL.map(part));
        let pages = self.statistics.dirty_pages().map(quantiles);
        let bytes = self.statistics.transaction_bytes().map(quantiles);
        self.board.update(|status| {
            (status.pause_us, status.pause_parts_us) = (pause, parts);
            (status.dirty_pages, status.transaction_bytes) = (pages, bytes);
        });
    }

    /// Notes something that went wrong and is being dealt with.
    pub fn complain(&self, message: String) {
        let mut known = false;
        self.board
            .update(|status| known = status.last_error.as_ref() == Some(&message));
        // A peer that is refused tries again four times a second: said once.
        if !known {
            tracing::warn!("{message}");
            self.board
                .update(|status| status.last_error = Some(message));
        }
    }

    /// Publishes whom we are connected to.
    pub fn show_peer(&self, connected: bool, node: Option<&str>, engine_id: Option<Uuid>) {
        self.board.update(|status| {
            status.peer.connected = connected;
            if let Some(node) = node {
                status.peer.node = Some(node.to_owned());
            }
            if engine_id.is_some() || !connected {
                status.peer.engine_id = engine_id;
            }
        });
    }
}

/// Waits until one of `descriptors` is ready or `timeout` has passed; returns what each is ready for.
fn wait<const N: usize>(
    descriptors: [(Option<BorrowedFd<'_>>, PollFlags); N],
    timeout: Duration,
    wake: &Wake,
) -> Result<[PollFlags; N], Fatal> {
    // An unused place polls the wake for nothing, which costs less than a list of changing length.
    let mut polled = descriptors.map(|(descriptor, flags)| match descriptor {
        Some(descriptor) => PollFd::from_borrowed_fd(descriptor, flags),
        None => PollFd::new(wake, PollFlags::empty()),
    });
    let timeout = Timespec::try_from(timeout.min(HEARTBEAT))
        .map_err(|e| Fatal::Poll(std::io::Error::other(e)))?;
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(polled.map(|fd| fd.revents())),
        Err(error) => Err(Fatal::Poll(error.into())),
    }
}

/// The guest is not there any more?
fn check_alive(guest: &mut Guest, ready: PollFlags) -> Result<(), Fatal> {
    if ready.is_empty() {
        Ok(())
    } else {
        Err(guest.obituary().into())
    }
}
