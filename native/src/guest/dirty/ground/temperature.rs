//! A chunk becomes hot or cold: for some microseconds neither descriptor has it.

use std::io;
use std::ops::Range;

use super::{Ground, Moment};
use crate::guest::dirty::TrackerError;
use crate::guest::dirty::layout::Span;
use crate::limits::PAGE_BYTES;
use crate::sys::pagemap::Rearm;
use crate::sys::userfault::Userfault;

impl Ground {
    /// False if QEMU has too many mappings for another hot chunk.
    pub(super) fn make_hot(&mut self, chunk: usize) -> Result<bool, TrackerError> {
        let pages = self.heat.pages_of(chunk..chunk + 1);
        self.remember(pages.clone());
        let changed = self.change(pages.clone(), &self.cold, &self.hot)?;
        if changed {
            self.heat.heat(chunk);
            // Unregistering does not.
            self.wake(pages.clone())?;
        }
        self.note_changes(pages);
        Ok(changed)
    }

    /// Makes some chunks cold that were not written for long. False if there are none.
    pub(in super::super) fn cool(&mut self) -> bool {
        let Some(chunks) = self.heat.idle() else {
            return false;
        };
        match self.make_cold(chunks) {
            Ok(done) => done,
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn make_cold(&mut self, chunks: Range<usize>) -> Result<bool, TrackerError> {
        let pages = self.heat.pages_of(chunks.clone());
        // In this order: what is written before the scan is found by it, what is written later is not in the copy.
        self.remember(pages.clone());
        self.meanwhile(Moment::Change, &pages);
        let mut written = 0;
        for Span { start, end, .. } in self.layout.spans(pages.clone()) {
            let (found, _) = self
                .pagemap
                .scan(start, end, Rearm::ByCaller, &mut self.regions)
                .map_err(TrackerError::call("PAGEMAP_SCAN"))?;
            written += found;
        }
        if written > 0 {
            // Not idle any more, and its pages stay marked for the next collection.
            self.heat.written(pages);
            return Ok(true);
        }
        self.meanwhile(Moment::Change, &pages);
        let changed = self.change(pages.clone(), &self.hot, &self.cold)?;
        if changed {
            self.heat.cool(chunks);
        }
        self.note_changes(pages);
        Ok(changed)
    }

    /// Takes pages from one descriptor to the other and protects them there. False if QEMU has too many mappings, and then
    /// they are protected as they were; in any case they were not for a moment.
    fn change(
        &self,
        pages: Range<usize>,
        from: &Userfault,
        to: &Userfault,
    ) -> Result<bool, TrackerError> {
        match self.on(from, pages.clone(), Userfault::unregister) {
            // The kernel lifts the protection before it finds that it cannot split the mapping. In a chunk of two mappings the
            // first may be unregistered already: then this fails, and all begins anew.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                self.on(from, pages, Userfault::protect)
                    .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
                return Ok(false);
            }
            other => other.map_err(TrackerError::call("UFFDIO_UNREGISTER"))?,
        }
        self.meanwhile(Moment::Change, &pages);
        self.on(to, pages.clone(), Userfault::register)
            .map_err(TrackerError::call("UFFDIO_REGISTER"))?;
        self.meanwhile(Moment::Change, &pages);
        self.on(to, pages, Userfault::protect)
            .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
        Ok(true)
    }

    fn remember(&mut self, pages: Range<usize>) {
        let bytes = pages.len() * PAGE_BYTES;
        self.ram
            .copy_out(pages.start * PAGE_BYTES, &mut self.before[..bytes]);
    }

    /// Notes the pages that are not as they were remembered.
    fn note_changes(&mut self, pages: Range<usize>) {
        let (before, _) = self.before.as_chunks::<PAGE_BYTES>();
        for (page, before) in pages.zip(before) {
            if self.ram.differs(page * PAGE_BYTES, before) {
                self.noted.insert(page..page + 1);
            }
        }
    }

    /// Changes the temperature of one chunk for no reason.
    #[cfg(test)]
    pub(in super::super) fn upset(&mut self, number: u64) {
        let chunks = self.heat.chunk_of(self.noted.capacity() - 1) + 1;
        let chunk = usize::try_from(number).expect("64 bits") % chunks;
        let done = if self.heat.is_hot(chunk) {
            self.make_cold(chunk..chunk + 1)
        } else {
            self.make_hot(chunk)
        };
        assert!(done.expect("changed"));
    }

    /// Leaves chunk `first` under the wrong descriptor and the next one under none, as a change that fails may.
    #[cfg(test)]
    pub(in super::super) fn confuse(&mut self, first: usize) {
        assert!(self.make_hot(first).expect("changed"));
        self.heat.cool(first..first + 1);
        let next = self.heat.pages_of(first + 1..first + 2);
        self.on(&self.cold, next, Userfault::unregister)
            .expect("unregistered");
    }
}
