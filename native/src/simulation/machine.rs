//! A guest without a QEMU: it writes pages, sends packets that tell the moment at which they were sent, and takes inputs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::oracle::{Capture, Invariant, Moment};
use super::world::{VirtualClock, World};
use crate::clock::Clock;
use crate::guest::clock::{CapturedAt, GuestTime};
use crate::guest::dirty::TrackerError;
use crate::guest::pages::PageSet;
use crate::guest::{AfterSave, GuestError, Ram, Start, Trial, Vm};
use crate::limits::PAGE_BYTES;
use crate::qmp::GuestEvent;
use crate::spec::Spec;
use crate::wire::Fingerprint;

/// Packets that the guest's queues hold.
const QUEUE: usize = 48;
/// Bytes of a state that somebody takes who has not come to read it.
const PIPE_BYTES: usize = 300;
/// Bytes at the start of a packet and of a device state that tell where they come from.
pub(super) const STAMP_BYTES: usize = 32;

/// What both a packet and a device state begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at: Moment,
    /// Everything that the guest has done up to then, mixed.
    pub(super) chain: u64,
    /// Number of the capture; 0 in a packet.
    pub(super) capture: u64,
}

impl Stamp {
    pub(super) fn encode(self, bytes: usize) -> Vec<u8> {
        let fields = [self.at.line, self.at.number, self.chain, self.capture];
        let mut encoded: Vec<u8> = fields.into_iter().flat_map(u64::to_le_bytes).collect();
        // What follows is a function of the stamp, so that a wrong byte anywhere is noticed.
        let mut state = self.chain ^ self.capture;
        while encoded.len() < bytes {
            state = mix(state, encoded.len() as u64);
            encoded.extend_from_slice(&state.to_le_bytes());
        }
        encoded.truncate(bytes.max(STAMP_BYTES));
        encoded
    }

    /// `None` if any byte is not as it was made.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, _) = bytes.get(..STAMP_BYTES)?.as_chunks::<8>();
        let field = |at: usize| u64::from_le_bytes(fields[at]);
        let at = Moment {
            line: field(0),
            number: field(1),
        };
        let stamp = Self {
            at,
            chain: field(2),
            capture: field(3),
        };
        (stamp.encode(bytes.len()) == bytes).then_some(stamp)
    }
}

fn mix(state: u64, with: u64) -> u64 {
    let mixed = (state ^ with.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

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
    pub(super) inputs: VecDeque<Vec<u8>>,
    news: VecDeque<GuestEvent>,
    saved: Vec<u8>,
    is_incoming: bool,
    /// It was running when it was saved, and is to run on.
    runs_on: bool,
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
            inputs: VecDeque::new(),
            news: VecDeque::new(),
            saved: Vec::new(),
            is_incoming: start == Start::Incoming,
            runs_on: false,
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

    fn send(&mut self, world: &World) {
        let bytes = world.below(600);
        let stamp = Stamp {
            at: self.at,
            chain: self.chain,
            capture: 0,
        };
        if self.outputs.len() < QUEUE {
            world.oracle.borrow_mut().sent(stamp);
            self.outputs.push_back(stamp.encode(bytes));
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
        });
        self.saved = stamp.encode(bytes);
    }
}

/// Its RAM as the engine sees it.
pub(super) struct MachineRam(Rc<RefCell<Machine>>);

impl MachineRam {
    fn write(&self, offset: usize, bytes: usize, write: impl FnOnce(&mut [u8])) {
        let machine = &mut *self.0.borrow_mut();
        assert!(
            machine.is_incoming,
            "the RAM of a guest that may run is not to be written"
        );
        machine.written_to = true;
        write(&mut machine.ram[offset..offset + bytes]);
    }
}

