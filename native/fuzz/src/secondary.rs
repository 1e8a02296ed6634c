//! A real secondary whose guest is a piece of memory, and whose primary says what the fuzzer wants.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use kemari_engine::checkpoint::Statistics;
use kemari_engine::clock::Clock;
use kemari_engine::control::{EventSender, StatusBoard};
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::clock::{CapturedAt, GuestTime};
use kemari_engine::guest::dirty::choice::Kind;
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{AfterSave, GuestError, Platform, Ram, Start, Trial, Vm};
use kemari_engine::limits::Sizes;
use kemari_engine::link::{Caller, Dial, Dialed, Door, Opened, Transport};
use kemari_engine::qmp::GuestEvent;
use kemari_engine::release::{Device, Outlet};
use kemari_engine::role::{Engine, Ports, Ready, Secondary, Turn};
use kemari_engine::run::first_status;
use kemari_engine::spec::Spec;
use kemari_engine::wire::{Fingerprint, FrameReader, Hello, HelloRole, limits};
use uuid::Uuid;

/// Pages of the guest.
pub const PAGES: usize = 32;
/// Longest state that is tried, bytes.
const STATE_MAX_BYTES: usize = 16 << 10;
/// The largest frame that a target makes is far below it.
const READER_BYTES: usize = 256 << 10;

/// Guest RAM.
#[derive(Clone)]
pub struct Memory(pub Rc<RefCell<Vec<u8>>>);

impl Ram for Memory {
    fn bytes(&self) -> usize {
        self.0.borrow().len()
    }
    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }
    fn copy_in(&mut self, offset: usize, from: &[u8]) {
        self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }
    fn zero(&mut self, offset: usize, bytes: usize) {
        self.0.borrow_mut()[offset..offset + bytes].fill(0);
    }
}

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
    fn pause(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn resume(&mut self) -> Result<(), GuestError> {
        unreachable!("no frame resumes a guest")
    }
    fn track(&mut self) -> Result<(), GuestError> {
        unreachable!("it never runs")
    }
    fn collect_dirty(&mut self, _: &mut PageSet) -> Result<(), GuestError> {
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

/// Time stands still.
#[derive(Clone)]
pub struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}

/// Nothing leaves a secondary.
pub struct Shut;

impl Device for Shut {
    fn name(&self) -> &'static str {
        "shut"
    }
    fn send(&self, _: &[u8]) -> io::Result<()> {
        panic!("a secondary has let something out")
    }
    fn receive(&self, _: &mut [u8]) -> io::Result<Option<usize>> {
        Ok(None)
    }
}

/// The connection: what the primary says, and what it is told.
#[derive(Clone, Default)]
pub struct Wire {
    said: Rc<RefCell<VecDeque<u8>>>,
    told: Rc<RefCell<Vec<u8>>>,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.said.borrow_mut().read(into)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            bytes => Ok(bytes),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.told.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Wire {
    fn wait_writable(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }
    fn wants_write(&self) -> bool {
        false
    }
}

/// A secondary calls nobody.
pub struct Mute;

impl Dial<Wire> for Mute {
    fn is_busy(&self) -> bool {
        false
    }
    fn dial(&mut self, _: Hello) {
        unreachable!("a secondary calls nobody")
    }
    fn result(&mut self) -> Option<Dialed<Wire>> {
        None
    }
}

/// Lets the one primary in.
pub struct Once(Option<Caller<Wire>>);

impl Door<Wire> for Once {
    fn caller(&mut self) -> Option<Caller<Wire>> {
        self.0.take()
    }
}

/// The outside of the engine.
pub struct Outside {
    memory: Memory,
    passed: Rc<Cell<bool>>,
}

impl Ports for Outside {
    type Vm = Waiting;
    type Clock = Still;
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
        let memory = Memory(Rc::new(RefCell::new(vec![0; PAGES * limits::PAGE_BYTES])));
        let (wire, passed) = (Wire::default(), Rc::default());
        let mut engine = engine(
            Outside {
                memory: memory.clone(),
                passed: Rc::clone(&passed),
            },
            wire.clone(),
        );
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

fn engine(ports: Outside, wire: Wire) -> Engine<Outside> {
    static GOLDEN: OnceLock<Spec> = OnceLock::new();
    let golden = include_bytes!("../../../test/contract/spec/engine.json");
    let spec = GOLDEN
        .get_or_init(|| Spec::parse(golden, Path::new("engine.json")).expect("the sample"))
        .clone();
    let platform = Platform::of(Accel::Tcg, Kind::PageTables);
    let hello = Hello {
        protocol: limits::PROTOCOL_VERSION,
        resource: spec.resource.clone(),
        vm_uuid: spec.machine.uuid,
        node: "n2".to_owned(),
        engine_id: Uuid::max(),
        engine_version: String::new(),
        role: HelloRole::Primary,
        generation: 1,
        acked_epoch: 0,
        fingerprint: Fingerprint::default(),
    };
    let opened = Opened::with_reader(wire, FrameReader::with_room(READER_BYTES));
    let (id, (_, orders)) = (Uuid::nil(), channel());
    Engine {
        tuning: spec.tuning,
        id,
        ports,
        clock: Still(Instant::now()),
        sizes: Sizes {
            staging_pages: 4,
            device_state_bytes: STATE_MAX_BYTES,
            shadow_pages: 4,
            baseline_chunk_pages: 4,
            assembly_bytes: 1 << 12,
        },
        board: StatusBoard::new(first_status(&spec, id, &platform, 1)),
        events: EventSender::to_nobody().expect("a descriptor"),
        orders,
        outlet: Outlet::new(Shut),
        dialer: Mute,
        listener: Once(Some(Caller::new(opened, hello))),
        statistics: Statistics::new(),
        promotion: None,
        spec,
    }
}
