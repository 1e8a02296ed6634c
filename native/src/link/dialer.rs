//! The primary's side: tries to reach the peer until it answers, in a thread of its own so that the data thread never
//! waits for a network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Instant;

use super::connect::connect;
use super::opening::{self, Opened};
use super::{Channel, Link, LinkError, Transport, greeting};
use crate::limits::{HANDSHAKE_TIMEOUT, REDIAL_PAUSE};
use crate::spec::{Peer, Spec, TransportChoice};
use crate::wake::Wake;
use crate::wire::{ControlKind, Frame, FrameKind, Hello, HelloError, Refuse, Welcome};

/// Why the peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection.
    #[error("cannot reach {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The greeting failed.
    #[error("the greeting with {address} failed")]
    Greeting {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// The peer cannot be understood.
    #[error("the answer of {address} cannot be understood")]
    Answer {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: HelloError,
    },
    /// The peer does not want us.
    #[error("{address} refuses: {}", .refuse.message)]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Its words.
        refuse: Refuse,
    },
}

/// What an attempt to reach the peer led to.
pub type Dialed<T> = Result<(Link<T>, Welcome), DialError>;

/// The primary's way to its peers.
pub trait Dial<T: Transport> {
    /// Whether an attempt is under way.
    fn is_busy(&self) -> bool;

    /// Begins one attempt to reach this one of the specification's peers, with this greeting.
    fn dial(&mut self, peer: usize, hello: Hello);

    /// The result of the attempt, once.
    fn result(&mut self) -> Option<Dialed<T>>;
}

/// A thread that dials when asked.
#[derive(Debug)]
pub struct Dialer {
    requests: Sender<(usize, Hello)>,
    results: Receiver<Dialed<Channel>>,
    busy: bool,
}

impl Dialer {
    /// Starts the thread; it rings `wake` with each result.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(spec: &Spec, wake: Wake) -> io::Result<Self> {
        let way = |peer: &Peer| Way {
            from: spec.listen.address,
            address: peer.socket_address(),
            choice: spec.transport.clone(),
        };
        let ways: Vec<Way> = spec.peers.iter().map(way).collect();
        let (requests, inbox) = channel::<(usize, Hello)>();
        let (outbox, results) = channel();
        thread::Builder::new()
            .name("dialer".to_owned())
            .spawn(move || {
                while let Ok((peer, hello)) = inbox.recv() {
                    let result = dial(&ways[peer], &hello);
                    if result.is_err() {
                        thread::sleep(REDIAL_PAUSE);
                    }
                    if outbox.send(result).is_err() {
                        return;
                    }
                    wake.ring();
                }
            })?;
        Ok(Self {
            requests,
            results,
            busy: false,
        })
    }
}

impl Dial<Channel> for Dialer {
    fn is_busy(&self) -> bool {
        self.busy
    }

    fn dial(&mut self, peer: usize, hello: Hello) {
        self.busy = self.requests.send((peer, hello)).is_ok();
    }

    fn result(&mut self) -> Option<Dialed<Channel>> {
        match self.results.try_recv() {
            Ok(result) => {
                self.busy = false;
                Some(result)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}

/// The way to a peer.
pub(super) struct Way {
    /// Our own sync address: the peer has places for those who call from it.
    pub(super) from: IpAddr,
    pub(super) address: SocketAddr,
    pub(super) choice: TransportChoice,
}

/// One attempt.
pub(super) fn dial(way: &Way, hello: &Hello) -> Dialed<Channel> {
    let address = way.address;
    let socket = connect(way.from, address, HANDSHAKE_TIMEOUT)
        .map_err(|source| DialError::Connect { address, source })?;
    let failed = |source: LinkError| match source {
        LinkError::Refused(refuse) => DialError::Refused { address, refuse },
        source => DialError::Greeting { address, source },
    };
    // An epoch is one burst and its ack: waiting to fill a segment would add the peer's delayed-ack timer to each.
    socket.set_nodelay(true).map_err(|e| failed(e.into()))?;
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let mut opened = opening::call(socket, &way.choice, deadline).map_err(failed)?;
    let understood = |source| DialError::Answer { address, source };
    greet(&mut opened, hello).map_err(understood)?;
    greeting::send(&mut opened.channel, &mut opened.outgoing, deadline).map_err(failed)?;
    let answer = opened.hear(deadline, understand).map_err(failed)?;
    match answer.map_err(understood)? {
        Answer::Welcome(welcome) => {
            opened.channel.establish().map_err(|e| failed(e.into()))?;
            Ok((Link::new(opened, Instant::now()), welcome))
        }
        Answer::Refuse(refuse) => Err(DialError::Refused { address, refuse }),
        Answer::Other => Err(failed(io::Error::from(io::ErrorKind::InvalidData).into())),
    }
}

/// Introduces a primary, ready to be sent.
pub(crate) fn greet<T>(opened: &mut Opened<T>, hello: &Hello) -> Result<(), HelloError> {
    let payload = hello.to_payload()?;
    opened.direction.encoder(&mut opened.outgoing).control(
        ControlKind::Hello,
        hello.generation,
        hello.acked_epoch,
        &payload,
    );
    Ok(())
}

/// What a secondary says to a greeting.
#[derive(Debug)]
pub enum Answer {
    /// Come in.
    Welcome(Welcome),
    /// Stay out.
    Refuse(Refuse),
    /// Nothing that belongs here.
    Other,
}

/// Reads the answer to a greeting.
///
/// # Errors
/// A [`HelloError`] if it is one that cannot be read.
pub fn understand(frame: Frame<'_>) -> Result<Answer, HelloError> {
    Ok(match frame.header.kind {
        FrameKind::Welcome => Answer::Welcome(Welcome::from_payload(frame.payload)?),
        FrameKind::Refuse => Answer::Refuse(Refuse::from_payload(frame.payload)?),
        _ => Answer::Other,
    })
}
