//! The start of a QEMU: its sockets, its command line, and the hand-over of its userfaultfds.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::guest::accel::Accel;
use crate::guest::clock::GuestClock;
use crate::guest::command::{self, Descriptors, Purpose};
use crate::guest::dirty::choice::Kind;
use crate::guest::error::{GuestError, call};
use crate::guest::incoming::Incoming;
use crate::guest::monitor::Monitor;
use crate::guest::output::last_line;
use crate::guest::platform::Platform;
use crate::guest::process::Start;
use crate::guest::state_gate::{StateGate, WORKING_FOLDER};
use crate::limits::{NET_SOCKET_BYTES, QEMU_START_TIMEOUT};
use crate::qmp::{Events, Qmp};
use crate::spec::Spec;
use crate::sys::descriptor;
use crate::sys::memory::MemoryFile;
use crate::sys::process::spawn_bound;

/// A QEMU that has come up, and our ends of its sockets.
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) monitor: Monitor,
    pub(super) nets: Vec<OwnedFd>,
    pub(super) incoming: Option<Incoming>,
    /// `None` if they are not needed.
    pub(super) userfaults: Option<[OwnedFd; 2]>,
    pub(super) output: PathBuf,
}

/// Starts QEMU on `ram` and waits until it answers.
pub(super) fn launch(
    spec: &Spec,
    platform: &Platform,
    how: Start,
    ram: &MemoryFile,
    state: &StateGate,
    clock: &GuestClock,
) -> Result<Launched, GuestError> {
    if !spec.preload.is_file() {
        // The dynamic linker would only warn, and QEMU would start without it.
        return Err(GuestError::Preload {
            library: spec.preload.clone(),
            detail: "there is no such file".to_owned(),
        });
    }
    let (nets, qemu_nets) = network(spec).map_err(call("socketpair"))?;
    let qemu_numbers: Vec<i32> = qemu_nets.iter().map(AsRawFd::as_raw_fd).collect();
    let (talk, qemu_talk) = UnixStream::pair().map_err(call("socketpair"))?;
    let (orders, qemu_orders) = descriptor::packet_pair().map_err(call("socketpair"))?;
    let (incoming, qemu_incoming) = UnixStream::pair().map_err(call("socketpair"))?;
    let (preload, qemu_preload) = UnixStream::pair().map_err(call("socketpair"))?;
    let fds = Descriptors {
        ram: ram.as_fd().as_raw_fd(),
        nets: &qemu_numbers,
        talk: qemu_talk.as_raw_fd(),
        orders: qemu_orders.as_raw_fd(),
        incoming: qemu_incoming.as_raw_fd(),
    };
    let output = spec.runtime_dir.join("qemu.log");
    let purpose = match how {
        Start::Cold => Purpose::Boot,
        Start::Incoming => Purpose::Await,
    };
    let mut qemu = qemu_command(spec, platform.accel.accel, purpose, fds, &output)?;
    qemu.env("LD_PRELOAD", &spec.preload);
    qemu.env(
        "KEMARI_PRELOAD_SOCKET",
        qemu_preload.as_raw_fd().to_string(),
    );
    qemu.env("KEMARI_PRELOAD_ORDERS", qemu_orders.as_raw_fd().to_string());
    qemu.env(
        "KEMARI_PRELOAD_CLOCK",
        clock.as_fd().as_raw_fd().to_string(),
    );
    if spec.machine.video.is_some() {
        let (offset, bytes) = (spec.machine.ram_bytes(), spec.machine.video_bytes());
        qemu.env(
            "KEMARI_PRELOAD_VIDEO",
            format!("{}:{offset}:{bytes}", fds.ram),
        );
    }
    let mut inherit = vec![
        ram.as_fd(),
        state.as_fd(),
        qemu_talk.as_fd(),
        qemu_orders.as_fd(),
        qemu_incoming.as_fd(),
        qemu_preload.as_fd(),
        clock.as_fd(),
    ];
    inherit.extend(qemu_nets.iter().map(AsFd::as_fd));
    let child = Unfinished::spawn(qemu, &inherit, spec)?;
    // Ours must not keep them open: the end of QEMU shows as the end of its sockets.
    drop((qemu_nets, qemu_talk, qemu_orders, qemu_preload));
    let incoming = (how == Start::Incoming).then(|| Incoming::new(incoming, fds.incoming));
    let kind = platform.tracker.kind;
    match take_over(&preload, (talk, orders), state, spec, kind) {
        Ok((userfaults, monitor)) => Ok(Launched {
            child: child.keep(),
            monitor,
            nets,
            incoming,
            userfaults,
            output,
        }),
        Err(error) => {
            drop(child);
            Err(explain(error, last_line(&output)))
        }
    }
}

