//! Stands between the engines, understands their frames, and spoils them when it is told to.

mod carry;
mod fault;
mod frame;

use std::collections::HashSet;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kemari_engine::link::Key;

use self::carry::carry;
use self::fault::Trap;
use self::frame::Carried;
use super::outputs::Outputs;
use super::{eventually, key};

pub use self::fault::Fault;

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
