//! How the engines meet: dialing and the door, without threads.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::network::SimulatedTransport;
use super::world::{VirtualClock, World};
use crate::clock::Clock;
use crate::limits::{HANDSHAKE_TIMEOUT, REDIAL_PAUSE};
use crate::link::{Answer, Caller, Dial, DialError, Dialed, Door, Link, LinkError};
use crate::link::{Opened, greet, listen_to, understand};
use crate::wire::{Filled, FrameReader, Hello};

/// What is said of failures; nobody is told from another by it.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7900);
/// The largest frame of a simulated guest is far below it.
const READER_BYTES: usize = 256 << 10;

/// A connection, as the two frames that begin it leave it.
fn opened(world: &Rc<World>, connection: usize, writes: usize) -> Opened<SimulatedTransport> {
    let transport = SimulatedTransport::new(world, connection, writes);
    let reader = FrameReader::with_room(READER_BYTES);
    let mut opened = Opened::with_reader(transport, reader);
    opened.join(connection as u64 + 1);
    opened
}

/// A greeting that is under way.
struct Greeting {
    opened: Opened<SimulatedTransport>,
    until: Duration,
}

enum Attempt {
    None,
    Greeting(Box<Greeting>),
    Failed(DialError, Duration),
}

/// A primary's way to its peers.
pub(super) struct SimulatedDialer {
    world: Rc<World>,
    /// Where it calls from.
    node: usize,
    attempt: Attempt,
}

impl SimulatedDialer {
    pub(super) fn new(world: &Rc<World>, node: usize) -> Self {
        Self {
            world: Rc::clone(world),
            node,
            attempt: Attempt::None,
        }
    }

    fn fail(&mut self, error: DialError, after: Duration) {
        let until = self.world.elapsed() + after + REDIAL_PAUSE;
        self.attempt = Attempt::Failed(error, until);
    }

    fn connect_error(kind: io::ErrorKind) -> DialError {
        DialError::Connect {
            address: ADDRESS,
            source: kind.into(),
        }
    }

    /// Carries a greeting on: `None` if it is still under way.
    fn advance(&self, greeting: &mut Greeting) -> Option<Result<Answer, DialError>> {
        let address = ADDRESS;
        let failed = |source: LinkError| Some(Err(DialError::Greeting { address, source }));
        let Opened {
            channel,
            reader,
            outgoing,
            ..
        } = &mut greeting.opened;
        let written = outgoing
            .write_to(channel, &[])
            .and_then(|_| channel.flush());
        match written {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return failed(error.into());
            }
            _ => {}
        }
        let filled = match reader.fill(channel) {
            Ok(filled) => filled,
            Err(error) => return failed(error.into()),
        };
        match reader.next() {
            Ok(Some(frame)) => {
                Some(understand(frame).map_err(|source| DialError::Answer { address, source }))
            }
            Err(error) => failed(error.into()),
            Ok(None) if filled == Filled::Eof => failed(LinkError::Closed),
            Ok(None) if self.world.elapsed() >= greeting.until => {
                failed(io::Error::from(io::ErrorKind::TimedOut).into())
            }
            Ok(None) => None,
        }
    }
}

impl Dial<SimulatedTransport> for SimulatedDialer {
    fn is_busy(&self) -> bool {
        !matches!(self.attempt, Attempt::None)
    }

    fn dial(&mut self, peer: usize, hello: Hello) {
        if self.world.network.borrow().parted {
            let error = Self::connect_error(io::ErrorKind::TimedOut);
            return self.fail(error, HANDSHAKE_TIMEOUT);
        }
        // Those before it have the same number as in its specification.
        let peer = peer + usize::from(peer >= self.node);
        if self.world.machine(peer).is_none() {
            let error = Self::connect_error(io::ErrorKind::ConnectionRefused);
            return self.fail(error, Duration::ZERO);
        }
        let connection = self.world.network.borrow_mut().connect(peer);
        let mut opened = opened(&self.world, connection, 0);
        greet(&mut opened, &hello).expect("a short greeting");
        self.attempt = Attempt::Greeting(Box::new(Greeting {
            opened,
            until: self.world.elapsed() + HANDSHAKE_TIMEOUT,
        }));
    }

    fn result(&mut self) -> Option<Dialed<SimulatedTransport>> {
        match std::mem::replace(&mut self.attempt, Attempt::None) {
            Attempt::None => None,
            Attempt::Failed(error, until) if self.world.elapsed() >= until => Some(Err(error)),
            failed @ Attempt::Failed(..) => {
                self.attempt = failed;
                None
            }
            Attempt::Greeting(mut greeting) => match self.advance(&mut greeting) {
                None => {
                    self.attempt = Attempt::Greeting(greeting);
                    None
                }
                Some(Ok(Answer::Welcome(welcome))) => {
                    let now = VirtualClock(Rc::clone(&self.world)).now();
                    Some(Ok((Link::new(greeting.opened, now), welcome)))
                }
                Some(Ok(Answer::Refuse(refuse))) => {
                    let address = ADDRESS;
                    self.fail(DialError::Refused { address, refuse }, Duration::ZERO);
                    None
                }
                Some(Ok(Answer::Other)) => {
                    let error = Self::connect_error(io::ErrorKind::InvalidData);
                    self.fail(error, Duration::ZERO);
                    None
                }
                Some(Err(error)) => {
                    self.fail(error, Duration::ZERO);
                    None
                }
            },
        }
    }
}

/// Somebody who has not said who it is.
struct Stranger {
    opened: Opened<SimulatedTransport>,
    until: Duration,
}

/// A host's listener.
pub(super) struct SimulatedDoor {
    world: Rc<World>,
    node: usize,
    strangers: Vec<Stranger>,
}

impl SimulatedDoor {
    pub(super) fn new(world: &Rc<World>, node: usize) -> Self {
        Self {
            world: Rc::clone(world),
            node,
            strangers: Vec::new(),
        }
    }

    /// `None` if it has said nothing yet.
    fn listen(&self, stranger: &mut Stranger) -> Option<io::Result<Hello>> {
        let Opened {
            channel, reader, ..
        } = &mut stranger.opened;
        let filled = match reader.fill(channel) {
            Ok(filled) => filled,
            Err(error) => return Some(Err(error)),
        };
        match reader.next() {
            Ok(Some(frame)) => Some(listen_to(frame)),
            Err(error) => Some(Err(io::Error::other(error))),
            Ok(None) if filled == Filled::Eof || self.world.elapsed() >= stranger.until => {
                Some(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(None) => None,
        }
    }
}

impl Door<SimulatedTransport> for SimulatedDoor {
    fn caller(&mut self) -> Option<Caller<SimulatedTransport>> {
        let called = std::mem::take(&mut self.world.network.borrow_mut().backlog[self.node]);
        for connection in called {
            self.strangers.push(Stranger {
                opened: opened(&self.world, connection, 1),
                until: self.world.elapsed() + HANDSHAKE_TIMEOUT,
            });
        }
        let mut at = 0;
        while at < self.strangers.len() {
            let mut stranger = self.strangers.remove(at);
            match self.listen(&mut stranger) {
                None => {
                    self.strangers.insert(at, stranger);
                    at += 1;
                }
                Some(Ok(hello)) => return Some(Caller::new(stranger.opened, hello)),
                Some(Err(_)) => {}
            }
        }
        None
    }
}
