//! userfaultfd(2) write protection of another process's memory: what happens at a write to a protected page.
//!
//! Source: Linux `include/uapi/linux/userfaultfd.h`, Documentation/admin-guide/mm/userfaultfd.rst; `WP_ASYNC` since 6.7.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};

const UFFD_API: u64 = 0xAA;
const FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;

/// What a write to a protected page does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It lifts the page's protection and goes on; [`super::pagemap`] sees that it has happened.
    Noted,
    /// It waits until whoever reads the descriptor lifts the protection, or wakes it.
    Reported,
}

#[repr(C)]
struct Api {
    version: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct WriteProtect {
    start: u64,
    len: u64,
    mode: u64,
}

#[repr(C)]
struct Span {
    start: u64,
    len: u64,
}

const UFFDIO_API: Opcode = opcode::read_write::<Api>(0xAA, 0x3F);
const UFFDIO_REGISTER: Opcode = opcode::read_write::<Register>(0xAA, 0x00);
const UFFDIO_UNREGISTER: Opcode = opcode::read::<Span>(0xAA, 0x01);
const UFFDIO_WAKE: Opcode = opcode::read::<Span>(0xAA, 0x02);
const UFFDIO_WRITEPROTECT: Opcode = opcode::read_write::<WriteProtect>(0xAA, 0x06);
const _: () = assert!(UFFDIO_API == 0xC018_AA3F);
const _: () = assert!(UFFDIO_REGISTER == 0xC020_AA00);
const _: () = assert!(UFFDIO_UNREGISTER == 0x8010_AA01);
const _: () = assert!(UFFDIO_WAKE == 0x8010_AA02);
const _: () = assert!(UFFDIO_WRITEPROTECT == 0xC018_AA06);

/// A userfaultfd of some process's address space (not necessarily ours).
///
/// All ranges are addresses in that process, in whole pages.
#[derive(Debug)]
pub struct Userfault {
    descriptor: OwnedFd,
}

impl Userfault {
    /// Opens one for this process's own address space.
    ///
    /// # Errors
    /// `ENOSYS` without `CONFIG_USERFAULTFD`, `EPERM` without the privilege.
    pub fn open_own() -> io::Result<OwnedFd> {
        // SAFETY: no pointers; creates a descriptor of this address space.
        let descriptor = unsafe {
            rustix::mm::userfaultfd(
                rustix::mm::UserfaultfdFlags::CLOEXEC | rustix::mm::UserfaultfdFlags::NONBLOCK,
            )
        }?;
        Ok(descriptor)
    }

    /// Enables the features of `mode` on a fresh descriptor.
    ///
    /// # Errors
    /// `EINVAL` if the kernel lacks one of them (Linux before 6.7).
    pub fn negotiate(descriptor: OwnedFd, mode: Mode) -> io::Result<Self> {
        let features = FEATURE_WP_HUGETLBFS_SHMEM
            | FEATURE_WP_UNPOPULATED
            | match mode {
                Mode::Noted => FEATURE_WP_ASYNC,
                Mode::Reported => 0,
            };
        let mut api = Api {
            version: UFFD_API,
            features,
            ioctls: 0,
        };
        // SAFETY: the argument has the layout that the opcode's size asserts.
        unsafe { ioctl(&descriptor, Updater::<UFFDIO_API, Api>::new(&mut api)) }?;
        Ok(Self { descriptor })
    }

    /// Registers `len` bytes from `start` for write protection; nothing is protected yet.
    ///
    /// # Errors
    /// `EBUSY` if another descriptor has a part of it, or whatever else `UFFDIO_REGISTER` reports.
    pub fn register(&self, start: u64, len: u64) -> io::Result<()> {
        let mut register = Register {
            start,
            len,
            mode: REGISTER_MODE_WP,
            ioctls: 0,
        };
        // SAFETY: the argument has the layout that the opcode's size asserts.
        unsafe {
            ioctl(
                self.descriptor.as_fd(),
                Updater::<UFFDIO_REGISTER, Register>::new(&mut register),
            )
        }?;
        Ok(())
    }

    /// Lifts all protection in a range and forgets it. Whoever waits there because of [`Mode::Reported`] goes on waiting
    /// until [`Userfault::wake`].
    ///
    /// # Errors
    /// `ENOMEM` if the process has too many mappings; the range may have lost its protection then. Or whatever else
    /// `UFFDIO_UNREGISTER` reports.
    pub fn unregister(&self, start: u64, len: u64) -> io::Result<()> {
        self.set::<UFFDIO_UNREGISTER>(start, len)
    }

    /// Protects a registered range.
    ///
    /// # Errors
    /// Whatever `UFFDIO_WRITEPROTECT` reports.
    pub fn protect(&self, start: u64, len: u64) -> io::Result<()> {
        self.write_protect(start, len, WRITEPROTECT_MODE_WP)
    }

    /// Lifts the protection of a registered range and wakes whoever waits for that.
    ///
    /// # Errors
    /// Whatever `UFFDIO_WRITEPROTECT` reports.
    pub fn allow(&self, start: u64, len: u64) -> io::Result<()> {
        self.write_protect(start, len, 0)
    }

    /// Has whoever waits in a range try again.
    ///
    /// # Errors
    /// Whatever `UFFDIO_WAKE` reports.
    pub fn wake(&self, start: u64, len: u64) -> io::Result<()> {
        self.set::<UFFDIO_WAKE>(start, len)
    }

    /// The page to which somebody waits to write; `None` if there is nobody that has not been told of before.
    ///
    /// # Errors
    /// Whatever read(2) reports, or that what it returned is not a write to a protected page.
    pub fn next_fault(&self) -> io::Result<Option<u64>> {
        // struct uffd_msg: the event's number, then for a page fault the flags at 8 and the address at 16.
        let mut message = [0u8; 32];
        let length = match rustix::io::read(&self.descriptor, &mut message) {
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            other => other?,
        };
        if length != message.len() || message[0] != EVENT_PAGEFAULT {
            return Err(io::Error::other(format!(
                "unexpected userfaultfd message of {length} bytes, event {}",
                message[0]
            )));
        }
        let [_, _, address, _] = message.as_chunks::<8>().0 else {
            return Ok(None);
        };
        Ok(Some(u64::from_ne_bytes(*address)))
    }

    fn write_protect(&self, start: u64, len: u64, mode: u64) -> io::Result<()> {
        loop {
            let mut protect = WriteProtect { start, len, mode };
            // SAFETY: the argument has the layout that the opcode's size asserts.
            let result = unsafe {
                ioctl(
                    self.descriptor.as_fd(),
                    Updater::<UFFDIO_WRITEPROTECT, WriteProtect>::new(&mut protect),
                )
            };
            match result {
                // The address space is changing right now (mmap in QEMU): again.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn set<const OPCODE: Opcode>(&self, start: u64, len: u64) -> io::Result<()> {
        // SAFETY: the argument has the layout that both opcodes' size asserts; the kernel only reads it.
        unsafe {
            ioctl(
                self.descriptor.as_fd(),
                Setter::<OPCODE, Span>::new(Span { start, len }),
            )
        }?;
        Ok(())
    }
}

impl AsFd for Userfault {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
