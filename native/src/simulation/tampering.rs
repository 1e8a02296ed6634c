//! What is done to bytes on their way, by chance or by somebody: most of it to whole frames, which no checksum tells from
//! those that are as they should be.

use std::ops::Range;

use fastrand::Rng;

use crate::wire::limits::HEADER_BYTES;
use crate::wire::{FrameKind, Header};

/// Most frames that are lost, repeated or moved at once.
const FRAMES_MAX: usize = 3;

/// What may be done to what is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tampering {
    /// A bit is another one.
    Flip,
    /// Something is lost.
    Drop,
    /// Something comes once more, at once or later.
    Repeat,
    /// Something comes before what was sent before it.
    Swap,
    /// Something of an older connection comes: in place of the frame that has its number, if there is one.
    Foreign,
    /// A transaction is said once more, by a peer that has lost count: its frames bear the numbers that come next.
    Again,
}

impl Tampering {
    /// All that there is.
    pub(super) const ALL: [Self; 6] = [
        Self::Flip,
        Self::Drop,
        Self::Repeat,
        Self::Swap,
        Self::Foreign,
        Self::Again,
    ];

    /// Changes `bytes`, in which an older connection had `older`; false if there was nothing to be changed.
    pub(super) fn apply(self, bytes: &mut Vec<u8>, older: Option<&[u8]>, chance: &mut Rng) -> bool {
        // Now and then anywhere.
        let cuts = if chance.usize(0..4) == 0 {
            let mut cuts: Vec<usize> = (0..6).map(|_| chance.usize(0..=bytes.len())).collect();
            cuts.sort_unstable();
            cuts.dedup();
            cuts
        } else {
            cuts_of(bytes)
        };
        match self {
            Self::Flip if !bytes.is_empty() => {
                let at = chance.usize(0..bytes.len());
                bytes[at] ^= 1 << chance.u32(0..8);
                true
            }
            Self::Flip => false,
            Self::Drop => some(&cuts, chance).is_some_and(|lost| {
                bytes.drain(lost);
                true
            }),
            Self::Repeat => some(&cuts, chance).is_some_and(|said| {
                let again = bytes[said.clone()].to_vec();
                let later: Vec<usize> = cuts.into_iter().filter(|&cut| cut >= said.end).collect();
                let at = later[chance.usize(0..later.len())];
                bytes.splice(at..at, again);
                true
            }),
            Self::Swap => some(&cuts, chance).is_some_and(|first| {
                let later: Vec<usize> = cuts.into_iter().filter(|&cut| cut > first.end).collect();
                let end = later.get(chance.usize(0..FRAMES_MAX)).copied();
                end.is_some_and(|end| {
                    bytes[first.start..end].rotate_left(first.len());
                    true
                })
            }),
            Self::Foreign => older.is_some_and(|older| foreign(bytes, &cuts, older, chance)),
            Self::Again => again(bytes),
        }
    }
}

/// The header at `at`, if one is there.
fn header_at(bytes: &[u8], at: usize) -> Option<Header> {
    let header = bytes.get(at..)?.first_chunk::<HEADER_BYTES>()?;
    Header::decode(header).ok()
}

/// Where the frames that are whole begin, and where the last one ends. Of the first one in `bytes` some may have arrived.
fn cuts_of(bytes: &[u8]) -> Vec<usize> {
    let begin = (0..bytes.len()).find(|&at| header_at(bytes, at).is_some());
    let mut cuts = Vec::from_iter(begin);
    while let Some(&at) = cuts.last()
        && let Some(header) = header_at(bytes, at)
    {
        let end = at + HEADER_BYTES + header.payload_len as usize;
        if end > bytes.len() {
            break;
        }
        cuts.push(end);
    }
    cuts
}

/// From one cut to one of the next.
fn some(cuts: &[usize], chance: &mut Rng) -> Option<Range<usize>> {
    let pieces = cuts.len().checked_sub(1).filter(|&pieces| pieces > 0)?;
    let first = chance.usize(0..pieces);
    let last = first + chance.usize(0..FRAMES_MAX.min(pieces - first));
    Some(cuts[first]..cuts[last + 1])
}

fn foreign(bytes: &mut Vec<u8>, cuts: &[usize], older: &[u8], chance: &mut Rng) -> bool {
    let theirs = cuts_of(older);
    let (Some(ours), Some(piece)) = (some(cuts, chance), some(&theirs, chance)) else {
        return false;
    };
    let number = header_at(bytes, ours.start).map(|header| header.sequence);
    let same = theirs.windows(2).find(|frame| {
        number.is_some_and(|number| header_at(older, frame[0]).map(|h| h.sequence) == Some(number))
    });
    if let Some(frame) = same {
        let end = cuts.iter().find(|&&cut| cut > ours.start);
        let end = *end.expect("what there is some of has an end");
        bytes.splice(ours.start..end, older[frame[0]..frame[1]].iter().copied());
    } else {
        bytes.splice(ours.start..ours.start, older[piece].iter().copied());
    }
    true
}

