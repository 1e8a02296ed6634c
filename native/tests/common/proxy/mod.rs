//! Stands between the engines, understands their frames, and spoils them when it is told to.

use std::collections::HashSet;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::connect_unspec;

use super::outputs::Outputs;
use super::side::{Side, connect_from};
use super::{PATIENCE, eventually, key};
use kemari_engine::link::Key;

/// First byte of a frame that is sent in clear.
const FRAME_BYTE: u8 = b'K';
/// Room for what one read brings, of whole TLS records.
const READ_BYTES: usize = 128 << 10;

/// Kinds of frames that it looks at (`native/src/wire/frame.rs`).
const SYNC_BEGIN: u16 = 4;
const BEGIN: u16 = 6;
const OUTPUTS: u16 = 9;
const COMMIT: u16 = 10;
const ACK: u16 = 12;
const HANDOVER: u16 = 13;
const HANDOVER_ACK: u16 = 14;
const DEVICE_STATE: u16 = 8;
const DEVICE_DELTA: u16 = 20;
const HEARTBEAT: u16 = 23;
const HEADER_BYTES: usize = 64;

/// What can happen to one frame of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One bit of it is flipped; the number says which.
    Flip(usize),
    /// The connection breaks within it; the number says where.
    Truncate(usize),
    /// The connection breaks before it.
    Cut,
    /// It comes twice.
    Repeat,
    /// It never comes.
    Lose,
    /// The commit of the transaction before comes first.
    Old,
    /// It comes after the next one.
    Swap,
    /// It is in the node's receive queue, and then the connection to the node is reset.
    Reset,
}

/// Where it happens.
#[derive(Debug, Clone, Copy)]
struct Trap {
    /// Whole transactions to let pass before.
    transactions: usize,
    /// Frames of the transaction to let pass before; its commit is the last that can be hit.
    frames: usize,
    fault: Fault,
}

// Switches that tests set one by one.
#[allow(clippy::struct_excessive_bools)]
#[derive(Default)]
struct State {
    over: bool,
    /// New connections are hung up on.
    closed: bool,
    /// Of this epoch and all after it.
    withhold_acks: Option<u64>,
    outputs: Outputs,
    withhold_handover_ack: bool,
    hushed: bool,
    bytes_per_second: Option<u32>,
    trap: Option<Trap>,
    /// The epoch whose first frame waits at the trap.
    trapped: Option<u64>,
    release: bool,
    spoiled: usize,
    last_ack: u64,
    withheld: usize,
    baselines: usize,
    carried: Carried,
    heartbeats: usize,
    acks: usize,
    offered: bool,
    connections: Vec<TcpStream>,
}

/// What the secondary was sent since it was last asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried {
    /// Bytes of all frames.
    pub bytes: usize,
    /// Frames whose payload is packed.
    pub packed: usize,
    /// Transactions with all of the device state.
    pub whole_device_states: usize,
    /// Transactions with the changes of the device state.
    pub changed_device_states: usize,
    /// Bytes of these changes.
    pub changed_device_bytes: usize,
}

impl Carried {
    fn add(&mut self, frame: &Frame) {
        self.bytes += frame.bytes.len();
        self.packed += usize::from(!frame.is_plain());
        match frame.kind {
            DEVICE_STATE => self.whole_device_states += 1,
            DEVICE_DELTA => {
                self.changed_device_states += 1;
                self.changed_device_bytes += frame.bytes.len() - HEADER_BYTES;
            }
            _ => {}
        }
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the proxy's state")
    }

    fn wait_while_hushed(&self) {
        let mut state = self.lock();
        while state.hushed && !state.over {
            state = self.changed.wait(state).expect("the proxy's state");
        }
    }
}

/// A proxy in front of one engine.
pub struct Proxy {
    shared: Arc<Shared>,
    doorkeeper: Option<JoinHandle<()>>,
}

impl Proxy {
    /// In front of node 1 or 2.
    pub fn before(node: u8) -> Self {
        let listener =
            TcpListener::bind(format!("10.77.2.1{node}:7900")).expect("the proxy's port");
        listener.set_nonblocking(true).expect("nonblocking");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let key = Key::read(&key::of_this_lab()).expect("the lab's key");
        let doorkeeper = thread::spawn({
            let shared = Arc::clone(&shared);
            move || keep_door(&listener, &format!("10.77.2.{node}:7900"), &key, &shared)
        });
        Self {
            shared,
            doorkeeper: Some(doorkeeper),
        }
    }

