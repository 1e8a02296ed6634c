//! One host of the simulation: a real engine's roles with simulated ports, and what a cluster sees of it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use uuid::Uuid;

use super::invariant::Invariant;
use super::machine::{SimulatedTrial, SimulatedVm};
use super::meeting::{SimulatedDialer, SimulatedDoor};
use super::network::SimulatedTransport;
use super::oracle::Claim;
use super::world::{VirtualClock, World};
use crate::checkpoint::Statistics;
use crate::control::{Desk, News, Order, OrderCommand, Role as ShownRole, State, StatusBoard};
use crate::fault::{Fault, rarely};
use crate::guest::accel::Accel;
use crate::guest::dirty::choice::Kind;
use crate::guest::{GuestError, Platform, Start};
use crate::limits::Sizes;
use crate::release::{Device, Outlet};
use crate::role::{Engine, Fatal, Next, Ports, Primary, Ready, Secondary, Turn};
use crate::run::first_status;
use crate::spec::{Peer, Spec};

/// The ports of a simulated engine.
pub(super) struct Simulated {
    world: Rc<World>,
    node: usize,
}

impl Ports for Simulated {
    type Vm = SimulatedVm;
    type Clock = VirtualClock;
    type Device = SimulatedDevice;
    type Transport = SimulatedTransport;
    type Dialer = SimulatedDialer;
    type Door = SimulatedDoor;
    type Trial = SimulatedTrial;

    fn start_guest(&self, _: &Spec, how: Start) -> Result<SimulatedVm, GuestError> {
        Ok(SimulatedVm::start(&self.world, self.node, how))
    }

    fn begin_trial(&self, _: &Spec, guest: &SimulatedVm) -> Result<SimulatedTrial, GuestError> {
        Ok(SimulatedTrial::new(guest))
    }

    fn forget_addresses(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// A port to the world; what leaves it, the oracle sees.
pub(super) struct SimulatedDevice {
    world: Rc<World>,
    node: usize,
}

impl Device for SimulatedDevice {
    fn name(&self, _: &[u8]) -> &'static str {
        "simulated"
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let machine = self.world.machine(self.node);
        let at = machine.map(|machine| machine.borrow().at);
        self.world.oracle.borrow_mut().left(self.node, at, packet);
        Ok(())
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let frame = self.world.inbound[self.node].borrow_mut().pop_front();
        Ok(frame.map(|frame| {
            let length = frame.len().min(into.len());
            into[..length].copy_from_slice(&frame[..length]);
            length
        }))
    }
}

enum Role {
    Secondary(Box<Secondary<Simulated>>),
    Primary(Box<Primary<Simulated>>),
}

/// A host on which an engine runs.
pub(super) struct Node {
    pub(super) number: usize,
    world: Rc<World>,
    engine: Engine<Simulated>,
    role: Option<Role>,
    orders: Sender<Order>,
    /// Orders that the engine has not looked at.
    waiting_orders: Cell<usize>,
    desk: Desk,
}

fn spec(node: usize, nodes: usize) -> Spec {
    static GOLDEN: OnceLock<Spec> = OnceLock::new();
    let golden = GOLDEN.get_or_init(|| {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../test/contract/spec/engine.json"
        );
        let text = std::fs::read(path).expect("the golden specification");
        serde_json::from_slice(&text).expect("a specification")
    });
    let mut spec = golden.clone();
    spec.node = format!("n{node}");
    let others = (0..nodes).filter(|&other| other != node);
    spec.peers = others
        .map(|other| Peer {
            node: format!("n{other}"),
            ..golden.peers[0].clone()
        })
        .collect();
    spec
}

