//! The shortest pause that a checkpoint of a guest that answers requests can have: for each output of the guest the engine's
//! own monitor stops it, has its devices saved and lets it run on. Nothing is scanned, copied or sent to anybody.

use std::io::{BufRead, stdin};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kemari_engine::guest::dirty::choice;
use kemari_engine::guest::{AfterSave, Guest, Platform, Start, Vm, accel};
use kemari_engine::limits::{
    DEVICE_STATE_MAX_BYTES, PACKET_MAX_BYTES, PACKETS_PER_TURN, QMP_TIMEOUT,
};
use kemari_engine::qmp::GuestEvent;
use kemari_engine::spec::Spec;
use kemari_engine::sys::interface::Tap;
use rustix::event::{PollFd, PollFlags, poll};

use super::{Outcome, Times};

/// A guest on its network, whose outputs wait for a pause and for nothing else.
pub struct Floor {
    guest: Guest,
    tap: Tap,
    packet: Vec<u8>,
    outputs: Vec<Vec<u8>>,
    state: Vec<u8>,
    times: Times,
}

impl Floor {
    /// Starts the guest.
    pub fn begin(spec: &Path) -> Outcome<Self> {
        let spec = Spec::read(spec)?;
        let platform = Platform {
            accel: accel::choose(spec.machine.accel)?,
            tracker: choice::choose(spec.machine.tracker)?,
        };
        let interface = &spec.machine.interfaces[0];
        let tap = Tap::open(&interface.tap, interface.bridge.as_deref())?;
        let mut guest = Guest::start(&spec, &platform, Start::Cold)?;
        guest.resume()?;
        Ok(Self {
            guest,
            tap,
            packet: vec![0; PACKET_MAX_BYTES],
            outputs: Vec::new(),
            state: vec![0; DEVICE_STATE_MAX_BYTES],
            times: Times::default(),
        })
    }

    /// Runs the guest until standard input ends; every line of it is answered with the times since the last one.
    pub fn run(mut self) -> Outcome<()> {
        let input = stdin();
        loop {
            let [asked, from_world, from_guest, from_qmp] = self.wait(&input)?;
            if from_world {
                self.take_inputs()?;
            }
            if from_guest {
                self.take_outputs()?;
            }
            if from_qmp {
                self.guest.pump_events()?;
            }
            if asked {
                let mut line = String::new();
                if input.lock().read_line(&mut line)? == 0 {
                    return Ok(());
                }
                std::mem::take(&mut self.times).tell();
            }
        }
    }

    fn wait(&self, input: &impl AsFd) -> Outcome<[bool; 4]> {
        let net = self.guest.net();
        let mut polled = [
            PollFd::new(input, PollFlags::IN),
            PollFd::new(&self.tap, PollFlags::IN),
            PollFd::new(&net, PollFlags::IN),
            PollFd::new(&self.guest.monitor, PollFlags::IN),
        ];
        poll(&mut polled, None)?;
        Ok(polled.map(|descriptor| !descriptor.revents().is_empty()))
    }

    fn take_inputs(&mut self) -> Outcome<()> {
        for _ in 0..PACKETS_PER_TURN {
            let Some(length) = self.tap.receive(&mut self.packet)? else {
                break;
            };
            self.guest.deliver(&self.packet[..length])?;
        }
        Ok(())
    }

    fn take_outputs(&mut self) -> Outcome<()> {
        while let Some(length) = self.guest.receive(&mut self.packet)? {
            self.outputs.push(self.packet[..length].to_vec());
        }
        if !self.outputs.is_empty() {
            self.pause()?;
        }
        for output in self.outputs.drain(..) {
            self.tap.send(&output)?;
        }
        Ok(())
    }

    /// One pause, measured as the engine measures its own.
    fn pause(&mut self) -> Outcome<()> {
        while self.guest.next_event().is_some() {}
        let paused_at = SystemTime::now();
        self.guest.stop_and_save(AfterSave::RunOn)?;
        let saved_at = SystemTime::now();
        self.guest.release()?;
        self.guest.read_device_state(&mut self.state)?;
        self.guest.confirm_state()?;
        let (stopped_at, resumed_at) = (self.told(Told::Stopped)?, self.told(Told::Resumed)?);
        let moments = [paused_at, stopped_at, saved_at, resumed_at];
        // A host whose clock is set back just now gives no measure.
        if moments.is_sorted() {
            self.times.whole_us.push(us(paused_at, resumed_at));
            for (name, moment) in ["stop", "save", "cont"].into_iter().zip(moments.windows(2)) {
                let part_us = us(moment[0], moment[1]);
                self.times.parts_us.entry(name).or_default().push(part_us);
            }
        }
        Ok(())
    }

    /// Since when the guest stands still or runs, as QEMU says.
    fn told(&mut self, what: Told) -> Outcome<SystemTime> {
        let wanted = |event: &GuestEvent| time_of(event, what).is_some();
        let event = self
            .guest
            .monitor
            .wait_event("an event", QMP_TIMEOUT, wanted)?;
        let since = time_of(&event, what).ok_or("QEMU says something else")?;
        Ok(SystemTime::UNIX_EPOCH + since)
    }
}

#[derive(Clone, Copy)]
enum Told {
    Stopped,
    Resumed,
}

fn time_of(event: &GuestEvent, what: Told) -> Option<Duration> {
    match (event, what) {
        (GuestEvent::Stopped(at), Told::Stopped) | (GuestEvent::Resumed(at), Told::Resumed) => {
            Some(*at)
        }
        _ => None,
    }
}

fn us(from: SystemTime, to: SystemTime) -> u64 {
    let span = to.duration_since(from).unwrap_or_default();
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
