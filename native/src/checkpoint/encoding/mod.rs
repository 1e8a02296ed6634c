//! How the next epoch is best sent: as whole pages, as what has changed, packed. By what each of them was measured to cost on
//! this host, with this guest, over this link. Pure: whoever calls it takes the times.
//!
//! The cost of a page is the time to make ready what travels of it and the time that the link takes for that. A link is
//! known by its epochs ([`LinkRate`]) or by how fast a baseline drains. What is in use is measured by its use; what is not is
//! tried out now and then, where nobody waits: a codec on a sample of an acknowledged epoch, changes on one epoch.

mod average;
mod link_rate;

use average::Average;
use serde::{Deserialize, Serialize};

pub use link_rate::{DrainRate, LinkRate};

use super::tuning::Compression;
use crate::limits::PAGE_BYTES;
use crate::wire::Codec;

/// Something else is chosen only if it costs less than this share of what is in use: measurements tremble.
const CLEARLY_LESS: f64 = 0.85;
/// Epochs from one trial to the next.
const EPOCHS_BETWEEN_TRIALS: u32 = 256;
/// A link that is not known yet carries 10 Gbit/s: then nothing is packed without need.
pub const UNKNOWN_LINK_NS_PER_BYTE: f64 = 0.8;
/// What making a page ready takes as long as that is not known (xxh3 of 4 KiB; a comparison and a copy of it more).
const UNKNOWN_WHOLE_NS: f64 = 400.0;
const UNKNOWN_CHANGES_NS: f64 = 1000.0;

/// How an epoch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Of pages that the secondary is known to have, only the changes.
    pub changes: bool,
    /// How all of it is packed.
    pub codec: Option<Codec>,
}

impl Encoding {
    /// The word that status uses.
    pub fn shown(self) -> EncodingName {
        match (self.codec, self.changes) {
            (Some(Codec::Lz4), _) => EncodingName::Lz4,
            (Some(Codec::Zstd), _) => EncodingName::Zstd,
            (None, true) => EncodingName::Delta,
            (None, false) => EncodingName::Raw,
        }
    }
}

/// What status says of how epochs are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncodingName {
    /// Whole pages.
    Raw,
    /// What has changed.
    Delta,
    /// Packed by LZ4.
    Lz4,
    /// Packed by Zstandard.
    Zstd,
}

/// What was measured of making pages ready.
#[derive(Debug, Clone, Copy, Default)]
struct PageCost {
    ns: Average,
    bytes: Average,
}

/// What was measured of a codec: both ways, by byte of what is packed.
#[derive(Debug, Clone, Copy, Default)]
struct CodecCost {
    ns: Average,
    ratio: Average,
}

/// Measurements, and what follows from them.
#[derive(Debug, Clone)]
pub struct Chooser {
    compression: Compression,
    can_have_changes: bool,
    whole: PageCost,
    changed: PageCost,
    noting_ns: Average,
    codecs: [CodecCost; Codec::ALL.len()],
    link_ns: Option<f64>,
    settled: Encoding,
    epochs: u32,
}

impl Chooser {
    /// For epochs, whose pages may be known to the secondary.
    pub fn for_epochs(compression: Compression) -> Self {
        Self::new(compression, true)
    }

    /// For a baseline, of which the secondary has nothing.
    pub fn for_baseline(compression: Compression) -> Self {
        Self::new(compression, false)
    }

    fn new(compression: Compression, can_have_changes: bool) -> Self {
        let codec = match compression {
            Compression::Off | Compression::Auto => None,
            Compression::Lz4 => Some(Codec::Lz4),
            Compression::Zstd => Some(Codec::Zstd),
        };
        Self {
            compression,
            can_have_changes,
            whole: PageCost::default(),
            changed: PageCost::default(),
            noting_ns: Average::default(),
            codecs: [CodecCost::default(); Codec::ALL.len()],
            link_ns: None,
            settled: Encoding {
                changes: can_have_changes,
                codec,
            },
            epochs: 0,
        }
    }

    /// The user has another wish.
    pub fn wish(&mut self, compression: Compression) {
        if compression != self.compression {
            let wished = Self::new(compression, self.can_have_changes);
            (self.compression, self.settled) = (compression, wished.settled);
        }
    }

    /// How the next epoch is sent: what was settled on, or changes, once, to see what they cost now.
    pub fn next(&self) -> Encoding {
        let is_trial = self.can_have_changes && self.epochs.is_multiple_of(EPOCHS_BETWEEN_TRIALS);
        Encoding {
            changes: self.settled.changes || is_trial,
            ..self.settled
        }
    }

    /// What was settled on.
    pub fn settled(&self) -> Encoding {
        self.settled
    }