    /// Breaks all connections and lets none through until [`Proxy::heal`].
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        sever(&mut state);
    }

    /// Lets new connections through.
    pub fn open_door(&self) {
        self.shared.lock().closed = false;
    }

    /// Limits the rate of data no more.
    pub fn heal_pace(&self) {
        self.shared.lock().bytes_per_second = None;
    }

    /// From here on everything passes.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        (
            state.closed,
            state.withhold_acks,
            state.withhold_handover_ack,
        ) = (false, None, false);
        (state.bytes_per_second, state.trap, state.release) = (None, None, true);
        // A connection that has lost an answer, or was given up, is of no more use.
        if state.withheld > 0 || std::mem::take(&mut state.hushed) {
            sever(&mut state);
            state.withheld = 0;
        }
        self.shared.changed.notify_all();
    }

    /// From here on nothing is carried in either direction, and nobody is hung up on; new connections are not let through.
    pub fn hush(&self) {
        let mut state = self.shared.lock();
        (state.hushed, state.closed) = (true, true);
    }

    /// Heartbeats carried so far, in both directions.
    pub fn heartbeats(&self) -> usize {
        self.shared.lock().heartbeats
    }

    /// Acks carried so far.
    pub fn acks(&self) -> usize {
        self.shared.lock().acks
    }

    /// No ack of the epoch that comes `after` as many as this is delivered, nor any later one, while data still is; new
    /// connections are not let through. Returns the last epoch whose ack is.
    pub fn withhold_acks(&self, after: u64) -> u64 {
        let mut state = self.shared.lock();
        let last = state.last_ack + after;
        (state.withhold_acks, state.closed) = (Some(last + 1), true);
        last
    }

    /// Frames of the guest that the primary has sent, and whose ack it was not given. They must not be compressed.
    pub fn withheld_outputs(&self) -> HashSet<Vec<u8>> {
        self.shared.lock().outputs.withheld()
    }

    /// Acks that were not delivered since the last heal.
    pub fn withheld(&self) -> usize {
        self.shared.lock().withheld
    }

    /// The secondary's answer to the offer of the guest is not delivered.
    pub fn withhold_handover_ack(&self) {
        self.shared.lock().withhold_handover_ack = true;
    }

    /// Whether the guest has been offered to the secondary.
    pub fn offered(&self) -> bool {
        self.shared.lock().offered
    }

    /// Limits the rate of data.
    pub fn pace(&self, bytes_per_second: u32) {
        self.shared.lock().bytes_per_second = Some(bytes_per_second);
    }

    /// What was carried since this was last asked for.
    pub fn take_carried(&self) -> Carried {
        std::mem::take(&mut self.shared.lock().carried)
    }

    /// Baselines that have begun.
    pub fn baselines(&self) -> usize {
        self.shared.lock().baselines
    }

    /// Lays a trap: after some whole transactions and some frames of the next one, `fault` happens.
    pub fn lay(&self, transactions: usize, frames: usize, fault: Fault) {
        let mut state = self.shared.lock();
        state.trap = Some(Trap {
            transactions,
            frames,
            fault,
        });
        (state.trapped, state.release) = (None, false);
    }

    /// Waits until the transaction that will be hit is about to begin, and says which epoch it is. Nothing of it has been
    /// delivered; nothing more is, until [`Proxy::spring`].
    pub fn wait_trapped(&self) -> u64 {
        eventually("a transaction reaches the trap", || {
            self.shared.lock().trapped
        })
    }

    /// Lets the fault happen; no new connection is let through after it.
    pub fn spring(&self) {
        let before = {
            let mut state = self.shared.lock();
            (state.closed, state.release) = (true, true);
            self.shared.changed.notify_all();
            state.spoiled
        };
        eventually("the fault happens", || {
            (self.shared.lock().spoiled > before).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            (state.over, state.release) = (true, true);
            sever(&mut state);
        }
        self.shared.changed.notify_all();
        if let Some(doorkeeper) = self.doorkeeper.take() {
            let _ = doorkeeper.join();
        }
    }
}

