//! A guest without a QEMU: it writes pages, sends packets that tell the moment at which they were sent, and takes inputs.

mod vm;

use std::collections::VecDeque;

use super::oracle::Capture;
use super::stamp::{Moment, STAMP_BYTES, Stamp, mix};
use super::world::World;
use crate::guest::Start;
use crate::guest::pages::PageSet;
use crate::limits::PAGE_BYTES;
use crate::qmp::GuestEvent;

pub(super) use self::vm::{SimulatedTrial, SimulatedVm};

/// Packets that the guest's queues hold.
const QUEUE: usize = 48;

#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
/// The guest itself. It lives as long as its engine holds it.
pub(super) struct Machine {
    pub(super) node: usize,
    pub(super) at: Moment,
    chain: u64,
    pub(super) running: bool,
    /// It was killed, and its engine has not noticed.
    pub(super) dead: bool,
    pub(super) ram: Vec<u8>,
    /// The engine has written to RAM since the oracle looked.
    pub(super) written_to: bool,
    dirty: PageSet,
    outputs: VecDeque<Vec<u8>>,
    /// The last of its outputs that the engine has taken.
    taken: u64,
    pub(super) inputs: VecDeque<Vec<u8>>,
    news: VecDeque<GuestEvent>,
    saved: Vec<u8>,
    is_incoming: bool,
    /// It was running when it was saved, and is to run on.
    runs_on: bool,
    /// Nothing has held it when it was saved: its state was too short for that.
    ran_on: bool,
    /// It dies in the middle of the state that it is writing.
    dying: bool,
    /// It is writing a state that is larger than what the pipe takes, and does nothing else until somebody has read it.
    pub(super) writing: bool,
    /// Its written pages are not known.
    untracked: bool,
    /// It has powered itself off.
    ended: bool,
}

impl Machine {
    fn new(world: &World, node: usize, start: Start) -> Self {
        let at = world.oracle.borrow_mut().boot();
        Self {
            node,
            at,
            chain: at.line,
            running: false,
            dead: false,
            ram: vec![0; world.pages * PAGE_BYTES],
            written_to: false,
            dirty: PageSet::new(world.pages),
            outputs: VecDeque::new(),
            taken: 0,
            inputs: VecDeque::new(),
            news: VecDeque::new(),
            saved: Vec::new(),
            is_incoming: start == Start::Incoming,
            runs_on: false,
            ran_on: false,
            dying: false,
            writing: false,
            untracked: true,
            ended: false,
        }
    }

    /// Does one thing.
    pub(super) fn act(&mut self, world: &World) {
        if !self.running {
            return;
        }
        self.at.number += 1;
        let kind = world.below(100);
        self.chain = mix(self.chain, self.at.number);
        match kind {
            0..=54 => self.write(world),
            55..=79 => self.send(world),
            80..=98 => {
                if let Some(input) = self.inputs.pop_front() {
                    let digest = input.iter().fold(0, |sum, &byte| mix(sum, u64::from(byte)));
                    self.chain = mix(self.chain, digest);
                    self.send(world);
                }
            }
            _ if !world.calm.get() && world.one_in(6) => {
                world.trace(|| format!("guest {:?} powers itself off", self.at));
                self.running = false;
                self.ended = true;
                self.news.push_back(GuestEvent::PoweredOff);
            }
            _ => self.news.push_back(GuestEvent::Reset),
        }
    }

    /// Some pages are written again and again, some all over, some cleared.
    fn write(&mut self, world: &World) {
        let chain = self.chain;
        let pages = world.pages;
        let (page, from, bytes, value) = world.with_chance(|chance| {
            let page = if chance.bool() {
                chance.usize(0..4)
            } else {
                chance.usize(0..pages)
            };
            match chance.usize(0..8) {
                0 => (page, 0, PAGE_BYTES, 0),
                1 | 2 => (page, 0, PAGE_BYTES, chance.u8(..)),
                _ => {
                    let from = chance.usize(0..PAGE_BYTES);
                    let bytes = chance.usize(1..200).min(PAGE_BYTES - from);
                    // Few values: what is there often comes back.
                    (page, from, bytes, chance.u8(0..3))
                }
            }
        });
        let target = &mut self.ram[page * PAGE_BYTES + from..][..bytes];
        target.fill(value);
        if bytes >= 8 && value == 2 {
            target[..8].copy_from_slice(&chain.to_le_bytes());
        }
        self.dirty.insert(page..page + 1);
    }

    /// It waits with what has no room: such a packet was never sent.
    fn send(&mut self, world: &World) {
        if self.outputs.len() < QUEUE {
            self.insist(world);
        }
    }

    /// Sends a packet that is lost if there is no room for it.
    fn insist(&mut self, world: &World) {
        let bytes = world.below(600);
        let stamp = Stamp {
            at: self.at,
            chain: self.chain,
            capture: 0,
        };
        world.oracle.borrow_mut().sent(stamp);
        if self.outputs.len() < QUEUE {
            self.outputs.push_back(stamp.encode(bytes));
        }
    }

    /// Sends one packet after the other while the engine is busy with something that takes long: nothing but a stop keeps QEMU
    /// from it, and what its socket does not hold is lost.
    fn chatter(&mut self, world: &World) {
        for _ in 0..world.below(QUEUE / 2) {
            if !self.running {
                return;
            }
            self.at.number += 1;
            self.chain = mix(self.chain, self.at.number);
            self.insist(world);
        }
    }

    /// Nothing that it has sent waits in its own queue.
    pub(super) fn has_nothing_to_send(&self) -> bool {
        self.outputs.is_empty()
    }

    fn save(&mut self, world: &World) {
        let bytes = STAMP_BYTES + world.below(if world.one_in(8) { 6000 } else { 400 });
        let mut oracle = world.oracle.borrow_mut();
        let stamp = oracle.capture(Capture {
            at: self.at,
            chain: self.chain,
            ram: self.ram.clone(),
            taken: 0,
        });
        self.saved = stamp.encode(bytes);
    }
}