    /// The codec to be tried out with the next epoch, if it is time for one.
    pub fn trial(&self) -> Option<Codec> {
        let (turn, rest) = (
            self.epochs / EPOCHS_BETWEEN_TRIALS,
            self.epochs % EPOCHS_BETWEEN_TRIALS,
        );
        // All at the beginning, then one at a time.
        let early = usize::try_from(self.epochs).unwrap_or(usize::MAX);
        let due = if early < Codec::ALL.len() {
            Some(early)
        } else {
            (rest == 1).then_some(turn as usize % Codec::ALL.len())
        };
        due.filter(|_| self.compression == Compression::Auto)
            .map(|index| Codec::ALL[index])
    }

    /// `pages` pages were made ready by `encoding` in `ns`; they came to `plain_bytes`, before any of it was packed.
    pub fn encoded(&mut self, encoding: Encoding, pages: u64, plain_bytes: u64, ns: u64) {
        if pages == 0 {
            return;
        }
        let cost = if encoding.changes {
            &mut self.changed
        } else {
            &mut self.whole
        };
        cost.bytes.add(ratio(plain_bytes, pages));
        // Packing is not told apart from the rest.
        if encoding.codec.is_none() {
            cost.ns.add_time(ratio(ns, pages));
        }
    }

    /// `pages` pages were noted for changes to come, in `ns`.
    pub fn noted(&mut self, pages: u64, ns: u64) {
        if pages > 0 {
            self.noting_ns.add_time(ratio(ns, pages));
        }
    }

    /// `codec` was tried out: `plain_bytes` came to `packed_bytes`; both ways took `ns`.
    pub fn tried(&mut self, codec: Codec, plain_bytes: u64, packed_bytes: u64, ns: u64) {
        if plain_bytes > 0 {
            let cost = &mut self.codecs[index(codec)];
            cost.ns.add_time(ratio(ns, plain_bytes));
            cost.ratio.add(ratio(packed_bytes, plain_bytes));
        }
    }

    /// What the link takes for a byte, nanoseconds.
    pub fn link(&mut self, ns_per_byte: f64) {
        self.link_ns = Some(ns_per_byte);
    }

    /// An epoch is over: settles on what is clearly cheapest now.
    pub fn settle(&mut self) {
        self.epochs = self.epochs.wrapping_add(1);
        let cheapest = self
            .possible()
            .min_by(|a, b| self.cost(*a).total_cmp(&self.cost(*b)));
        if let Some(cheapest) = cheapest
            && self.cost(cheapest) < self.cost(self.settled) * CLEARLY_LESS
        {
            self.settled = cheapest;
        }
    }

    /// What a page costs by `encoding`, nanoseconds.
    fn cost(&self, encoding: Encoding) -> f64 {
        let (made_ready, bytes) = if encoding.changes {
            // Noting is over before the next epoch begins, if there is time; on a busy host there is not.
            let noting = self.noting_ns.or(UNKNOWN_CHANGES_NS - UNKNOWN_WHOLE_NS);
            let ns = self.changed.ns.or(UNKNOWN_WHOLE_NS) + noting;
            (ns, self.changed.bytes.or(0.0))
        } else {
            #[expect(clippy::cast_precision_loss, reason = "4096")]
            let page = PAGE_BYTES as f64;
            let ns = self.whole.ns.or(UNKNOWN_WHOLE_NS);
            (ns, self.whole.bytes.or(page))
        };
        made_ready + bytes * self.cost_of_byte(encoding.codec)
    }

    fn cost_of_byte(&self, codec: Option<Codec>) -> f64 {
        let link = self.link_ns.unwrap_or(UNKNOWN_LINK_NS_PER_BYTE);
        match codec.map(|codec| self.codecs[index(codec)]) {
            None => link,
            Some(cost) => cost.ns.or(0.0) + cost.ratio.or(1.0) * link,
        }
    }

    /// What the user's wish and the measurements so far leave to choose from.
    fn possible(&self) -> impl Iterator<Item = Encoding> + use<> {
        let codecs: [Option<Option<Codec>>; 3] = match self.compression {
            Compression::Off => [Some(None), None, None],
            Compression::Lz4 => [Some(Some(Codec::Lz4)), None, None],
            Compression::Zstd => [Some(Some(Codec::Zstd)), None, None],
            Compression::Auto => {
                let known = |codec| {
                    let is_known = self.codecs[index(codec)].ns.is_known();
                    is_known.then_some(Some(codec))
                };
                [Some(None), known(Codec::Lz4), known(Codec::Zstd)]
            }
        };
        let can_have_changes = self.can_have_changes;
        codecs.into_iter().flatten().flat_map(move |codec| {
            [false, true]
                .into_iter()
                .filter(move |changes| can_have_changes || !changes)
                .map(move |changes| Encoding { changes, codec })
        })
    }
}

fn index(codec: Codec) -> usize {
    match codec {
        Codec::Lz4 => 0,
        Codec::Zstd => 1,
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(of: u64, by: u64) -> f64 {
    of as f64 / by as f64
}

#[cfg(test)]
mod tests;
