//! The loop of a secondary on a real host: wait until something is ready or due, take a turn.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::PollFlags;

use super::super::alertness::Alertness;
use super::super::{Engine, Fatal, Next, Ready};
use super::{Secondary, Turn};
use crate::host::{self, Host, link_flags};
use crate::limits::HEARTBEAT;
use crate::link::Link;

impl Secondary<Host> {
    /// Runs until promoted or stopped.
    ///
    /// # Errors
    /// [`Fatal`] if QEMU is lost.
    pub fn run(self, engine: &mut Engine<Host>) -> Result<Next<Host>, Fatal> {
        let mut secondary = Box::new(self);
        let mut alertness = Alertness::new(engine.spec.limits.wake_latency_us, engine.now());
        loop {
            let ready = secondary.wait(engine)?;
            match secondary.turn(engine, ready)? {
                Turn::Stay(same) => secondary = same,
                Turn::Leave(next) => return Ok(next),
            }
            alertness.look(secondary.replica.epoch, engine.now());
        }
    }

    fn wait(&self, engine: &Engine<Host>) -> Result<Ready, Fatal> {
        let link = self.link.as_ref().map(|connection| &connection.link);
        let anything_waits = link.is_some_and(Link::wants_write);
        let wake = &engine.ports.wake;
        let [link, orders, world, death] = host::wait(
            wake,
            [
                (link.map(AsFd::as_fd), link_flags(anything_waits)),
                (Some(wake.as_fd()), PollFlags::IN),
                (Some(engine.outlet.as_fd()), PollFlags::IN),
                (Some(self.guest.pidfd()), PollFlags::IN),
            ],
            self.patience(engine),
        )?;
        if orders {
            wake.hush();
        }
        Ok(Ready {
            link,
            world,
            orders,
            death,
            ..Ready::default()
        })
    }

    fn patience(&self, engine: &Engine<Host>) -> Duration {
        let now = engine.now();
        let until_silence = self
            .strays
            .patience(now)
            .filter(|_| self.replica.is_complete());
        let until_look = (self.link.as_ref())
            .map(|connection| connection.link.next_look().saturating_duration_since(now));
        [until_silence, until_look]
            .into_iter()
            .flatten()
            .fold(HEARTBEAT, Duration::min)
    }
}
