//! The network between the hosts: connections that are slow, stand still, break anywhere, and are tampered with.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

use super::tampering::Tampering;
use super::world::{NODES, World};
use crate::fault::{Fault, makes, rarely};
use crate::link::Transport;

/// Bytes of an older connection that are kept to turn up in another one.
const REMEMBERED_BYTES: usize = 32 << 10;

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// Written, and not yet with the receiver.
    on_its_way: VecDeque<u8>,
    /// With the receiver, and not yet read.
    arrived: VecDeque<u8>,
    /// No more will be written: what is on its way still arrives.
    closed: bool,
    /// Bytes that were carried: the start of the connection is never tampered with twice.
    remembered: Vec<u8>,
}

/// Both directions: what the caller says first.
struct Connection {
    pipes: [Pipe; 2],
    /// Nothing arrives any more, and nobody is told.
    stuck: bool,
    /// Both sides were told that it broke.
    broken: bool,
    /// Somebody holds the end.
    open: [bool; 2],
}

pub(super) struct Network {
    connections: Vec<Connection>,
    /// Connections to each host that its listener has not taken, and who called.
    pub(super) backlog: [Vec<usize>; NODES],
    /// Bytes that a sender may have on their way.
    capacity: usize,
    /// New connections do not come about, and the old ones stand still.
    pub(super) parted: bool,
}

impl Network {
    pub(super) fn new(chance: &mut Rng) -> Self {
        Self {
            connections: Vec::new(),
            backlog: Default::default(),
            capacity: rarely(
                [700, 9000, 100_000, usize::MAX][chance.usize(0..4)],
                Fault::DeliverAtTheEnd,
                700,
            ),
            parted: false,
        }
    }

    /// A new connection to host `to`.
    pub(super) fn connect(&mut self, to: usize) -> usize {
        self.connections.push(Connection {
            pipes: Default::default(),
            stuck: false,
            broken: false,
            open: [true, true],
        });
        let number = self.connections.len() - 1;
        self.backlog[to].push(number);
        number
    }

    /// Connections that somebody holds, or that have something on its way.
    pub(super) fn live(&self) -> Vec<usize> {
        let is_live = |c: &Connection| !c.broken && (c.open[0] || c.open[1]);
        (0..self.connections.len())
            .filter(|&number| is_live(&self.connections[number]))
            .collect()
    }

    /// Lets `bytes` of one direction arrive.
    pub(super) fn carry(&mut self, number: usize, direction: usize, bytes: usize) {
        let connection = &mut self.connections[number];
        if connection.stuck || connection.broken || self.parted {
            return;
        }
        let pipe = &mut connection.pipes[direction];
        let bytes = bytes.min(pipe.on_its_way.len());
        if pipe.remembered.len() < REMEMBERED_BYTES {
            pipe.remembered
                .extend(pipe.on_its_way.iter().take(bytes).copied());
        }
        if bytes == pipe.on_its_way.len() && pipe.arrived.is_empty() {
            std::mem::swap(&mut pipe.arrived, &mut pipe.on_its_way);
        } else {
            pipe.arrived.extend(pipe.on_its_way.drain(..bytes));
        }
    }

    /// Lets everything arrive that can.
    pub(super) fn carry_all(&mut self) {
        for number in 0..self.connections.len() {
            for direction in 0..2 {
                self.carry(number, direction, usize::MAX);
            }
        }
    }

    /// Directions of connections that have something on its way.
    pub(super) fn busy(&self) -> Vec<(usize, usize)> {
        let ways = self.live().into_iter().flat_map(|at| [(at, 0), (at, 1)]);
        ways.filter(|&(at, direction)| {
            let pipe = &self.connections[at].pipes[direction];
            !pipe.on_its_way.is_empty()
        })
        .collect()
    }

    /// Changes what is on its way; true if there was something.
    pub(super) fn tamper(
        &mut self,
        (number, direction): (usize, usize),
        how: Tampering,
        chance: &mut Rng,
    ) -> bool {
        let (older, from_here) = self.connections.split_at_mut(number);
        let mut remembered = (older.iter().rev())
            .map(|connection| &connection.pipes[direction].remembered[..])
            .filter(|bytes| !bytes.is_empty());
        let older = remembered.nth(chance.usize(0..2));
        let pipe = &mut from_here[0].pipes[direction].on_its_way;
        let mut bytes: Vec<u8> = std::mem::take(pipe).into();
        let done = how.apply(&mut bytes, older, chance);
        *pipe = bytes.into();
        done
    }

    /// Breaks a connection: some of what is on its way still arrives, or even what has arrived is lost.
    pub(super) fn cut(&mut self, number: usize, chance: &mut Rng) {
        for direction in 0..2 {
            if chance.bool() {
                let bytes = self.connections[number].pipes[direction].on_its_way.len();
                self.carry(number, direction, chance.usize(0..=bytes));
            }
            let pipe = &mut self.connections[number].pipes[direction];
            pipe.on_its_way.clear();
            if chance.usize(0..4) == 0 {
                pipe.arrived.truncate(chance.usize(0..=pipe.arrived.len()));
            }
        }
        self.connections[number].broken = true;
    }

