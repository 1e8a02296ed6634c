//! The engine's specification: written by the supervisor, parsed into types here and checked against its bounds.

mod check;
mod devices;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::check::parse_mac;
pub use self::devices::{Interface, InterfaceModel, Rng, RngRate, RngSource, Video, Vnc};
use crate::checkpoint::{EpochBounds, Tuning, TuningError};
use crate::limits;

const MIB: usize = 1 << 20;

/// Why a specification was refused.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read the specification {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not the JSON we know.
    #[error("the specification {path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Which field, and where.
        #[source]
        source: serde_json::Error,
    },
    /// A setting of the synchronization is out of bounds.
    #[error("tuning.{0}")]
    Tuning(#[from] TuningError),
    /// A value is out of bounds.
    #[error("{field} is {value}: {expected}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
}

/// Everything an engine needs to know; golden sample in `test/contract/spec`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of this format; 1.
    pub version: u32,
    /// Name of the cluster resource.
    pub resource: String,
    /// Name of this cluster node.
    pub node: String,
    /// Where this engine waits for a primary.
    pub listen: Endpoint,
    /// Where the other nodes' engines wait, if they run: at most one of them has the replica.
    pub peers: Vec<Peer>,
    /// How the two speak to each other; the same on both.
    pub transport: TransportChoice,
    /// Private folder of this resource (0700).
    pub runtime_dir: PathBuf,
    /// Path of the control socket to bind.
    pub control_socket: PathBuf,
    /// How to bring a supervisor back that has died; nobody does if it is not said.
    pub supervisor: Option<SupervisorCommand>,
    /// Path of the preload library.
    pub preload: PathBuf,
    /// The guest.
    pub machine: Machine,
    /// How the guest is kept in step; changeable later.
    pub tuning: Tuning,
    /// Bounds that a user may change.
    pub limits: UserLimits,
}

/// A supervisor's command. Of several that are started at once all but one must end by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorCommand {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// File that takes what it prints.
    pub log: PathBuf,
}

/// A TCP endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// As the standard library wants it.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Another node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name in the cluster.
    pub node: String,
    /// Its sync address.
    pub address: IpAddr,
    /// Its sync port.
    pub port: u16,
}

impl Peer {
    /// As the standard library wants it.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// How two engines speak to each other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum TransportChoice {
    /// TLS 1.3; each side proves that it has the key in this file.
    Tls {
        /// The key's file, of root alone.
        key: PathBuf,
    },
    /// TCP as it is: whoever is on the network between can read and change the guest.
    Plain,
}

/// The guest's hardware.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The guest's UUID.
    pub uuid: uuid::Uuid,
    /// QEMU's executable.
    pub qemu: PathBuf,
    /// Versioned machine type.
    #[serde(rename = "type")]
    pub machine_type: String,
    /// CPU model with its flags.
    pub cpu: String,
    /// Whether there is a high precision event timer.
    pub hpet: bool,
    /// Accelerator wanted.
    pub accel: AccelWish,
    /// How to find the pages that the guest writes.
    pub tracker: TrackerWish,
    /// RAM (MiB).
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub vcpus: u16,
    /// How they are arranged; as QEMU does it if nothing is said.
    pub topology: Option<Topology>,
    /// Firmware image, mapped read-only as flash.
    pub firmware: PathBuf,
    /// Linux kernel to boot.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    #[serde(default)]
    pub cmdline: String,
    /// File that collects the serial console. It is not held: it shows epochs that may be rolled back.
    pub console_log: PathBuf,
    /// Network interfaces, one at least.
    pub interfaces: Vec<Interface>,
    /// Where the guest gets random numbers, if it has a device for that.
    pub rng: Option<Rng>,
    /// Its display, if it has one.
    pub video: Option<Video>,
    /// Where its display can be seen, if anywhere.
    pub vnc: Option<Vnc>,
    /// What QEMU is given behind the engine's own arguments, word by word. Which options may be there the agent knows, who reads
    /// the description; that both hosts have the same, and that no device comes with them that a replica would lack, is looked at here.
    pub qemu_arguments: Vec<String>,
}

