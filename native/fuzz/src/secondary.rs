//! A real secondary whose guest is a piece of memory, and whose primary says what the fuzzer wants.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::SystemTime;

use kemari_engine::guest::clock::{CapturedAt, GuestTime};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{AfterSave, GuestError, RunState, Start, Trial, Vm};
use kemari_engine::link::{Caller, Dial, Dialed};
use kemari_engine::qmp::GuestEvent;
use kemari_engine::release::Device;
use kemari_engine::role::{Engine, Ports, Ready, Secondary, Turn};
use kemari_engine::spec::Spec;
use kemari_engine::wire::{Fingerprint, FrameReader, Hello, HelloRole, limits};
use uuid::Uuid;

use crate::ports::{Hands, Memory, Once, PAGES, READER_BYTES, STATE_MAX_BYTES, Wire, engine, spec};

/// A guest that waits for a state and never runs.
pub struct Waiting(Memory);

impl Vm for Waiting {
    type Ram = Memory;

    fn fingerprint(&self, _: &Spec) -> Result<Fingerprint, GuestError> {
        Ok(Fingerprint::default())
    }
    fn pid(&self) -> u32 {
        1
    }
    fn pages(&self) -> usize {
        PAGES
    }
    fn ram(&self) -> &Memory {
        &self.0
    }
    fn ram_mut(&mut self) -> &mut Memory {
        &mut self.0
    }
    fn receive(&self, _: &mut [u8]) -> io::Result<Option<usize>> {
        Ok(None)
    }
    fn deliver(&self, _: &[u8]) -> io::Result<bool> {
        Ok(true)
    }
    fn stop_and_save(&mut self, _: AfterSave) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn release(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn confirm_state(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn read_device_state(&mut self, _: &mut [u8]) -> Result<usize, GuestError> {
        unreachable!("it never runs")
    }
    fn give_up_save(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn pause(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn resume(&mut self) -> Result<(), GuestError> {
        unreachable!("no frame resumes a guest")
    }
    fn track(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn collect_dirty(&mut self, _: &mut PageSet, _: &mut dyn FnMut()) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn load(&mut self, _: &[u8], _: CapturedAt) -> Result<(), GuestError> {
        unreachable!("no frame promotes a replica")
    }
    fn time(&self) -> Option<GuestTime> {
        None
    }
    fn stopped_at(&self) -> Option<SystemTime> {
        None
    }
    fn press_power_button(&mut self) -> Result<(), GuestError> {
        unreachable!("nobody orders it")
    }
    fn run_state(&mut self) -> Result<RunState, GuestError> {
        unreachable!("nobody orders it")
    }
    fn announce(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn pump_events(&mut self) -> Result<(), GuestError> {
        Ok(())
    }
    fn next_event(&mut self) -> Option<GuestEvent> {
        None
    }
    fn obituary(&mut self) -> GuestError {
        unreachable!("it does not die")
    }
}

/// Passes a state of an even length at the second look.
pub struct Parity {
    memory: Memory,
    loaded: Option<(Vec<u8>, Vec<u8>)>,
    looks: u8,
    passed: Rc<Cell<bool>>,
}

impl Trial for Parity {
    fn load(&mut self, device_state: Vec<u8>) {
        assert!(device_state.len() <= STATE_MAX_BYTES && self.loaded.is_none());
        self.loaded = Some((device_state, self.memory.0.borrow().clone()));
    }
    fn verdict(&mut self) -> Option<Result<(), String>> {
        let (state, ram) = self.loaded.as_ref()?;
        assert!(
            *ram == *self.memory.0.borrow(),
            "RAM has changed during a trial"
        );
        self.looks += 1;
        let is_good = state.len() % 2 == 0;
        (self.looks == 2).then(|| {
            self.passed.set(is_good);
            if is_good {
                Ok(())
            } else {
                Err("odd".to_owned())
            }
        })
    }
}

/// Nothing leaves a secondary.
pub struct Shut;

impl Device for Shut {
    fn name(&self, _: &[u8]) -> &'static str {
        "shut"
    }
    fn send(&self, _: &[u8]) -> io::Result<()> {
        panic!("a secondary has let something out")
    }
    fn receive(&self, _: &mut [u8]) -> io::Result<Option<usize>> {
        Ok(None)
    }
}

/// A secondary calls nobody.
pub struct Mute;

impl Dial<Wire> for Mute {
    fn is_busy(&self) -> bool {
        false
    }
    fn dial(&mut self, _: usize, _: Hello) {
        unreachable!("a secondary calls nobody")
    }
    fn result(&mut self) -> Option<Dialed<Wire>> {
        None
    }
}

/// The outside of the engine.
pub struct Outside {
    memory: Memory,
    passed: Rc<Cell<bool>>,
}

impl Ports for Outside {
    type Vm = Waiting;
    type Clock = Hands;
    type Device = Shut;
    type Transport = Wire;
    type Dialer = Mute;
    type Door = Once;
    type Trial = Parity;

    fn start_guest(&self, _: &Spec, how: Start) -> Result<Waiting, GuestError> {
        assert!(matches!(how, Start::Incoming));
        Ok(Waiting(self.memory.clone()))
    }
    fn begin_trial(&self, _: &Spec, guest: &Waiting) -> Result<Parity, GuestError> {
        self.passed.set(false);
        Ok(Parity {
            memory: guest.0.clone(),
            loaded: None,
            looks: 0,
            passed: Rc::clone(&self.passed),
        })
    }
    fn forget_addresses(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// A secondary to which a primary of generation 1 is connected.
pub struct Host {
    engine: Engine<Outside>,
    secondary: Option<Box<Secondary<Outside>>>,
    wire: Wire,
    pub memory: Memory,
    /// The trial that was made last was passed.
    pub passed: Rc<Cell<bool>>,
}

impl Host {
    pub fn new() -> Self {
        let memory = Memory::new();
        let (wire, passed) = (Wire::default(), Rc::default());
        let outside = Outside {
            memory: memory.clone(),
            passed: Rc::clone(&passed),
        };
        let (_, orders) = channel();
        let caller = Caller::new(
            wire.opened(FrameReader::with_room(READER_BYTES)),
            greeting(),
        );
        let mut engine = engine((outside, Shut, Mute), &Hands::new(), orders, Some(caller));
        let secondary = Secondary::start(&engine, None).expect("memory");
        let ready = Ready {
            orders: true,
            ..Ready::default()
        };
        let Ok(Turn::Stay(secondary)) = Box::new(secondary).turn(&mut engine, ready) else {
            panic!("nothing was asked of it");
        };
        wire.told.borrow_mut().clear();
        Self {
            engine,
            secondary: Some(secondary),
            wire,
            memory,
            passed,
        }
    }

    pub fn secondary(&self) -> &Secondary<Outside> {
        self.secondary.as_deref().expect("it stays")
    }

    /// Lets it hear `bytes`; what it tells the primary then.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.wire.said.borrow_mut().extend(bytes);
        let ready = Ready {
            link: true,
            orders: true,
            ..Ready::default()
        };
        let secondary = self.secondary.take().expect("it stays");
        match secondary.turn(&mut self.engine, ready) {
            Ok(Turn::Stay(secondary)) => self.secondary = Some(secondary),
            _ => panic!("no frame ends a secondary"),
        }
        std::mem::take(&mut *self.wire.told.borrow_mut())
    }
}

/// How the primary introduces itself.
fn greeting() -> Hello {
    let spec = spec();
    Hello {
        protocol: limits::PROTOCOL_VERSION,
        resource: spec.resource,
        vm_uuid: spec.machine.uuid,
        node: "n2".to_owned(),
        engine_id: Uuid::max(),
        engine_version: String::new(),
        role: HelloRole::Primary,
        generation: 1,
        acked_epoch: 0,
        fingerprint: Fingerprint::default(),
    }
}
