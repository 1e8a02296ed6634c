//! A TAP device: the guest's network interface as the host sees it.
//!
//! Source: Linux Documentation/networking/tuntap.rst, netdevice(7), `include/uapi/linux/if_bridge.h`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

const NAME_BYTES: usize = 16;
const IFF_TAP: i16 = 0x0002;
const IFF_NO_PI: i16 = 0x1000;
const IFF_UP: i16 = 0x1;
const TUNSETIFF: Opcode = 0x4004_54CA;
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCGIFINDEX: Opcode = 0x8933;
const SIOCBRADDIF: Opcode = 0x89A2;

/// `struct ifreq`, its union read as flags or as an index.
#[repr(C)]
#[derive(Clone, Copy)]
struct Request {
    name: [u8; NAME_BYTES],
    value: i32,
    padding: [u8; 20],
}
const _: () = assert!(size_of::<Request>() == 40);

impl Request {
    fn named(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.len() >= NAME_BYTES || name.contains(['/', '\0', '%']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is not an interface name (1 to 15 characters)"),
            ));
        }
        let mut bytes = [0; NAME_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self {
            name: bytes,
            value: 0,
            padding: [0; 20],
        })
    }

    fn call<const OPCODE: Opcode>(&mut self, descriptor: impl AsFd) -> io::Result<()> {
        // SAFETY: every opcode used in this file takes a struct ifreq, whose size is asserted above.
        unsafe { ioctl(descriptor, Updater::<OPCODE, Self>::new(self)) }?;
        Ok(())
    }
}

/// An open TAP device; it disappears with its descriptor.
#[derive(Debug)]
pub struct Tap {
    device: OwnedFd,
    name: String,
}

impl Tap {
    /// Makes the TAP device `name`, adds it to `bridge` and brings it up. Reads and writes do not block.
    ///
    /// # Errors
    /// A sentence that names the step, the interface and the remedy.
    pub fn open(name: &str, bridge: Option<&str>) -> io::Result<Self> {
        let explain = |step: String| {
            move |error: io::Error| io::Error::new(error.kind(), format!("{step}: {error}"))
        };
        let device = rustix::fs::open(
            "/dev/net/tun",
            OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .map_err(|error| {
            explain("cannot open /dev/net/tun (modprobe tun)".to_owned())(error.into())
        })?;
        let mut request = Request::named(name)?;
        request.value = i32::from(IFF_TAP | IFF_NO_PI);
        request.call::<TUNSETIFF>(&device).map_err(explain(format!(
            "cannot create the TAP device {name} (is it in use already?)"
        )))?;
        let control = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        if let Some(bridge) = bridge {
            add_to_bridge(&control, name, bridge).map_err(explain(format!(
                "cannot add {name} to the bridge {bridge} (does the bridge exist?)"
            )))?;
        }
        bring_up(&control, name).map_err(explain(format!("cannot bring {name} up")))?;
        Ok(Self {
            device,
            name: name.to_owned(),
        })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one Ethernet frame; `None` if none is waiting.
    ///
    /// # Errors
    /// Whatever read(2) reports.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.device, into) {
            Ok(length) => Ok(Some(length)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes one Ethernet frame.
    ///
    /// # Errors
    /// Whatever write(2) reports; `EIO` while the interface is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.device, frame)?;
        Ok(())
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn add_to_bridge(control: &OwnedFd, name: &str, bridge: &str) -> io::Result<()> {
    let mut index = Request::named(name)?;
    index.call::<SIOCGIFINDEX>(control)?;
    let mut request = Request::named(bridge)?;
    request.value = index.value;
    request.call::<SIOCBRADDIF>(control)
}

fn bring_up(control: &OwnedFd, name: &str) -> io::Result<()> {
    let mut request = Request::named(name)?;
    request.call::<SIOCGIFFLAGS>(control)?;
    request.value |= i32::from(IFF_UP);
    request.call::<SIOCSIFFLAGS>(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_the_kernel_would_cut_or_expand_is_refused() {
        for name in ["", "sixteen-letters-", "a/b", "tap%d"] {
            assert!(Request::named(name).is_err(), "{name:?}");
        }
        assert!(Request::named("fifteen-letters").is_ok());
    }
}
