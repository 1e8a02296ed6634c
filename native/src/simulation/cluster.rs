//! What a cluster manager and the supervisors do, by their rules: who is promoted needs proof that nobody else runs the
//! guest, and who goes on alone needs the other's word. What they do within the rules, and when, chance decides.

use std::rc::Rc;

use super::node::Node;
use super::world::{NODES, World};
use crate::checkpoint::{Commit, SyncMode, TuningChange};
use crate::control::messages::Outcome;
use crate::control::{DemoteOutcome, Event, News, OkBody, OrderCommand, PromoteMode, State};

/// An order that was not answered yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    number: u64,
    node: usize,
    command: OrderCommand,
}

pub(super) struct Cluster {
    world: Rc<World>,
    pub(super) nodes: [Option<Node>; NODES],
    lives: u128,
    /// The highest generation that was ever begun or ordered.
    generation: u64,
    /// The generation that was begun last: a replica of an older one is outdated.
    begun: u64,
    /// The host that runs the guest, or is about to.
    owner: Option<usize>,
    /// A host that holds the only copy, stopped.
    parked: Option<usize>,
    pending: Vec<Pending>,
    orders: u64,
    /// The secondary's word has come to the primary on this host.
    outdated: Option<usize>,
}

impl Cluster {
    pub(super) fn new(world: &Rc<World>) -> Self {
        let mut cluster = Self {
            world: Rc::clone(world),
            nodes: Default::default(),
            lives: 0,
            generation: 0,
            begun: 0,
            owner: None,
            parked: None,
            pending: Vec::new(),
            orders: 0,
            outdated: None,
        };
        for node in 0..world.nodes {
            cluster.start(node);
        }
        cluster
    }

    pub(super) fn start(&mut self, node: usize) {
        self.lives += 1;
        let life = self.lives;
        self.world.trace(|| format!("n{node} starts, life {life}"));
        self.nodes[node] = Some(Node::start(&self.world, node, life));
    }

    /// The engine ends at once, and its guest with it.
    pub(super) fn crash(&mut self, node: usize) {
        if self.nodes[node].take().is_some() {
            self.world.trace(|| format!("n{node} is gone"));
        }
        self.forget(node);
    }

    fn forget(&mut self, node: usize) {
        self.pending.retain(|pending| pending.node != node);
        for place in [&mut self.owner, &mut self.parked, &mut self.outdated] {
            if *place == Some(node) {
                *place = None;
            }
        }
        self.world.oracle.borrow_mut().has_none(node);
        let network = &mut *self.world.network.borrow_mut();
        network.backlog[node].clear();
    }

    /// One engine takes a turn; the oracle looks at what it has become.
    pub(super) fn turn(&mut self, node: usize) {
        let Some(engine) = &mut self.nodes[node] else {
            return;
        };
        if engine.turn() {
            engine.show();
        } else {
            // What it has said last is heard.
            self.hear(node);
            self.crash(node);
        }
        self.hear(node);
    }

    fn hear(&mut self, node: usize) {
        while let Some(news) = self.nodes[node].as_ref().and_then(Node::news) {
            match news {
                News::Event(Event::PeerOutdated { .. }) => self.outdated = Some(node),
                News::Event(Event::GuestEnded { generation }) => {
                    self.world
                        .trace(|| format!("n{node}: generation {generation} has ended"));
                    if let Some(line) = self.line(node) {
                        self.world.oracle.borrow_mut().ended(line);
                    }
                    self.has_let_all_out(node);
                }
                News::Event(event) => self.world.trace(|| format!("n{node}: {event:?}")),
                News::Reply(number, outcome) => self.answered(number, &outcome),
            }
        }
    }

    fn answered(&mut self, number: u64, outcome: &Outcome) {
        let Some(at) = self.pending.iter().position(|p| p.number == number) else {
            return;
        };
        let Pending { node, command, .. } = self.pending.remove(at);
        self.world
            .trace(|| format!("n{node}: {command:?} → {outcome:?}"));
        match (command, outcome) {
            (OrderCommand::Promote { generation, .. }, Outcome::Ok(_)) => {
                self.begun = generation;
                self.parked = None;
            }
            (OrderCommand::EnterSolo { generation }, Outcome::Ok(_)) => self.begun = generation,
            (OrderCommand::Promote { .. }, Outcome::Error(_)) => self.owner = None,
            (OrderCommand::Demote { .. }, Outcome::Ok(OkBody::Demoted(outcome))) => {
                self.owner = None;
                if *outcome != DemoteOutcome::Discarded {
                    self.has_let_all_out(node);
                }
                self.parked = (*outcome == DemoteOutcome::Parked).then_some(node);
            }
            (OrderCommand::EnterSolo { .. }, Outcome::Error(_)) => {
                if let Some(line) = self.line(node) {
                    self.world.oracle.borrow_mut().refused_solo(line);
                }
            }
            _ => {}
        }
    }

    fn order(&mut self, node: usize, command: OrderCommand) {
        if let Some(engine) = &self.nodes[node] {
            self.orders += 1;
            self.world.trace(|| format!("n{node} ← {command:?}"));
            self.pending.push(Pending {
                number: self.orders,
                node,
                command,
            });
            engine.order(self.orders, command);
        }
    }

    fn promote(&mut self, node: usize, mode: PromoteMode) {
        self.generation += 1;
        self.owner = Some(node);
        let generation = self.generation;
        self.order(node, OrderCommand::Promote { mode, generation });
    }

    fn state(&self, node: usize) -> Option<State> {
        self.nodes[node].as_ref().map(|engine| engine.state().1)
    }

