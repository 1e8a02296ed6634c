//! Which pages of guest RAM were written since the last look, whoever in QEMU wrote them: vCPUs, devices, firmware.
//!
//! Two trackers behind one face. [`page_tables`] asks the kernel (Linux 6.7), [`compare`] works everywhere and is slow;
//! [`choice`] decides which. Both are held to the same tests.

mod answerer;
pub mod choice;
mod compare;
mod ground;
mod heat;
mod page_tables;
#[cfg(test)]
mod tests;

use std::io;

pub use compare::Compare;
pub use page_tables::{PageTables, find_mapping};

use crate::guest::pages::PageSet;

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
    /// What was written before is forgotten: the caller captures all of RAM after this.
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

    /// Adds every page written since the last call to `pages`. The guest may run.
    ///
    /// The caller must not lose `pages` afterwards: nobody else knows of them any more (I5). It captures them after this,
    /// not before.
    ///
    /// # Errors
    /// A [`TrackerError`]; some of the pages may be in `pages` already then.
    pub fn collect(&mut self, pages: &mut PageSet) -> Result<(), TrackerError> {
        match self {
            Self::PageTables(tracker) => tracker.collect(pages),
            Self::Compare(tracker) => {
                tracker.collect(pages);
                Ok(())
            }
        }
    }

    /// `content` is what the caller has copied of RAM from `offset` on, in whole pages.
    pub fn captured(&mut self, offset: usize, content: &[u8]) {
        match self {
            Self::PageTables(_) => {}
            Self::Compare(tracker) => tracker.captured(offset, content),
        }
    }
}
