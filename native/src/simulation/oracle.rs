//! Who watches: knows everything that every guest did, and whether what is seen and kept agrees with the invariants.
//!
//! A *line* is one unbroken history of the guest. Cold starts and promotions begin a new one; a promoted guest's line has a
//! parent, and the moment at which it left it. What the world has seen must all lie in the past of the guest that lives.

use std::collections::{HashMap, VecDeque};

use super::invariant::{Invariant, Violation};
use super::outputs::Outputs;
use super::stamp::{Moment, Stamp};
use super::tally::Tally;
use super::world::NODES;
use crate::limits::PAGE_BYTES;

/// Captures that are kept for comparison; a replica is never further behind.
const CAPTURES_KEPT: usize = 24;

/// What a guest was when it was captured.
pub(super) struct Capture {
    pub(super) at: Moment,
    pub(super) chain: u64,
    pub(super) ram: Vec<u8>,
    /// The last output in it that the engine had taken.
    pub(super) taken: u64,
}

#[derive(Default)]
struct Line {
    parent: Option<Moment>,
    /// The last moment of it that the world has seen something of.
    seen: u64,
    /// The last moment that a secondary has held, in the generation that runs; `None` while the guest is solo.
    held: Option<u64>,
    /// The same, before an order to be solo that was not answered yet.
    before_solo: Option<u64>,
    /// The last output that left the host on which the line lives.
    left: u64,
    ended: bool,
    /// Outputs up to here, of its parent, must have left before it runs.
    owed: Option<Moment>,
}

/// A complete replica as last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    capture: u64,
    at: Moment,
}

/// A generation, and an epoch of it.
type Place = (u64, u64);

/// What a secondary says that it has.
pub(super) struct Claim<'a> {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    pub(super) device_state: &'a [u8],
    pub(super) ram: &'a [u8],
    /// RAM may have changed since the last look.
    pub(super) written_to: bool,
}

pub(super) struct Oracle {
    lines: Vec<Line>,
    captures: VecDeque<(u64, Capture)>,
    captured: u64,
    outputs: Outputs,
    replicas: [Option<Held>; NODES],
    /// What each of them says to be.
    places: [Place; NODES],
    /// Which capture each epoch of each generation turned out to be, on each host as long as its replica lives.
    epochs: [HashMap<Place, u64>; NODES],
    /// The line of the guest that was resumed last.
    living: Option<u64>,
    violation: Option<Violation>,
    traced: bool,
    pub(super) tally: Tally,
}

impl Oracle {
    pub(super) fn new(traced: bool) -> Self {
        Self {
            lines: Vec::new(),
            captures: VecDeque::new(),
            captured: 0,
            outputs: Outputs::default(),
            replicas: [None; NODES],
            places: [(0, 0); NODES],
            epochs: Default::default(),
            living: None,
            violation: None,
            traced,
            tally: Tally::default(),
        }
    }

    pub(super) fn violated(&mut self, invariant: Invariant, message: String) {
        if self.traced {
            println!("VIOLATED {invariant:?}: {message}");
        }
        self.violation
            .get_or_insert(Violation { invariant, message });
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.clone()
    }

    fn line(&mut self, line: u64) -> &mut Line {
        &mut self.lines[usize::try_from(line).expect("few")]
    }

    /// A machine is switched on.
    pub(super) fn boot(&mut self) -> Moment {
        self.begin(None)
    }

    fn begin(&mut self, parent: Option<Moment>) -> Moment {
        let number = parent.map_or(0, |parent| parent.number);
        self.lines.push(Line {
            parent,
            ..Line::default()
        });
        Moment {
            line: self.lines.len() as u64 - 1,
            number,
        }
    }

    /// The guest has sent a packet to whoever listens.
    pub(super) fn sent(&mut self, stamp: Stamp) {
        self.outputs.sent(stamp);
    }

    /// The guest was saved.
    pub(super) fn capture(&mut self, capture: Capture) -> Stamp {
        self.captured += 1;
        self.tally.captures += 1;
        let stamp = Stamp {
            at: capture.at,
            chain: capture.chain,
            capture: self.captured,
        };
        self.captures.push_back((self.captured, capture));
        if self.captures.len() > CAPTURES_KEPT {
            self.captures.pop_front();
        }
        stamp
    }

    /// The capture is over: outputs up to `taken` are of its epoch.
    pub(super) fn sealed(&mut self, taken: u64) {
        let (_, capture) = self.captures.back_mut().expect("a guest was captured");
        capture.taken = taken;
    }

