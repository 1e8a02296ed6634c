//! The tracker for any kernel: compares all of guest RAM with what was last copied of it. It costs as much memory again as
//! the guest has, and the guest's pause grows with RAM. So does the time between two looks at a running epoch
//! (`checkpoint/growth.rs`): of a large guest the epoch's age comes before its bytes.

use std::io;
use std::ops::ControlFlow;

use crate::guest::pages::PageSet;
use crate::limits::PAGE_BYTES;
use crate::sys::memory::{MemoryFile, SharedMapping};

/// Pages that are compared without a look at anything else: some milliseconds.
const PAGES_AT_ONCE: usize = 4096;

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

    /// Adds every page that is not as it was captured to `pages`; calls `meanwhile` again and again, and looks no further if that
    /// says so.
    pub(super) fn look(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for page in 0..self.ram.bytes() / PAGE_BYTES {
            if page % PAGES_AT_ONCE == PAGES_AT_ONCE - 1 {
                meanwhile()?;
            }
            if self
                .ram
                .differs_from(&self.copy, page * PAGE_BYTES, PAGE_BYTES)
            {
                pages.insert(page..page + 1);
            }
        }
        ControlFlow::Continue(())
    }

    /// `content` is what has been captured of RAM from `offset` on: whatever the guest does to it later is a change to that,
    /// even if it only takes back what it did between two looks of ours.
    pub(super) fn captured(&mut self, offset: usize, content: &[u8]) {
        self.copy.copy_in(offset, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_compares_much_says_now_and_then_that_he_is_alive() {
        let pages = 5 * PAGES_AT_ONCE / 2;
        let file = MemoryFile::create("compared", pages * PAGE_BYTES).expect("memfd");
        let mut ram = SharedMapping::new(&file).expect("map");
        let mut compare = Compare::new(&file).expect("memory");
        ram.copy_in((pages - 1) * PAGE_BYTES, &[1]);
        let (mut found, mut times) = (PageSet::new(pages), 0);
        let whole = compare.look(&mut found, &mut || {
            times += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((found.count(), times), (1, 2));
        assert!(whole.is_continue());
    }

    #[test]
    fn what_was_not_looked_at_because_somebody_could_not_wait_is_found_by_the_next_look() {
        let pages = 2 * PAGES_AT_ONCE;
        let file = MemoryFile::create("compared", pages * PAGE_BYTES).expect("memfd");
        let mut ram = SharedMapping::new(&file).expect("map");
        let mut compare = Compare::new(&file).expect("memory");
        for page in [0, pages - 1] {
            ram.copy_in(page * PAGE_BYTES, &[1]);
        }
        let mut found = PageSet::new(pages);
        let left = compare.look(&mut found, &mut || ControlFlow::Break(()));
        assert!(left.is_break());
        assert_eq!(found.runs().collect::<Vec<_>>(), [0..1]);
        let whole = compare.look(&mut found, &mut || ControlFlow::Continue(()));
        assert!(whole.is_continue());
        assert_eq!(found.count(), 2);
    }
}