    fn line(&self, node: usize) -> Option<u64> {
        self.world.machine(node).map(|m| m.borrow().at.line)
    }

    /// The guest on this host is stopped for good: what it has sent must not end with it.
    fn has_let_all_out(&self, node: usize) {
        if let Some(machine) = self.world.machine(node) {
            let at = machine.borrow().at;
            self.world.oracle.borrow_mut().stopped(at);
        }
    }

    fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What a cluster does when nothing is broken: restarts what has ended, promotes where there is nobody.
    pub(super) fn mend(&mut self) {
        if self.is_waiting() {
            return;
        }
        for node in 0..self.world.nodes {
            if self.nodes[node].is_none() {
                return self.start(node);
            }
        }
        match self.owner {
            Some(owner) if self.state(owner) == Some(State::Ended) => {
                self.order(owner, OrderCommand::Stop);
            }
            // Supervisors are slow at times: what they have heard may not be so any more.
            Some(owner) if self.has_heard_farewell() && self.world.one_in(6) => {
                self.outdated = None;
                self.let_be_solo(owner, self.generation + 1);
            }
            Some(_) => {}
            None => self.promote_somebody(),
        }
    }

    /// The owner's secondary has said that it is outdated, and nothing has come of it.
    pub(super) fn has_heard_farewell(&self) -> bool {
        self.outdated.is_some() && self.outdated == self.owner
    }

    /// Nobody runs the guest, and that is certain.
    fn promote_somebody(&mut self) {
        if let Some(node) = self.parked {
            return self.promote(node, PromoteMode::Hot);
        }
        let is_newest = |node: &Option<Node>| {
            let generation = node.as_ref().and_then(Node::replica_generation);
            generation.is_some_and(|generation| generation >= self.begun)
        };
        if let Some(node) = self.nodes.iter().position(is_newest) {
            return self.promote(node, PromoteMode::Hot);
        }
        let up: Vec<usize> = (0..self.world.nodes)
            .filter(|&node| self.state(node) == Some(State::Empty))
            .collect();
        if !up.is_empty() {
            let node = up[self.world.below(up.len())];
            self.promote(node, PromoteMode::Cold);
        }
    }

    /// What a cluster does while things go wrong, or because a person wants it.
    pub(super) fn meddle(&mut self) {
        if self.is_waiting() {
            return;
        }
        let Some(owner) = self.owner else {
            return self.mend_by_chance();
        };
        let other = self.another(owner);
        match self.world.below(16) {
            0..=2 => {
                let timeout_ms = [0, 40, 500, 5000][self.world.below(4)];
                self.order(owner, OrderCommand::Demote { timeout_ms });
            }
            // The secondary's supervisor stops it: its engine says that it is outdated.
            3 => self.order(other, OrderCommand::Stop),
            4 => {
                self.order(owner, OrderCommand::Stop);
            }
            5..=7 if self.outdated == Some(owner) => {
                self.outdated = None;
                self.let_be_solo(owner, self.generation + 1);
            }
            8..=9 => self.configure(owner),
            // Orders that make no sense here are refused.
            10 => self.let_be_solo(owner, self.generation + 1),
            14 => self.let_be_solo(owner, 0),
            11 if self.state(other) == Some(State::Empty) && self.is_lonely(other) => {
                let generation = self.generation;
                let mode = PromoteMode::Hot;
                self.order(other, OrderCommand::Promote { mode, generation });
                // It would be a second guest: that it is not done the oracle sees.
                self.pending.clear();
            }
            12 => self.order(other, OrderCommand::Demote { timeout_ms: 0 }),
            15 => {
                // A guest that somebody finds sick, or only looks at.
                let looks = [OrderCommand::EndGuest, OrderCommand::CheckGuest];
                self.order(owner, looks[self.world.below(2)]);
            }
            13 if self.state(owner) == Some(State::Frozen) => {
                // The other one is believed: this one is fenced.
                self.crash(owner);
            }
            _ => self.mend_by_chance(),
        }
    }

    /// A host beside this one; without chance if there is one only.
    fn another(&self, node: usize) -> usize {
        let others = self.world.nodes - 1;
        let step = if others == 1 {
            0
        } else {
            self.world.below(others)
        };
        (node + 1 + step) % self.world.nodes
    }

    fn let_be_solo(&mut self, node: usize, generation: u64) {
        self.generation = self.generation.max(generation);
        if let Some(line) = self.line(node) {
            self.world.oracle.borrow_mut().offer_solo(line);
        }
        self.order(node, OrderCommand::EnterSolo { generation });
    }

    fn mend_by_chance(&mut self) {
        if !self.world.one_in(3) {
            self.mend();
        }
    }

    fn is_lonely(&self, node: usize) -> bool {
        let engine = self.nodes[node].as_ref();
        engine.is_some_and(|engine| !engine.is_connected_secondary())
    }

    fn configure(&mut self, node: usize) {
        let tuning = self.world.with_chance(|chance| TuningChange {
            commit: Some([Commit::Pipelined, Commit::Sync][chance.usize(0..2)]),
            sync_mode: Some(
                [SyncMode::Event, SyncMode::Interval, SyncMode::Adaptive][chance.usize(0..3)],
            ),
            freeze_timeout_ms: Some([0, 1, 300, 5000][chance.usize(0..4)]),
            ..TuningChange::default()
        });
        self.order(node, OrderCommand::Configure { tuning });
    }

    /// The host that runs the guest and its state, if it is known.
    pub(super) fn primary(&self) -> Option<(usize, State)> {
        let owner = self.owner?;
        Some((owner, self.state(owner)?))
    }
}
