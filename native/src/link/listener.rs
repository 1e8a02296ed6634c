//! The secondary's side: takes callers' greetings in a thread of its own; whether one is welcome the data thread says.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::complaints::Complaints;
use super::opening::{self, Opened};
use super::turnstile::Turnstile;
use super::{Channel, Link, LinkError, Transport};
use crate::limits::{COMPLAINTS_APART, HANDSHAKE_TIMEOUT};
use crate::report;
use crate::spec::{Spec, TransportChoice};
use crate::wake::Wake;
use crate::wire::{ControlKind, Frame, FrameKind, Hello, Progress, Refuse, RefuseCode, Welcome};

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
    opened: Opened<T>,
    /// Its greeting.
    pub hello: Hello,
}

impl<T: Transport> Caller<T> {
    /// One whose greeting has come.
    pub fn new(opened: Opened<T>, hello: Hello) -> Self {
        Self { opened, hello }
    }

    /// Lets it in.
    ///
    /// # Errors
    /// A [`LinkError`] if it is gone.
    pub fn welcome(self, welcome: &Welcome, now: Instant) -> Result<Link<T>, LinkError> {
        let payload = welcome.to_payload().map_err(io::Error::other)?;
        Ok(Link::new(self.answer(ControlKind::Welcome, &payload)?, now))
    }

    /// Turns it away; that it may be gone already does not matter.
    pub fn refuse(self, code: RefuseCode, message: String) {
        if let Ok(payload) = (Refuse { code, message }).to_payload() {
            let _ = self.answer(ControlKind::Refuse, &payload);
        }
    }

    fn answer(mut self, kind: ControlKind, payload: &[u8]) -> Result<Opened<T>, LinkError> {
        let Opened {
            channel,
            outgoing,
            direction,
            ..
        } = &mut self.opened;
        let (generation, epoch) = (self.hello.generation, self.hello.acked_epoch);
        direction
            .encoder(outgoing)
            .control(kind, generation, epoch, payload);
        // A few hundred bytes into an empty socket: this does not wait.
        match outgoing.write_to(channel, &[])? {
            Progress::Done => Ok(self.opened),
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
    callers: Receiver<Caller<Channel>>,
}

impl Listener {
    /// Binds the sync address and starts the thread; it rings `wake` for each caller.
    ///
    /// # Errors
    /// A [`ListenError`] that names the address and the remedy.
    pub fn start(spec: &Spec, wake: Wake) -> Result<Self, ListenError> {
        let address = spec.listen.socket_address();
        let failed = |source| ListenError::new(address, source);
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (outbox, callers) = sync_channel(4);
        let doorkeeper = Doorkeeper {
            listener,
            turnstile: Turnstile::new(spec.peers.iter().map(|peer| peer.address), Instant::now()),
            reception: Reception {
                choice: spec.transport.clone(),
                outbox,
                wake,
                complaints: Arc::default(),
            },
        };
        thread::Builder::new()
            .name("listener".to_owned())
            .spawn(move || doorkeeper.keep())
            .map_err(failed)?;
        Ok(Self { callers })
    }
}

impl Door<Channel> for Listener {
    fn caller(&mut self) -> Option<Caller<Channel>> {
        self.callers.try_recv().ok()
    }
}

struct Doorkeeper {
    listener: TcpListener,
    turnstile: Turnstile,
    reception: Reception,
}

impl Doorkeeper {
    fn keep(mut self) {
        loop {
            self.reception.count();
            if let Err(error) = self.wait() {
                self.reception.complain("wait", None, &error.into());
                thread::sleep(Duration::from_millis(100));
            }
            match self.listener.accept() {
                Ok((socket, address)) => self.admit(socket, address),
                Err(error) if opening::is_late(&error) => {}
                Err(error) => {
                    self.reception.complain("accept", None, &error.into());
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Until somebody knocks, or what has been counted should be told.
    fn wait(&self) -> io::Result<()> {
        let timeout = Timespec::try_from(COMPLAINTS_APART).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.listener, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// One that says nothing must not keep the next one waiting, so each gets a thread; many of them get none.
    fn admit(&mut self, socket: TcpStream, address: SocketAddr) {
        let Some(place) = self.turnstile.enter(address.ip(), Instant::now()) else {
            let many = io::Error::other("too many callers at once or in a second");
            self.reception.complain("many", Some(address), &many.into());
            return;
        };
        let reception = self.reception.clone();
        let started = thread::Builder::new()
            .name("caller".to_owned())
            .spawn(move || {
                reception.receive(socket, address);
                drop(place);
            });
        if let Err(error) = started {
            self.reception
                .complain("thread", Some(address), &error.into());
        }
    }
}

/// What those at the door need to know.
#[derive(Clone)]
struct Reception {
    choice: TransportChoice,
    outbox: SyncSender<Caller<Channel>>,
    wake: Wake,
    complaints: Arc<Mutex<Complaints<&'static str>>>,
}

impl Reception {
    fn receive(&self, socket: TcpStream, address: SocketAddr) {
        match introduce(socket, &self.choice) {
            // The data thread is gone if nobody takes it.
            Ok(caller) => {
                if self.outbox.send(caller).is_ok() {
                    self.wake.ring();
                }
            }
            Err(error) => self.complain(error.kind(), Some(address), &error),
        }
    }

    fn complain(&self, kind: &'static str, address: Option<SocketAddr>, error: &LinkError) {
        let is_new = self
            .complaints
            .lock()
            .is_ok_and(|mut complaints| complaints.note(kind, Instant::now()));
        if is_new {
            let (address, error) = (address.map(|address| address.ip()), report::chain(error));
            tracing::warn!(kind, ?address, error, "a caller was refused");
        }
    }

    fn count(&self) {
        let due = self
            .complaints
            .lock()
            .map(|mut complaints| complaints.due(Instant::now()));
        for (kind, times) in due.unwrap_or_default() {
            tracing::warn!(kind, times, "callers were refused again");
        }
    }
}

/// Hears who calls.
pub(super) fn introduce(
    socket: TcpStream,
    choice: &TransportChoice,
) -> Result<Caller<Channel>, LinkError> {
    socket.set_nodelay(true)?;
    // A primary whose host loses power sends no goodbye; a stale connection must not be kept for hours.
    rustix::net::sockopt::set_socket_keepalive(socket.as_fd(), true).map_err(io::Error::from)?;
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let mut opened = opening::answer(socket, choice, deadline)?;
    let hello = opened.hear(deadline, listen_to)??;
    opened.channel.establish()?;
    Ok(Caller::new(opened, hello))
}

/// Reads a greeting.
pub(crate) fn listen_to(frame: Frame<'_>) -> io::Result<Hello> {
    if frame.header.kind == FrameKind::Hello {
        Hello::from_payload(frame.payload).map_err(io::Error::other)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
