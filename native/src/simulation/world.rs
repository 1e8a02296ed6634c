//! What all parts of a simulation share: one clock, one source of chance, the network, and who watches.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;

use super::machine::Machine;
use super::network::Network;
use super::oracle::Oracle;
use crate::clock::Clock;

/// Hosts, at most.
pub(super) const NODES: usize = 3;

/// The world of one seed.
pub(super) struct World {
    began: Instant,
    elapsed: Cell<Duration>,
    chance: RefCell<Rng>,
    pub(super) network: RefCell<Network>,
    pub(super) oracle: RefCell<Oracle>,
    /// The guest that was started last on each host, as long as somebody holds it.
    machines: [RefCell<Option<Rc<RefCell<Machine>>>>; NODES],
    /// Frames that the world has sent to each host's port.
    pub(super) inbound: [RefCell<VecDeque<Vec<u8>>>; NODES],
    /// Hosts.
    pub(super) nodes: usize,
    /// Pages of the guest.
    pub(super) pages: usize,
    /// Everything is mended: guests do little, and do not end.
    pub(super) calm: Cell<bool>,
    /// Whether what happens is printed.
    pub(super) traced: bool,
}

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Rc<Self> {
        let mut chance = Rng::with_seed(seed);
        let pages = chance.usize(8..40);
        Rc::new(Self {
            began: Instant::now(),
            elapsed: Cell::default(),
            network: RefCell::new(Network::new(&mut chance)),
            chance: RefCell::new(chance),
            oracle: RefCell::new(Oracle::new(traced)),
            machines: Default::default(),
            inbound: Default::default(),
            // Most clusters have two.
            nodes: if seed % 4 == 3 { 3 } else { 2 },
            pages,
            calm: Cell::new(false),
            traced,
        })
    }

    /// A number below `bound`.
    pub(super) fn below(&self, bound: usize) -> usize {
        self.chance.borrow_mut().usize(0..bound)
    }

    /// Whether something happens that happens once in `times`.
    pub(super) fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Everything else that chance decides.
    pub(super) fn with_chance<T>(&self, ask: impl FnOnce(&mut Rng) -> T) -> T {
        ask(&mut self.chance.borrow_mut())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    pub(super) fn pass(&self, time: Duration) {
        self.elapsed.set(self.elapsed.get() + time);
    }

    pub(super) fn trace(&self, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>12.6} {}", self.elapsed.get().as_secs_f64(), what());
        }
    }

    pub(super) fn machine(&self, node: usize) -> Option<Rc<RefCell<Machine>>> {
        self.machines[node].borrow().clone()
    }

    pub(super) fn put_machine(&self, node: usize, machine: Option<Rc<RefCell<Machine>>>) {
        *self.machines[node].borrow_mut() = machine;
    }

    /// Hosts whose guest runs.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes).filter(|&node| {
            let machine = self.machines[node].borrow();
            machine.as_ref().is_some_and(|m| m.borrow().running)
        })
    }
}

/// The world's clock.
#[derive(Clone)]
pub(super) struct VirtualClock(pub(super) Rc<World>);

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.0.began + self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        // Long enough ago for nobody to take it for the real time.
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + self.0.elapsed()
    }
}