fn sever(state: &mut State) {
    for connection in state.connections.drain(..) {
        let _ = connection.shutdown(Shutdown::Both);
    }
}

fn keep_door(listener: &TcpListener, upstream: &str, key: &Key, shared: &Arc<Shared>) {
    while !shared.lock().over {
        let Ok((primary, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        if shared.lock().closed {
            continue;
        }
        let (upstream, key, shared) = (upstream.to_owned(), key.clone(), Arc::clone(shared));
        // One that says nothing must not keep the others waiting.
        thread::spawn(move || {
            let _ = carry(primary, &upstream, key, &shared);
        });
    }
}

/// Both directions of one connection.
fn carry(primary: TcpStream, upstream: &str, key: Key, shared: &Shared) -> io::Result<()> {
    primary.set_nonblocking(false)?;
    let mut first = [0];
    primary.peek(&mut first)?;
    let key = (first[0] != FRAME_BYTE).then_some(key);
    // As if it came from the engine itself.
    let from = primary.peer_addr()?.ip();
    let secondary = connect_from(from, upstream.parse().expect("an address"))?;
    let secondary = Side::connect(secondary, key.clone())?;
    let primary = Side::accept(primary, key)?;
    {
        let mut state = shared.lock();
        if state.closed || state.over {
            return Ok(());
        }
        for side in [&primary, &secondary] {
            state.connections.push(side.socket().try_clone()?);
        }
    }
    let hang_up = || {
        let _ = primary.socket().shutdown(Shutdown::Both);
        let _ = secondary.socket().shutdown(Shutdown::Both);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = carry_data(&primary, &secondary, shared);
            hang_up();
        });
        let _ = carry_answers(&secondary, &primary, shared);
        hang_up();
    });
    Ok(())
}

struct Frame {
    bytes: Vec<u8>,
    kind: u16,
    epoch: u64,
}

impl Frame {
    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = vec![0; HEADER_BYTES];
        from.read_exact(&mut bytes)?;
        let kind = u16::from_le_bytes(field(&bytes, 6));
        let length = u32::from_le_bytes(field(&bytes, 12));
        let epoch = u64::from_le_bytes(field(&bytes, 24));
        bytes.resize(HEADER_BYTES + length as usize, 0);
        from.read_exact(&mut bytes[HEADER_BYTES..])?;
        Ok(Self { bytes, kind, epoch })
    }

    /// Whether its payload is not packed.
    fn is_plain(&self) -> bool {
        u32::from_le_bytes(field(&self.bytes, 8)) == 0
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("within the header")
}

/// From the primary to the secondary.
fn carry_data(primary: &Side, mut secondary: &Side, shared: &Shared) -> io::Result<()> {
    let mut primary = BufReader::with_capacity(READ_BYTES, primary);
    // Frames that may still pass before the fault happens.
    let mut doom: Option<(usize, Fault)> = None;
    let mut last_commit: Option<Vec<u8>> = None;
    loop {
        let frame = Frame::read(&mut primary)?;
        shared.lock().carried.add(&frame);
        shared.wait_while_hushed();
        match frame.kind {
            SYNC_BEGIN => shared.lock().baselines += 1,
            HEARTBEAT => shared.lock().heartbeats += 1,
            OUTPUTS if frame.is_plain() => {
                let payload = &frame.bytes[HEADER_BYTES..];
                shared.lock().outputs.sent(frame.epoch, payload);
            }
            _ => {}
        }
        if frame.kind == BEGIN {
            doom = wait_at_trap(shared, frame.epoch);
        }
        match &mut doom {
            Some((frames, _)) if *frames > 0 && frame.kind != COMMIT => *frames -= 1,
            Some((_, fault)) => {
                let fault = *fault;
                doom = None;
                let outcome = spoil(
                    fault,
                    &frame,
                    &mut primary,
                    secondary,
                    last_commit.as_deref(),
                );
                shared.lock().spoiled += 1;
                outcome?;
                continue;
            }
            None => {}
        }
        secondary.write_all(&frame.bytes)?;
        match frame.kind {
            COMMIT => last_commit = Some(frame.bytes.clone()),
            HANDOVER => shared.lock().offered = true,
            _ => {}
        }
        let pace = shared.lock().bytes_per_second;
        if let Some(pace) = pace {
            let bytes = u32::try_from(frame.bytes.len()).expect("a frame is small");
            thread::sleep(Duration::from_secs(1) * bytes / pace);
        }
    }
}

