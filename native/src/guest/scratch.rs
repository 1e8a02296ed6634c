//! A QEMU that loads a guest's state and is thrown away: whether this host could go on with the guest is known before it has
//! to. It sees the replica's RAM, what it writes stays its own, and its vCPUs never run.
//!
//! ```text
//!  data thread: start ──────────────► load(state) ─────────────────────────► verdict, drop (killed)
//!  its thread:    └ waits until QEMU answers ─ hands the state over ─ waits for QEMU's verdict ─┘ rings
//! ```

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use crate::guest::accel::Accel;
use crate::guest::command::{Descriptors, Purpose};
use crate::guest::error::{GuestError, call};
use crate::guest::incoming::{Incoming, words};
use crate::guest::launch::{network, qemu_command};
use crate::guest::monitor::Monitor;
use crate::limits::QEMU_START_TIMEOUT;
use crate::qmp::{Events, Qmp, QmpError};
use crate::report;
use crate::spec::Spec;
use crate::sys::memory::MemoryFile;
use crate::sys::process::spawn_bound;
use crate::wake::Wake;

/// A trial of a state, whoever makes it.
pub trait Trial {
    /// Loads `device_state`, which belongs to what RAM holds now; RAM must not change before the verdict. Once.
    fn load(&mut self, device_state: Vec<u8>);

    /// Whether the guest could go on with it, and if not, why not; `None` while that is not known.
    fn verdict(&mut self) -> Option<Result<(), String>>;
}

/// A scratch QEMU. Nobody waits for it: its verdict is there when the wake has been rung.
#[derive(Debug)]
pub struct Scratch {
    child: Option<Child>,
    states: Sender<Vec<u8>>,
    verdicts: Receiver<Result<(), String>>,
}

impl Scratch {
    /// Starts it beside a guest whose RAM is `ram`; it comes up while the caller does other things.
    ///
    /// # Errors
    /// A [`GuestError`] if it cannot even be started.
    pub fn start(
        spec: &Spec,
        accel: Accel,
        ram: &MemoryFile,
        wake: Wake,
    ) -> Result<Self, GuestError> {
        // Nobody is at the other end of its network.
        let (_, nets) = network(spec).map_err(call("socketpair"))?;
        let net_numbers: Vec<i32> = nets.iter().map(AsRawFd::as_raw_fd).collect();
        let (talk, qemu_talk) = UnixStream::pair().map_err(call("socketpair"))?;
        let (orders, qemu_orders) = UnixStream::pair().map_err(call("socketpair"))?;
        let (incoming, qemu_incoming) = UnixStream::pair().map_err(call("socketpair"))?;
        let fds = Descriptors {
            ram: ram.as_fd().as_raw_fd(),
            nets: &net_numbers,
            talk: qemu_talk.as_raw_fd(),
            orders: qemu_orders.as_raw_fd(),
            incoming: qemu_incoming.as_raw_fd(),
        };
        let output = spec.runtime_dir.join("qemu-trial.log");
        let qemu = qemu_command(spec, accel, Purpose::Try, fds, &output)?;
        let mut inherit = vec![
            ram.as_fd(),
            qemu_talk.as_fd(),
            qemu_orders.as_fd(),
            qemu_incoming.as_fd(),
        ];
        inherit.extend(nets.iter().map(AsFd::as_fd));
        let child = spawn_bound(qemu, &inherit).map_err(|source| GuestError::Start {
            output: format!("cannot run {}", spec.machine.qemu.display()),
            source: source.into(),
        })?;
        let (states, state) = channel();
        let (verdict, verdicts) = channel();
        let scratch = Self {
            child: Some(child),
            states,
            verdicts,
        };
        let sockets = Sockets {
            monitors: [talk, orders],
            incoming: Incoming::new(incoming, fds.incoming),
            output,
        };
        thread::Builder::new()
            .name("trial".to_owned())
            .spawn(move || {
                // Without a state there is nothing to try: the trial was given up.
                if let Some(outcome) = sockets.serve(&state) {
                    let _ = verdict.send(outcome);
                    wake.ring();
                }
            })
            .map_err(call("starting a thread"))?;
        Ok(scratch)
    }
}

impl Trial for Scratch {
    fn load(&mut self, device_state: Vec<u8>) {
        // A thread that is gone has left its verdict.
        let _ = self.states.send(device_state);
    }

    fn verdict(&mut self) -> Option<Result<(), String>> {
        match self.verdicts.try_recv() {
            Ok(verdict) => Some(verdict),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err("the trial was broken off".to_owned())),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            // The kernel takes its time to free a large guest's page tables.
            thread::spawn(move || child.wait());
        }
    }
}

/// Our ends of its sockets.
struct Sockets {
    monitors: [UnixStream; 2],
    incoming: Incoming,
    output: PathBuf,
}

impl Sockets {
    /// `None` if no state ever came.
    fn serve(self, state: &Receiver<Vec<u8>>) -> Option<Result<(), String>> {
        let Self {
            monitors,
            incoming,
            output,
        } = self;
        let monitor = negotiate(monitors);
        let state = state.recv().ok()?;
        let outcome = monitor
            .map_err(GuestError::from)
            .and_then(|mut monitor| incoming.load(&mut monitor, &state, &output));
        Some(outcome.map_err(|error| explain(&error, &output)))
    }
}

fn negotiate([talk, orders]: [UnixStream; 2]) -> Result<Monitor, QmpError> {
    let talk = Qmp::negotiate(talk, Events::Keep, QEMU_START_TIMEOUT)?;
    let orders = Qmp::negotiate(orders, Events::Drop, QEMU_START_TIMEOUT)?;
    // It never saves anything.
    Monitor::new(talk, orders, "")
}

/// QEMU's own words, where it has said something.
fn explain(error: &GuestError, output: &Path) -> String {
    match error {
        GuestError::Load { output } => output.clone(),
        GuestError::Qmp(QmpError::Closed) => words(output),
        other => report::chain(other),
    }
}
