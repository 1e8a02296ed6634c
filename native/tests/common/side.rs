//! One side of a connection that passes a proxy, in clear or within TLS; one thread reads it and another writes it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kemari_engine::link::{Channel, Key, secure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// Longest wait for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// One side.
pub struct Side {
    channel: Mutex<Channel>,
    socket: TcpStream,
}

impl Side {
    /// The side of an engine that has called; the key if it speaks TLS.
    pub fn accept(socket: TcpStream, key: Option<Key>) -> io::Result<Self> {
        Self::new(socket, key, secure::accept)
    }

    /// The side of an engine that was called.
    pub fn connect(socket: TcpStream, key: Option<Key>) -> io::Result<Self> {
        Self::new(socket, key, secure::connect)
    }

    fn new<E: std::error::Error + Send + Sync + 'static>(
        socket: TcpStream,
        key: Option<Key>,
        begin: impl FnOnce(&TcpStream, Key, Instant) -> Result<secure::SecureStream, E>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        let channel = match key {
            Some(key) => {
                let stream = begin(&socket, key, Instant::now() + HANDSHAKE);
                Channel::Secure(Box::new(stream.map_err(io::Error::other)?))
            }
            None => Channel::Plain(socket.try_clone()?),
        };
        socket.set_nonblocking(true)?;
        Ok(Self {
            channel: Mutex::new(channel),
            socket,
        })
    }

    /// The TCP connection.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn lock(&self) -> MutexGuard<'_, Channel> {
        self.channel.lock().expect("the channel")
    }

    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        poll(&mut [PollFd::new(&self.socket, flags)], None)?;
        Ok(())
    }

    /// Until it is not `WouldBlock`. The channel is free meanwhile.
    fn patiently<T>(
        &self,
        flags: PollFlags,
        mut attempt: impl FnMut(&mut Channel) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt(&mut self.lock()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            self.wait(flags)?;
        }
    }
}

impl Read for &Side {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.patiently(PollFlags::IN, |channel| channel.read(into))
    }
}

impl Write for &Side {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.patiently(PollFlags::OUT, |channel| channel.write(bytes))?;
        self.flush()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patiently(PollFlags::OUT, Write::flush)
    }
}

/// A connection that leaves from this address.
pub fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}
