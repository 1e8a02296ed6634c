//! The secondary's side: takes callers' greetings in a thread of its own; whether one is welcome the data thread says.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::transport::established;
use super::{Link, LinkError, Transport, greeting};
use crate::limits::{HANDSHAKE_TIMEOUT, INTRODUCTIONS_MAX};
use crate::report;
use crate::wake::Wake;
use crate::wire::{
    ControlKind, Direction, Frame, FrameKind, FrameReader, Hello, Outgoing, Progress, Refuse,
    RefuseCode, Welcome,
};

/// Why this host cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the other node: {hint}")]
pub struct ListenError {
    address: SocketAddr,
    hint: String,
    #[source]
    source: io::Error,
}

impl ListenError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program uses this port; stop it (ss -ltnp shows which) or choose another sync port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this host does not have that address; check the sync address of this node in the VM's config"
            }
            _ => "the kernel refused",
        };
        Self {
            address,
            hint: hint.to_owned(),
            source,
        }
    }
}

/// A primary that has introduced itself and waits for our answer.
#[derive(Debug)]
pub struct Caller<T> {
    transport: T,
    reader: FrameReader,
    /// Its greeting.
    pub hello: Hello,
}

impl<T: Transport> Caller<T> {
    /// One whose greeting came through `reader`.
    pub(crate) fn new(transport: T, reader: FrameReader, hello: Hello) -> Self {
        Self {
            transport,
            reader,
            hello,
        }
    }

    /// Lets it in.
    ///
    /// # Errors
    /// A [`LinkError`] if it is gone.
    pub fn welcome(self, welcome: &Welcome, now: Instant) -> Result<Link<T>, LinkError> {
        let payload = welcome.to_payload().map_err(io::Error::other)?;
        let (transport, reader, outgoing, direction) =
            self.answer(ControlKind::Welcome, &payload)?;
        Ok(Link::new(transport, reader, outgoing, direction, now))
    }

    /// Turns it away; that it may be gone already does not matter.
    pub fn refuse(self, code: RefuseCode, message: String) {
        if let Ok(payload) = (Refuse { code, message }).to_payload() {
            let _ = self.answer(ControlKind::Refuse, &payload);
        }
    }

    fn answer(
        mut self,
        kind: ControlKind,
        payload: &[u8],
    ) -> Result<(T, FrameReader, Outgoing, Direction), LinkError> {
        let (mut outgoing, mut direction) = (Outgoing::new(), Direction::new());
        direction.encoder(&mut outgoing).control(
            kind,
            self.hello.generation,
            self.hello.acked_epoch,
            payload,
        );
        // A few hundred bytes into an empty socket: this does not wait.
        match outgoing.write_to(&mut self.transport, &[])? {
            Progress::Done => Ok((self.transport, self.reader, outgoing, direction)),
            Progress::Pending => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

/// The peer's way to us.
pub trait Door<T: Transport> {
    /// The next caller, if one waits.
    fn caller(&mut self) -> Option<Caller<T>>;
}

/// A thread that takes callers.
#[derive(Debug)]
pub struct Listener {
    callers: Receiver<Caller<TcpStream>>,
}

impl Listener {
    /// Binds `address` and starts the thread; it rings `wake` for each caller.
    ///
    /// # Errors
    /// A [`ListenError`] that names the address and the remedy.
    pub fn start(address: SocketAddr, wake: Wake) -> Result<Self, ListenError> {
        let listener =
            TcpListener::bind(address).map_err(|source| ListenError::new(address, source))?;
        let (outbox, callers) = sync_channel(4);
        thread::Builder::new()
            .name("listener".to_owned())
            .spawn(move || listen(&listener, &outbox, &wake))
            .map_err(|source| ListenError::new(address, source))?;
        Ok(Self { callers })
    }
}

impl Door<TcpStream> for Listener {
    fn caller(&mut self) -> Option<Caller<TcpStream>> {
        self.callers.try_recv().ok()
    }
}

fn listen(listener: &TcpListener, outbox: &SyncSender<Caller<TcpStream>>, wake: &Wake) {
    let places = Arc::new(());
    loop {
        let (socket, address) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        // One that says nothing must not keep the next one waiting.
        if Arc::strong_count(&places) > INTRODUCTIONS_MAX {
            tracing::warn!(%address, "too many callers at once: one is turned away");
            continue;
        }
        let (outbox, wake, place) = (outbox.clone(), wake.clone(), Arc::clone(&places));
        let started = thread::Builder::new().name("caller".to_owned()).spawn(move || {
            match introduce(socket) {
                // The data thread is gone if nobody takes it.
                Ok(caller) => {
                    if outbox.send(caller).is_ok() {
                        wake.ring();
                    }
                }
                Err(error) => {
                    tracing::warn!(%address, error = report::chain(&error), "a caller did not introduce itself");
                }
            }
            drop(place);
        });
        if let Err(error) = started {
            tracing::warn!(%error, "no thread for a caller");
        }
    }
}

fn introduce(mut socket: TcpStream) -> Result<Caller<TcpStream>, LinkError> {
    socket.set_nodelay(true)?;
    // A primary whose host loses power sends no goodbye; a stale connection must not be kept for hours.
    rustix::net::sockopt::set_socket_keepalive(socket.as_fd(), true).map_err(io::Error::from)?;
    let mut reader = FrameReader::new();
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let hello = greeting::receive(&mut socket, &mut reader, deadline, listen_to)??;
    Ok(Caller::new(established(socket)?, reader, hello))
}

/// Reads a greeting.
pub(crate) fn listen_to(frame: Frame<'_>) -> io::Result<Hello> {
    if frame.header.kind == FrameKind::Hello {
        Hello::from_payload(frame.payload).map_err(io::Error::other)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