    /// The guest runs from here on.
    pub(super) fn resumed(&mut self, at: Moment) {
        self.living = Some(at.line);
        let owed = self.line(at.line).owed.take();
        if let Some(lost) = owed.and_then(|latest| self.outputs.waiting(latest)) {
            let message = format!("{lost:?} had not left when the promoted guest ran");
            self.violated(Invariant::NoOutputLost, message);
        }
        if self.line(at.line).ended {
            let message = format!("the guest had powered itself off before {at:?}");
            self.violated(Invariant::OneLife, message);
        }
    }

    /// The guest's end was told to the world.
    pub(super) fn ended(&mut self, line: u64) {
        self.line(line).ended = true;
    }

    /// The cluster lets this line run without a replica, in a new generation, if its engine does.
    pub(super) fn offer_solo(&mut self, line: u64) {
        let line = self.line(line);
        line.before_solo = line.held.take();
    }

    /// The engine did not: what has left in between must not have.
    pub(super) fn refused_solo(&mut self, line: u64) {
        let place = self.line(line);
        place.held = place.held.max(place.before_solo.take());
        let (held, left) = (place.held, place.left);
        if held.is_some_and(|held| left > held) {
            let message = format!("line {line} was let out up to {left}, but refused to be solo");
            self.violated(Invariant::OutputCommit, message);
        }
    }

    /// Whether `moment` lies in the past of `line`, or in it.
    fn is_of(&self, moment: Moment, line: u64) -> bool {
        let (mut line, mut latest) = (line, u64::MAX);
        loop {
            if moment.line == line {
                return moment.number <= latest;
            }
            match self.lines[usize::try_from(line).expect("few")].parent {
                Some(parent) => (line, latest) = (parent.line, parent.number.min(latest)),
                None => return false,
            }
        }
    }

    /// A packet has left host `node`, on which the guest is at `at`.
    pub(super) fn left(&mut self, node: usize, at: Option<Moment>, packet: &[u8]) {
        self.tally.packets_seen += 1;
        let Some(stamp) = Stamp::decode(packet) else {
            let message = format!("host {node} let a packet out that no guest has sent");
            return self.violated(Invariant::AllOrNothing, message);
        };
        let moment = stamp.at;
        if !self.outputs.left(stamp) {
            let message = format!("host {node} let a packet out that no guest sent at {moment:?}");
            return self.violated(Invariant::AllOrNothing, message);
        }
        let own = at.map(|at| at.line);
        for line in own.into_iter().chain(self.living) {
            if !self.is_of(moment, line) {
                let message = format!(
                    "host {node} let a packet of {moment:?} out, which is not in the past of line {line}"
                );
                self.violated(Invariant::OneLife, message);
            }
        }
        for replica in self.replicas.into_iter().flatten() {
            if replica.at.line == moment.line && replica.at.number < moment.number {
                let message = format!(
                    "host {node} let a packet of {moment:?} out; the replica is at {:?}",
                    replica.at
                );
                self.violated(Invariant::OutputCommit, message);
            }
        }
        let is_own = own == Some(moment.line);
        let line = self.line(moment.line);
        if is_own {
            let (held, left) = (line.held, line.left);
            line.left = line.left.max(moment.number);
            if held.is_some_and(|held| moment.number > held) {
                let message = format!(
                    "host {node} let a packet of {moment:?} out; a secondary has held no more than {held:?}"
                );
                self.violated(Invariant::OutputCommit, message);
            } else if left >= moment.number {
                let message =
                    format!("host {node} let a packet of {moment:?} out after one of {left}");
                self.violated(Invariant::OutputCommit, message);
            }
        }
        let line = self.line(moment.line);
        line.seen = line.seen.max(moment.number);
    }

    /// Whether all that the guest sent up to now, in its own line, has left.
    pub(super) fn has_all_left(&self, at: Moment) -> bool {
        let latest = Moment {
            number: u64::MAX,
            ..at
        };
        self.outputs.waiting(latest).is_none()
    }

    /// The guest is stopped for good, and its engine is done with it: what it has sent must have left.
    pub(super) fn stopped(&mut self, at: Moment) {
        if !self.has_all_left(at) {
            let message = format!("{at:?} is stopped for good, and not all of it has left");
            self.violated(Invariant::NoOutputLost, message);
        }
    }

    /// Host `node` has no complete replica.
    pub(super) fn has_none(&mut self, node: usize) {
        self.replicas[node] = None;
        self.epochs[node].clear();
    }

