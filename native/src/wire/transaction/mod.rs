//! The receiving side of transactions: pure, no I/O. Nothing of a transaction counts before `Commit` has been checked.
//!
//! ```text
//!            expect()              Begin      Pages*, Deltas?, (DeviceState+ or DeviceDelta), Outputs*
//!  Unready ──────────▶ Idle ──────────────▶ Open ──────────────────────┐
//!     ▲                 ▲                    │ ▲                        │
//!     │ any violation   │ reset()            │ └────────────────────────┘
//!     │                 │                    │ Commit, everything matches
//!     └─── (from all)   └───── Complete ◀────┘
//! ```

mod complete;
mod violation;

use std::mem;

use super::deltas::Deltas;
use super::device_delta::DeviceDelta;
use super::frame::{FrameKind, Header};
use super::limits::{MAX_DEVICE_STATE, STAGING_RETAINED_BYTES};
use super::opening::Opening;
use super::outputs::{Packets, announced};
use super::pages::PageRuns;
use super::tally::{Tally, Totals};
use crate::fault::{Fault, makes};

pub use complete::{Acknowledgement, Committed, CompleteTransaction, DeviceState};
pub use violation::Violation;

/// What one frame led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The transaction (if one is open) is not complete.
    Incomplete,
    /// The transaction is complete: acknowledge and apply [`Assembly::transaction`], then [`Assembly::reset`].
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unready,
    Idle,
    Pages,
    Deltas,
    DeviceState,
    DeviceDelta,
    Outputs,
    Complete,
}

/// Puts a transaction together and checks it. One reusable staging area: pages, then device state, then outputs.
#[derive(Debug)]
pub struct Assembly {
    guest_pages: u64,
    limit_bytes: usize,
    retained_bytes: usize,
    phase: Phase,
    generation: u64,
    next_epoch: u64,
    opening: Opening,
    tally: Tally,
    staged: Vec<u8>,
    page_payloads: Vec<u32>,
    pages_end: usize,
    deltas_end: usize,
    device_end: usize,
    device_is_delta: bool,
}

impl Assembly {
    /// For a guest of `guest_pages` pages; a transaction of more than `limit_bytes` is refused
    /// (see [`super::limits::default_staging_bytes`]).
    pub fn new(guest_pages: u64, limit_bytes: usize) -> Self {
        Self {
            guest_pages,
            limit_bytes,
            retained_bytes: STAGING_RETAINED_BYTES.min(limit_bytes),
            phase: Phase::Unready,
            generation: 0,
            next_epoch: 0,
            opening: Opening::default(),
            tally: Tally::new(),
            staged: Vec::new(),
            page_payloads: Vec::new(),
            pages_end: 0,
            deltas_end: 0,
            device_end: 0,
            device_is_delta: false,
        }
    }

