//! The outside of an engine that is fuzzed: memory for a guest, a connection that says what the fuzzer wants, a clock that is
//! set by hand.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use kemari_engine::checkpoint::Statistics;
use kemari_engine::clock::Clock;
use kemari_engine::control::{EventSender, Order, StatusBoard};
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::choice::Kind;
use kemari_engine::guest::{Platform, Ram};
use kemari_engine::limits::Sizes;
use kemari_engine::link::{Caller, Door, Opened, Transport};
use kemari_engine::release::Outlet;
use kemari_engine::role::{Engine, Ports};
use kemari_engine::run::first_status;
use kemari_engine::spec::Spec;
use kemari_engine::wire::{FrameReader, limits};
use uuid::Uuid;

/// Pages of the guest.
pub const PAGES: usize = 32;
/// Longest state that is tried, bytes.
pub const STATE_MAX_BYTES: usize = 16 << 10;
/// The largest frame that a target makes is far below it.
pub const READER_BYTES: usize = 256 << 10;

/// What a peer reads at once of a connection that was full.
const READ_BYTES: usize = 1 << 10;

/// Guest RAM.
#[derive(Clone)]
pub struct Memory(pub Rc<RefCell<Vec<u8>>>);

impl Memory {
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0; PAGES * limits::PAGE_BYTES])))
    }
}

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

/// Time passes when somebody says so. Clones show the same.
#[derive(Clone)]
pub struct Hands(Rc<Cell<Duration>>, Instant);

impl Hands {
    pub fn new() -> Self {
        Self(Rc::default(), Instant::now())
    }
    pub fn pass(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

impl Clock for Hands {
    fn now(&self) -> Instant {
        self.1 + self.0.get()
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.0.get()
    }
}

/// The connection: what the peer says, and what it is told.
#[derive(Clone, Default)]
pub struct Wire {
    pub said: Rc<RefCell<VecDeque<u8>>>,
    pub told: Rc<RefCell<Vec<u8>>>,
    /// Bytes that it takes until the peer has read some; `None` if nothing ever fills it.
    pub room: Rc<Cell<Option<usize>>>,
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
        let taken = self.room.get().unwrap_or(usize::MAX).min(bytes.len());
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room.set(self.room.get().map(|room| room - taken));
        self.told.borrow_mut().write(&bytes[..taken])
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Wire {
    fn wait_writable(&mut self, _: Duration) -> io::Result<()> {
        // Whoever waits for it has the peer read on.
        self.room.set(self.room.get().map(|room| room + READ_BYTES));
        Ok(())
    }
    fn wants_write(&self) -> bool {
        false
    }
}

impl Wire {
    /// The beginning of a connection over it.
    pub fn opened(&self, reader: FrameReader) -> Opened<Self> {
        Opened::with_reader(self.clone(), reader)
    }
}

/// Lets one primary in.
pub struct Once(pub Option<Caller<Wire>>);

impl Door<Wire> for Once {
    fn caller(&mut self) -> Option<Caller<Wire>> {
        self.0.take()
    }
}

/// The sample of the contract.
pub fn spec() -> Spec {
    static GOLDEN: OnceLock<Spec> = OnceLock::new();
    let golden = include_bytes!("../../../test/contract/spec/engine.json");
    GOLDEN
        .get_or_init(|| Spec::parse(golden, Path::new("engine.json")).expect("the sample"))
        .clone()
}

/// An engine with this outside.
pub fn engine<P>(
    (ports, device, dialer): (P, P::Device, P::Dialer),
    clock: &Hands,
    orders: Receiver<Order>,
    caller: Option<Caller<Wire>>,
) -> Engine<P>
where
    P: Ports<Clock = Hands, Transport = Wire, Door = Once>,
{
    let (spec, id) = (spec(), Uuid::nil());
    let platform = Platform::of(Accel::Tcg, Kind::PageTables);
    Engine {
        tuning: spec.tuning,
        id,
        ports,
        clock: clock.clone(),
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
        outlet: Outlet::new(device),
        dialer,
        listener: Once(caller),
        statistics: Statistics::new(),
        promotion: None,
        spec,
    }
}
