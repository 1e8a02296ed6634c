//! Start of the engine: everything that can be missing is found out before the control socket says that we are ready.

use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::checkpoint::Statistics;
use crate::clock::HostClock;
use crate::control::messages::{Accel as ShownAccel, Setting, Tracker, Transport};
use crate::control::server::{Others, SetLogLevel};
use crate::control::{self, Event, Status, StatusBoard};
use crate::guest::accel::{self, Accel};
use crate::guest::dirty::choice::{self, Kind};
use crate::guest::{Guest, GuestError, Platform, Start};
use crate::host::Host;
use crate::interfaces::Interfaces;
use crate::limits::Sizes;
use crate::link::{Dialer, Key, KeyError, ListenError, Listener};
use crate::release::Outlet;
use crate::report;
use crate::role::{Engine, Fatal, Next, Secondary};
use crate::spec::{Spec, SpecError, TransportChoice};
use crate::supervisor::Guardian;
use crate::sys::interface::Tap;
use crate::wake::Wake;

/// Why the engine ended without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The specification is bad.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The kernel cannot track written pages.
    #[error("{0}")]
    Kernel(String),
    /// KVM was demanded.
    #[error("{0}")]
    Accel(String),
    /// The sync key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The sync port is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The guest's network is not to be had.
    #[error("the guest's network cannot be set up")]
    Network(#[source] io::Error),
    /// The control socket is not to be had.
    #[error("cannot bind the control socket {path}")]
    Control {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The first QEMU does not start.
    #[error(transparent)]
    Start(GuestError),
    /// The guest was lost.
    #[error(transparent)]
    Lost(#[from] Fatal),
    /// A thread or descriptor is not to be had.
    #[error("the engine cannot be set up")]
    Setup(#[source] io::Error),
}

impl EngineError {
    /// For the program.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spec(_) => "bad-spec",
            Self::Kernel(_) => "kernel-too-old",
            Self::Accel(_) => "no-kvm",
            Self::Key(_) => "bad-key",
            Self::Listen(_) => "port-taken",
            Self::Network(_) => "no-network",
            Self::Control { .. } => "no-control-socket",
            Self::Start(_) => "qemu-start",
            Self::Lost(_) => "guest-lost",
            Self::Setup(_) => "internal",
        }
    }

    /// For the parent.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(_) => 2,
            Self::Kernel(_)
            | Self::Accel(_)
            | Self::Key(_)
            | Self::Listen(_)
            | Self::Network(_)
            | Self::Control { .. }
            | Self::Start(_) => 3,
            Self::Lost(_) => 4,
            Self::Setup(_) => 70,
        }
    }
}

/// Runs an engine to its end; whoever controls it may `set_log_level`.
///
/// # Errors
/// An [`EngineError`].
pub fn engine(spec_path: &Path, set_log_level: SetLogLevel) -> Result<(), EngineError> {
    let spec = Spec::read(spec_path)?;
    let tracker = choice::choose(spec.machine.tracker).map_err(EngineError::Kernel)?;
    if let Some(reason) = &tracker.reason {
        tracing::warn!(
            "all of guest RAM is compared at every checkpoint, which is slow, and takes as much memory again: {reason}"
        );
    }
    let accel = accel::choose(spec.machine.accel).map_err(EngineError::Accel)?;
    if let Some(reason) = &accel.reason {
        tracing::warn!("the guest runs in software (TCG): {reason}");
    }
    check_transport(&spec.transport)?;
    let id = Uuid::new_v4();
    let wake = Wake::new().map_err(EngineError::Setup)?;
    let listener = Listener::start(&spec, wake.clone())?;
    let taps = (spec.machine.interfaces.iter())
        .map(|interface| Tap::open(&interface.tap, interface.bridge.as_deref()))
        .collect::<std::io::Result<Vec<Tap>>>()
        .and_then(Interfaces::new)
        .map_err(EngineError::Network)?;
    let platform = Platform { accel, tracker };
    let guest = Guest::start(&spec, &platform, Start::Incoming).map_err(EngineError::Start)?;

    let board = StatusBoard::new(first_status(&spec, id, &platform, guest.pid()));
    let path = spec.control_socket.clone();
    let guardian = Guardian::new(spec.supervisor.clone());
    let others = Others {
        set_log_level,
        attended: Box::new(guardian.clone()),
    };
    let (server, orders, events) =
        control::server::start(&path, board.clone(), wake.clone(), others).map_err(|source| {
            EngineError::Control {
                path: path.clone(),
                source,
            }
        })?;
    let dialer = Dialer::start(&spec, wake.clone()).map_err(EngineError::Setup)?;
    let tuning = spec.tuning;
    let mut engine = Engine {
        spec,
        id,
        ports: Host { platform, wake },
        clock: HostClock,
        sizes: Sizes::FULL,
        board,
        events,
        orders,
        outlet: Outlet::new(taps),
        dialer,
        listener,
        tuning,
        statistics: Statistics::new(),
        promotion: None,
    };
    tracing::info!(engine_id = %id, resource = engine.spec.resource, node = engine.spec.node, "ready");
    let result = live(&mut engine, guest);
    if let Err(error) = &result {
        engine.events.send(Event::Fatal {
            message: report::chain(error),
        });
    }
    // Delivers the last events and replies.
    drop(server);
    let _ = std::fs::remove_file(&path);
    if result.is_err() {
        guardian.leave();
    }
    Ok(result?)
}

/// The key is read anew for every connection, so that a new one needs no restart; that it can be is found out here.
fn check_transport(choice: &TransportChoice) -> Result<(), KeyError> {
    match choice {
        TransportChoice::Tls { key } => {
            let fingerprint = Key::read(key)?.fingerprint().to_owned();
            tracing::info!(fingerprint, "the link to the other host is encrypted");
        }
        TransportChoice::Plain => tracing::warn!(
            "the link to the other host is plain TCP: whoever reaches its network can read the guest's memory and \
             change it; remove \"transport\" from the VM's config to encrypt it"
        ),
    }
    Ok(())
}

/// From role to role.
fn live(engine: &mut Engine<Host>, guest: Guest) -> Result<(), Fatal> {
    let mut next = Secondary::new(engine, guest)?.run(engine)?;
    loop {
        next = match next {
            Next::Secondary(caller) => Secondary::start(engine, caller)?.run(engine)?,
            Next::Primary(primary) => primary.run(engine)?,
            Next::Stopped => return Ok(()),
        }
    }
}

/// What is said of an engine before its first role says more.
pub fn first_status(spec: &Spec, id: Uuid, platform: &Platform, qemu_pid: u32) -> Status {
    let (accel, tracker) = (&platform.accel, &platform.tracker);
    Status::at_start(Setting {
        engine_id: id,
        resource: spec.resource.clone(),
        // Of several it is not known before one has been met.
        peer: match &spec.peers[..] {
            [only] => Some(only.node.clone()),
            _ => None,
        },
        transport: match &spec.transport {
            TransportChoice::Tls { .. } => Transport::Tls,
            TransportChoice::Plain => Transport::Plain,
        },
        accel: match accel.accel {
            Accel::Kvm => (ShownAccel::Kvm, accel.reason.clone()),
            Accel::Tcg => (ShownAccel::Tcg, accel.reason.clone()),
        },
        tracker: match tracker.kind {
            Kind::PageTables => (Tracker::PagemapScan, tracker.reason.clone()),
            Kind::Compare => (Tracker::Compare, tracker.reason.clone()),
        },
        tuning: spec.tuning,
        qemu_pid: Some(qemu_pid),
    })
}
