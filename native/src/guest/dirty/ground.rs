//! Guest RAM as the page-table tracker divides it: hot chunks, where the kernel notes writes, and cold ones, where the
//! first write to a page waits for us.
//!
//! ```text
//!  cold: userfaultfd that reports                     hot: userfaultfd that notes (WP_ASYNC)
//!    write ─► waits ─► note the page, let it pass       write ─► passes; found by PAGEMAP_SCAN
//!                  └─► or make the chunk hot
//! ```
//! The invariant: a page that was written after the last collection is in `noted`, or lies in a hot chunk and its page
//! table entry says so. A chunk that changes its temperature is under neither descriptor for some microseconds, in which
//! any thread of QEMU may write to it unseen. So it is copied before and compared after that; the copy is what the last
//! collection left, because until then every write to the chunk was caught.

use std::io;
use std::ops::Range;

use super::TrackerError;
use super::heat::{Answer, Heat};
use crate::guest::pages::PageSet;
use crate::limits::{PAGE_BYTES, SCAN_REGIONS};
use crate::sys::memory::{PrefaultedBuffer, SharedMapping};
use crate::sys::pagemap::{Pagemap, Rearm, Region};
use crate::sys::userfault::Userfault;

/// What the thread that collects and the thread that answers writes have in turn.
#[derive(Debug)]
pub(super) struct Ground {
    cold: Userfault,
    hot: Userfault,
    pagemap: Pagemap,
    rearm: Rearm,
    /// Our own mapping of guest RAM: what we read does not pass QEMU's page tables.
    ram: SharedMapping,
    /// Where QEMU has guest RAM.
    start: u64,
    heat: Heat,
    noted: PageSet,
    before: PrefaultedBuffer,
    regions: Box<[Region]>,
    /// Why pages may have been missed.
    failure: Option<TrackerError>,
    /// What a test's guest does at the worst moments.
    #[cfg(test)]
    meanwhile: super::tests::Meanwhile,
}

/// With what a ground is made.
pub(super) struct Parts {
    pub(super) cold: Userfault,
    pub(super) hot: Userfault,
    pub(super) pagemap: Pagemap,
    pub(super) rearm: Rearm,
    pub(super) ram: SharedMapping,
    pub(super) start: u64,
    pub(super) chunks_max: usize,
}

impl Ground {
    /// Registers all of RAM as cold; nothing is protected before [`Ground::rearm`].
    pub(super) fn new(parts: Parts) -> Result<Self, TrackerError> {
        let pages = parts.ram.bytes() / PAGE_BYTES;
        let heat = Heat::new(pages, parts.chunks_max);
        let ground = Self {
            cold: parts.cold,
            hot: parts.hot,
            pagemap: parts.pagemap,
            rearm: parts.rearm,
            before: PrefaultedBuffer::new(heat.most_pages_at_once() * PAGE_BYTES)
                .map_err(TrackerError::call("mmap"))?,
            regions: vec![Region::default(); SCAN_REGIONS].into_boxed_slice(),
            ram: parts.ram,
            start: parts.start,
            heat,
            noted: PageSet::new(pages),
            failure: None,
            #[cfg(test)]
            meanwhile: super::tests::Meanwhile::default(),
        };
        on(
            &ground.cold,
            ground.addresses(0..pages),
            Userfault::register,
        )
        .map_err(TrackerError::call("UFFDIO_REGISTER"))?;
        Ok(ground)
    }

    /// Pages that the next collection looks at.
    pub(super) fn hot_pages(&self) -> usize {
        self.heat.hot_pages()
    }

    /// Protects all of RAM: what was written before is forgotten.
    pub(super) fn rearm(&mut self) -> Result<(), TrackerError> {
        self.noted.clear();
        self.protect(0..self.noted.capacity())
    }

