//! The bounds of what a specification may say.

use super::{Machine, Spec, SpecError, UserLimits};
use crate::limits;

impl Spec {
    pub(super) fn check(&self) -> Result<(), SpecError> {
        let machine = &self.machine;
        if self.version != 1 {
            return refuse(
                "version",
                self.version.to_string(),
                "this engine reads version 1",
            );
        }
        if !(16..=limits::MEMORY_MAX_MIB).contains(&machine.memory_mib) {
            return refuse(
                "machine.memory_mib",
                machine.memory_mib.to_string(),
                "16 to 1048576 are possible",
            );
        }
        if !(1..=64).contains(&machine.vcpus) {
            return refuse(
                "machine.vcpus",
                machine.vcpus.to_string(),
                "1 to 64 are possible",
            );
        }
        if let Some(topology) = machine.topology
            && topology.vcpus() != u64::from(machine.vcpus)
        {
            return refuse(
                "machine.topology",
                format!("one of {} CPUs", topology.vcpus()),
                "as many as machine.vcpus are expected",
            );
        }
        machine.check_interfaces()?;
        machine.check_devices()?;
        machine.check_qemu_arguments()?;
        for (field, text) in [
            ("machine.type", &machine.machine_type),
            ("machine.cpu", &machine.cpu),
        ] {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=,+".contains(c);
            if text.is_empty()
                || !text.chars().all(plain)
                || (field == "machine.type" && text.contains(','))
            {
                return refuse(
                    field,
                    text.clone(),
                    "a name of letters, digits, - _ . = + is expected",
                );
            }
        }
        let video = machine.video.as_ref().map(|video| &video.firmware);
        for path in [&machine.firmware, &self.preload].into_iter().chain(video) {
            if path.to_string_lossy().contains(',') {
                return refuse(
                    "a path",
                    path.display().to_string(),
                    "QEMU's options cannot hold a comma here",
                );
            }
        }
        self.check_peers()?;
        self.tuning.check()?;
        self.limits.check()
    }

    /// Some, and each of them once: a replica is told from another by the node that holds it.
    fn check_peers(&self) -> Result<(), SpecError> {
        let refuse = |value: String, expected| {
            Err(SpecError::Value {
                field: "peers",
                value,
                expected,
            })
        };
        let peers = &self.peers;
        if !(1..=limits::PEERS_MAX).contains(&peers.len()) {
            return refuse(format!("{} nodes", peers.len()), "1 to 31 are possible");
        }
        for (index, peer) in peers.iter().enumerate() {
            if peer.node == self.node || peers[..index].iter().any(|one| one.node == peer.node) {
                return refuse(peer.node.clone(), "every other node once is expected");
            }
            let address = peer.socket_address();
            if peers[..index]
                .iter()
                .any(|one| one.socket_address() == address)
            {
                return refuse(address.to_string(), "an address for each node is expected");
            }
        }
        Ok(())
    }
}

impl Machine {
    /// Bounds of the network interfaces.
    fn check_interfaces(&self) -> Result<(), SpecError> {
        if !(1..=limits::INTERFACES_MAX).contains(&self.interfaces.len()) {
            return refuse(
                "machine.interfaces",
                self.interfaces.len().to_string(),
                "1 to 8 are possible",
            );
        }
        for (number, interface) in self.interfaces.iter().enumerate() {
            let Some(address) = parse_mac(&interface.mac) else {
                return refuse(
                    "machine.interfaces: mac",
                    interface.mac.clone(),
                    "six bytes in hexadecimal, such as 52:54:00:6b:00:01",
                );
            };
            let others = &self.interfaces[..number];
            let unique = "each interface needs one of its own";
            if others
                .iter()
                .any(|other| parse_mac(&other.mac) == Some(address))
            {
                return refuse("machine.interfaces: mac", interface.mac.clone(), unique);
            }
            if others.iter().any(|other| other.tap == interface.tap) {
                return refuse("machine.interfaces: tap", interface.tap.clone(), unique);
            }
        }
        Ok(())
    }