impl Node {
    /// A host whose engine begins its life.
    pub(super) fn start(world: &Rc<World>, number: usize, life: u128) -> Self {
        let (id, ports) = (
            Uuid::from_u128(life),
            Simulated {
                world: Rc::clone(world),
                node: number,
            },
        );
        let platform = Platform::of(Accel::Tcg, Kind::PageTables);
        let mut spec = spec(number, world.nodes);
        let (hold_bytes, staging_pages) = world.with_chance(|chance| {
            spec.tuning.freeze_timeout_ms = [0, 300, 60_000][chance.usize(0..3)];
            let hold = [1_500, 6_000, 40_000, 1 << 20][chance.usize(0..4)];
            let hold = rarely(hold, Fault::LastAlthoughOutputsWait, 1_500);
            (hold, [4, 16, 64][chance.usize(0..3)])
        });
        spec.limits.hold_bytes = hold_bytes;
        let desk = Desk::new();
        let (orders, inbox) = channel();
        let board = StatusBoard::new(first_status(&spec, id, &platform, 1));
        let engine = Engine {
            tuning: spec.tuning,
            spec,
            id,
            ports,
            clock: VirtualClock(Rc::clone(world)),
            sizes: Sizes {
                staging_pages,
                device_state_bytes: 8192,
                shadow_pages: 16,
                baseline_chunk_pages: 3,
                assembly_bytes: 1 << 12,
            },
            board,
            events: desk.events(),
            orders: inbox,
            outlet: Outlet::new(SimulatedDevice {
                world: Rc::clone(world),
                node: number,
            }),
            dialer: SimulatedDialer::new(world, number),
            listener: SimulatedDoor::new(world, number),
            statistics: Statistics::new(),
            promotion: None,
        };
        let secondary = Secondary::start(&engine, None).expect("a simulated guest starts");
        Self {
            number,
            world: Rc::clone(world),
            engine,
            role: Some(Role::Secondary(Box::new(secondary))),
            orders,
            waiting_orders: Cell::new(0),
            desk,
        }
    }

    /// Lets the engine take a turn; false if it has ended.
    pub(super) fn turn(&mut self) -> bool {
        let Some(role) = self.role.take() else {
            return false;
        };
        let ready = self.ready(&role);
        let next = match role {
            Role::Secondary(secondary) => match secondary.turn(&mut self.engine, ready) {
                Ok(Turn::Stay(secondary)) => {
                    self.role = Some(Role::Secondary(secondary));
                    self.check_bases();
                    None
                }
                Ok(Turn::Leave(next)) => Some(next),
                Err(error) => {
                    self.world.trace(|| format!("n{}: {error}", self.number));
                    return false;
                }
            },
            Role::Primary(mut primary) => match self.primary_turn(&mut primary, ready) {
                Ok(None) => {
                    self.role = Some(Role::Primary(primary));
                    None
                }
                Ok(Some(next)) => Some(next),
                Err(error) => {
                    self.world.trace(|| format!("n{}: {error}", self.number));
                    return false;
                }
            },
        };
        match next {
            None => {}
            Some(Next::Stopped) => return false,
            Some(Next::Primary(primary)) => self.role = Some(Role::Primary(primary)),
            Some(Next::Secondary(caller)) => {
                let secondary =
                    Secondary::start(&self.engine, caller).expect("a simulated guest starts");
                self.role = Some(Role::Secondary(Box::new(secondary)));
            }
        }
        true
    }

    /// Only what the secondary has is changed: that it refuses anything else is the last line of defence.
    fn check_bases(&self) {
        let error = self.engine.board.snapshot().last_error;
        if let Some(message) = error.filter(|error| error.contains("not what the peer changes")) {
            let mut oracle = self.world.oracle.borrow_mut();
            oracle.violated(Invariant::Soundness, message);
        }
    }

    fn primary_turn(
        &mut self,
        primary: &mut Primary<Simulated>,
        ready: Ready,
    ) -> Result<Option<Next<Simulated>>, Fatal> {
        let outcome = primary.turn(&mut self.engine, ready);
        let (_, state) = primary.state();
        let mut oracle = self.world.oracle.borrow_mut();
        let has_no_replica = matches!(state, State::Solo | State::Syncing);
        if has_no_replica && matches!(outcome, Err(Fatal::Guest(GuestError::Tracker(_)))) {
            let message = "the only copy was ended because its written pages were lost";
            oracle.violated(Invariant::Soundness, message.to_owned());
        }
        let machine = self.world.machine(self.number);
        if outcome.is_ok() && machine.is_some_and(|machine| machine.borrow().writing) {
            let message = "nobody has read the state that the guest waits for";
            oracle.violated(Invariant::Soundness, message.to_owned());
        }
        outcome
    }

