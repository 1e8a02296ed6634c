//! Where QEMU writes the state of CPUs and devices: a file in memory that QEMU opens through its own descriptor table.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::sys::memory::MemoryFile;

/// Where QEMU runs: its own descriptors.
pub const WORKING_FOLDER: &str = "/proc/self/fd";

/// The device state of the last save.
#[derive(Debug)]
pub struct StateFile {
    file: MemoryFile,
}

impl StateFile {
    /// An empty one.
    ///
    /// # Errors
    /// Whatever `memfd_create(2)` reports.
    pub fn create() -> io::Result<Self> {
        Ok(Self {
            file: MemoryFile::create("kemari-device-state", 0)?,
        })
    }

    /// The path under which QEMU, having inherited the descriptor, opens it from [`WORKING_FOLDER`]: QEMU reads it byte by
    /// byte at every checkpoint.
    pub fn path_in_qemu(&self) -> String {
        self.file.as_fd().as_raw_fd().to_string()
    }

    /// Copies the state into `into`; returns its length.
    ///
    /// # Errors
    /// `FileTooLarge` if it does not fit.
    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_all(into)
    }
}

impl AsFd for StateFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