    /// Bounds of the devices that a machine can do without.
    fn check_devices(&self) -> Result<(), SpecError> {
        if let Some(video) = &self.video
            && !matches!(video.memory_mib, 8 | 16 | 32 | 64)
        {
            return refuse(
                "machine.video.memory_mib",
                video.memory_mib.to_string(),
                "8, 16, 32 and 64 are possible",
            );
        }
        if let Some(vnc) = &self.vnc {
            if !vnc.address.is_loopback() {
                return refuse(
                    "machine.vnc.address",
                    vnc.address.to_string(),
                    "a loopback address is expected, for there is no password",
                );
            }
            if vnc.port.is_some_and(|port| port < 1024) {
                return refuse(
                    "machine.vnc.port",
                    vnc.port.unwrap_or_default().to_string(),
                    "1024 to 65535 are possible",
                );
            }
            if self.video.is_none() {
                return refuse(
                    "machine.vnc",
                    vnc.address.to_string(),
                    "there is nothing to see without machine.video",
                );
            }
        }
        if let Some(rate) = self.rng.and_then(|rng| rng.rate)
            && (rate.bytes == 0 || rate.period_ms == 0)
        {
            return refuse(
                "machine.rng.rate",
                format!("{} bytes in {} ms", rate.bytes, rate.period_ms),
                "at least one byte in at least one millisecond",
            );
        }
        Ok(())
    }

    /// Bounds of the words that are added to QEMU's command line.
    fn check_qemu_arguments(&self) -> Result<(), SpecError> {
        let words = &self.qemu_arguments;
        if words.len() > limits::QEMU_ARGUMENTS_MAX {
            return refuse(
                "machine.qemu_arguments",
                format!("{} words", words.len()),
                "64 at most are possible",
            );
        }
        // A first word that is no option would be a disk.
        if let Some(first) = words.first().filter(|first| !first.starts_with('-')) {
            return refuse(
                "machine.qemu_arguments",
                first.clone(),
                "an option is expected first",
            );
        }
        let is_sound = |word: &&String| {
            (1..=limits::QEMU_ARGUMENT_MAX_BYTES).contains(&word.len())
                && !word.chars().any(char::is_control)
        };
        match words.iter().find(|word| !is_sound(word)) {
            None => Ok(()),
            Some(word) => refuse(
                "machine.qemu_arguments",
                format!("{word:?}"),
                "words of 1 to 1024 bytes without control characters are expected",
            ),
        }
    }
}

impl UserLimits {
    fn check(&self) -> Result<(), SpecError> {
        for (field, value, range, expected) in [
            (
                "limits.max_epoch_age_ms",
                u64::from(self.max_epoch_age_ms),
                5..=10_000,
                "5 to 10000 are possible",
            ),
            (
                "limits.max_epoch_bytes",
                self.max_epoch_bytes,
                1 << 20..=1 << 30,
                "1048576 to 1073741824 are possible",
            ),
            (
                "limits.hold_bytes",
                self.hold_bytes as u64,
                65_536..=limits::HOLD_MAX_BYTES as u64,
                "65536 to 268435456 are possible",
            ),
            (
                "limits.ack_timeout_ms",
                u64::from(self.ack_timeout_ms),
                100..=60_000,
                "100 to 60000 are possible",
            ),
            (
                "limits.time_catch_up_max_ms",
                u64::from(self.time_catch_up_max_ms),
                0..=86_400_000,
                "0 to 86400000 are possible",
            ),
            (
                "limits.wake_latency_us",
                u64::try_from(self.wake_latency_us).unwrap_or(u64::MAX),
                0..=2_000_000_000,
                "0 to 2000000000 are possible",
            ),
        ] {
            if !range.contains(&value) {
                return Err(SpecError::Value {
                    field,
                    value: value.to_string(),
                    expected,
                });
            }
        }
        Ok(())
    }
}

fn refuse(field: &'static str, value: String, expected: &'static str) -> Result<(), SpecError> {
    Err(SpecError::Value {
        field,
        value,
        expected,
    })
}

/// An Ethernet address as it is written.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let parts: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            let is_hex = part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(part, 16).ok())?
        })
        .collect();
    parts?.try_into().ok()
}
