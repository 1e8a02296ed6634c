//! Which tracker can be used here, and if it is the slow one, why.

use std::io;

use crate::limits::PAGE_BYTES;
use crate::spec::TrackerWish;
use crate::sys::memory::{MemoryFile, SharedMapping};
use crate::sys::pagemap::{Pagemap, Rearm, Region};
use crate::sys::userfault::{Mode, Userfault};

/// A way to find the pages that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`super::PageTables`].
    PageTables,
    /// [`super::Compare`].
    Compare,
}

/// A tracker and, where it is a fallback, the reason.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What will be used.
    pub kind: Kind,
    /// Why it is not the fast one.
    pub reason: Option<String>,
}

/// Chooses by what the kernel offers.
///
/// # Errors
/// A sentence, if page tables were demanded and cannot be used.
pub fn choose(wish: TrackerWish) -> Result<Choice, String> {
    decide(wish, || {
        obstacle().map(|error| crate::report::chain(&error))
    })
}

fn decide(wish: TrackerWish, obstacle: impl FnOnce() -> Option<String>) -> Result<Choice, String> {
    if wish == TrackerWish::Compare {
        return Ok(Choice {
            kind: Kind::Compare,
            reason: Some("comparing was asked for".to_owned()),
        });
    }
    match (wish, obstacle()) {
        (_, None) => Ok(Choice {
            kind: Kind::PageTables,
            reason: None,
        }),
        (TrackerWish::PagemapScan, Some(why)) => Err(format!(
            "this kernel cannot track the guest's written pages ({why}): boot Linux 6.7 or later, or set tracker to \
             \"auto\" to compare all of guest RAM at every checkpoint, which is slow"
        )),
        (_, Some(why)) => Ok(Choice {
            kind: Kind::Compare,
            reason: Some(format!(
                "this kernel cannot track written pages, which needs Linux 6.7 or later: {why}"
            )),
        }),
    }
}

/// What the kernel lacks, found out on a page of our own.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("no userfaultfd")]
    Userfault(#[source] io::Error),
    #[error("no asynchronous write protection of shared memory")]
    Protection(#[source] io::Error),
    #[error("no PAGEMAP_SCAN")]
    Scan(#[source] io::Error),
    #[error("a page to try it on is not to be had")]
    Page(#[source] io::Error),
}

fn obstacle() -> Option<Obstacle> {
    try_out().err()
}

fn try_out() -> Result<(), Obstacle> {
    let file = MemoryFile::create("kemari-probe", PAGE_BYTES).map_err(Obstacle::Page)?;
    let page = SharedMapping::new(&file).map_err(Obstacle::Page)?;
    let (start, bytes) = (page.address(), PAGE_BYTES as u64);
    let open = || Userfault::open_own().map_err(Obstacle::Userfault);
    Userfault::negotiate(open()?, Mode::Reported).map_err(Obstacle::Protection)?;
    let notes = Userfault::negotiate(open()?, Mode::Noted).map_err(Obstacle::Protection)?;
    notes
        .register(start, bytes)
        .and_then(|()| notes.protect(start, bytes))
        .map_err(Obstacle::Protection)?;
    Pagemap::open(std::process::id())
        .and_then(|pagemap| {
            let mut regions = [Region::default()];
            pagemap.scan(start, start + bytes, Rearm::Atomically, &mut regions)
        })
        .map_err(Obstacle::Scan)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_kernels_help_auto_compares_and_says_why() {
        let choice =
            decide(TrackerWish::Auto, || Some("no PAGEMAP_SCAN".to_owned())).expect("fallback");
        assert_eq!(choice.kind, Kind::Compare);
        let reason = choice.reason.expect("a reason");
        assert!(
            reason.contains("6.7") && reason.contains("no PAGEMAP_SCAN"),
            "{reason}"
        );
    }

    #[test]
    fn what_is_demanded_is_used_or_refused() {
        let missing = || Some("no userfaultfd".to_owned());
        let refusal = decide(TrackerWish::PagemapScan, missing).expect_err("demanded");
        assert!(
            refusal.contains("no userfaultfd") && refusal.contains("boot"),
            "{refusal}"
        );
        for wish in [TrackerWish::Auto, TrackerWish::PagemapScan] {
            let choice = decide(wish, || None).expect("possible");
            assert_eq!((choice.kind, choice.reason), (Kind::PageTables, None));
        }
        let choice = decide(TrackerWish::Compare, || None).expect("always possible");
        assert_eq!(choice.kind, Kind::Compare);
        assert!(choice.reason.is_some());
    }

    #[test]
    fn the_kernel_of_a_supported_host_passes_the_probe() {
        // The suite runs where the engine does; a host that cannot is found out here and not by a hundred other tests.
        assert!(choose(TrackerWish::Auto).expect("auto").reason.is_none());
    }
}
