//! The control thread: owns the listening socket and every connection, and never waits for the data thread.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::level_filters::LevelFilter;

use super::board::StatusBoard;
use super::client::{Client, Line};
use super::inbox::{EventSender, Inbox, Letter, Order, OrderCommand, Post, ReplyHandle, ring};
use super::limits::{CONTROL_VERSION, FAREWELL_TIME, MAX_CLIENTS, MAX_LINE, MAX_PENDING_ORDERS};
use super::listener::Listener;
use super::messages::{Command, ErrorBody, ErrorCode, EventLine, OkBody, Outcome, Reply, Request};

/// The running server. Dropping it delivers what is queued (within half a second), ends the thread and removes the socket.
#[derive(Debug)]
pub struct Server {
    post: Post,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.post.send(Letter::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread had panicked");
        }
    }
}

/// Makes the program log so much, and no more.
pub type SetLogLevel = Box<dyn Fn(LevelFilter) + Send>;

/// Is told when there begins or ceases to be somebody who has subscribed.
pub trait Attended {
    /// Whether there is one now.
    fn changed(&mut self, attended: bool);
}

impl Attended for () {
    fn changed(&mut self, _: bool) {}
}

/// Whom the control thread turns to for what is not its own.
pub struct Others {
    /// For the program's log.
    pub set_log_level: SetLogLevel,
    /// For the supervisor.
    pub attended: Box<dyn Attended + Send>,
}

/// Starts the control thread on a socket at `path`, mode 0600; a socket that an earlier engine left there is removed.
///
/// Orders arrive in the receiver; for each `wake` (an eventfd of the data thread's, nonblocking) is written to.
/// The receiver ends when the server does.
///
/// # Errors
/// The socket cannot be made (something else is at `path`, the path is longer than 107 bytes, no permission), or
/// there is no descriptor or thread to be had.
pub fn start<W>(
    path: &Path,
    board: StatusBoard,
    wake: W,
    others: Others,
) -> io::Result<(Server, Receiver<Order>, EventSender)>
where
    W: AsFd + Send + 'static,
{
    let listener = Listener::bind(path)?;
    let (post, inbox) = Inbox::new()?;
    let (orders, receiver) = channel();
    let room = Room {
        listener,
        inbox,
        post: post.clone(),
        board,
        orders,
        wake,
        others,
        is_attended: false,
        clients: Vec::new(),
        next_key: 1,
    };
    let thread = thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || room.run())?;
    Ok((
        Server {
            post: post.clone(),
            thread: Some(thread),
        },
        receiver,
        EventSender::new(post),
    ))
}

/// Everything that the control thread owns.
struct Room<W> {
    listener: Listener,
    inbox: Inbox,
    post: Post,
    board: StatusBoard,
    orders: Sender<Order>,
    wake: W,
    others: Others,
    is_attended: bool,
    clients: Vec<Client>,
    next_key: u64,
}

/// What `poll` found, without borrowing the room.
struct Ready {
    bell: bool,
    connection: bool,
    clients: Vec<PollFlags>,
}

impl<W: AsFd> Room<W> {
    fn run(mut self) {
        loop {
            match self.wait(None) {
                Ok(ready) => {
                    self.serve(&ready.clients);
                    if ready.bell && self.read_letters() {
                        break;
                    }
                    if ready.connection {
                        self.accept();
                    }
                    self.clients.retain(|client| !client.is_finished());
                    self.look_who_attends();
                }
                Err(error) => {
                    tracing::error!(%error, "the control thread cannot wait for its sockets");
                    break;
                }
            }
        }
        self.look_who_attends();
        self.say_farewell();
    }

    fn look_who_attends(&mut self) {
        let is_attended = self.clients.iter().any(|client| client.subscribed);
        if is_attended != self.is_attended {
            self.is_attended = is_attended;
            self.others.attended.changed(is_attended);
        }
    }

