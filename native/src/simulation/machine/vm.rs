//! What an engine has of a machine: its RAM, its QEMU and the trial of a state.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::{Machine, QUEUE};
use crate::clock::Clock;
use crate::fault::{Fault, rarely};
use crate::guest::clock::{CapturedAt, GuestTime};
use crate::guest::dirty::TrackerError;
use crate::guest::pages::PageSet;
use crate::guest::{AfterSave, GuestError, Meanwhile, Ram, RunState, Start, Trial, Vm};
use crate::qmp::GuestEvent;
use crate::simulation::invariant::Invariant;
use crate::simulation::stamp::Stamp;
use crate::simulation::world::{VirtualClock, World};
use crate::spec::Spec;
use crate::wire::Fingerprint;

/// Bytes of a state that somebody takes who has not come to read it.
const PIPE_BYTES: usize = 300;
/// Bytes of a state whose QEMU has died: too few to be taken for one.
const TORN_BYTES: usize = 7;

/// Its RAM as the engine sees it.
pub(in super::super) struct MachineRam(Rc<RefCell<Machine>>);

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
pub(in super::super) struct SimulatedVm {
    world: Rc<World>,
    ram: MachineRam,
}

impl SimulatedVm {
    pub(in super::super) fn start(world: &Rc<World>, node: usize, start: Start) -> Self {
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
        let machine = &mut *self.ram.0.borrow_mut();
        Ok(machine.outputs.pop_front().map(|packet| {
            let stamp = Stamp::decode(&packet).expect("a guest's own");
            machine.taken = stamp.at.number;
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
        let runs_on = rarely(256, Fault::SendAlthoughItRanOn, 16);
        let dies = rarely(1024, Fault::CommitUnconfirmed, 128);
        machine.ran_on =
            machine.runs_on && !self.world.calm.get() && machine.chain.is_multiple_of(runs_on);
        machine.dying = !self.world.calm.get() && machine.chain % dies == 1;
        if machine.ran_on {
            machine.runs_on = false;
            machine.running = true;
            for _ in 0..self.world.below(8) {
                machine.act(&self.world);
            }
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), GuestError> {
        let runs_on = {
            let machine = &mut *self.ram.0.borrow_mut();
            self.world.oracle.borrow_mut().sealed(machine.taken);
            if std::mem::take(&mut machine.ran_on) {
                self.world
                    .trace(|| format!("the guest on n{} was not held", machine.node));
                return Err(GuestError::RanOn { pid: 1 });
            }
            machine.writing = machine.saved.len() > PIPE_BYTES;
            !machine.writing && !machine.dying && std::mem::take(&mut machine.runs_on)
        };
        if runs_on { self.resume() } else { Ok(()) }
    }

    fn read_device_state(&mut self, into: &mut [u8]) -> Result<usize, GuestError> {
        let (length, runs_on) = {
            let machine = &mut *self.ram.0.borrow_mut();
            if machine.dying {
                self.world
                    .trace(|| format!("the guest on n{} dies while it is saved", machine.node));
                (machine.running, machine.writing, machine.dead) = (false, false, true);
                // The pipe ends as after a whole state.
                into[..TORN_BYTES].copy_from_slice(&machine.saved[..TORN_BYTES]);
                return Ok(TORN_BYTES);
            }
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
        if self.ram.0.borrow().dying {
            return Err(self.obituary());
        }
        Ok(())
    }

    fn give_up_save(&mut self) -> Result<(), GuestError> {
        if self.ram.0.borrow().dying {
            return Err(self.obituary());
        }
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

    fn collect_dirty(
        &mut self,
        pages: &mut PageSet,
        _: &mut dyn FnMut(),
    ) -> Result<(), GuestError> {
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

    fn look_for_dirty(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut Meanwhile<'_>,
    ) -> Result<ControlFlow<()>, GuestError> {
        // Now and then it takes as long as a comparison of all of RAM: for more packets than the socket holds.
        let usually = rarely(8, Fault::NoDrainWhileLooking, 1);
        if !self.world.calm.get() && self.world.one_in(usually) {
            for _ in 0..self.world.below(8) {
                if meanwhile(&|into| self.receive(into)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                self.ram.0.borrow_mut().chatter(&self.world);
            }
        }
        let found = self.collect_dirty(pages, &mut || ());
        found.map(ControlFlow::Continue)
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

    fn press_power_button(&mut self) -> Result<(), GuestError> {
        // It powers itself off when it likes to.
        Ok(())
    }

    fn run_state(&mut self) -> Result<RunState, GuestError> {
        Ok(RunState::Sound)
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

/// A trial of a state.
pub(in super::super) struct SimulatedTrial {
    world: Rc<World>,
    machine: Rc<RefCell<Machine>>,
    is_loaded: bool,
}

impl SimulatedTrial {
    pub(in super::super) fn new(vm: &SimulatedVm) -> Self {
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
