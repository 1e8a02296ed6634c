//! The page that the engine shares with the library inside QEMU.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use kemari_guest_clock::{PAGE_BYTES, Page};
use rustix::mm::{MapFlags, ProtFlags};

use super::memory::MemoryFile;

/// The engine's mapping of it.
#[derive(Debug)]
pub struct ClockPage {
    file: MemoryFile,
    page: NonNull<Page>,
}

// SAFETY: the mapping belongs to the process, and Page consists of atomic words.
unsafe impl Send for ClockPage {}

impl ClockPage {
    /// A new one, all zero.
    ///
    /// # Errors
    /// Whatever `memfd_create(2)` or mmap(2) report.
    pub fn create() -> io::Result<Self> {
        let file = MemoryFile::create("kemari-guest-clock", PAGE_BYTES)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        let page = NonNull::new(start.cast::<Page>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { file, page })
    }
}

impl Deref for ClockPage {
    type Target = Page;
    fn deref(&self) -> &Page {
        // SAFETY: mapped until Drop, aligned to a page, and any content is a valid Page: words that are only ever reached
        // atomically, here and in QEMU.
        unsafe { self.page.as_ref() }
    }
}

impl AsFd for ClockPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for ClockPage {
    fn drop(&mut self) {
        // SAFETY: start and length are those of our own mmap; nothing borrowed from it outlives self.
        let _ = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
    }
}
