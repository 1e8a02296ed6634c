//! The data thread: one owner of the guest, the hold, the replica and the link, in one of two roles.
//!
//! ```text
//!            promote                       demote (handed over)
//!  secondary ───────► primary ───────────────────────────────────► a new, empty secondary
//! ```

mod admission;
mod alertness;
pub mod host_clocks;
mod ports;
mod primary;
mod refusals;
pub mod replica;
mod secondary;
pub mod strays;

use std::sync::mpsc::Receiver;
use std::time::{Instant, SystemTime};

use uuid::Uuid;

use crate::checkpoint::{Part, Statistics, Tuning, TuningChange, TuningError};
use crate::clock::Clock;
use crate::control::messages::GuestState;
use crate::control::messages::{PauseParts, PromotionTimes, Quantiles};
use crate::control::{
    ErrorCode, Event, EventSender, OkBody, Order, ReplyHandle, Role, State, StatusBoard,
};
use crate::guest::{GuestError, RunState, Vm};
use crate::limits::Sizes;
use crate::release::Outlet;
use crate::spec::Spec;

pub use ports::{PeerCaller, PeerLink, Ports, Ready};
pub use primary::{Beginning, Primary};
pub use secondary::{Secondary, Turn};

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
    /// The guest's network socket failed.
    #[error("the guest's network socket failed")]
    Network(#[source] std::io::Error),
}

/// What the data thread does next.
pub enum Next<P: Ports> {
    /// Begin as a secondary; with a primary that waits at the door, if there is one.
    Secondary(Option<PeerCaller<P>>),
    /// Run the guest.
    Primary(Box<Primary<P>>),
    /// End.
    Stopped,
}

/// What both roles use.
pub struct Engine<P: Ports> {
    /// What we were told.
    pub spec: Spec,
    /// This life of this engine.
    pub id: Uuid,
    /// The outside.
    pub ports: P,
    /// What time it is.
    pub clock: P::Clock,
    /// How much memory the data path takes.
    pub sizes: Sizes,
    /// What the control thread says of us.
    pub board: StatusBoard,
    /// The way to the subscribers.
    pub events: EventSender,
    /// What we are asked to do.
    pub orders: Receiver<Order>,
    /// The way out.
    pub outlet: Outlet<P::Device>,
    /// The way to the peer.
    pub dialer: P::Dialer,
    /// The peer's way to us.
    pub listener: P::Door,
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

impl<P: Ports> Engine<P> {
    /// What time it is.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What time of day it is here.
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// Publishes `face`; subscribers hear of a change of role, state or generation.
    pub fn show(&self, face: Face) {
        let mut changed = false;
        self.board.update(|status| {
            changed = (status.role, status.state, status.generation)
                != (face.role, face.state, face.generation);
            (status.role, status.state, status.guest) = (face.role, face.state, face.guest);
            (status.generation, status.epoch) = (face.generation, face.epoch);
            if face.role == Role::Secondary {
                (status.encoding, status.paused_for) = (None, None);
            }
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
        let epoch = self.statistics.epoch_us().map(quantiles);
        let pages = self.statistics.dirty_pages().map(quantiles);
        let bytes = self.statistics.transaction_bytes().map(quantiles);
        self.board.update(|status| {
            (status.pause_us, status.pause_parts_us) = (pause, parts);
            status.epoch_us = epoch;
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

/// Answers whether QEMU finds its guest well. That it answers at all says the most.
fn check_guest<V: Vm>(guest: &mut V, reply: ReplyHandle) -> Result<(), Fatal> {
    match guest.run_state()? {
        RunState::Sound => reply.ok(OkBody::Empty),
        RunState::Broken(word) => reply.error(
            ErrorCode::GuestBroken,
            format!("QEMU has stopped the guest for good ({word}): see its log"),
        ),
    }
    Ok(())
}