fn again(bytes: &mut Vec<u8>) -> bool {
    let cuts = cuts_of(bytes);
    let frames = || {
        let places = cuts.windows(2).map(|frame| frame[0]..frame[1]);
        places.filter_map(|place| Some((header_at(bytes, place.start)?, place)))
    };
    let Some((begin, from)) = frames().find(|(header, _)| header.kind == FrameKind::Begin) else {
        return false;
    };
    let is_its = |header: &Header| header.epoch == begin.epoch && header.kind.is_transaction();
    let Some((commit, to)) =
        frames().find(|(header, _)| header.kind == FrameKind::Commit && is_its(header))
    else {
        return false;
    };
    let said = frames().filter(|(header, place)| place.start >= from.start && is_its(header));
    let repeated: Vec<u8> = said
        .zip(commit.sequence + 1..)
        .flat_map(|((header, place), sequence)| {
            let header = Header { sequence, ..header };
            let payload = &bytes[place.start + HEADER_BYTES..place.end];
            [&header.encode()[..], payload].concat()
        })
        .collect();
    bytes.splice(to.end..to.end, repeated);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ControlKind, Direction, FrameReader, Opening, Outgoing, Progress};

    /// Frames of this session: three that stand alone, and a transaction.
    fn connection(session: u64) -> Vec<u8> {
        let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
        direction.join(session);
        let mut encoder = direction.encoder(&mut outgoing);
        for number in 0..3 {
            encoder.control(ControlKind::Input, 1, number, &[7; 90]);
        }
        encoder.begin(1, 9, &Opening::default());
        encoder.device_state(&[5; 300], 0..300, None);
        encoder.commit();
        let mut wire = Vec::new();
        let written = outgoing.write_to(&mut wire, &[5; 300]);
        assert_eq!(written.expect("memory"), Progress::Done);
        wire
    }

    fn sequences(wire: &[u8]) -> Vec<u64> {
        cuts_of(wire)
            .iter()
            .filter_map(|&at| header_at(wire, at).map(|header| header.sequence))
            .collect()
    }

    /// Whether a reader takes all of it.
    fn is_taken(wire: &[u8]) -> bool {
        let mut reader = FrameReader::new();
        reader.join(7);
        reader.fill(&mut &wire[..]).expect("memory");
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => return reader.buffered_bytes() == 0,
                Err(_) => return false,
            }
        }
    }

    #[test]
    fn frames_are_found_wherever_the_bytes_begin() {
        let wire = connection(7);
        assert_eq!(sequences(&wire), (0..6).collect::<Vec<_>>());
        for from in [1, 100, 154] {
            assert_eq!(sequences(&wire[from..]), (1..6).collect::<Vec<_>>());
        }
        let torn = &wire[..wire.len() - 1];
        assert_eq!(*cuts_of(torn).last().expect("some"), cuts_of(&wire)[5]);
        assert!(cuts_of(&[]).is_empty() && cuts_of(&wire[1..50]).is_empty());
    }

    #[test]
    fn what_is_done_to_whole_frames_only_their_numbers_tell() {
        let (ours, theirs) = (connection(7), connection(8));
        let mut chance = Rng::with_seed(1);
        for how in [Tampering::Drop, Tampering::Repeat, Tampering::Swap] {
            let mut found = 0;
            for _ in 0..200 {
                let mut wire = ours.clone();
                if how.apply(&mut wire, Some(&theirs), &mut chance) && wire != ours {
                    let begins_and_ends = cuts_of(&wire);
                    let is_whole = begins_and_ends.first() == Some(&0)
                        && begins_and_ends.last() == Some(&wire.len());
                    found += usize::from(is_whole);
                    let is_cut_short = ours.starts_with(&wire);
                    assert_eq!(is_taken(&wire), is_cut_short && is_whole, "{how:?}");
                }
            }
            assert!(found > 50, "{how:?}: {found}");
        }
    }

    #[test]
    fn a_foreign_frame_has_the_number_of_the_one_whose_place_it_takes() {
        let (ours, theirs) = (connection(7), connection(8));
        let mut chance = Rng::with_seed(2);
        let mut found = 0;
        for _ in 0..200 {
            let mut wire = ours.clone();
            assert!(
                Tampering::Foreign.apply(&mut wire, Some(&theirs), &mut chance) || wire == ours
            );
            assert!(wire == ours || !is_taken(&wire));
            found += usize::from(wire != ours && sequences(&wire) == sequences(&ours));
        }
        assert!(found > 50, "{found}");
    }

    #[test]
    fn a_transaction_that_is_said_again_is_told_by_nothing_but_its_epoch() {
        let mut wire = connection(7);
        let mut chance = Rng::with_seed(3);
        assert!(Tampering::Again.apply(&mut wire, None, &mut chance));
        assert_eq!(sequences(&wire), (0..9).collect::<Vec<_>>());
        assert!(is_taken(&wire));
    }
}
