//! The primary's side: tries to reach the peer until it answers, in a thread of its own so that the data thread never
//! waits for a network.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Instant;

use super::{Link, LinkError, greeting};
use crate::limits::{HANDSHAKE_TIMEOUT, REDIAL_PAUSE};
use crate::wake::Wake;
use crate::wire::{
    ControlKind, Direction, FrameKind, FrameReader, Hello, HelloError, Outgoing, Refuse, Welcome,
};

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

/// A thread that dials when asked.
#[derive(Debug)]
pub struct Dialer {
    requests: Sender<Hello>,
    results: Receiver<Result<(Link, Welcome), DialError>>,
    busy: bool,
}

impl Dialer {
    /// Starts the thread; it rings `wake` with each result.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(address: SocketAddr, wake: Wake) -> io::Result<Self> {
        let (requests, inbox) = channel::<Hello>();
        let (outbox, results) = channel();
        thread::Builder::new()
            .name("dialer".to_owned())
            .spawn(move || {
                while let Ok(hello) = inbox.recv() {
                    let result = dial(address, &hello);
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

    /// Whether an attempt is under way.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins one attempt with this greeting.
    pub fn dial(&mut self, hello: Hello) {
        self.busy = self.requests.send(hello).is_ok();
    }

    /// The result of the attempt, once.
    pub fn result(&mut self) -> Option<Result<(Link, Welcome), DialError>> {
        match self.results.try_recv() {
            Ok(result) => {
                self.busy = false;
                Some(result)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}

fn dial(address: SocketAddr, hello: &Hello) -> Result<(Link, Welcome), DialError> {
    let mut socket = TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT)
        .map_err(|source| DialError::Connect { address, source })?;
    let failed = |source: LinkError| DialError::Greeting { address, source };
    // An epoch is one burst and its ack: waiting to fill a segment would add the peer's delayed-ack timer to each.
    socket.set_nodelay(true).map_err(|e| failed(e.into()))?;
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let (mut reader, mut outgoing, mut direction) =
        (FrameReader::new(), Outgoing::new(), Direction::new());
    let payload = hello
        .to_payload()
        .map_err(|source| DialError::Answer { address, source })?;
    direction.encoder(&mut outgoing).control(
        ControlKind::Hello,
        hello.generation,
        hello.acked_epoch,
        &payload,
    );
    greeting::send(&mut socket, &mut outgoing, deadline).map_err(failed)?;
    let answer = greeting::receive(&mut socket, &mut reader, deadline, |frame| {
        match frame.header.kind {
            FrameKind::Welcome => Ok(Welcome::from_payload(frame.payload)),
            FrameKind::Refuse => Err(Some(Refuse::from_payload(frame.payload))),
            _ => Err(None),
        }
    })
    .map_err(failed)?;
    let understood = |source| DialError::Answer { address, source };
    match answer {
        Ok(welcome) => {
            let welcome = welcome.map_err(understood)?;
            let link =
                Link::new(socket, reader, outgoing, direction).map_err(|e| failed(e.into()))?;
            Ok((link, welcome))
        }
        Err(Some(refuse)) => Err(DialError::Refused {
            address,
            refuse: refuse.map_err(understood)?,
        }),
        Err(None) => Err(failed(io::Error::from(io::ErrorKind::InvalidData).into())),
    }
}