    /// Waits until there is something to do; with a deadline only for clients to take what is queued.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<Ready> {
        let mut sockets = Vec::with_capacity(2 + self.clients.len());
        sockets.push(PollFd::from_borrowed_fd(self.inbox.bell(), PollFlags::IN));
        sockets.push(PollFd::new(&self.listener, PollFlags::IN));
        for client in &self.clients {
            let mut interest = PollFlags::empty();
            interest.set(PollFlags::IN, client.wants_to_read() && deadline.is_none());
            interest.set(PollFlags::OUT, client.wants_to_write());
            sockets.push(PollFd::new(client, interest));
        }
        let skip = if deadline.is_some() { 2 } else { 0 };
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            match poll(&mut sockets[skip..], timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let readable = |at: usize| skip == 0 && !sockets[at].revents().is_empty();
        Ok(Ready {
            bell: readable(0),
            connection: readable(1),
            clients: sockets[2..].iter().map(PollFd::revents).collect(),
        })
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        for (at, found) in ready.iter().enumerate() {
            if found.contains(PollFlags::OUT) {
                self.clients[at].flush();
            }
            if found.contains(PollFlags::IN) && self.clients[at].wants_to_read() {
                self.clients[at].fill();
                self.read_lines(at);
            } else if found.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.clients[at].hang_up();
            }
        }
    }

    fn read_lines(&mut self, at: usize) {
        while let Some(line) = self.clients[at].next_line() {
            match line {
                Line::Whole(line) => self.obey(at, &line),
                Line::TooLong => {
                    let message = format!("line is longer than {MAX_LINE} bytes");
                    let client = &mut self.clients[at];
                    client.say(&refusal(0, ErrorCode::BadRequest, message));
                    client.stop_reading();
                }
            }
        }
    }

    fn obey(&mut self, at: usize, line: &[u8]) {
        let client = &mut self.clients[at];
        let Request { id, command } = match Request::parse(line) {
            Ok(request) => request,
            Err(bad) => return client.say(&refusal(bad.id, ErrorCode::BadRequest, bad.message)),
        };
        let command = match command {
            Command::Status {} => {
                let status = Box::new(self.board.snapshot());
                return client.say(&Reply::new(id, Outcome::Ok(OkBody::Status(status))));
            }
            Command::Subscribe {} => {
                client.subscribed = true;
                return client.say(&Reply::new(id, Outcome::Ok(OkBody::Empty)));
            }
            Command::LogLevel { level } => {
                (self.others.set_log_level)(level.into());
                return client.say(&Reply::new(id, Outcome::Ok(OkBody::Empty)));
            }
            Command::Promote { mode, generation } => OrderCommand::Promote { mode, generation },
            Command::Demote { timeout_ms } => OrderCommand::Demote { timeout_ms },
            Command::EnterSolo { generation } => OrderCommand::EnterSolo { generation },
            Command::RestartStatistics {} => OrderCommand::RestartStatistics,
            Command::Configure { tuning } => OrderCommand::Configure { tuning },
            Command::PressPowerButton {} => OrderCommand::PressPowerButton,
            Command::EndGuest {} => OrderCommand::EndGuest,
            Command::CheckGuest {} => OrderCommand::CheckGuest,
            Command::Stop {} => OrderCommand::Stop,
        };
        if client.pending_orders == MAX_PENDING_ORDERS {
            let message =
                format!("{MAX_PENDING_ORDERS} orders of this client have not been answered yet");
            return client.say(&refusal(id, ErrorCode::BadRequest, message));
        }
        client.pending_orders += 1;
        let reply = ReplyHandle::new(client.key, id, self.post.clone());
        // If the data thread has gone, the order comes back, is dropped, and its handle answers.
        if self.orders.send(Order { command, reply }).is_ok() {
            ring(&self.wake);
        }
    }

    /// `true`: the server is to end.
    fn read_letters(&mut self) -> bool {
        self.inbox.silence();
        while let Some(letter) = self.inbox.take() {
            match letter {
                Letter::Reply { client, reply } => {
                    if let Some(client) = self.clients.iter_mut().find(|found| found.key == client)
                    {
                        client.pending_orders -= 1;
                        client.say(&reply);
                    }
                }
                Letter::Event(event) => {
                    let line = EventLine {
                        v: CONTROL_VERSION,
                        event,
                    };
                    for client in self.clients.iter_mut().filter(|client| client.subscribed) {
                        client.say(&line);
                    }
                }
                Letter::Stop => return true,
            }
        }
        false
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok(None) => {}
            Ok(Some(stream)) => {
                let mut client = Client::new(self.next_key, stream);
                self.next_key += 1;
                if self.clients.len() < MAX_CLIENTS {
                    self.clients.push(client);
                } else {
                    let message = format!("{MAX_CLIENTS} clients are connected already");
                    client.say(&refusal(0, ErrorCode::BadRequest, message));
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: do not spin on it.
                tracing::warn!(%error, "a control client could not be accepted");
                thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }

    /// Delivers what is queued, for a bounded time.
    fn say_farewell(mut self) {
        let deadline = Instant::now() + FAREWELL_TIME;
        self.clients.retain(Client::wants_to_write);
        while !self.clients.is_empty() && Instant::now() < deadline {
            let Ok(ready) = self.wait(Some(deadline)) else {
                return;
            };
            for (client, found) in self.clients.iter_mut().zip(&ready.clients) {
                if found.intersects(PollFlags::HUP | PollFlags::ERR) {
                    client.hang_up();
                } else {
                    client.flush();
                }
            }
            self.clients.retain(Client::wants_to_write);
        }
    }
}

fn refusal(id: u64, code: ErrorCode, message: String) -> Reply {
    Reply::new(id, Outcome::Error(ErrorBody { code, message }))
}
