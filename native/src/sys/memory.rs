//! Memory that several processes share, or that must be in place before it is needed.
//!
//! Guest RAM is a memfd that the engine makes and QEMU inherits: it has no name in any file system, so nobody else can
//! open it, and the kernel frees it when the last of the two processes ends.

use std::arch::asm;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// An anonymous file in memory.
#[derive(Debug)]
pub struct MemoryFile {
    file: OwnedFd,
    bytes: usize,
}

impl MemoryFile {
    /// Makes a file of `bytes` bytes, all zero, none of them allocated yet.
    ///
    /// # Errors
    /// Whatever `memfd_create(2)` or ftruncate(2) report.
    pub fn create(name: &str, bytes: usize) -> io::Result<Self> {
        let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, bytes as u64)?;
        Ok(Self { file, bytes })
    }

    /// Allocates every byte now. Without it a full host answers a later write with SIGBUS.
    ///
    /// # Errors
    /// `ENOMEM` or `ENOSPC` if the host does not have the memory.
    pub fn reserve(&self) -> io::Result<()> {
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, self.bytes as u64)?;
        Ok(())
    }

    /// Size in bytes as created.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The inode number by which `/proc/PID/maps` shows a mapping of this file.
    ///
    /// # Errors
    /// Whatever fstat(2) reports.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_ino)
    }

    /// Reads the file's content from its start into `into` and returns how many bytes it now holds there.
    ///
    /// # Errors
    /// `FileTooLarge` if the content does not fit.
    pub fn read_all(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        loop {
            if done == into.len() {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            match rustix::io::pread(&self.file, &mut into[done..], done as u64) {
                Ok(0) => return Ok(done),
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A shared mapping of a [`MemoryFile`] that another process may write at the same time.
///
/// There is deliberately no way to get a `&[u8]` into it: its bytes change under our eyes. They are copied out and in.
#[derive(Debug)]
pub struct SharedMapping {
    start: NonNull<u8>,
    bytes: usize,
    file: OwnedFd,
}

// SAFETY: the mapping belongs to the process, not to a thread; all access goes through raw copies.
unsafe impl Send for SharedMapping {}
// SAFETY: what is done through a shared reference reads bytes that another process may write at any time anyway.
unsafe impl Sync for SharedMapping {}

impl SharedMapping {
    /// Maps the whole file, readable and writable.
    ///
    /// # Errors
    /// Whatever mmap(2) reports.
    pub fn new(file: &MemoryFile) -> io::Result<Self> {
        let descriptor = file.file.try_clone()?;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing in this process refers to it yet.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                file.bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file.file,
                0,
            )
        }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            start,
            bytes: file.bytes,
            file: descriptor,
        })
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it is in this process.
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Copies `into.len()` bytes from `offset`, once: whatever is made of the copy is made of the same bytes, even if the guest
    /// has written meanwhile.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        self.check(offset, into.len());
        // SAFETY: in bounds (checked), the destination is ours alone; a concurrent guest write can only tear the
        // content, and such a page is dirty again and copied again.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.start.as_ptr().add(offset),
                into.as_mut_ptr(),
                into.len(),
            );
        }
        // The compiler takes memory to change only where it sees it, and would read ours again to copy the copy.
        // SAFETY: no instruction; only what the compiler believes to know of memory ends here.
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }

    /// Copies `from` to `offset`.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    pub fn copy_in(&mut self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        // SAFETY: in bounds (checked), source and destination cannot overlap: the mapping is never borrowed out.
        unsafe {
            std::ptr::copy_nonoverlapping(
                from.as_ptr(),
                self.start.as_ptr().add(offset),
                from.len(),
            );
        }
    }

    /// As [`SharedMapping::copy_in`], for a lot of memory that is not soon written again: through the file. The first write to
    /// a mapped page is a fault, which costs more than the copy of the page.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    pub fn write_through(&mut self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        let mut done = 0;
        while done < from.len() {
            match rustix::io::pwrite(&self.file, &from[done..], (offset + done) as u64) {
                Ok(count) if count > 0 => done += count,
                Err(rustix::io::Errno::INTR) => {}
                // What a file does not take, a mapping does: its memory is reserved.
                Ok(_) | Err(_) => return self.copy_in(offset + done, &from[done..]),
            }
        }
    }

    /// Makes `bytes` bytes from `offset` zero.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    pub fn zero(&mut self, offset: usize, bytes: usize) {
        self.check(offset, bytes);
        // SAFETY: in bounds (checked).
        unsafe {
            std::ptr::write_bytes(self.start.as_ptr().add(offset), 0, bytes);
        }
    }

    /// Whether the bytes from `offset` on differ from `from`; by the C library's comparison, which uses vectors.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    pub fn differs(&self, offset: usize, from: &[u8]) -> bool {
        self.check(offset, from.len());
        // SAFETY: both ranges are in bounds; memcmp reads each byte, and a concurrent write can only change its verdict.
        unsafe {
            libc::memcmp(
                self.start.as_ptr().add(offset).cast(),
                from.as_ptr().cast(),
                from.len(),
            ) != 0
        }
    }

    /// As [`SharedMapping::differs`], between the same places of two mappings.
    ///
    /// # Panics
    /// If the range lies outside one of them.
    pub fn differs_from(&self, other: &Self, offset: usize, bytes: usize) -> bool {
        self.check(offset, bytes);
        other.check(offset, bytes);
        // SAFETY: as in `differs`.
        unsafe {
            libc::memcmp(
                self.start.as_ptr().add(offset).cast(),
                other.start.as_ptr().add(offset).cast(),
                bytes,
            ) != 0
        }
    }

    /// Writes one value at `offset`, as a guest does: by any thread at any time.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    #[cfg(test)]
    pub fn store(&self, offset: usize, value: u64) {
        self.check(offset, 8);
        // SAFETY: in bounds (checked), aligned (the caller's offset is), and written by nobody but with atomic stores.
        unsafe { std::sync::atomic::AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
            .store(value, std::sync::atomic::Ordering::Relaxed);
    }

    /// Has the kernel forget the page table entries of a range, as it may at any time; the content stays.
    ///
    /// # Panics
    /// If the range lies outside the mapping.
    #[cfg(test)]
    pub fn forget_entries(&self, offset: usize, bytes: usize) {
        self.check(offset, bytes);
        // SAFETY: a shared mapping keeps its content in the file.
        unsafe {
            rustix::mm::madvise(
                self.start.as_ptr().add(offset).cast(),
                bytes,
                rustix::mm::Advice::LinuxDontNeed,
            )
        }
        .expect("madvise");
    }

    fn check(&self, offset: usize, bytes: usize) {
        assert!(
            offset
                .checked_add(bytes)
                .is_some_and(|end| end <= self.bytes),
            "range {offset}+{bytes} outside a mapping of {} bytes",
            self.bytes
        );
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of our own mmap; nothing was borrowed from it.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// A private buffer whose pages are in place from the start, so that writing to it never faults.
#[derive(Debug)]
pub struct PrefaultedBuffer {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: exclusively owned memory, reachable only through &self and &mut self.
unsafe impl Send for PrefaultedBuffer {}

impl PrefaultedBuffer {
    /// Allocates and touches `bytes` bytes.
    ///
    /// # Errors
    /// Whatever mmap(2) reports.
    pub fn new(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::POPULATE,
            )
        }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, bytes })
    }
}

