//! One QEMU from its start to its end, with everything that the engine holds of it.

mod saving;

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::Instant;

use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{PidfdFlags, Signal};
use serde_json::json;

use crate::guest::accel::Accel;
use crate::guest::checks;
use crate::guest::clock::{CapturedAt, GuestClock};
use crate::guest::dirty::choice::Kind;
use crate::guest::dirty::{Compare, PageTables, Tracker, TrackerError};
use crate::guest::error::{GuestError, call};
use crate::guest::fingerprint;
use crate::guest::identity::Identity;
use crate::guest::incoming::Incoming;
use crate::guest::launch;
use crate::guest::monitor::Monitor;
use crate::guest::output::last_line;
use crate::guest::pages::PageSet;
use crate::guest::platform::Platform;
use crate::guest::run_state::RunState;
use crate::guest::scratch::Scratch;
use crate::guest::state_gate::StateGate;
use crate::guest::vm::Meanwhile;
use crate::guest::vnc;
use crate::interfaces::Interfaces;
use crate::limits::PAGE_BYTES;
use crate::report;
use crate::spec::{Spec, Vnc};
use crate::sys::memory::{MemoryFile, SharedMapping};
use crate::wake::Wake;
use crate::wire::Fingerprint;

/// How a QEMU begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Boots the machine (once [`Guest::resume`] is called).
    Cold,
    /// Waits for a replica's device state.
    Incoming,
}

/// A running QEMU.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    pidfd: OwnedFd,
    /// QEMU's control connections.
    pub monitor: Monitor,
    net: Interfaces<OwnedFd>,
    ram_file: MemoryFile,
    /// Guest RAM, as QEMU maps it too.
    pub ram: SharedMapping,
    /// Where the device state is saved.
    gate: StateGate,
    /// Its time.
    pub clock: GuestClock,
    /// Of QEMU, until they are used.
    userfaults: Option<[OwnedFd; 2]>,
    tracker: Option<Tracker>,
    incoming: Option<Incoming>,
    accel: Accel,
    vnc: Option<Vnc>,
    identity: Identity,
    output: PathBuf,
}