/// What is to happen to the transaction that begins, once the test has had its look at the secondary.
fn wait_at_trap(shared: &Shared, epoch: u64) -> Option<(usize, Fault)> {
    let mut state = shared.lock();
    match &mut state.trap {
        None => return None,
        Some(trap) if trap.transactions > 0 => {
            trap.transactions -= 1;
            return None;
        }
        Some(_) => {}
    }
    let trap = state.trap.take()?;
    state.trapped = Some(epoch);
    let (_state, timeout) = shared
        .changed
        .wait_timeout_while(state, PATIENCE, |state| !state.release)
        .expect("the proxy's state");
    assert!(!timeout.timed_out(), "the trap was never sprung");
    Some((trap.frames, trap.fault))
}

fn spoil(
    fault: Fault,
    frame: &Frame,
    primary: &mut impl Read,
    mut secondary: &Side,
    last_commit: Option<&[u8]>,
) -> io::Result<()> {
    let broken = || Err(io::Error::from(io::ErrorKind::BrokenPipe));
    let bytes = &frame.bytes;
    match fault {
        Fault::Flip(bit) => {
            let mut spoiled = bytes.clone();
            let bit = bit % (bytes.len() * 8);
            spoiled[bit / 8] ^= 1 << (bit % 8);
            secondary.write_all(&spoiled)
        }
        Fault::Truncate(length) => {
            secondary.write_all(&bytes[..length % bytes.len()])?;
            broken()
        }
        Fault::Cut => broken(),
        Fault::Repeat => {
            secondary.write_all(bytes)?;
            secondary.write_all(bytes)
        }
        Fault::Lose => Ok(()),
        Fault::Old => {
            secondary.write_all(last_commit.unwrap_or(bytes))?;
            secondary.write_all(bytes)
        }
        Fault::Swap => {
            let next = Frame::read(primary)?;
            secondary.write_all(&next.bytes)?;
            secondary.write_all(bytes)
        }
        Fault::Reset => {
            secondary.write_all(bytes)?;
            // A reset takes back what has not arrived.
            eventually("the node's kernel has everything", || {
                (unacknowledged_bytes(secondary.socket()) == 0).then_some(())
            });
            // Unlike a close, it resets at once, whoever else holds the socket (connect(2)).
            connect_unspec(secondary.socket()).expect("reset");
            broken()
        }
    }
}

/// Bytes that were written but have not arrived (tcp(7), `SIOCOUTQ`).
fn unacknowledged_bytes(stream: &TcpStream) -> libc::c_int {
    let mut bytes = 0;
    // SAFETY: TIOCOUTQ writes one int to the address, which is that of a live local variable.
    let outcome = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
    bytes
}

/// From the secondary to the primary.
fn carry_answers(secondary: &Side, mut primary: &Side, shared: &Shared) -> io::Result<()> {
    let mut secondary = BufReader::with_capacity(READ_BYTES, secondary);
    let mut is_mute = false;
    loop {
        let frame = Frame::read(&mut secondary)?;
        shared.wait_while_hushed();
        // Held while the frame is written, so that nothing slips through once a test has said stop.
        let mut state = shared.lock();
        let withholds = |first| frame.epoch >= first;
        is_mute |= (frame.kind == ACK && state.withhold_acks.is_some_and(withholds))
            || (frame.kind == HANDOVER_ACK && state.withhold_handover_ack);
        if is_mute {
            state.withheld += 1;
            continue;
        }
        primary.write_all(&frame.bytes)?;
        match frame.kind {
            ACK => {
                (state.last_ack, state.acks) = (frame.epoch, state.acks + 1);
                state.outputs.acked(frame.epoch);
            }
            HEARTBEAT => state.heartbeats += 1,
            _ => {}
        }
    }
}
