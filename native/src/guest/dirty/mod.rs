//! Which pages of guest RAM were written since the last look, whoever in QEMU wrote them: vCPUs, devices, firmware.
//!
//! Two trackers behind one face. [`page_tables`] asks the kernel (Linux 6.7), [`compare`] works everywhere and is slow;
//! [`choice`] decides which. Both are held to the same tests.

mod answerer;
pub mod choice;
mod compare;
mod ground;
mod heat;
mod layout;
mod page_tables;
#[cfg(test)]
mod tests;
mod turns;

use std::io;
use std::ops::ControlFlow;

pub use compare::Compare;
pub use layout::Layout;
pub use page_tables::PageTables;

use crate::guest::pages::PageSet;
use crate::sys::memory::SharedMapping;

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
    /// It has failed before.
    #[error(
        "the guest's writes cannot be followed any more, after what was reported before: start the guest anew, or move it"
    )]
    Lost,
}

impl TrackerError {
    fn call(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Call { step, source }
    }
}

/// Finds the pages that were written.
#[derive(Debug)]
pub enum Tracker {
    /// By QEMU's page tables.
    PageTables(PageTables),
    /// By comparison with what was captured.
    Compare(Compare),
}

impl Tracker {
    /// What was written before is forgotten: the caller captures all of RAM after this. After a failure all begins anew.
    ///
    /// # Errors
    /// A [`TrackerError`].
    pub fn rearm_all(&mut self) -> Result<(), TrackerError> {
        match self {
            Self::PageTables(tracker) => tracker.rearm_all(),
            // A page that is captured is compared with that.
            Self::Compare(_) => Ok(()),
        }
    }

    /// Adds every page written since the last call to `pages`. The guest may run. Calls `meanwhile` every few milliseconds.
    ///
    /// The caller must not lose `pages` afterwards: nobody else knows of them any more (I5). It captures them after this,
    /// not before.
    ///
    /// # Errors
    /// A [`TrackerError`]; some of the pages may be in `pages` already then, and others are lost: what is captured is
    /// worth nothing before a [`Tracker::rearm_all`].
    pub fn collect(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), TrackerError> {
        let mut on = || {
            meanwhile();
            ControlFlow::Continue(())
        };
        self.look(pages, &mut on).map(|_| ())
    }

    /// The same, but looks no further if `meanwhile` says so: pages are missing then, which the next call finds.
    ///
    /// # Errors
    /// As [`Tracker::collect`].
    pub fn look(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrackerError> {
        match self {
            Self::PageTables(tracker) => tracker.collect(pages).map(ControlFlow::Continue),
            Self::Compare(tracker) => Ok(tracker.look(pages, meanwhile)),
        }
    }

    /// Copies what `ram` has from `offset` on, whole pages, to `into`: from now on they are as captured. The guest may run.
    pub fn capture(&mut self, ram: &SharedMapping, offset: usize, into: &mut [u8]) {
        match self {
            Self::PageTables(tracker) => tracker.capture(|| ram.copy_out(offset, into)),
            Self::Compare(tracker) => {
                ram.copy_out(offset, into);
                tracker.captured(offset, into);
            }
        }
    }

    /// The guest is about to be stopped for a capture: what costs time is done now.
    pub fn begin_pause(&mut self) {
        if let Self::PageTables(tracker) = self {
            tracker.begin_pause();
        }
    }

    /// The capture is over, the guest may run.
    pub fn end_pause(&mut self) {
        if let Self::PageTables(tracker) = self {
            tracker.end_pause();
        }
    }
}
