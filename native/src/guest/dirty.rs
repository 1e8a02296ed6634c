//! Which pages of guest RAM were written since the last look, whoever in QEMU wrote them: vCPUs, devices, firmware.

use std::io;
use std::os::fd::OwnedFd;

use crate::guest::accel::Accel;
use crate::guest::pages::PageSet;
use crate::limits::{PAGE_BYTES, SCAN_REGIONS};
use crate::sys::pagemap::{Pagemap, Rearm, Region};
use crate::sys::userfault::Userfault;

/// Why the tracker cannot work.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The kernel is too old.
    #[error(
        "this kernel has no userfaultfd with asynchronous write protection (Linux 6.7 or later is needed)"
    )]
    Kernel(#[source] io::Error),
    /// QEMU does not map guest RAM as expected.
    #[error("guest RAM is not mapped once and whole in QEMU (pid {pid})")]
    Mapping {
        /// QEMU.
        pid: u32,
    },
    /// A system call failed.
    #[error("{step} failed")]
    Call {
        /// Which.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The page-table tracker: userfaultfd write protection with `PAGEMAP_SCAN`.
#[derive(Debug)]
pub struct Tracker {
    userfault: Userfault,
    pagemap: Pagemap,
    start: u64,
    end: u64,
    rearm: Rearm,
    regions: Vec<Region>,
}

impl Tracker {
    /// Begins to track the memory file with `inode` in process `pid`; every page counts as written until the first
    /// [`Tracker::rearm_all`].
    ///
    /// # Errors
    /// A [`TrackerError`].
    pub fn attach(
        pid: u32,
        userfault: OwnedFd,
        inode: u64,
        bytes: usize,
        accel: Accel,
    ) -> Result<Self, TrackerError> {
        let userfault = Userfault::negotiate(userfault).map_err(TrackerError::Kernel)?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|source| {
            TrackerError::Call {
                step: "reading QEMU's memory map",
                source,
            }
        })?;
        let (start, end) = find_mapping(&maps, inode).ok_or(TrackerError::Mapping { pid })?;
        if end - start != bytes as u64 {
            return Err(TrackerError::Mapping { pid });
        }
        userfault
            .register(start, end - start)
            .map_err(|source| TrackerError::Call {
                step: "UFFDIO_REGISTER",
                source,
            })?;
        let pagemap = Pagemap::open(pid).map_err(|source| TrackerError::Call {
            step: "opening QEMU's page map",
            source,
        })?;
        let rearm = match accel {
            Accel::Kvm => Rearm::ByCaller,
            Accel::Tcg => Rearm::Atomically,
        };
        Ok(Self {
            userfault,
            pagemap,
            start,
            end,
            rearm,
            regions: vec![Region::default(); SCAN_REGIONS],
        })
    }

    /// Protects all of RAM: what was written before is forgotten.
    ///
    /// # Errors
    /// A [`TrackerError`].
    pub fn rearm_all(&mut self) -> Result<(), TrackerError> {
        self.protect(self.start, self.end)
    }

    /// Adds every page written since the last call to `pages` and protects it again.
    ///
    /// The caller must not lose `pages` afterwards: nobody else knows of them any more (I5). With KVM the guest must be
    /// stopped.
    ///
    /// # Errors
    /// A [`TrackerError`]; some of the pages may be in `pages` already then.
    pub fn collect(&mut self, pages: &mut PageSet) -> Result<(), TrackerError> {
        let mut from = self.start;
        while from < self.end {
            let (count, walked) = self
                .pagemap
                .scan(from, self.end, self.rearm, &mut self.regions)
                .map_err(|source| TrackerError::Call {
                    step: "PAGEMAP_SCAN",
                    source,
                })?;
            for index in 0..count {
                let region = self.regions[index];
                pages.insert(self.page_of(region.start)..self.page_of(region.end));
                if self.rearm == Rearm::ByCaller {
                    self.protect(region.start, region.end)?;
                }
            }
            if walked <= from {
                break;
            }
            from = walked;
        }
        Ok(())
    }

    fn page_of(&self, address: u64) -> usize {
        usize::try_from(address - self.start).expect("an address space fits in usize") / PAGE_BYTES
    }

    fn protect(&self, start: u64, end: u64) -> Result<(), TrackerError> {
        loop {
            match self.userfault.write_protect(start, end - start) {
                // The address space is changing right now (mmap in QEMU): again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    return result.map_err(|source| TrackerError::Call {
                        step: "UFFDIO_WRITEPROTECT",
                        source,
                    });
                }
            }
        }
    }
}