    /// Takes and touches memory for transactions of up to `bytes`, and keeps that much from now on.
    ///
    /// # Errors
    /// [`Violation::NoMemory`] if there is not that much, [`Violation::TooLarge`] if it is beyond the bound.
    ///
    /// # Panics
    /// If a transaction is staged.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Violation> {
        assert!(
            self.staged.is_empty(),
            "memory is reserved before a transaction"
        );
        self.grow(bytes)?;
        self.staged.resize(bytes, 0);
        self.staged.clear();
        self.retained_bytes = self.retained_bytes.max(bytes);
        Ok(())
    }

    /// Says which transaction comes next: at every new connection and at every start of a baseline. What was staged and not
    /// complete is dropped.
    ///
    /// # Panics
    /// If a complete transaction has not been applied and reset: it may have been acknowledged.
    pub fn expect(&mut self, generation: u64, next_epoch: u64) {
        assert!(
            self.phase != Phase::Complete,
            "a complete transaction must be applied first"
        );
        self.drop_staged();
        self.phase = Phase::Idle;
        self.generation = generation;
        self.next_epoch = next_epoch;
    }

    /// Drops what is staged and expects nothing until the next `expect` (the connection is lost, the baseline begins).
    ///
    /// # Panics
    /// If a complete transaction has not been applied and reset: it may have been acknowledged.
    pub fn abandon(&mut self) {
        assert!(
            self.phase != Phase::Complete,
            "a complete transaction must be applied first"
        );
        self.drop_staged();
        self.phase = Phase::Unready;
    }

    /// Takes a frame whose checksums and number [`super::FrameReader`] has checked.
    ///
    /// # Errors
    /// [`Violation`] if it does not fit; then everything staged is dropped and nothing is taken until `expect`.
    ///
    /// # Panics
    /// If a complete transaction has not been applied and reset.
    pub fn feed(&mut self, header: &Header, payload: &[u8]) -> Result<Step, Violation> {
        assert!(
            self.phase != Phase::Complete,
            "a complete transaction must be applied first"
        );
        let result = self.take(header, payload);
        if result.is_err() {
            self.drop_staged();
            self.phase = Phase::Unready;
        }
        result
    }

    /// The complete transaction, if there is one.
    pub fn transaction(&self) -> Option<CompleteTransaction<'_>> {
        (self.phase == Phase::Complete).then_some(CompleteTransaction { assembly: self })
    }

    /// The complete transaction has been applied: its memory is free and the next epoch is expected.
    ///
    /// # Panics
    /// If there is no complete transaction.
    pub fn reset(&mut self) {
        assert!(
            self.phase == Phase::Complete,
            "there is no complete transaction"
        );
        self.drop_staged();
        self.phase = Phase::Idle;
        self.next_epoch += 1;
    }

    /// The complete transaction, which was not acknowledged, does not fit what is here: it never was.
    ///
    /// # Panics
    /// If there is no complete transaction.
    pub fn reject(&mut self) {
        assert!(
            self.phase == Phase::Complete,
            "there is no complete transaction"
        );
        self.drop_staged();
        self.phase = Phase::Unready;
    }

    fn take(&mut self, header: &Header, payload: &[u8]) -> Result<Step, Violation> {
        let kind = header.kind;
        let expected = match (self.phase, kind) {
            (Phase::Unready | Phase::Complete, _) => {
                return Err(Violation::Unready { found: kind });
            }
            (Phase::Idle, FrameKind::Begin)
            | (
                Phase::Pages,
                FrameKind::Pages
                | FrameKind::Deltas
                | FrameKind::DeviceState
                | FrameKind::DeviceDelta,
            )
            | (Phase::Deltas, FrameKind::DeviceState | FrameKind::DeviceDelta)
            | (
                Phase::DeviceState,
                FrameKind::DeviceState | FrameKind::Outputs | FrameKind::Commit,
            )
            | (Phase::DeviceDelta | Phase::Outputs, FrameKind::Outputs | FrameKind::Commit) => None,
            (Phase::Idle, _) => Some("Begin"),
            (Phase::Pages, _) => Some("Pages, Deltas, DeviceState or DeviceDelta"),
            (Phase::Deltas, _) => Some("DeviceState or DeviceDelta"),
            (Phase::DeviceState, _) => Some("DeviceState, Outputs or Commit"),
            (Phase::DeviceDelta | Phase::Outputs, _) => Some("Outputs or Commit"),
        };
        if let Some(expected) = expected {
            return Err(Violation::Order {
                found: kind,
                expected,
            });
        }
        if header.generation != self.generation {
            return Err(Violation::Generation {
                kind,
                expected: self.generation,
                found: header.generation,
            });
        }
        if header.epoch != self.next_epoch && !makes(Fault::AnyEpoch) {
            return Err(Violation::Epoch {
                kind,
                expected: self.next_epoch,
                found: header.epoch,
            });
        }
        match kind {
            FrameKind::Begin => self.take_begin(payload)?,
            FrameKind::Pages => self.take_pages(payload)?,
            FrameKind::Deltas => self.take_deltas(payload)?,
            FrameKind::DeviceState => self.take_device_state(payload)?,
            FrameKind::DeviceDelta => self.take_device_delta(payload)?,
            FrameKind::Outputs => self.take_outputs(payload)?,
            _ => return self.take_commit(payload),
        }
        self.tally.add_frame(kind, header.payload_checksum);
        Ok(Step::Incomplete)
    }

    fn take_begin(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.opening = Opening::decode(payload).ok_or(Violation::PayloadLength {
            kind: FrameKind::Begin,
            found: payload.len(),
        })?;
        self.tally.restart();
        self.phase = Phase::Pages;
        Ok(())
    }

    fn take_pages(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.tally.pages += PageRuns::decode(payload, self.guest_pages)?.pages();
        let bytes = u32::try_from(payload.len()).map_err(|_| Violation::PayloadLength {
            kind: FrameKind::Pages,
            found: payload.len(),
        })?;
        self.stage(payload)?;
        self.page_payloads.push(bytes);
        self.pages_end = self.staged.len();
        self.deltas_end = self.pages_end;
        self.device_end = self.pages_end;
        Ok(())
    }

    fn take_deltas(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let (_, count) = Deltas::decode(payload, self.guest_pages)?;
        self.stage(payload)?;
        self.tally.pages += u64::from(count);
        self.deltas_end = self.staged.len();
        self.device_end = self.deltas_end;
        self.phase = Phase::Deltas;
        Ok(())
    }

    fn take_device_state(&mut self, payload: &[u8]) -> Result<(), Violation> {
        if payload.is_empty() {
            return Err(Violation::PayloadLength {
                kind: FrameKind::DeviceState,
                found: 0,
            });
        }
        self.stage(payload)?;
        self.tally.device_bytes += payload.len() as u64;
        if self.tally.device_bytes > MAX_DEVICE_STATE as u64 {
            return Err(Violation::DeviceState);
        }
        self.device_end = self.staged.len();
        self.phase = Phase::DeviceState;
        Ok(())
    }

    fn take_device_delta(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let delta = DeviceDelta::decode(payload)?;
        self.stage(payload)?;
        self.tally.device_bytes += delta.bytes as u64;
        self.device_end = self.staged.len();
        self.device_is_delta = true;
        self.phase = Phase::DeviceDelta;
        Ok(())
    }

    fn take_outputs(&mut self, payload: &[u8]) -> Result<(), Violation> {
        Packets::decode(payload)?;
        self.stage(payload)?;
        self.tally.packets += u64::from(announced(payload));
        self.phase = Phase::Outputs;
        Ok(())
    }

    fn take_commit(&mut self, payload: &[u8]) -> Result<Step, Violation> {
        let expected = Totals::decode(payload).ok_or(Violation::PayloadLength {
            kind: FrameKind::Commit,
            found: payload.len(),
        })?;
        let found = self.tally.totals();
        if found != expected {
            return Err(Violation::Totals {
                expected: Box::new(expected),
                found: Box::new(found),
            });
        }
        self.phase = Phase::Complete;
        Ok(Step::Complete)
    }

    fn stage(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.grow(self.staged.len() + payload.len())?;
        self.staged.extend_from_slice(payload);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Violation> {
        let limit = self.limit_bytes;
        if bytes > limit {
            return Err(Violation::TooLarge { limit });
        }
        let capacity = self.staged.capacity();
        if bytes > capacity {
            let wanted = capacity.saturating_mul(2).clamp(bytes, limit);
            let additional = wanted - self.staged.len();
            self.staged
                .try_reserve_exact(additional)
                .map_err(|_| Violation::NoMemory { bytes: wanted })?;
        }
        Ok(())
    }

    fn drop_staged(&mut self) {
        self.staged.clear();
        self.staged.shrink_to(self.retained_bytes);
        self.page_payloads.clear();
        self.page_payloads
            .shrink_to(STAGING_RETAINED_BYTES / mem::size_of::<u32>() / 16);
        self.pages_end = 0;
        self.deltas_end = 0;
        self.device_end = 0;
        self.device_is_delta = false;
    }
}
