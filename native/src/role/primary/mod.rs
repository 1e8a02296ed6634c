//! The primary: runs the guest and, once a replica exists, lets nothing out that the replica does not have.
//!
//! ```text
//!                     first checkpoint's commit sent            link lost
//!   Solo ── baseline ─────────────────────────────► Guarded ◄──────────────► Guarded, no link (frozen)
//!    ▲  ◄─ link lost before that                       │                          │ new baseline, or the
//!    │                                                 │                          │ same replica again
//!    └───────────── enter-solo (the peer said that it is outdated) ◄──────────────┘
//!
//!   Solo ── demote without a peer ─► Parked ── promote ─► Solo      any ── the guest powers itself off ─► Ended
//! ```

mod baseline;
mod calls;
mod commit;
mod connection;
mod convergence;
mod demotion;
mod encoding;
mod orders;
mod packets;
mod standing;
mod time;
mod trial;
mod waiting;

use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use self::baseline::Baseline;
use self::calls::Calls;
use self::commit::InFlight;
use self::demotion::Demotion;
use self::encoding::Measured;
use self::standing::Standing;
use super::refusals::Refusals;
use super::{Engine, Face, Fatal, Next, PeerCaller, PeerLink, Ports, Ready};
use crate::checkpoint::{PausedShare, Policy, Shadow, Staging, Stopwatch};
use crate::control::messages::GuestState;
use crate::control::{Event, Role, State};
use crate::guest::Vm;
use crate::guest::pages::PageSet;
use crate::hold::Hold;
use crate::limits::PACKET_MAX_BYTES;
use crate::link::complaints::Complaints;
use crate::qmp::GuestEvent;
use crate::release::{PeerOutdated, Solo};
use crate::report;
use crate::wire::Fingerprint;

/// How often what the loop counts is published.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// How often it is said again that the secondary is outdated, while nothing follows from it.
const REPEAT_OUTDATED_EVERY: Duration = Duration::from_secs(1);

/// With what a primary begins.
pub struct Beginning {
    /// It runs the only copy.
    pub permit: Solo,
    /// What must be equal on the other host.
    pub fingerprint: Fingerprint,
}

/// What the outputs of the guest wait for.
#[derive(Debug)]
enum Mode {
    /// Nothing.
    Solo(Solo),
    /// The ack of their epoch.
    Guarded,
    /// There are none: demoted while solo, and the only copy.
    Parked,
    /// There are none any more: the guest powered itself off.
    Ended,
}

/// Why a guest does not run on here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// It powered itself off, or was ended as if it had.
    PoweredOff,
    /// It is being demoted.
    Demoted,
}

/// A running guest.
pub struct Primary<P: Ports> {
    guest: P::Vm,
    fingerprint: Fingerprint,
    generation: u64,
    /// Last acknowledged epoch of this generation.
    epoch: u64,
    mode: Mode,
    hold: Hold,
    staging: Staging,
    /// What the secondary has committed, of the pages that are written most.
    shadow: Shadow,
    measured: Measured,
    /// Pages that the secondary lacks, beside those written since the last scan (I5).
    owed: PageSet,
    /// Pages of the checkpoint on its way; owed again if it fails.
    captured: PageSet,
    link: Option<PeerLink<P>>,
    /// The engine that holds, or is about to hold, our replica.
    replica_holder: Option<Uuid>,
    peer_outdated: Option<PeerOutdated>,
    baseline: Option<Baseline>,
    /// Why the secondary could not go on with the guest, until that has been dealt with.
    trial_failure: Option<String>,
    /// Whom to call while there is no link.
    calls: Calls,
    in_flight: Option<InFlight>,
    /// When the next checkpoint is due.
    policy: Policy,
    standing: Standing,
    /// Why the guest is stopped for good, if it is.
    halt: Option<Halt>,
    /// The secondary has acknowledged the state in which the guest was stopped for good.
    last_acked: bool,
    /// When we asked for the stop whose end QEMU has not told yet, by the clock of QEMU's events, and what was done since.
    pause: Option<(SystemTime, Stopwatch)>,
    /// Since when the vCPUs stand still, as QEMU said last.
    stood_still_at: Option<SystemTime>,
    /// The guest's end has been told to the secondary.
    end_told: bool,
    demotion: Option<Demotion>,
    /// Bytes of packets into the guest that the secondary has been sent in this epoch.
    mirrored: usize,
    /// The guest was handed over; until then what is still sent to it here is passed on.
    forwarding_until: Option<Instant>,
    packet: Box<[u8]>,
    last_shown: Instant,
    paused_share: PausedShare,
    last_outdated_event: Instant,
    dial_complaints: Complaints<String>,
    refusals: Refusals,
}

