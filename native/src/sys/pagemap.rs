//! The `PAGEMAP_SCAN` ioctl on `/proc/PID/pagemap`: which pages of a write-protected range have been written.
//!
//! Source: Linux `include/uapi/linux/fs.h`, Documentation/admin-guide/mm/pagemap.rst; since 6.7.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

const PM_SCAN_WP_MATCHING: u64 = 1 << 0;
const PM_SCAN_CHECK_WPASYNC: u64 = 1 << 1;
const PAGE_IS_WRITTEN: u64 = 1 << 1;

/// A run of written pages, as addresses in the scanned process (bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
    categories: u64,
}

#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const PAGEMAP_SCAN: Opcode = opcode::read_write::<ScanArguments>(b'f', 16);
const _: () = assert!(PAGEMAP_SCAN == 0xC060_6610);
const _: () = assert!(size_of::<Region>() == 24);

struct Scan<'a>(&'a mut ScanArguments);

// SAFETY: the opcode's size is that of ScanArguments; the kernel writes walk_end and the vector it points to, both of
// which the caller of `Pagemap::scan` holds exclusively.
unsafe impl Ioctl for Scan<'_> {
    type Output = usize;
    const IS_MUTATING: bool = true;
    fn opcode(&self) -> Opcode {
        PAGEMAP_SCAN
    }
    fn as_ptr(&mut self) -> *mut libc::c_void {
        std::ptr::from_mut(self.0).cast()
    }
    unsafe fn output_from_ptr(
        count: IoctlOutput,
        _: *mut libc::c_void,
    ) -> rustix::io::Result<usize> {
        usize::try_from(count).map_err(|_| rustix::io::Errno::INVAL)
    }
}

/// What a scan does with the pages that it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rearm {
    /// Protects them again in the same call, so the next scan reports only what is written after this one.
    Atomically,
    /// Leaves them; the caller protects exactly the reported ranges. For KVM: `PM_SCAN_WP_MATCHING` notifies the MMU of
    /// the whole scanned range (`fs/proc/task_mmu.c`), which would drop every second-level mapping of the guest.
    ByCaller,
}

/// The page map of one process.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
}

impl Pagemap {
    /// Opens the page map of `pid`.
    ///
    /// # Errors
    /// `ENOENT` if it is gone, `EACCES` without ptrace rights over it.
    pub fn open(pid: u32) -> io::Result<Self> {
        Ok(Self {
            file: File::open(format!("/proc/{pid}/pagemap"))?,
        })
    }

    /// Reports the written pages in `start..end` into `regions`; returns how many regions were filled in and up to
    /// which address the scan came (less than `end` if `regions` was full).
    ///
    /// Only "written" is asked for: with "present" in the mask a written page whose page table entry was dropped since
    /// is missed.
    ///
    /// # Errors
    /// `EPERM` if part of the range is not registered for asynchronous write protection.
    pub fn scan(
        &self,
        start: u64,
        end: u64,
        rearm: Rearm,
        regions: &mut [Region],
    ) -> io::Result<(usize, u64)> {
        let flags = match rearm {
            Rearm::Atomically => PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
            Rearm::ByCaller => PM_SCAN_CHECK_WPASYNC,
        };
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            flags,
            start,
            end,
            walk_end: 0,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            max_pages: 0,
            category_inverted: 0,
            category_mask: PAGE_IS_WRITTEN,
            category_anyof_mask: 0,
            return_mask: PAGE_IS_WRITTEN,
        };
        // SAFETY: vec and vec_len describe `regions`, which is borrowed exclusively for the call.
        let count = unsafe { ioctl(self.file.as_fd(), Scan(&mut arguments)) }?;
        Ok((count, arguments.walk_end))
    }
}