/// A pair of sockets for each interface: our ends, and QEMU's.
pub(super) fn network(spec: &Spec) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let pairs = (spec.machine.interfaces.iter())
        .map(|_| descriptor::datagram_pair(NET_SOCKET_BYTES))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(pairs.into_iter().unzip())
}

/// How QEMU is run; what it says goes to the file `output`.
pub(super) fn qemu_command(
    spec: &Spec,
    accel: Accel,
    purpose: Purpose,
    fds: Descriptors<'_>,
    output: &Path,
) -> Result<Command, GuestError> {
    let log = File::create(output).map_err(call("creating QEMU's log in the runtime folder"))?;
    let arguments = command::arguments(&spec.machine, &spec.resource, accel, fds, purpose);
    let mut qemu = Command::new(&spec.machine.qemu);
    qemu.args(arguments)
        .current_dir(WORKING_FOLDER)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(qemu)
}

fn take_over(
    preload: &UnixStream,
    (talk, orders): (UnixStream, OwnedFd),
    state: &StateGate,
    spec: &Spec,
    kind: Kind,
) -> Result<(Option<[OwnedFd; 2]>, Monitor), GuestError> {
    let deadline = Instant::now() + QEMU_START_TIMEOUT;
    preload
        .set_read_timeout(Some(QEMU_START_TIMEOUT))
        .map_err(call("setting a time-out"))?;
    let userfaults = match (kind, descriptor::receive(preload)) {
        (Kind::PageTables, Ok(pair)) => Some(pair),
        (Kind::Compare, Ok(_)) => None,
        // The library is there, the kernel does not have what is not needed.
        (Kind::Compare, Err(detail)) if detail.raw_os_error().is_some() => None,
        (_, Err(detail)) => {
            return Err(GuestError::Preload {
                library: spec.preload.clone(),
                detail: detail.to_string(),
            });
        }
    };
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    };
    let talk = Qmp::negotiate(talk, Events::Keep, left())?;
    let orders = Qmp::negotiate(orders, Events::Drop, left())?;
    let monitor = Monitor::new(talk, orders, &state.path_in_qemu())?;
    Ok((userfaults, monitor))
}

/// A QEMU that died of its arguments explains more than our side of it.
fn explain(error: GuestError, said: String) -> GuestError {
    match error {
        GuestError::Preload { .. } if !said.starts_with("qemu") => error,
        GuestError::Preload { .. } | GuestError::Qmp(_) => GuestError::Start {
            output: said,
            source: Box::new(error),
        },
        other => other,
    }
}

/// A child that is killed unless it is kept.
struct Unfinished(Option<Child>);

impl Unfinished {
    fn spawn(
        qemu: Command,
        inherit: &[std::os::fd::BorrowedFd<'_>],
        spec: &Spec,
    ) -> Result<Self, GuestError> {
        let child = spawn_bound(qemu, inherit).map_err(|source| GuestError::Start {
            output: format!("cannot run {}", spec.machine.qemu.display()),
            source: source.into(),
        })?;
        Ok(Self(Some(child)))
    }

    fn keep(mut self) -> Child {
        self.0.take().expect("kept once")
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
