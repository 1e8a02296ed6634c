//! The page-table tracker: QEMU's page tables are write-protected through userfaultfd, and what they say is collected.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::TrackerError;
use super::answerer::Answerer;
use super::ground::{Ground, Parts};
use super::layout::Layout;
use super::turns::Turns;
use crate::guest::accel::Accel;
use crate::guest::pages::PageSet;
use crate::limits::QEMU_MAPPINGS;
use crate::sys::memory::{MemoryFile, SharedMapping};
use crate::sys::pagemap::{Pagemap, Rearm};
use crate::sys::userfault::{Mode, Userfault};

/// Mappings that a process may have if the kernel does not say (`vm.max_map_count`).
const MAPPINGS_USUALLY: usize = 65_530;

/// The tracker and its thread.
#[derive(Debug)]
pub struct PageTables {
    // Dropped first: the thread ends before its descriptors are closed, which lets whoever still waits go on.
    /// `None` after a failure: nothing is protected then.
    answerer: Option<Answerer>,
    turns: Arc<Turns>,
    faults: OwnedFd,
    /// No chunk changes its temperature already.
    in_pause: bool,
}

impl PageTables {
    /// Begins to track the memory file `ram` in process `pid`, by two fresh userfaultfds of that process; nothing counts as
    /// written until the first [`PageTables::rearm_all`].
    ///
    /// # Errors
    /// A [`TrackerError`].
    pub fn attach(
        pid: u32,
        [reports, notes]: [OwnedFd; 2],
        ram: &MemoryFile,
        accel: Accel,
    ) -> Result<Self, TrackerError> {
        let cold = Userfault::negotiate(reports, Mode::Reported).map_err(TrackerError::Kernel)?;
        let hot = Userfault::negotiate(notes, Mode::Noted).map_err(TrackerError::Kernel)?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))
            .map_err(TrackerError::call("reading QEMU's memory map"))?;
        let inode = ram.inode().map_err(TrackerError::call("fstat"))?;
        let layout =
            Layout::read(&maps, inode, ram.bytes()).ok_or(TrackerError::Mapping { pid })?;
        let faults = cold
            .as_fd()
            .try_clone_to_owned()
            .map_err(TrackerError::call("dup"))?;
        let ground = Ground::new(Parts {
            cold,
            hot,
            pagemap: Pagemap::open(pid).map_err(TrackerError::call("opening QEMU's page map"))?,
            rearm: match accel {
                Accel::Kvm => Rearm::ByCaller,
                Accel::Tcg => Rearm::Atomically,
            },
            ram: SharedMapping::new(ram).map_err(TrackerError::call("mmap"))?,
            layout,
            chunks_max: chunks_max(),
        })?;
        Ok(Self {
            answerer: None,
            turns: Arc::new(Turns::new(ground)),
            faults,
            in_pause: false,
        })
    }

    /// Protects all of RAM: what was written before is forgotten, and so is a failure.
    ///
    /// # Errors
    /// A [`TrackerError`].
    pub fn rearm_all(&mut self) -> Result<(), TrackerError> {
        if self.turns.take().has_failed() {
            // It has ended, or is about to.
            self.answerer = None;
            self.turns.take().start_over()?;
        }
        if self.answerer.is_none() {
            let faults = (self.faults.try_clone()).map_err(TrackerError::call("dup"))?;
            let answerer = Answerer::start(Arc::clone(&self.turns), faults);
            self.answerer = Some(answerer.map_err(TrackerError::call("starting a thread"))?);
        }
        self.turns.rearm()
    }

    /// As [`super::Tracker::collect`].
    pub(super) fn collect(&mut self, pages: &mut PageSet) -> Result<(), TrackerError> {
        self.turns.take().collect(pages)
    }

    /// As [`super::Tracker::capture`]: `copy` copies.
    pub(super) fn capture(&self, copy: impl FnOnce()) {
        if self.in_pause {
            return copy();
        }
        self.turns.begin_capture();
        copy();
        self.turns.end_capture();
    }

    /// As [`super::Tracker::begin_pause`].
    pub(super) fn begin_pause(&mut self) {
        self.in_pause = true;
        self.turns.begin_capture();
    }

    /// As [`super::Tracker::end_pause`].
    pub(super) fn end_pause(&mut self) {
        self.in_pause = false;
        self.turns.end_capture();
    }

    /// What the two threads share.
    #[cfg(test)]
    pub(super) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Pages that the next collection looks at, written or not.
    pub fn hot_pages(&self) -> usize {
        self.turns.take().hot_pages()
    }
}

/// Chunks that guest RAM may be divided into: QEMU needs mappings for itself, too.
fn chunks_max() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(MAPPINGS_USUALLY)
        .saturating_sub(QEMU_MAPPINGS)
        .max(1)
}
