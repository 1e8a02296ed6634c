//! userfaultfd(2) in asynchronous write-protect mode: the kernel notes a write to a protected page and lets it pass.
//!
//! Source: Linux `include/uapi/linux/userfaultfd.h`, Documentation/admin-guide/mm/userfaultfd.rst; `WP_ASYNC` since 6.7.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

const UFFD_API: u64 = 0xAA;
const FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
/// What the tracker needs of the kernel.
pub const NEEDED_FEATURES: u64 =
    FEATURE_WP_HUGETLBFS_SHMEM | FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1;

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

const UFFDIO_API: Opcode = opcode::read_write::<Api>(0xAA, 0x3F);
const UFFDIO_REGISTER: Opcode = opcode::read_write::<Register>(0xAA, 0x00);
const UFFDIO_WRITEPROTECT: Opcode = opcode::read_write::<WriteProtect>(0xAA, 0x06);
const _: () = assert!(UFFDIO_API == 0xC018_AA3F);
const _: () = assert!(UFFDIO_REGISTER == 0xC020_AA00);
const _: () = assert!(UFFDIO_WRITEPROTECT == 0xC018_AA06);

/// A userfaultfd of some process's address space (not necessarily ours), with the features of the tracker enabled.
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

    /// Enables the needed features on a fresh descriptor.
    ///
    /// # Errors
    /// `EINVAL` if the kernel lacks one of them (Linux before 6.7).
    pub fn negotiate(descriptor: OwnedFd) -> io::Result<Self> {
        let mut api = Api {
            version: UFFD_API,
            features: NEEDED_FEATURES,
            ioctls: 0,
        };
        // SAFETY: the argument has the layout that the opcode's size asserts.
        unsafe { ioctl(&descriptor, Updater::<UFFDIO_API, Api>::new(&mut api)) }?;
        Ok(Self { descriptor })
    }

    /// Registers `len` bytes from `start` (addresses in the descriptor's process) for write protection.
    ///
    /// # Errors
    /// Whatever `UFFDIO_REGISTER` reports.
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

    /// Protects a registered range: from now on a write to it marks its page as written.
    ///
    /// # Errors
    /// Whatever `UFFDIO_WRITEPROTECT` reports; `EAGAIN` while the address space is changing.
    pub fn write_protect(&self, start: u64, len: u64) -> io::Result<()> {
        let mut protect = WriteProtect {
            start,
            len,
            mode: WRITEPROTECT_MODE_WP,
        };
        // SAFETY: the argument has the layout that the opcode's size asserts.
        unsafe {
            ioctl(
                self.descriptor.as_fd(),
                Updater::<UFFDIO_WRITEPROTECT, WriteProtect>::new(&mut protect),
            )
        }?;
        Ok(())
    }
}