    /// Adds every page written since the last call to `pages` and protects it again.
    pub(super) fn collect(&mut self, pages: &mut PageSet) -> Result<(), TrackerError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut next = 0;
        while let Some(run) = self.noted.next_run(next, usize::MAX) {
            next = run.end;
            pages.insert(run.clone());
            self.protect_cold(run)?;
        }
        self.noted.clear();
        let mut next = 0;
        while let Some(run) = self.heat.next_hot(next) {
            next = run.end;
            self.scan(run, pages)?;
        }
        self.heat.tick();
        Ok(())
    }

    fn scan(&mut self, run: Range<usize>, pages: &mut PageSet) -> Result<(), TrackerError> {
        let (mut from, end) = self.addresses(run);
        while from < end {
            let (count, walked) = self
                .pagemap
                .scan(from, end, self.rearm, &mut self.regions)
                .map_err(TrackerError::call("PAGEMAP_SCAN"))?;
            for index in 0..count {
                let Region { start, end, .. } = self.regions[index];
                let written = self.page_at(start)..self.page_at(end);
                if self.rearm == Rearm::ByCaller {
                    on(&self.hot, (start, end), Userfault::protect)
                        .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
                }
                self.heat.written(written.clone());
                pages.insert(written);
            }
            if walked <= from {
                break;
            }
            from = walked;
        }
        Ok(())
    }

    /// Answers everybody who waits to write to a cold page, and has not been answered yet.
    pub(super) fn answer_all(&mut self) {
        loop {
            let answered = match self.cold.next_fault() {
                Ok(None) => return,
                Ok(Some(address)) => self.answer(address),
                Err(error) => Err(TrackerError::call("reading a userfaultfd")(error)),
            };
            if let Err(error) = answered {
                return self.fail(error);
            }
        }
    }

    fn answer(&mut self, address: u64) -> Result<(), TrackerError> {
        let page = self.page_at(address);
        let chunk = self.heat.chunk_of(page);
        if self.heat.is_hot(chunk) {
            // It has become so since this writer began to wait.
            return self.wake(page..page + 1);
        }
        if self.heat.write(chunk) == Answer::Heat && self.make_hot(chunk)? {
            return Ok(());
        }
        self.noted.insert(page..page + 1);
        on(&self.cold, self.addresses(page..page + 1), Userfault::allow)
            .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))
    }

    /// False if QEMU has too many mappings for another hot chunk.
    fn make_hot(&mut self, chunk: usize) -> Result<bool, TrackerError> {
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
    pub(super) fn cool(&mut self) -> bool {
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
        self.meanwhile(&pages);
        let (start, end) = self.addresses(pages.clone());
        let (written, _) = self
            .pagemap
            .scan(start, end, Rearm::ByCaller, &mut self.regions)
            .map_err(TrackerError::call("PAGEMAP_SCAN"))?;
        if written > 0 {
            // Not idle any more, and its pages stay marked for the next collection.
            self.heat.written(pages);
            return Ok(true);
        }
        self.meanwhile(&pages);
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
        let span = self.addresses(pages.clone());
        match on(from, span, Userfault::unregister) {
            // The kernel lifts the protection before it finds that it cannot split the mapping.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                on(from, span, Userfault::protect)
                    .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
                return Ok(false);
            }
            other => other.map_err(TrackerError::call("UFFDIO_UNREGISTER"))?,
        }
        self.meanwhile(&pages);
        on(to, span, Userfault::register).map_err(TrackerError::call("UFFDIO_REGISTER"))?;
        self.meanwhile(&pages);
        on(to, span, Userfault::protect).map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
        Ok(true)
    }

    /// The guest may write to `pages` here, unseen or seen.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "a test's guest does write")
    )]
    fn meanwhile(&self, pages: &Range<usize>) {
        #[cfg(test)]
        self.meanwhile.happen(pages);
        #[cfg(not(test))]
        let _ = pages;
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

    fn wake(&self, pages: Range<usize>) -> Result<(), TrackerError> {
        on(&self.cold, self.addresses(pages), Userfault::wake)
            .map_err(TrackerError::call("UFFDIO_WAKE"))
    }

    fn protect(&self, pages: Range<usize>) -> Result<(), TrackerError> {
        self.protect_by_temperature(pages, true)
    }

    /// A page that was noted before its chunk became hot is found by the scan if it was written again.
    fn protect_cold(&self, pages: Range<usize>) -> Result<(), TrackerError> {
        self.protect_by_temperature(pages, false)
    }

    fn protect_by_temperature(
        &self,
        pages: Range<usize>,
        hot_too: bool,
    ) -> Result<(), TrackerError> {
        let mut rest = pages;
        while !rest.is_empty() {
            let (part, is_hot) = self.heat.split(rest.clone());
            rest.start = part.end;
            let by = match (is_hot, hot_too) {
                (true, false) => continue,
                (true, true) => &self.hot,
                (false, _) => &self.cold,
            };
            on(by, self.addresses(part), Userfault::protect)
                .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
        }
        Ok(())
    }

    /// From now on this is what happens meanwhile.
    #[cfg(test)]
    pub(super) fn set_meanwhile(&mut self, meanwhile: super::tests::Meanwhile) {
        self.meanwhile = meanwhile;
    }

    /// Changes the temperature of one chunk for no reason.
    #[cfg(test)]
    pub(super) fn upset(&mut self, number: u64) {
        let chunks = self.heat.chunk_of(self.noted.capacity() - 1) + 1;
        let chunk = usize::try_from(number).expect("64 bits") % chunks;
        let done = if self.heat.is_hot(chunk) {
            self.make_cold(chunk..chunk + 1)
        } else {
            self.make_hot(chunk)
        };
        assert!(done.expect("changed"));
    }

    /// Whether pages may have been missed, which the next collection says.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Pages may have been missed.
    pub(super) fn fail(&mut self, error: TrackerError) {
        tracing::error!(%error, "the guest's writes cannot be followed any more");
        self.failure.get_or_insert(error);
        // Nobody must wait for us any more: a guest that cannot be stopped hides the reason.
        let mut rest = 0..self.noted.capacity();
        while !rest.is_empty() {
            let (part, _) = self.heat.split(rest.clone());
            rest.start = part.end;
            let _ = on(&self.cold, self.addresses(part.clone()), Userfault::allow);
            let _ = self.wake(part);
        }
    }

    fn addresses(&self, pages: Range<usize>) -> (u64, u64) {
        let address = |page: usize| self.start + (page * PAGE_BYTES) as u64;
        (address(pages.start), address(pages.end))
    }

    fn page_at(&self, address: u64) -> usize {
        usize::try_from(address - self.start).expect("an address space fits in usize") / PAGE_BYTES
    }
}

fn on(
    userfault: &Userfault,
    (start, end): (u64, u64),
    call: fn(&Userfault, u64, u64) -> io::Result<()>,
) -> io::Result<()> {
    call(userfault, start, end - start)
}