/// What is said again and again during something that takes long: that this engine is alive, to its supervisor and its peer.
fn alive<P: Ports>(engine: &Engine<P>, mut link: Option<&mut PeerLink<P>>) -> impl FnMut() {
    move || {
        engine.board.beat();
        if let Some(link) = &mut link {
            link.say_alive(engine.now());
        }
    }
}

impl<P: Ports> Primary<P> {
    /// Takes over a guest that runs already.
    ///
    /// # Errors
    /// If the staging area is not to be had.
    pub fn begin(engine: &Engine<P>, guest: P::Vm, beginning: Beginning) -> Result<Self, Fatal> {
        let pages = guest.pages();
        let now = engine.now();
        let primary = Self {
            fingerprint: beginning.fingerprint,
            generation: beginning.permit.generation(),
            epoch: 0,
            mode: Mode::Solo(beginning.permit),
            hold: Hold::new(engine.spec.limits.hold_bytes),
            staging: Staging::new(engine.sizes).map_err(Fatal::Staging)?,
            shadow: Shadow::new(engine.sizes).map_err(Fatal::Staging)?,
            measured: Measured::new(engine.tuning.compression),
            owed: PageSet::new(pages),
            captured: PageSet::new(pages),
            link: None,
            replica_holder: None,
            peer_outdated: None,
            baseline: None,
            trial_failure: None,
            calls: Calls::new(engine.spec.peers.len()),
            in_flight: None,
            policy: Policy::new(engine.tuning, engine.spec.epoch_bounds(), now),
            standing: Standing::default(),
            halt: None,
            last_acked: false,
            pause: None,
            stood_still_at: None,
            end_told: false,
            demotion: None,
            mirrored: 0,
            forwarding_until: None,
            packet: vec![0; PACKET_MAX_BYTES].into_boxed_slice(),
            last_shown: now,
            paused_share: PausedShare::default(),
            last_outdated_event: now,
            dial_complaints: Complaints::default(),
            refusals: Refusals::default(),
            guest,
        };
        engine
            .board
            .update(|status| status.qemu_pid = Some(primary.guest.pid()));
        engine.show_peer(false, None, None);
        primary.show(engine);
        Ok(primary)
    }

    /// Looks at what is `ready` and does what is due; the next role if this one is over.
    ///
    /// # Errors
    /// [`Fatal`] if the guest is lost.
    pub fn turn(&mut self, engine: &mut Engine<P>, ready: Ready) -> Result<Option<Next<P>>, Fatal> {
        engine.board.beat();
        if self.forwarding_until.is_some() {
            return Ok(self.forward(engine, ready));
        }
        if ready.link {
            self.serve_link(engine);
        }
        self.judge_trial(engine);
        // After what has arrived was read: an ack that is here is not overdue.
        self.keep_link(engine);
        if ready.guest {
            self.take_outputs(engine)?;
        }
        if ready.world {
            self.take_inputs(engine)?;
        }
        if ready.death {
            return Err(self.guest.obituary().into());
        }
        if ready.news {
            self.guest.pump_events()?;
        }
        self.take_events(engine);
        if ready.orders
            && let Some(next) = self.obey(engine)?
        {
            return Ok(Some(next));
        }
        self.bound_sync(engine)?;
        self.bound_epoch(engine)?;
        self.throttle(engine)?;
        self.bound_freeze(engine)?;
        self.brake(engine)?;
        self.advance_baseline(engine)?;
        if self.wants_checkpoint(engine) {
            // What has arrived by now should not wait for its copy until the guest runs again.
            self.take_inputs(engine)?;
        }
        if self.wants_checkpoint(engine) {
            self.checkpoint(engine)?;
        }
        // Whatever ended a baseline has let its brake go.
        self.brake(engine)?;
        self.tell_end();
        if let Some(next) = self.advance_demotion(engine)? {
            return Ok(Some(next));
        }
        let now = engine.now();
        let is_due = now.saturating_duration_since(self.last_shown) >= SHOW_EVERY;
        // One that has handed its guest over has said all that there is to say.
        if is_due && self.forwarding_until.is_none() {
            self.last_shown = now;
            self.show(engine);
            self.show_time(engine);
            engine.show_statistics();
            self.repeat_peer_outdated(engine);
        }
        Ok(None)
    }

    /// Acts on the news read so far, also those that came with the answer to a command: a guest that has powered itself
    /// off must not be told to run on, QEMU refuses that.
    fn take_events(&mut self, engine: &mut Engine<P>) {
        while let Some(event) = self.guest.next_event() {
            match event {
                GuestEvent::PoweredOff => {
                    tracing::info!(generation = self.generation, "the guest powered itself off");
                    self.guest_ended(engine);
                }
                GuestEvent::Stopped(at) => {
                    self.stood_still_at = Some(SystemTime::UNIX_EPOCH + at);
                }
                GuestEvent::Resumed(at) => self.note_pause(engine, at),
                GuestEvent::Reset => tracing::info!("the guest was reset"),
                GuestEvent::Loaded | GuestEvent::LoadFailed => {}
            }
        }
    }

