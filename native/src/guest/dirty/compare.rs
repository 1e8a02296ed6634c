//! The tracker for any kernel: compares all of guest RAM with what was last copied of it. It costs as much memory again as
//! the guest has, and the guest's pause grows with RAM. So does the time between two looks at a running epoch
//! (`checkpoint/growth.rs`): of a large guest the epoch's age comes before its bytes.

use std::io;

use crate::guest::pages::PageSet;
use crate::limits::PAGE_BYTES;
use crate::sys::memory::{MemoryFile, SharedMapping};

/// A copy of guest RAM as it was captured.
#[derive(Debug)]
pub struct Compare {
    ram: SharedMapping,
    copy: SharedMapping,
}

impl Compare {
    /// Takes the memory for the copy. Nothing has been captured yet: the copy is all zero, and whoever wants to have all of
    /// RAM captures all of it first.
    ///
    /// # Errors
    /// `ENOMEM` or `ENOSPC` if the host does not have the memory.
    pub fn new(ram: &MemoryFile) -> io::Result<Self> {
        let copy = MemoryFile::create("kemari-copy", ram.bytes())?;
        copy.reserve()?;
        Ok(Self {
            ram: SharedMapping::new(ram)?,
            copy: SharedMapping::new(&copy)?,
        })
    }

    /// Adds every page that is not as it was captured to `pages`.
    pub(super) fn collect(&mut self, pages: &mut PageSet) {
        for page in 0..self.ram.bytes() / PAGE_BYTES {
            if self
                .ram
                .differs_from(&self.copy, page * PAGE_BYTES, PAGE_BYTES)
            {
                pages.insert(page..page + 1);
            }
        }
    }

    /// `content` is what has been captured of RAM from `offset` on: whatever the guest does to it later is a change to that,
    /// even if it only takes back what it did between two looks of ours.
    pub(super) fn captured(&mut self, offset: usize, content: &[u8]) {
        self.copy.copy_in(offset, content);
    }
}
