//! One seed from its beginning to its end: chance decides what happens next, then everything is mended and must be well.

use std::rc::Rc;
use std::time::Duration;

use super::cluster::Cluster;
use super::invariant::{Invariant, Violation};
use super::tally::Tally;
use super::tampering::Tampering;
use super::world::{NODES, World};
use crate::control::State;
use crate::limits::TRIALS_APART;

/// Things that happen before everything is mended.
const STEPS: usize = 260;
/// Rounds within which all must be well again.
const ROUNDS_MAX: usize = 4000;

/// How often what goes wrong: one in so many steps.
struct Temper {
    crash: usize,
    network: usize,
    tampering: usize,
    meddling: usize,
}

/// Plays one seed.
pub(super) fn play(seed: u64, traced: bool) -> Result<Tally, Violation> {
    let world = World::new(seed, traced);
    let mut story = Story {
        temper: world.with_chance(|chance| Temper {
            crash: [60, 200, 100_000][chance.usize(0..3)],
            network: [12, 50, 400][chance.usize(0..3)],
            tampering: [40, 400, 100_000][chance.usize(0..3)],
            meddling: [8, 30, 100][chance.usize(0..3)],
        }),
        tampering: None,
        cluster: Cluster::new(&world),
        world,
    };
    let outcome = story.play();
    let tally = story.world.oracle.borrow().tally;
    // The machines point to the world, which points to them.
    for node in 0..NODES {
        story.cluster.crash(node);
    }
    outcome.map(|()| tally)
}

struct Story {
    world: Rc<World>,
    cluster: Cluster,
    temper: Temper,
    /// What is done to the next thing on its way to which it can be done.
    tampering: Option<Tampering>,
}

impl Story {
    fn play(&mut self) -> Result<(), Violation> {
        for _ in 0..STEPS {
            self.step();
            self.check()?;
        }
        self.world.trace(|| "everything is mended".to_owned());
        self.world.network.borrow_mut().heal();
        self.world.calm.set(true);
        self.tampering = None;
        for _ in 0..ROUNDS_MAX {
            self.round();
            self.check()?;
            if self.is_well() {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: Invariant::Progress,
            message: format!(
                "it does not become well again: {:?}",
                self.cluster.primary()
            ),
        })
    }

    fn check(&self) -> Result<(), Violation> {
        self.world.oracle.borrow().violation().map_or(Ok(()), Err)
    }

    fn step(&mut self) {
        let world = Rc::clone(&self.world);
        world.pass(Duration::from_micros(20));
        match world.below(20) {
            0..=6 => self.cluster.turn(world.below(world.nodes)),
            7..=10 => self.carry(),
            11..=13 => self.run_guests(),
            14 => self.send_inputs(),
            15 => self.pass_time(),
            16..=18 => self.round(),
            _ if self.cluster.primary().is_none() => self.cluster.mend(),
            _ => {}
        }
        self.go_wrong();
    }

    /// All that can happen on its own happens once.
    fn round(&mut self) {
        self.run_guests();
        self.world.network.borrow_mut().carry_all();
        for node in 0..self.world.nodes {
            self.cluster.turn(node);
            self.tamper();
        }
        self.world.network.borrow_mut().carry_all();
        for node in (0..self.world.nodes).rev() {
            self.cluster.turn(node);
            self.tamper();
        }
        self.world.pass(Duration::from_millis(2));
        if self
            .world
            .one_in(if self.world.calm.get() { 40 } else { 10 })
        {
            self.world.pass(Duration::from_millis(150));
        }
        if self.world.calm.get() && self.world.one_in(100) {
            // A peer whose trial has failed is left in peace for a while.
            self.world.pass(TRIALS_APART / 8);
        }
        if self.world.one_in(4) {
            self.cluster.mend();
        }
    }

    fn carry(&mut self) {
        let mut network = self.world.network.borrow_mut();
        let live = network.live();
        if live.is_empty() {
            return;
        }
        let (number, direction, bytes) = self.world.with_chance(|chance| {
            let number = live[chance.usize(0..live.len())];
            let bytes = 1 << chance.usize(0..18);
            (number, chance.usize(0..2), chance.usize(0..bytes))
        });
        network.carry(number, direction, bytes);
    }

