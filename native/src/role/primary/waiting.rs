//! The loop of a primary on a real host: wait until something is ready or due, take a turn.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::super::alertness::Alertness;
use super::baseline::Baseline;
use super::standing::EpochBound;
use super::{Engine, Fatal, Next, Primary, Ready};
use crate::guest::GuestError;
use crate::host::{self, Host, link_flags};
use crate::limits::HEARTBEAT;
use crate::link::Link;
use crate::qmp::QmpError;

impl Primary<Host> {
    /// Runs until demoted or stopped.
    ///
    /// # Errors
    /// [`Fatal`] if the guest is lost.
    pub fn run(mut self, engine: &mut Engine<Host>) -> Result<Next<Host>, Fatal> {
        match self.live(engine) {
            // Often seen before its death is: how it died says more.
            Err(Fatal::Guest(GuestError::Qmp(QmpError::Closed))) => {
                Err(self.guest.obituary().into())
            }
            outcome => outcome,
        }
    }

    fn live(&mut self, engine: &mut Engine<Host>) -> Result<Next<Host>, Fatal> {
        let mut alertness = Alertness::new(engine.spec.limits.wake_latency_us, Instant::now());
        loop {
            let ready = self.wait(engine)?;
            if let Some(next) = self.turn(engine, ready)? {
                return Ok(next);
            }
            alertness.look(engine.statistics.checkpoints(), Instant::now());
        }
    }

    /// Waits for something to do.
    fn wait(&self, engine: &Engine<Host>) -> Result<Ready, Fatal> {
        if let Some(until) = self.forwarding_until {
            return self.wait_forwarding(engine, until);
        }
        let left = self.next_deadline();
        self.poll(engine, left.saturating_duration_since(Instant::now()))
    }

    fn poll(&self, engine: &Engine<Host>, timeout: Duration) -> Result<Ready, Fatal> {
        let anything_waits = (self.link.as_ref()).is_some_and(Link::wants_write);
        // What does not fit in the hold stays in the guest's socket.
        let net = (!self.hold.is_full()).then(|| self.guest.net());
        let wake = &engine.ports.wake;
        let [link, guest, world, orders, news, death] = host::wait(
            wake,
            [
                (
                    self.link.as_ref().map(AsFd::as_fd),
                    link_flags(anything_waits),
                ),
                (net, PollFlags::IN),
                (Some(engine.outlet.as_fd()), PollFlags::IN),
                (Some(wake.as_fd()), PollFlags::IN),
                (Some(self.guest.monitor.as_fd()), PollFlags::IN),
                (Some(self.guest.pidfd()), PollFlags::IN),
            ],
            timeout,
        )?;
        if orders {
            wake.hush();
        }
        Ok(Ready {
            link,
            guest,
            world,
            orders,
            news,
            death,
        })
    }

    fn wait_forwarding(&self, engine: &Engine<Host>, until: Instant) -> Result<Ready, Fatal> {
        let anything_waits = (self.link.as_ref()).is_some_and(Link::wants_write);
        // The wake goes on ringing: what it was rung for is for the next role.
        let wake = &engine.ports.wake;
        let [link, world, orders] = host::wait(
            wake,
            [
                (
                    self.link.as_ref().map(AsFd::as_fd),
                    link_flags(anything_waits),
                ),
                (Some(engine.outlet.as_fd()), PollFlags::IN),
                (Some(wake.as_fd()), PollFlags::IN),
            ],
            self.link
                .as_ref()
                .map_or(until, |link| until.min(link.next_look()))
                .saturating_duration_since(Instant::now()),
        )?;
        Ok(Ready {
            link,
            world,
            orders,
            ..Ready::default()
        })
    }

    /// When something is due even if nothing happens.
    fn next_deadline(&self) -> Instant {
        let now = Instant::now();
        let mut deadline = now + HEARTBEAT;
        if self.baseline.as_ref().is_some_and(Baseline::is_sending)
            && self
                .link
                .as_ref()
                .is_some_and(|link| link.outgoing.is_empty())
        {
            return now;
        }
        if let Some(due) = self.baseline.as_ref().and_then(Baseline::brake_due) {
            deadline = deadline.min(due);
        }
        if self.is_ready_for_checkpoint() {
            deadline = deadline.min(self.checkpoint_due());
        }
        if let Some(bound) = self.epoch_bound() {
            let age = match bound {
                EpochBound::Checkpoint => self.policy.full_at(),
                EpochBound::Link => None,
            };
            let bounds = [self.policy.look_due(), age];
            deadline = bounds.into_iter().flatten().fold(deadline, Instant::min);
        }
        if let Some(demotion) = &self.demotion {
            deadline = deadline.min(demotion.deadline);
        }
        if let Some(link) = &self.link {
            deadline = deadline.min(link.next_look());
        }
        deadline
    }
}
