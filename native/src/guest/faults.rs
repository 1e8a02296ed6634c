//! How many page faults QEMU has had: if none, nothing in it has written a protected page.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads `minflt` and `majflt` of `/proc/PID/stat`, the sums over all threads of the process.
///
/// A write to a write-protected page takes a page fault, also in the asynchronous mode where the kernel resolves it, and
/// the kernel counts it for the thread that wrote, in user space or in a system call (`mm_account_fault` in Linux
/// `mm/memory.c`). Faults for other reasons are counted too: an unchanged number proves, a changed one only suspects.
#[derive(Debug)]
pub struct FaultCounter {
    stat: File,
    line: [u8; 1024],
}

impl FaultCounter {
    /// Opens the statistics of `pid`.
    ///
    /// # Errors
    /// `NotFound` if it is gone.
    pub fn open(pid: u32) -> io::Result<Self> {
        Ok(Self {
            stat: File::open(format!("/proc/{pid}/stat"))?,
            line: [0; 1024],
        })
    }

    /// Faults so far.
    ///
    /// # Errors
    /// Whatever pread(2) reports, or `InvalidData`.
    pub fn read(&mut self) -> io::Result<u64> {
        let length = self.stat.read_at(&mut self.line, 0)?;
        parse(&self.line[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// `proc_pid_stat(5)`: the name is in parentheses and may hold anything; after it `minflt` is field 8 and `majflt` field 10,
/// counted from the state.
fn parse(line: &[u8]) -> Option<u64> {
    let after_name = line.iter().rposition(|&byte| byte == b')')? + 2;
    let text = std::str::from_utf8(line.get(after_name..)?).ok()?;
    let mut fields = text.split(' ');
    let minor: u64 = fields.nth(7)?.parse().ok()?;
    let major: u64 = fields.nth(1)?.parse().ok()?;
    Some(minor + major)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::accel::Accel;
    use crate::guest::dirty::Tracker;
    use crate::guest::pages::PageSet;
    use crate::limits::PAGE_BYTES;
    use crate::sys::memory::{MemoryFile, SharedMapping};
    use crate::sys::userfault::Userfault;

    #[test]
    fn the_name_of_a_process_cannot_confuse_it() {
        let line = b"42 (a) b) c) S 1 2 3 4 5 6 1234 0 66 0 1 1";
        assert_eq!(parse(line), Some(1300));
        assert_eq!(parse(b"42 (a) S 1"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_write_to_a_protected_page_is_counted() {
        const PAGES: usize = 64;
        let file = MemoryFile::create("counted", PAGES * PAGE_BYTES).expect("memfd");
        let mut mapping = SharedMapping::new(&file).expect("map");
        let pid = std::process::id();
        let inode = file.inode().expect("inode");
        let userfault = Userfault::open_own().expect("userfaultfd");
        let mut tracker =
            Tracker::attach(pid, userfault, inode, PAGES * PAGE_BYTES, Accel::Tcg).expect("attach");
        let mut counter = FaultCounter::open(pid).expect("stat");
        let mut pages = PageSet::new(PAGES);
        // Present and protected, as guest RAM is after a scan.
        mapping.copy_in(0, b"x");
        tracker.rearm_all().expect("arm");
        tracker.collect(&mut pages).expect("collect");
        let before = counter.read().expect("read");
        mapping.copy_in(0, b"y");
        assert!(counter.read().expect("read") > before);
    }
}