impl Guest {
    /// Starts QEMU with the vCPUs stopped and takes over its userfaultfds.
    ///
    /// # Errors
    /// A [`GuestError`]; QEMU is gone then.
    pub fn start(spec: &Spec, platform: &Platform, how: Start) -> Result<Self, GuestError> {
        let (accel, kind) = (platform.accel.accel, platform.tracker.kind);
        let machine = &spec.machine;
        // Video memory is carried as RAM is: it follows in the same file.
        let bytes = machine.ram_bytes() + machine.video_bytes();
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        let ram_file = MemoryFile::create("kemari-ram", bytes).map_err(call("memfd_create"))?;
        // A replica must never find out at promotion that the host is full.
        ram_file
            .reserve()
            .map_err(|source| GuestError::Memory { mib, source })?;
        let ram = SharedMapping::new(&ram_file).map_err(call("mapping guest RAM"))?;
        let tracker = match kind {
            Kind::PageTables => None,
            // Its memory, too, must not be found missing when the guest runs.
            Kind::Compare => Some(Tracker::Compare(
                Compare::new(&ram_file).map_err(|source| GuestError::Copy { mib, source })?,
            )),
        };
        let gate = StateGate::create().map_err(call("pipe2"))?;
        let clock = GuestClock::create(spec.time_catch_up_max()).map_err(call("memfd_create"))?;
        let started = Instant::now();
        let launched = launch::launch(spec, platform, how, &ram_file, &gate, &clock)?;
        let pid = launched.child.id();
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_child(&launched.child),
            PidfdFlags::empty(),
        )
        .map_err(|e| GuestError::Call {
            step: "pidfd_open",
            source: e.into(),
        })?;
        let mut guest = Self {
            child: launched.child,
            pidfd,
            monitor: launched.monitor,
            net: Interfaces::new(launched.nets).map_err(call("epoll_create"))?,
            ram_file,
            ram,
            gate,
            clock,
            userfaults: launched.userfaults,
            tracker,
            incoming: launched.incoming,
            accel,
            vnc: machine.vnc,
            identity: Identity::default(),
            output: launched.output,
        };
        guest.identity = Identity::ask(&mut guest.monitor, pid, machine)?;
        checks::state(&mut guest.monitor)?;
        checks::memory(&mut guest.monitor, machine, &guest.ram_file, pid)?;
        tracing::info!(pid, accel = accel.name(), version = guest.identity.version, build = guest.identity.build, start = ?how, elapsed = ?started.elapsed(), "QEMU is up");
        Ok(guest)
    }

    /// What must be equal on the other host.
    ///
    /// # Errors
    /// If a boot file cannot be read.
    pub fn fingerprint(&self, spec: &Spec) -> Result<Fingerprint, GuestError> {
        fingerprint::of(&spec.machine, &spec.resource, self.accel, &self.identity)
            .map_err(call("reading the guest's boot files"))
    }

    /// QEMU's pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Becomes readable when QEMU ends.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Our end of the guest's network.
    pub fn net(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// Pages of guest RAM.
    pub fn pages(&self) -> usize {
        self.ram_file.bytes() / PAGE_BYTES
    }

    /// Takes one packet that the guest sent; `None` if none is waiting.
    ///
    /// # Errors
    /// Whatever recv(2) reports.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        receive(&self.net, into)
    }

    /// Gives the guest a packet; returns false if its queue is full, in which case it is lost as on any network.
    ///
    /// # Errors
    /// Whatever send(2) reports.
    pub fn deliver(&self, packet: &[u8]) -> io::Result<bool> {
        let Some((socket, frame)) = self.net.address(packet) else {
            return Ok(false);
        };
        match rustix::net::send(socket, frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => Ok(true),
            Err(
                rustix::io::Errno::AGAIN
                | rustix::io::Errno::NOBUFS
                | rustix::io::Errno::CONNREFUSED,
            ) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops the vCPUs.
    ///
    /// # Errors
    /// A [`GuestError`].
    pub fn pause(&mut self) -> Result<(), GuestError> {
        Ok(self.monitor.stop()?)
    }

    /// Lets the vCPUs run.
    ///
    /// # Errors
    /// A [`GuestError`].
    pub fn resume(&mut self) -> Result<(), GuestError> {
        self.clock.start();
        Ok(self.monitor.cont()?)
    }

    /// Begins to track written pages, or begins anew: what was written before is forgotten.
    ///
    /// # Errors
    /// A [`TrackerError`] as [`GuestError`].
    pub fn track(&mut self) -> Result<(), GuestError> {
        if let Some(userfaults) = self.userfaults.take() {
            let tracker =
                PageTables::attach(self.child.id(), userfaults, &self.ram_file, self.accel)?;
            self.tracker = Some(Tracker::PageTables(tracker));
        }
        // One that could not even be attached was reported then, and has used up what QEMU had given for it.
        let tracker = self.tracker.as_mut().ok_or(TrackerError::Lost)?;
        Ok(tracker.rearm_all()?)
    }

    /// Copies `into.len()` bytes of RAM from `offset`, whole pages, as what the secondary is to have of them.
    pub fn capture(&mut self, offset: usize, into: &mut [u8]) {
        match &mut self.tracker {
            Some(tracker) => tracker.capture(&self.ram, offset, into),
            None => self.ram.copy_out(offset, into),
        }
    }

    /// Adds the pages written since the last call to `pages`; calls `meanwhile` again and again if that takes long.
    ///
    /// # Errors
    /// A [`TrackerError`] as [`GuestError`].
    ///
    /// # Panics
    /// If [`Guest::track`] was never called.
    pub fn collect_dirty(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), GuestError> {
        let tracker = self.tracker.as_mut().expect("tracking has begun");
        Ok(tracker.collect(pages, meanwhile)?)
    }

    /// The same for a guest that runs: `meanwhile` can take what it sends, and can have the search left where it is. Then pages
    /// are missing, which the next call finds.
    ///
    /// # Errors
    /// A [`TrackerError`] as [`GuestError`].
    ///
    /// # Panics
    /// If [`Guest::track`] was never called.
    pub fn look_for_dirty(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut Meanwhile<'_>,
    ) -> Result<ControlFlow<()>, GuestError> {
        let tracker = self.tracker.as_mut().expect("tracking has begun");
        let net = &self.net;
        let found = tracker.look(pages, &mut || meanwhile(&|into| receive(net, into)));
        Ok(found?)
    }

    /// Pages that the next [`Guest::collect_dirty`] looks at one by one; `None` before [`Guest::track`] and where all of RAM is
    /// compared.
    pub fn hot_pages(&self) -> Option<usize> {
        match &self.tracker {
            Some(Tracker::PageTables(tracker)) => Some(tracker.hot_pages()),
            Some(Tracker::Compare(_)) | None => None,
        }
    }

    /// Loads a device state into a QEMU that was started with [`Start::Incoming`], whose RAM holds the replica. When it runs,
    /// the guest's clocks have moved on since the capture.
    ///
    /// # Errors
    /// A [`GuestError`]; the guest is unusable then.
    pub fn load(&mut self, device_state: &[u8], captured: CapturedAt) -> Result<(), GuestError> {
        self.clock.load(captured);
        let incoming = self.incoming.take().ok_or(GuestError::Load {
            output: "this QEMU was not started to receive a state".to_owned(),
        })?;
        incoming.load(&mut self.monitor, device_state, &self.output)
    }

    /// Starts a QEMU that tries whether this host could go on with the state of a guest whose replica this RAM is; `wake` is
    /// rung when it knows.
    ///
    /// # Errors
    /// A [`GuestError`] if it cannot even be started.
    pub fn begin_trial(&self, spec: &Spec, wake: Wake) -> Result<Scratch, GuestError> {
        Scratch::start(spec, self.accel, &self.ram_file, wake)
    }

    /// Makes QEMU announce the guest's address to the network's switches.
    ///
    /// # Errors
    /// A [`GuestError`].
    pub fn announce(&mut self) -> Result<(), GuestError> {
        self.monitor.execute(
            "announce-self",
            &json!({"initial": 20, "max": 550, "rounds": 5, "step": 100}),
        )?;
        Ok(())
    }

    /// Has QEMU show the guest's display, if there is one to be shown. The guest is more than its display: a failure is logged.
    pub fn show_display(&mut self) {
        let Some(vnc) = self.vnc else { return };
        match vnc::listen(&mut self.monitor, vnc) {
            Ok(place) => tracing::info!(%place, "the display can be seen by VNC"),
            Err(error) => {
                let error = report::chain(&error);
                tracing::warn!(address = %vnc.address, port = vnc.port, error, "the display cannot be seen: does another program listen there?");
            }
        }
    }

    /// Asks the guest to power itself off, as the button of a machine does. It may not listen.
    ///
    /// # Errors
    /// A [`GuestError`].
    pub fn press_power_button(&mut self) -> Result<(), GuestError> {
        self.monitor.execute("system_powerdown", &json!({}))?;
        Ok(())
    }

    /// How QEMU says that the guest is.
    ///
    /// # Errors
    /// A [`GuestError`].
    pub fn run_state(&mut self) -> Result<RunState, GuestError> {
        let answer = self.monitor.execute("query-status", &json!({}))?;
        Ok(RunState::from_answer(&answer))
    }

    /// How QEMU ended, once its pidfd says that it has.
    pub fn obituary(&mut self) -> GuestError {
        let pid = self.child.id();
        let how = match self.child.wait() {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("was ended by signal {signal}"),
                (None, code) => format!(
                    "exited with code {}: {}",
                    code.unwrap_or(-1),
                    last_line(&self.output)
                ),
            },
            Err(error) => format!("cannot be waited for: {error}"),
        };
        GuestError::Gone { pid, how }
    }
}

fn receive(net: &Interfaces<OwnedFd>, into: &mut [u8]) -> io::Result<Option<usize>> {
    net.receive(into, |socket, frame| {
        match rustix::net::recv(socket, frame, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(Some(length)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
}

impl Drop for Guest {
    fn drop(&mut self) {
        // By pidfd: a pid could belong to somebody else by now.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = self.child.wait();
    }
}