    /// Host `node` says that it has a complete replica: is it what was captured, and does it contain all that was seen?
    pub(super) fn look(&mut self, node: usize, claim: &Claim<'_>) {
        let Some(stamp) = Stamp::decode(claim.device_state) else {
            let message = format!("the device state on host {node} is not one that was saved");
            return self.violated(Invariant::AllOrNothing, message);
        };
        let held = Held {
            capture: stamp.capture,
            at: stamp.at,
        };
        let before = self.replicas[node];
        let place = (claim.generation, claim.epoch);
        let was = std::mem::replace(&mut self.places[node], place);
        if before == Some(held) && was != place {
            let message = format!(
                "the replica on host {node} is the same capture at {was:?} and at {place:?}"
            );
            self.violated(Invariant::AllOrNothing, message);
        }
        if before == Some(held) && !claim.written_to {
            return;
        }
        if before.is_some_and(|before| before.capture > held.capture) {
            let message =
                format!("the replica on host {node} went back from {before:?} to {held:?}");
            self.violated(Invariant::AllOrNothing, message);
        }
        if before != Some(held) {
            self.tally.epochs_held += 1;
            let known = self.epochs[node].insert(place, held.capture);
            if known.is_some_and(|known| known != held.capture) {
                let message = format!(
                    "epoch {} of generation {} is two different captures",
                    claim.epoch, claim.generation
                );
                self.violated(Invariant::AllOrNothing, message);
            }
        }
        self.replicas[node] = Some(held);
        self.compare(node, held, claim.ram);
        let line = self.line(held.at.line);
        line.held = Some(line.held.unwrap_or(0).max(held.at.number));
        let seen = line.seen;
        if seen > held.at.number {
            let message = format!(
                "the world has seen {seen} of line {}; the replica on host {node} is at {}",
                held.at.line, held.at.number
            );
            self.violated(Invariant::OutputCommit, message);
        }
    }

    fn compare(&mut self, node: usize, held: Held, ram: &[u8]) {
        let (pages, _) = ram.as_chunks::<PAGE_BYTES>();
        let Some(index) = self.captures.iter().position(|(id, _)| *id == held.capture) else {
            let message = format!("the replica on host {node} is of a capture long gone: {held:?}");
            return self.violated(Invariant::AllOrNothing, message);
        };
        let (expected, _) = self.captures[index].1.ram.as_chunks::<PAGE_BYTES>();
        let Some(page) = (0..pages.len()).find(|&page| pages[page] != expected[page]) else {
            return;
        };
        // What it was in an earlier capture was not sent again; anything else should not be here at all.
        let is_old = self.captures.range(..index).any(|(_, capture)| {
            let (earlier, _) = capture.ram.as_chunks::<PAGE_BYTES>();
            capture.at.line == held.at.line && earlier[page] == pages[page]
        });
        let invariant = if is_old {
            Invariant::NoPageLost
        } else {
            Invariant::AllOrNothing
        };
        let message =
            format!("page {page} of the replica on host {node} is not as captured: {held:?}");
        self.violated(invariant, message);
    }

    /// A state is tried on a replica that is arriving.
    pub(super) fn tried(&mut self, device_state: &[u8], ram: &[u8]) {
        match Stamp::decode(device_state) {
            Some(Stamp { at, capture, .. }) => self.compare(NODES, Held { capture, at }, ram),
            None => self.violated(
                Invariant::AllOrNothing,
                "a state is tried that is not one that was saved".to_owned(),
            ),
        }
    }

    /// A machine is given a replica's state and goes on from it.
    pub(super) fn load(&mut self, device_state: &[u8], ram: &[u8]) -> Option<Stamp> {
        self.tally.hot_promotions += 1;
        let Some(stamp) = Stamp::decode(device_state) else {
            self.violated(
                Invariant::AllOrNothing,
                "a state was promoted that is not one that was saved".to_owned(),
            );
            return None;
        };
        let held = Held {
            capture: stamp.capture,
            at: stamp.at,
        };
        self.compare(NODES, held, ram);
        let line = self.line(stamp.at.line);
        let (seen, ended) = (line.seen, line.ended);
        if seen > stamp.at.number {
            let message = format!(
                "the world has seen {seen} of line {}, but the promoted guest is at {}",
                stamp.at.line, stamp.at.number
            );
            self.violated(Invariant::OutputCommit, message);
        }
        if ended {
            let message = format!("the guest had ended: {:?} was promoted", stamp.at);
            self.violated(Invariant::OneLife, message);
        }
        let capture = self.captures.iter().find(|(id, _)| *id == held.capture);
        let taken = capture.map(|(_, capture)| capture.taken);
        let at = self.begin(Some(stamp.at));
        self.line(at.line).owed = taken.map(|number| Moment { number, ..stamp.at });
        Some(Stamp { at, ..stamp })
    }
}
