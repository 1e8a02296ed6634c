//! The memory that the engine and the library inside QEMU share.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are shared: one page of memory, of which [`Page`] is the beginning.
pub const PAGE_BYTES: usize = 4096;

/// All zero at first. Each word has one writer; all times are `CLOCK_MONOTONIC` of this host in nanoseconds.
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name")]
#[derive(Debug, Default)]
#[repr(C)]
pub struct Page {
    catch_up_max_ns: AtomicU64,
    still_since_ns: AtomicU64,
    stopped_since_ns: AtomicU64,
    stood_ns: AtomicU64,
    lost_ns: AtomicU64,
}

impl Page {
    /// The engine, before QEMU starts: by how much the guest may be set forward at once.
    pub fn set_catch_up_max_ns(&self, ns: u64) {
        self.catch_up_max_ns.store(ns, Ordering::Release);
    }

    /// In QEMU: see [`Page::set_catch_up_max_ns`].
    pub fn catch_up_max_ns(&self) -> u64 {
        self.catch_up_max_ns.load(Ordering::Acquire)
    }

    /// The engine, before the guest runs in this QEMU for the first time: since when its time stands still.
    pub fn set_still_since_ns(&self, ns: u64) {
        self.still_since_ns.store(ns.max(1), Ordering::Release);
    }

    /// In QEMU: see [`Page::set_still_since_ns`]. `None` until it is set.
    pub fn still_since_ns(&self) -> Option<u64> {
        Some(self.still_since_ns.load(Ordering::Acquire)).filter(|&ns| ns != 0)
    }

    /// In QEMU: the guest is stopped since `ns`.
    pub fn note_stop(&self, ns: u64) {
        self.stopped_since_ns.store(ns.max(1), Ordering::Release);
    }

    /// In QEMU: the guest runs, after it has stood still for `stood_ns`, of which `lost_ns` its clocks will lack.
    pub fn note_start(&self, stood_ns: u64, lost_ns: u64) {
        self.stopped_since_ns.store(0, Ordering::Release);
        self.stood_ns.fetch_add(stood_ns, Ordering::AcqRel);
        self.lost_ns.fetch_add(lost_ns, Ordering::AcqRel);
    }

    /// The engine: since when the guest is stopped, `None` while it runs.
    pub fn stopped_since_ns(&self) -> Option<u64> {
        Some(self.stopped_since_ns.load(Ordering::Acquire)).filter(|&ns| ns != 0)
    }

    /// The engine: how long the guest has stood still in this QEMU, a stop that lasts not counted.
    pub fn stood_ns(&self) -> u64 {
        self.stood_ns.load(Ordering::Acquire)
    }

    /// The engine: by how much the guest's clocks have fallen behind in this QEMU.
    pub fn lost_ns(&self) -> u64 {
        self.lost_ns.load(Ordering::Acquire)
    }
}

const _: () = assert!(size_of::<Page>() <= PAGE_BYTES);