/// Start and end of the only mapping of `inode` in the text of `/proc/PID/maps`.
fn find_mapping(maps: &str, inode: u64) -> Option<(u64, u64)> {
    let inode = inode.to_string();
    let mut found = maps.lines().filter(|line| {
        let mut fields = line.split_whitespace();
        fields.nth(4) == Some(&inode)
            && fields
                .next()
                .is_some_and(|path| path.starts_with("/memfd:"))
    });
    let line = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    Some((
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{MemoryFile, SharedMapping};

    const PAGES: usize = 3000;

    /// Tracks this process's own mapping: the same kernel path as QEMU's, without QEMU.
    fn tracked(accel: Accel) -> (SharedMapping, Tracker) {
        let file = MemoryFile::create("tracked", PAGES * PAGE_BYTES).expect("memfd");
        let mapping = SharedMapping::new(&file).expect("map");
        let userfault = Userfault::open_own().expect("userfaultfd");
        let mut tracker = Tracker::attach(
            std::process::id(),
            userfault,
            file.inode().expect("inode"),
            PAGES * PAGE_BYTES,
            accel,
        )
        .expect("attach");
        tracker.rearm_all().expect("arm");
        (mapping, tracker)
    }

    fn collected(tracker: &mut Tracker) -> Vec<usize> {
        let mut set = PageSet::new(PAGES);
        tracker.collect(&mut set).expect("collect");
        set.runs().flatten().collect()
    }

    #[test]
    fn exactly_the_written_pages_are_seen_and_only_once() {
        for accel in [Accel::Tcg, Accel::Kvm] {
            let (mut mapping, mut tracker) = tracked(accel);
            assert_eq!(collected(&mut tracker), Vec::<usize>::new(), "{accel:?}");
            for page in [0, 1, 7, 2999] {
                mapping.copy_in(page * PAGE_BYTES + 5, b"x");
            }
            assert_eq!(collected(&mut tracker), [0, 1, 7, 2999], "{accel:?}");
            assert_eq!(collected(&mut tracker), Vec::<usize>::new(), "{accel:?}");
            mapping.copy_in(7 * PAGE_BYTES, b"y");
            assert_eq!(collected(&mut tracker), [7], "{accel:?}");
        }
    }

    #[test]
    fn a_page_is_seen_wherever_the_first_touch_of_its_neighbourhood_happens() {
        for accel in [Accel::Tcg, Accel::Kvm] {
            let (mut mapping, mut tracker) = tracked(accel);
            // 1,500 pages in are more than one page table away from the start, which is touched here.
            mapping.copy_in(0, b"x");
            assert!(collected(&mut tracker).contains(&0), "{accel:?}");
            mapping.copy_in(1500 * PAGE_BYTES, b"x");
            assert!(collected(&mut tracker).contains(&1500), "{accel:?}");
            assert_eq!(collected(&mut tracker), Vec::<usize>::new(), "{accel:?}");
        }
    }

    #[test]
    fn more_regions_than_one_scan_can_report_are_all_seen() {
        let (mut mapping, mut tracker) = tracked(Accel::Tcg);
        tracker.regions.truncate(3);
        let written: Vec<usize> = (0..PAGES).step_by(2).collect();
        for &page in &written {
            mapping.copy_in(page * PAGE_BYTES, b"x");
        }
        assert_eq!(collected(&mut tracker), written);
    }

    #[test]
    fn a_memory_map_with_the_file_mapped_twice_is_refused() {
        let line = "7f00-8f00 rw-s 00000000 00:01 42 /memfd:kemari-ram (deleted)\n";
        assert_eq!(find_mapping(line, 42), Some((0x7f00, 0x8f00)));
        assert_eq!(find_mapping(&line.repeat(2), 42), None);
        assert_eq!(find_mapping(line, 43), None);
        assert_eq!(find_mapping("garbage", 42), None);
    }
}