impl Ram for MachineRam {
    fn bytes(&self) -> usize {
        self.0.borrow().ram.len()
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow().ram[offset..offset + into.len()]);
    }

    fn copy_in(&mut self, offset: usize, from: &[u8]) {
        self.write(offset, from.len(), |target| target.copy_from_slice(from));
    }

    fn zero(&mut self, offset: usize, bytes: usize) {
        self.write(offset, bytes, |target| target.fill(0));
    }
}

/// What an engine holds of a machine.
pub(super) struct SimulatedVm {
    world: Rc<World>,
    ram: MachineRam,
}

impl SimulatedVm {
    pub(super) fn start(world: &Rc<World>, node: usize, start: Start) -> Self {
        let machine = Rc::new(RefCell::new(Machine::new(world, node, start)));
        world.put_machine(node, Some(Rc::clone(&machine)));
        Self {
            world: Rc::clone(world),
            ram: MachineRam(machine),
        }
    }

    fn wall(&self) -> Duration {
        let since = VirtualClock(Rc::clone(&self.world)).wall();
        since
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
    }
}

impl Vm for SimulatedVm {
    type Ram = MachineRam;

    fn fingerprint(&self, _: &Spec) -> Result<Fingerprint, GuestError> {
        Ok(Fingerprint::default())
    }

    fn pid(&self) -> u32 {
        1
    }

    fn pages(&self) -> usize {
        self.world.pages
    }

    fn ram(&self) -> &MachineRam {
        &self.ram
    }

    fn ram_mut(&mut self) -> &mut MachineRam {
        &mut self.ram
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let packet = self.ram.0.borrow_mut().outputs.pop_front();
        Ok(packet.map(|packet| {
            into[..packet.len()].copy_from_slice(&packet);
            packet.len()
        }))
    }

    fn deliver(&self, packet: &[u8]) -> io::Result<bool> {
        let mut machine = self.ram.0.borrow_mut();
        let has_room = machine.inputs.len() < QUEUE;
        if has_room {
            machine.inputs.push_back(packet.to_vec());
        }
        Ok(has_room)
    }

    fn stop_and_save(&mut self, after: AfterSave) -> Result<(), GuestError> {
        let machine = &mut *self.ram.0.borrow_mut();
        machine.writing = false;
        // Until the vCPUs stand still.
        for _ in 0..self.world.below(4) {
            machine.act(&self.world);
        }
        self.world.pass(Duration::from_micros(300));
        machine.runs_on = machine.running && after == AfterSave::RunOn;
        machine.running = false;
        machine.save(&self.world);
        Ok(())
    }

    fn release(&mut self) -> Result<(), GuestError> {
        let runs_on = {
            let machine = &mut *self.ram.0.borrow_mut();
            machine.writing = machine.saved.len() > PIPE_BYTES;
            !machine.writing && std::mem::take(&mut machine.runs_on)
        };
        if runs_on { self.resume() } else { Ok(()) }
    }

    fn read_device_state(&mut self, into: &mut [u8]) -> Result<usize, GuestError> {
        let (length, runs_on) = {
            let machine = &mut *self.ram.0.borrow_mut();
            into[..machine.saved.len()].copy_from_slice(&machine.saved);
            let was_writing = std::mem::take(&mut machine.writing);
            let runs_on = was_writing && std::mem::take(&mut machine.runs_on);
            (machine.saved.len(), runs_on)
        };
        if runs_on {
            self.resume()?;
        }
        Ok(length)
    }

    fn confirm_state(&mut self) -> Result<(), GuestError> {
        Ok(())
    }

    fn pause(&mut self) -> Result<(), GuestError> {
        self.ram.0.borrow_mut().running = false;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), GuestError> {
        let others = self.world.running();
        let node = self.ram.0.borrow().node;
        if let Some(other) = others.into_iter().find(|&other| other != node) {
            let message = format!("the guest runs on host {other} and is resumed on host {node}");
            let mut oracle = self.world.oracle.borrow_mut();
            oracle.violated(Invariant::OneLife, message);
        }
        let machine = &mut *self.ram.0.borrow_mut();
        machine.running = true;
        machine.is_incoming = false;
        let now = self.wall();
        machine.news.push_back(GuestEvent::Resumed(now));
        let mut oracle = self.world.oracle.borrow_mut();
        if machine.ended {
            let message = format!("the guest on host {node} is resumed after its end");
            oracle.violated(Invariant::OneLife, message);
        }
        oracle.resumed(machine.at);
        Ok(())
    }