    fn run_guests(&mut self) {
        let most = if self.world.calm.get() { 2 } else { 8 };
        for node in 0..self.world.nodes {
            if let Some(machine) = self.world.machine(node) {
                for _ in 0..self.world.below(most) {
                    machine.borrow_mut().act(&self.world);
                }
            }
        }
    }

    /// The world sends something to the guest, wherever the network believes that it is.
    fn send_inputs(&mut self) {
        let mac = [0x52, 0x54, 0x00, 0x6b, 0x00, 0x01];
        let (wanted, length) = self.world.with_chance(|chance| {
            let wanted: Vec<bool> = (0..self.world.nodes).map(|_| chance.bool()).collect();
            (wanted, chance.usize(0..300))
        });
        for (node, wanted) in wanted.into_iter().enumerate() {
            if wanted {
                let frame = [&mac[..], &[2; 6], &vec![9; length]].concat();
                self.world.inbound[node].borrow_mut().push_back(frame);
            }
        }
    }

    fn pass_time(&mut self) {
        let longest = [1_000, 60_000, 400_000, 4_000_000][self.world.below(4)];
        let micros = self.world.below(longest);
        self.world.pass(Duration::from_micros(micros as u64));
    }

    fn go_wrong(&mut self) {
        let world = Rc::clone(&self.world);
        if world.one_in(self.temper.meddling) {
            self.cluster.meddle();
        }
        if world.one_in(self.temper.crash) {
            self.kill(world.below(world.nodes));
        }
        if world.one_in(self.temper.network) {
            self.trouble_network();
        }
        if world.one_in(self.temper.tampering) {
            let how = world.below(Tampering::ALL.len());
            self.tampering = Some(Tampering::ALL[how]);
        }
        self.tamper();
    }

    /// An engine dies, or only its guest: that it notices.
    fn kill(&mut self, node: usize) {
        if self.world.one_in(3) {
            if let Some(machine) = self.world.machine(node) {
                self.world
                    .trace(|| format!("the guest process on n{node} dies"));
                let mut machine = machine.borrow_mut();
                machine.dead = true;
                machine.running = false;
            }
        } else {
            if self.world.one_in(3) {
                // Its host loses power: nobody says goodbye.
                let mut network = self.world.network.borrow_mut();
                for number in network.live() {
                    network.set_stuck(number, true);
                }
            }
            self.cluster.crash(node);
        }
    }

    fn trouble_network(&mut self) {
        let mut network = self.world.network.borrow_mut();
        let live = network.live();
        let which = self.world.below(live.len().max(1));
        let what = self.world.below(6);
        match (what, live.get(which)) {
            (0, _) => network.parted = !network.parted,
            (1, _) if network.parted => network.parted = false,
            (1 | 2, Some(&number)) => {
                let stuck = !network.is_stuck(number);
                network.set_stuck(number, stuck);
            }
            (_, Some(&number)) => self.world.with_chance(|chance| network.cut(number, chance)),
            (_, None) => {}
        }
        let parted = network.parted;
        self.world
            .trace(|| format!("network: {what} on {:?}, parted {parted}", live.get(which)));
    }

    fn tamper(&mut self) {
        let Some(how) = self.tampering else {
            return;
        };
        let mut network = self.world.network.borrow_mut();
        let mut busy = network.busy();
        let done = self.world.with_chance(|chance| {
            chance.shuffle(&mut busy);
            (busy.into_iter()).find(|&way| network.tamper(way, how, chance))
        });
        if let Some(way) = done {
            self.world
                .trace(|| format!("tampering with {way:?}: {how:?}"));
            self.tampering = None;
        }
    }

    /// A replica is complete, whatever the guest sent has left, and nobody has anything left to order.
    fn is_well(&self) -> bool {
        if self.cluster.has_heard_farewell() {
            return false;
        }
        let Some((owner, State::Protected)) = self.cluster.primary() else {
            return false;
        };
        let others = (self.cluster.nodes.iter().flatten()).filter(|node| node.number != owner);
        let is_in_sync = others
            .filter(|node| node.is_connected_secondary())
            .any(|node| node.state().1 == State::InSync);
        let Some(machine) = self.world.machine(owner) else {
            return false;
        };
        let machine = machine.borrow();
        let holds_nothing = self.cluster.nodes[owner]
            .as_ref()
            .is_some_and(|node| node.held_packets() == 0);
        is_in_sync
            && machine.has_nothing_to_send()
            && holds_nothing
            && self.world.oracle.borrow().has_all_left(machine.at)
    }
}
