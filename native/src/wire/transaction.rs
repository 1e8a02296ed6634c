//! The receiving side of transactions: pure, no I/O. Nothing of a transaction counts before `Commit` has been checked.
//!
//! ```text
//!            expect()                    Begin            Pages*, Deltas?, DeviceState+, Outputs*
//!  Unready ──────────▶ Idle ────────────────────▶ Open ──────────────────────┐
//!     ▲                 ▲ ▲        Cancel          │ ▲                        │
//!     │                 │ └────────────────────────┤ └────────────────────────┘
//!     │ any violation   │ reset()                  │ Commit, everything matches
//!     └─── (from all)   └───────── Complete ◀──────┘
//! ```

use std::mem;

use thiserror::Error;

use super::deltas::{Deltas, DeltasError};
use super::frame::{FrameKind, Header};
use super::limits::STAGING_RETAINED_BYTES;
use super::outputs::{OutputsError, Packets, announced};
use super::pages::{PageRun, PageRuns, PagesError};
use super::tally::{Tally, Totals};

/// What one frame led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The transaction (if one is open) is not complete.
    Incomplete,
    /// The transaction is complete: acknowledge and apply [`Assembly::transaction`], then [`Assembly::reset`].
    Complete,
}

/// Why a frame does not fit. Everything staged has been dropped; the last complete replica is untouched; the connection
/// is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// No transaction is expected: `expect` was not called, or an earlier frame did not fit.
    #[error("{found:?} frame, but no transaction is expected")]
    Unready {
        /// The frame's kind.
        found: FrameKind,
    },
    /// A frame at a place where the protocol does not have it.
    #[error("{found:?} frame, expected {expected}")]
    Order {
        /// The frame's kind.
        found: FrameKind,
        /// What may come at this place.
        expected: &'static str,
    },
    /// A frame of another history of the guest.
    #[error("{kind:?} frame of generation {found}, expected {expected}")]
    Generation {
        /// The frame's kind.
        kind: FrameKind,
        /// The generation of the replica.
        expected: u64,
        /// The frame's generation.
        found: u64,
    },
    /// A frame of another epoch than the one that comes next.
    #[error("{kind:?} frame of epoch {found}, expected {expected}")]
    Epoch {
        /// The frame's kind.
        kind: FrameKind,
        /// The epoch that comes next.
        expected: u64,
        /// The frame's epoch.
        found: u64,
    },
    /// A payload of fixed length has another one.
    #[error("{kind:?} payload of {found} bytes does not have the right length")]
    PayloadLength {
        /// The frame's kind.
        kind: FrameKind,
        /// Its length, bytes.
        found: usize,
    },
    /// A payload of pages is malformed.
    #[error("pages of the transaction are malformed")]
    Pages(#[from] PagesError),
    /// A payload of changes is malformed.
    #[error("deltas of the transaction are malformed")]
    Deltas(#[from] DeltasError),
    /// A payload of packets is malformed.
    #[error("outputs of the transaction are malformed")]
    Outputs(#[from] OutputsError),
    /// More than the staging area may hold.
    #[error("transaction of more than {limit} bytes")]
    TooLarge {
        /// The bound, bytes.
        limit: usize,
    },
    /// There is no memory for the staging area.
    #[error("no memory to stage a transaction of {bytes} bytes")]
    NoMemory {
        /// What would have been needed, bytes.
        bytes: usize,
    },
    /// Counts or digest differ: a frame is missing or not of this transaction.
    #[error("transaction is {found}, but its commit says {expected}")]
    Totals {
        /// What the primary counted.
        expected: Box<Totals>,
        /// What arrived.
        found: Box<Totals>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unready,
    Idle,
    Pages,
    Deltas,
    DeviceState,
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
    released_epoch: u64,
    tally: Tally,
    staged: Vec<u8>,
    page_payloads: Vec<u32>,
    pages_end: usize,
    deltas_end: usize,
    device_end: usize,
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
            released_epoch: 0,
            tally: Tally::new(),
            staged: Vec::new(),
            page_payloads: Vec::new(),
            pages_end: 0,
            deltas_end: 0,
            device_end: 0,
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
                FrameKind::Pages | FrameKind::Deltas | FrameKind::DeviceState | FrameKind::Cancel,
            )
            | (Phase::Deltas, FrameKind::DeviceState | FrameKind::Cancel)
            | (
                Phase::DeviceState,
                FrameKind::DeviceState | FrameKind::Outputs | FrameKind::Commit | FrameKind::Cancel,
            )
            | (Phase::Outputs, FrameKind::Outputs | FrameKind::Commit | FrameKind::Cancel) => None,
            (Phase::Idle, _) => Some("Begin"),
            (Phase::Pages, _) => Some("Pages, Deltas, DeviceState or Cancel"),
            (Phase::Deltas, _) => Some("DeviceState or Cancel"),
            (Phase::DeviceState, _) => Some("DeviceState, Outputs, Commit or Cancel"),
            (Phase::Outputs, _) => Some("Outputs, Commit or Cancel"),
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
        if header.epoch != self.next_epoch {
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
            FrameKind::Outputs => self.take_outputs(payload)?,
            FrameKind::Commit => return self.take_commit(payload),
            _ => return self.take_cancel(payload),
        }
        self.tally.add_frame(kind, header.payload_checksum);
        Ok(Step::Incomplete)
    }

    fn take_begin(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let released = payload.try_into().map_err(|_| Violation::PayloadLength {
            kind: FrameKind::Begin,
            found: payload.len(),
        })?;
        self.released_epoch = u64::from_le_bytes(released);
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
        self.device_end = self.staged.len();
        self.phase = Phase::DeviceState;
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

    fn take_cancel(&mut self, payload: &[u8]) -> Result<Step, Violation> {
        if !payload.is_empty() {
            return Err(Violation::PayloadLength {
                kind: FrameKind::Cancel,
                found: payload.len(),
            });
        }
        self.drop_staged();
        self.phase = Phase::Idle;
        Ok(Step::Incomplete)
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
    }
}

/// A transaction that is all here and has been checked: the only thing that can be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct CompleteTransaction<'a> {
    assembly: &'a Assembly,
}

impl<'a> CompleteTransaction<'a> {
    /// Its generation.
    pub fn generation(&self) -> u64 {
        self.assembly.generation
    }

    /// Its epoch.
    pub fn epoch(&self) -> u64 {
        self.assembly.next_epoch
    }

    /// The last epoch whose outputs had left the primary when it was made.
    pub fn released_epoch(&self) -> u64 {
        self.assembly.released_epoch
    }

    /// What it consists of.
    pub fn totals(&self) -> Totals {
        self.assembly.tally.totals()
    }

    /// Its pages, to be applied in this order.
    pub fn runs(&self) -> impl Iterator<Item = PageRun<'a>> + use<'a> {
        let assembly = self.assembly;
        let mut pages = &assembly.staged[..assembly.pages_end];
        assembly.page_payloads.iter().flat_map(move |bytes| {
            let (payload, rest) = pages.split_at(*bytes as usize);
            pages = rest;
            PageRuns::of_checked(payload)
        })
    }

    /// Its changed pages, to be applied after the whole ones.
    pub fn deltas(&self) -> Deltas<'a> {
        Deltas::of_checked(&self.assembly.staged[self.assembly.pages_end..self.assembly.deltas_end])
    }

    /// Its device state.
    pub fn device_state(&self) -> &'a [u8] {
        &self.assembly.staged[self.assembly.deltas_end..self.assembly.device_end]
    }

    /// The packets that wait for its ack on the primary, in order.
    pub fn packets(&self) -> Packets<'a> {
        Packets::of_checked(&self.assembly.staged[self.assembly.device_end..])
    }

    /// What [`super::Encoder::ack`] needs, if every page to be changed is here as the primary believes: `holds` says whether
    /// a page has this hash.
    ///
    /// # Errors
    /// The first page that is not. The replica is worth nothing then.
    pub fn acknowledgement(
        &self,
        holds: impl Fn(u64, u64) -> bool,
    ) -> Result<Acknowledgement, u64> {
        match self
            .deltas()
            .find(|delta| !holds(delta.page, delta.base_hash))
        {
            Some(delta) => Err(delta.page),
            None => Ok(Acknowledgement {
                generation: self.generation(),
                epoch: self.epoch(),
            }),
        }
    }
}

/// Proof that a complete transaction was here; made by [`CompleteTransaction::acknowledgement`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Acknowledgement {
    generation: u64,
    epoch: u64,
}

impl Acknowledgement {
    /// The generation that is acknowledged.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The epoch that is acknowledged.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