    /// The guest runs again: QEMU says since when, which is before we come to read it.
    fn note_pause(&mut self, engine: &mut Engine<P>, resumed_at: Duration) {
        let Some((paused_at, stopwatch)) = self.pause.take() else {
            return;
        };
        // A host whose clock is set back just now gives no measure.
        let pause = (SystemTime::UNIX_EPOCH + resumed_at).duration_since(paused_at);
        if let Ok(pause) = pause {
            engine.statistics.record_pause(pause, stopwatch);
        }
    }

    /// The guest has come to its end, which ends its generation. A replica must not bring it back to life.
    fn guest_ended(&mut self, engine: &mut Engine<P>) {
        self.halt = Some(Halt::PoweredOff);
        self.last_acked = false;
        // Guarded: its last outputs still go by a checkpoint, and then the secondary is told.
        self.solo_again(engine);
    }

    /// A guest that has powered itself off and has no replica has come to its end.
    fn solo_again(&mut self, engine: &mut Engine<P>) {
        if self.halt == Some(Halt::PoweredOff) && matches!(self.mode, Mode::Solo(_)) {
            self.baseline = None;
            // What it sent before it ended is in the socket still, and nothing leaves after its end.
            if let Err(error) = self.drain_outputs(engine) {
                engine.complain(format!(
                    "the guest's last packets are lost: {}",
                    report::chain(&error)
                ));
            }
            self.finish_end(engine);
        }
    }

    fn finish_end(&mut self, engine: &Engine<P>) {
        self.mode = Mode::Ended;
        self.link = None;
        engine.show_peer(false, None, None);
        self.show(engine);
        engine.events.send(Event::GuestEnded {
            generation: self.generation,
        });
    }

    /// The supervisor that should have heard of it may have been started since.
    fn repeat_peer_outdated(&mut self, engine: &Engine<P>) {
        if let (Mode::Guarded, Some(proof)) = (&self.mode, &self.peer_outdated)
            && engine
                .now()
                .saturating_duration_since(self.last_outdated_event)
                >= REPEAT_OUTDATED_EVERY
        {
            self.last_outdated_event = engine.now();
            engine.events.send(Event::PeerOutdated {
                generation: proof.generation(),
            });
        }
    }

    /// Whether the guest has been handed over, and only what is still sent to it is passed on.
    #[cfg(test)]
    pub(crate) fn is_forwarding(&self) -> bool {
        self.forwarding_until.is_some()
    }

    /// Packets that wait for an ack.
    #[cfg(test)]
    pub(crate) fn held_packets(&self) -> usize {
        self.hold.packets()
    }

    /// What this is at the moment.
    pub(crate) fn state(&self) -> (Role, State) {
        match &self.mode {
            Mode::Solo(_) if self.baseline.is_some() => (Role::Primary, State::Syncing),
            Mode::Solo(_) => (Role::Primary, State::Solo),
            Mode::Guarded if self.in_flight.as_ref().is_some_and(InFlight::may_fall_back) => {
                (Role::Primary, State::Syncing)
            }
            Mode::Guarded if self.link.as_ref().is_some_and(|link| link.confirmed) => {
                (Role::Primary, State::Protected)
            }
            Mode::Guarded => (Role::Primary, State::Frozen),
            Mode::Parked => (Role::Secondary, State::Parked),
            Mode::Ended => (Role::Primary, State::Ended),
        }
    }

    fn show(&self, engine: &Engine<P>) {
        let (role, state) = self.state();
        // One that is stopped for good waits for nothing.
        let paused_for = self.halt.map_or_else(|| self.standing.shown(), |_| None);
        let guest = match &self.mode {
            Mode::Ended => GuestState::Ended,
            _ if self.halt.is_some() || paused_for.is_some() => GuestState::Paused,
            _ => GuestState::Running,
        };
        engine.show(Face {
            role,
            state,
            guest,
            generation: self.generation,
            epoch: self.epoch,
        });
        let progress = self
            .baseline
            .as_ref()
            .map(|baseline| baseline.progress(&self.owed, engine.now()));
        let encoding = match &self.mode {
            Mode::Guarded => Some(self.measured.chooser.settled().shown()),
            Mode::Solo(_) | Mode::Parked | Mode::Ended => None,
        };
        engine.board.update(|status| {
            status.encoding = encoding;
            status.sync_progress = progress;
            status.paused_for = paused_for;
            status.held_packets = self.hold.packets() as u64;
            status.held_bytes = self.hold.bytes() as u64;
        });
    }
}

fn ack_timeout<P: Ports>(engine: &Engine<P>) -> Duration {
    Duration::from_millis(u64::from(engine.spec.limits.ack_timeout_ms))
}