impl std::ops::Deref for PrefaultedBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: start..start+bytes is mapped, initialised (zero pages) and borrowed with self.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl std::ops::DerefMut for PrefaultedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref, and &mut self makes the borrow exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for PrefaultedBuffer {
    fn drop(&mut self) {
        // SAFETY: start and length are those of our own mmap.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn bytes_written_through_one_mapping_are_read_through_another() {
        let file = MemoryFile::create("test", 8192).expect("memfd");
        file.reserve().expect("reserve");
        let mut one = SharedMapping::new(&file).expect("map");
        let other = SharedMapping::new(&file).expect("map");
        one.copy_in(4096, b"abc");
        let mut read = [0; 3];
        other.copy_out(4096, &mut read);
        assert_eq!(&read, b"abc");
        one.zero(4096, 3);
        other.copy_out(4096, &mut read);
        assert_eq!(read, [0; 3]);
        let page = [7; 4096];
        one.write_through(4096, &page);
        let mut read = [0; 4097];
        other.copy_out(4095, &mut read);
        assert_eq!((read[0], &read[1..]), (0, &page[..]));
    }

    #[test]
    fn what_the_file_does_not_take_is_written_all_the_same() {
        let file = MemoryFile::create("test", 8192).expect("memfd");
        let mut mapping = SharedMapping::new(&file).expect("map");
        let read_only = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        mapping.file = std::fs::File::open(read_only).expect("open").into();
        mapping.write_through(4096, b"abc");
        let mut read = [0; 3];
        mapping.copy_out(4096, &mut read);
        assert_eq!(&read, b"abc");
    }

    #[test]
    #[should_panic(expected = "outside a mapping")]
    fn a_copy_beyond_the_end_is_a_programming_error() {
        let file = MemoryFile::create("test", 4096).expect("memfd");
        SharedMapping::new(&file)
            .expect("map")
            .copy_out(4095, &mut [0; 2]);
    }

    #[test]
    fn content_larger_than_the_buffer_is_refused() {
        let file = MemoryFile::create("test", 4096).expect("memfd");
        assert!(file.read_all(&mut [0; 100]).is_err());
        assert_eq!(file.read_all(&mut [0; 5000]).expect("fits"), 4096);
    }
}
