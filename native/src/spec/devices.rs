//! The guest's devices.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// A network interface of the guest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The guest's MAC address.
    pub mac: String,
    /// What the guest sees.
    pub model: InterfaceModel,
    /// Name of the TAP device to make.
    pub tap: String,
    /// Bridge to add it to.
    pub bridge: Option<String>,
}

/// Network devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceModel {
    /// The one for guests that know that they are in a virtual machine.
    Virtio,
    /// Intel's 82540EM, for those that do not.
    E1000,
}

impl InterfaceModel {
    /// As libvirt calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::E1000 => "e1000",
        }
    }
}

/// A device that gives the guest random numbers.
///
/// They are no output, so nothing has to wait for them: what the guest has read before a checkpoint is in its RAM, and what it
/// has read since rolls back with it. A promoted guest is given other numbers than the lost one was, of which nobody has
/// seen anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rng {
    /// Who makes them.
    pub source: RngSource,
    /// How many the guest may have; any number if nothing is said.
    pub rate: Option<RngRate>,
}

/// Who makes random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RngSource {
    /// The host's kernel, through `/dev/urandom`.
    Urandom,
    /// The host's kernel, through `/dev/random`.
    Random,
    /// QEMU, which asks the host's kernel by getrandom(2).
    Builtin,
}

/// How fast a guest gets random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RngRate {
    /// Bytes in each period.
    pub bytes: u32,
    /// Its length.
    pub period_ms: u32,
}

/// A standard VGA adapter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// Memory of its own (MiB).
    pub memory_mib: u32,
    /// Its firmware, which the guest's runs.
    pub firmware: PathBuf,
}

/// A VNC server, on the host that runs the guest.
///
/// What it shows is not held: like the serial console it shows epochs that may be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vnc {
    /// A loopback address: whoever reaches it has the guest's keyboard.
    pub address: IpAddr,
    /// TCP port; the first free one from 5900 on if nothing is said.
    pub port: Option<u16>,
}
