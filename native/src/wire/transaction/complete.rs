//! A transaction that is all here.

use std::fmt;

use super::super::deltas::Deltas;
use super::super::device_delta::DeviceDelta;
use super::super::opening::Opening;
use super::super::outputs::Packets;
use super::super::pages::{PageRun, PageRuns};
use super::super::tally::Totals;
use super::Assembly;

/// Something that the primary believes the secondary to have committed, and that a transaction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// A page.
    Page {
        /// Its number.
        page: u64,
        /// The [`page_hash`](super::super::page_hash) that it should have.
        hash: u64,
    },
    /// The device state.
    DeviceState {
        /// The [`device_state_hash`](super::super::device_state_hash) that it should have.
        hash: u64,
    },
}

impl fmt::Display for Committed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page { page, .. } => write!(formatter, "page {page}"),
            Self::DeviceState { .. } => write!(formatter, "the device state"),
        }
    }
}

/// The device state of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// What has changed in the one before.
    Delta(DeviceDelta<'a>),
}

/// A transaction that is all here and has been checked: the only thing that can be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct CompleteTransaction<'a> {
    pub(super) assembly: &'a Assembly,
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

    /// How the primary and its guest were when it was made.
    pub fn opening(&self) -> &'a Opening {
        &self.assembly.opening
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
    pub fn device_state(&self) -> DeviceState<'a> {
        let assembly = self.assembly;
        let staged = &assembly.staged[assembly.deltas_end..assembly.device_end];
        if assembly.device_is_delta {
            DeviceState::Delta(DeviceDelta::of_checked(staged))
        } else {
            DeviceState::Whole(staged)
        }
    }

    /// The packets that wait for its ack on the primary, in order.
    pub fn packets(&self) -> Packets<'a> {
        Packets::of_checked(&self.assembly.staged[self.assembly.device_end..])
    }

    /// What [`Encoder::ack`](super::super::Encoder::ack) needs, if all that is to be changed is here as the primary believes:
    /// `holds` says whether that is so.
    ///
    /// # Errors
    /// The first that is not. The replica is worth nothing then.
    pub fn acknowledgement(
        &self,
        holds: impl Fn(Committed) -> bool,
    ) -> Result<Acknowledgement, Committed> {
        let device_state = match self.device_state() {
            DeviceState::Whole(_) => None,
            DeviceState::Delta(delta) => Some(Committed::DeviceState {
                hash: delta.base_hash,
            }),
        };
        let pages = self.deltas().map(|delta| Committed::Page {
            page: delta.page,
            hash: delta.base_hash,
        });
        match device_state.into_iter().chain(pages).find(|&it| !holds(it)) {
            Some(missing) => Err(missing),
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