    /// What a poll would say, but for what it now and then says one round later.
    fn ready(&self, role: &Role) -> Ready {
        let seldom = |world: &World| !world.one_in(8);
        let is_dead = self
            .world
            .machine(self.number)
            .is_none_or(|m| m.borrow().dead);
        // A secondary that acknowledges and ends in one turn would end before the oracle has seen what it had: what may end
        // it comes in a turn of its own.
        if matches!(role, Role::Secondary(_)) && self.world.one_in(2) {
            self.waiting_orders.set(0);
            return Ready {
                orders: true,
                death: is_dead,
                ..Ready::default()
            };
        }
        let is_forwarding = matches!(role, Role::Primary(primary) if primary.is_forwarding());
        let is_primary = matches!(role, Role::Primary(_));
        let orders = if is_forwarding {
            self.waiting_orders.get() > 0
        } else {
            is_primary && seldom(&self.world)
        };
        if orders {
            self.waiting_orders.set(0);
        }
        Ready {
            link: seldom(&self.world),
            guest: seldom(&self.world),
            world: seldom(&self.world),
            orders,
            news: true,
            death: is_primary && is_dead,
        }
    }

    /// Shows the oracle what a promotion would find here.
    pub(super) fn show(&self) {
        let mut oracle = self.world.oracle.borrow_mut();
        let Some(Role::Secondary(secondary)) = &self.role else {
            return oracle.has_none(self.number);
        };
        let Some(machine) = self.world.machine(self.number) else {
            return oracle.has_none(self.number);
        };
        let replica = secondary.replica();
        if !replica.is_complete() {
            return oracle.has_none(self.number);
        }
        let machine = &mut *machine.borrow_mut();
        oracle.look(
            self.number,
            &Claim {
                generation: replica.generation,
                epoch: replica.epoch,
                device_state: &replica.device_state,
                ram: &machine.ram,
                written_to: std::mem::take(&mut machine.written_to),
            },
        );
    }

    pub(super) fn order(&self, number: u64, command: OrderCommand) {
        let order = self.desk.order(number, command);
        self.waiting_orders.set(self.waiting_orders.get() + 1);
        // The engine's end of the channel lives as long as the node.
        let _ = self.orders.send(order);
    }

    pub(super) fn news(&self) -> Option<News> {
        self.desk.news()
    }

    /// What the engine shows of itself.
    pub(super) fn state(&self) -> (ShownRole, State) {
        match &self.role {
            Some(Role::Primary(primary)) if primary.is_forwarding() => {
                (ShownRole::Secondary, State::Empty)
            }
            Some(Role::Primary(primary)) => primary.state(),
            Some(Role::Secondary(secondary)) => {
                (ShownRole::Secondary, secondary.replica().state.shown())
            }
            None => (ShownRole::Secondary, State::Empty),
        }
    }

    /// Generation of the replica, if there is a complete one.
    pub(super) fn replica_generation(&self) -> Option<u64> {
        match &self.role {
            Some(Role::Secondary(secondary)) if secondary.replica().is_complete() => {
                Some(secondary.replica().generation)
            }
            _ => None,
        }
    }

    /// Whether a primary is connected.
    pub(super) fn is_connected_secondary(&self) -> bool {
        matches!(&self.role, Some(Role::Secondary(secondary)) if secondary.is_connected())
    }

    /// Bytes that wait for an ack.
    pub(super) fn held_packets(&self) -> usize {
        match &self.role {
            Some(Role::Primary(primary)) => primary.held_packets(),
            _ => 0,
        }
    }
}