    /// A connection stands still, or goes on again.
    pub(super) fn set_stuck(&mut self, number: usize, stuck: bool) {
        self.connections[number].stuck = stuck;
    }

    /// Whether one stands still.
    pub(super) fn is_stuck(&self, number: usize) -> bool {
        self.connections[number].stuck
    }

    /// Nothing is wrong with the network from here on; what stood still so far is broken.
    pub(super) fn heal(&mut self) {
        self.parted = false;
        for connection in &mut self.connections {
            if std::mem::take(&mut connection.stuck) {
                connection.broken = true;
            }
        }
    }
}

/// Most bytes that an end which encrypts has taken and not handed on.
const PIECE_BYTES: usize = 5000;

/// One end of a connection.
pub(super) struct SimulatedTransport {
    world: Rc<World>,
    connection: usize,
    /// The direction in which this end writes.
    writes: usize,
    /// What waits here, as it does where it is encrypted; `None` at an end that keeps nothing to itself.
    within: Option<Vec<u8>>,
}

impl SimulatedTransport {
    pub(super) fn new(world: &Rc<World>, connection: usize, writes: usize) -> Self {
        Self {
            world: Rc::clone(world),
            connection,
            writes,
            within: world
                .one_in(rarely(2, Fault::DeliverAtTheEnd, 1))
                .then(Vec::new),
        }
    }

    /// Hands on what waits here.
    fn push(&mut self) -> io::Result<()> {
        let Some(mut within) = self.within.take() else {
            return Ok(());
        };
        let mut pushed = Ok(());
        while !within.is_empty() && pushed.is_ok() {
            pushed = self.put(&[IoSlice::new(&within)]).map(|bytes| {
                within.drain(..bytes);
            });
        }
        self.within = Some(within);
        pushed
    }

    /// Puts on its way what there is room for.
    fn put(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let network = &mut *self.world.network.borrow_mut();
        let connection = &mut network.connections[self.connection];
        let is_gone = !connection.open[1 - self.writes] && !connection.stuck;
        if connection.broken || is_gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let pipe = &mut connection.pipes[self.writes].on_its_way;
        let room = network.capacity.saturating_sub(pipe.len());
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(take(pipe, slices, room))
    }
}

/// Takes what there is `room` for; how many bytes that is.
fn take(into: &mut impl Extend<u8>, slices: &[IoSlice<'_>], room: usize) -> usize {
    let mut left = room;
    for slice in slices {
        let bytes = left.min(slice.len());
        into.extend(slice[..bytes].iter().copied());
        left -= bytes;
    }
    room - left
}

impl Read for SimulatedTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let network = &mut *self.world.network.borrow_mut();
        let connection = &mut network.connections[self.connection];
        let pipe = &mut connection.pipes[1 - self.writes];
        if !pipe.arrived.is_empty() {
            return pipe.arrived.read(buffer);
        }
        if connection.broken {
            Err(ErrorKind::ConnectionReset.into())
        } else if pipe.closed && pipe.on_its_way.is_empty() {
            Ok(0)
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    }
}

impl Write for SimulatedTransport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.push()?;
        let Some(within) = &mut self.within else {
            return self.put(slices);
        };
        let taken = take(within, slices, PIECE_BYTES);
        // What was taken counts as taken; the next call tells.
        let _ = self.push();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

impl Transport for SimulatedTransport {
    fn wants_write(&self) -> bool {
        self.within
            .as_ref()
            .is_some_and(|within| !within.is_empty())
    }

    fn wait_writable(&mut self, timeout: Duration) -> io::Result<()> {
        let mut network = self.world.network.borrow_mut();
        let before = network.connections[self.connection].pipes[self.writes]
            .on_its_way
            .len();
        let bytes = self.world.below(20_000);
        network.carry(self.connection, self.writes, bytes);
        if !self.world.calm.get() && self.world.one_in(100) {
            // While somebody waits for it in the guest's pause.
            self.world
                .with_chance(|chance| network.cut(self.connection, chance));
        }
        let pipe = &network.connections[self.connection].pipes[self.writes];
        let has_moved = pipe.on_its_way.len() != before;
        self.world.pass(if has_moved {
            timeout.min(Duration::from_micros(100))
        } else {
            timeout
        });
        Ok(())
    }
}

impl Drop for SimulatedTransport {
    fn drop(&mut self) {
        let network = &mut *self.world.network.borrow_mut();
        let connection = &mut network.connections[self.connection];
        if makes(Fault::DeliverAtTheEnd) && !connection.broken {
            let within = self.within.take().unwrap_or_default();
            connection.pipes[self.writes].on_its_way.extend(within);
        }
        connection.open[self.writes] = false;
        connection.pipes[self.writes].closed = true;
        connection.pipes[1 - self.writes].arrived.clear();
    }
}