impl Machine {
    /// Guest RAM (bytes).
    pub fn ram_bytes(&self) -> usize {
        self.memory_mib as usize * MIB
    }

    /// Memory of its display (bytes), which is carried behind guest RAM.
    pub fn video_bytes(&self) -> usize {
        let mib = self.video.as_ref().map_or(0, |video| video.memory_mib);
        mib as usize * MIB
    }
}

/// How virtual CPUs are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Sockets of the machine.
    pub sockets: u16,
    /// Dies of a socket.
    pub dies: u16,
    /// Cores of a die.
    pub cores: u16,
    /// Threads of a core.
    pub threads: u16,
}

impl Topology {
    /// Virtual CPUs that are arranged so.
    pub fn vcpus(&self) -> u64 {
        [self.sockets, self.dies, self.cores, self.threads]
            .into_iter()
            .map(u64::from)
            .product()
    }
}

/// How to run the guest's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccelWish {
    /// KVM where it works, else TCG.
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Software.
    Tcg,
}

/// How to find the pages that the guest writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerWish {
    /// By `PAGEMAP_SCAN` where the kernel has it, else by comparison.
    Auto,
    /// By `PAGEMAP_SCAN` or not at all.
    PagemapScan,
    /// By comparison of all of RAM: works on any kernel, and is slow.
    Compare,
}

/// Bounds that a user may change.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserLimits {
    /// A checkpoint is made at least this often, outputs or not.
    pub max_epoch_age_ms: u32,
    /// Bytes that the guest should not write in one epoch, by the rate of the epochs before.
    pub max_epoch_bytes: u64,
    /// Bytes of outputs that may wait; beyond it the guest is paused.
    pub hold_bytes: usize,
    /// A peer that does not acknowledge for this long counts as lost.
    pub ack_timeout_ms: u32,
    /// By how much the clocks of a guest that stood still are set forward at once, at most.
    pub time_catch_up_max_ms: u32,
    /// How long the processors may take to wake up while checkpoints are close to each other (microseconds).
    pub wake_latency_us: i32,
}

impl Spec {
    /// The guest's Ethernet addresses, by the numbers of its interfaces.
    ///
    /// # Panics
    /// If they have not been checked by [`Spec::read`].
    pub fn guest_addresses(&self) -> Vec<[u8; 6]> {
        let addresses = self.machine.interfaces.iter();
        addresses
            .map(|interface| parse_mac(&interface.mac).expect("checked when it was read"))
            .collect()
    }

    /// What bounds an epoch, however it is tuned.
    pub fn epoch_bounds(&self) -> EpochBounds {
        EpochBounds {
            age: Duration::from_millis(u64::from(self.limits.max_epoch_age_ms)),
            pages: self.limits.max_epoch_bytes / limits::PAGE_BYTES as u64,
        }
    }

    /// How long a primary that lives may be silent.
    pub fn silence(&self) -> Duration {
        let age = Duration::from_millis(u64::from(self.limits.max_epoch_age_ms));
        limits::PRIMARY_SILENCE.max(3 * age)
    }

    /// By how much the clocks of a guest that stood still are set forward at once, at most.
    pub fn time_catch_up_max(&self) -> Duration {
        Duration::from_millis(u64::from(self.limits.time_catch_up_max_ms))
    }

    /// Reads and checks the specification at `path`.
    ///
    /// # Errors
    /// A [`SpecError`] that names the file, the field and the remedy.
    pub fn read(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read(path).map_err(|source| SpecError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the `text` of the file `path`.
    ///
    /// # Errors
    /// A [`SpecError`] that names the file, the field and the remedy.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, SpecError> {
        let spec: Self = serde_json::from_slice(text).map_err(|source| SpecError::Parse {
            path: path.to_owned(),
            source,
        })?;
        spec.check()?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests;