    fn track(&mut self) -> Result<(), GuestError> {
        let machine = &mut *self.ram.0.borrow_mut();
        machine.untracked = !self.world.calm.get() && self.world.one_in(100);
        machine.dirty.clear();
        if machine.untracked {
            return Err(TrackerError::Lost.into());
        }
        Ok(())
    }

    fn collect_dirty(&mut self, pages: &mut PageSet) -> Result<(), GuestError> {
        let machine = &mut *self.ram.0.borrow_mut();
        if !self.world.calm.get() && self.world.one_in(400) {
            self.world.trace(|| "written pages get lost".to_owned());
            machine.untracked = true;
        }
        if machine.untracked {
            machine.dirty.clear();
            return Err(TrackerError::Lost.into());
        }
        pages.union_with(&machine.dirty);
        machine.dirty.clear();
        Ok(())
    }

    fn time(&self) -> Option<GuestTime> {
        None
    }

    fn stopped_at(&self) -> Option<SystemTime> {
        None
    }

    fn load(&mut self, device_state: &[u8], _: CapturedAt) -> Result<(), GuestError> {
        let machine = &mut *self.ram.0.borrow_mut();
        assert!(machine.is_incoming, "only a waiting machine takes a state");
        let mut oracle = self.world.oracle.borrow_mut();
        match oracle.load(device_state, &machine.ram) {
            Some(stamp) => {
                (machine.at, machine.chain) = (stamp.at, stamp.chain);
                Ok(())
            }
            None => Err(GuestError::Load {
                output: "the oracle does not know this state".to_owned(),
            }),
        }
    }

    fn announce(&mut self) -> Result<(), GuestError> {
        Ok(())
    }

    fn pump_events(&mut self) -> Result<(), GuestError> {
        Ok(())
    }

    fn next_event(&mut self) -> Option<GuestEvent> {
        self.ram.0.borrow_mut().news.pop_front()
    }

    fn obituary(&mut self) -> GuestError {
        GuestError::Gone {
            pid: 1,
            how: "was ended by the simulation".to_owned(),
        }
    }
}

/// A trial of a state.
pub(super) struct SimulatedTrial {
    world: Rc<World>,
    machine: Rc<RefCell<Machine>>,
    is_loaded: bool,
}

impl SimulatedTrial {
    pub(super) fn new(vm: &SimulatedVm) -> Self {
        Self {
            world: Rc::clone(&vm.world),
            machine: Rc::clone(&vm.ram.0),
            is_loaded: false,
        }
    }
}

impl Trial for SimulatedTrial {
    fn load(&mut self, device_state: Vec<u8>) {
        let mut oracle = self.world.oracle.borrow_mut();
        oracle.tried(&device_state, &self.machine.borrow().ram);
        self.is_loaded = true;
    }

    fn verdict(&mut self) -> Option<Result<(), String>> {
        let is_known = self.is_loaded && self.world.one_in(2);
        let is_bad = !self.world.calm.get() && self.world.one_in(30);
        is_known.then(|| {
            if is_bad {
                Err("chance".to_owned())
            } else {
                Ok(())
            }
        })
    }
}

impl Drop for SimulatedVm {
    fn drop(&mut self) {
        let node = {
            let mut machine = self.ram.0.borrow_mut();
            machine.running = false;
            machine.dead = true;
            machine.node
        };
        let is_current = self
            .world
            .machine(node)
            .is_some_and(|machine| Rc::ptr_eq(&machine, &self.ram.0));
        if is_current {
            self.world.put_machine(node, None);
        }
    }
}
