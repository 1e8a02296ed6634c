//! What other threads say to the control thread, and what it hands to the data thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, eventfd};

use crate::checkpoint::{Tuning, TuningChange, TuningError};

use super::messages::{
    DemoteOutcome, ErrorBody, ErrorCode, Event, OkBody, Outcome, PromoteMode, Reply,
};

/// What the data thread is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderCommand {
    /// Run the guest.
    Promote {
        /// From where.
        mode: PromoteMode,
        /// The generation that begins.
        generation: u64,
    },
    /// Stop running the guest, without a loss.
    Demote {
        /// How long to wait for a replica to be complete, milliseconds.
        timeout_ms: u64,
    },
    /// Run without a replica.
    EnterSolo {
        /// The generation that begins.
        generation: u64,
    },
    /// Begin the quantiles anew.
    RestartStatistics,
    /// Synchronize differently.
    Configure {
        /// What changes.
        tuning: TuningChange,
    },
    /// Ask the guest to power itself off.
    PressPowerButton,
    /// End the guest as if it had powered itself off.
    EndGuest,
    /// Ask QEMU how the guest is.
    CheckGuest,
    /// End QEMU and the engine.
    Stop,
}

/// An order and the way to answer it.
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub command: OrderCommand,
    /// The way to answer, now or later.
    pub reply: ReplyHandle,
}

/// Answers one order, from any thread, at any time. Dropped without an answer it says that the engine failed.
#[derive(Debug)]
pub struct ReplyHandle {
    client: u64,
    id: u64,
    post: Option<Post>,
}

impl ReplyHandle {
    pub(super) fn new(client: u64, id: u64, post: Post) -> Self {
        Self {
            client,
            id,
            post: Some(post),
        }
    }

    /// One whose answer nobody hears.
    pub fn to_nobody() -> Self {
        Self {
            client: 0,
            id: 0,
            post: None,
        }
    }

    /// The order was carried out.
    pub fn ok(mut self, body: OkBody) {
        self.answer(Outcome::Ok(body));
    }

    /// The order was carried out and the guest runs.
    pub fn promoted(self, mode: PromoteMode) {
        self.ok(OkBody::Promoted(mode));
    }

    /// The order was carried out and the guest does not run here any more.
    pub fn demoted(self, outcome: DemoteOutcome) {
        self.ok(OkBody::Demoted(outcome));
    }

    /// The settings now in force, or why they could not be changed.
    pub fn configured(self, outcome: Result<Tuning, TuningError>) {
        match outcome {
            Ok(tuning) => self.ok(OkBody::Configured(tuning)),
            Err(error) => self.error(ErrorCode::BadRequest, error.to_string()),
        }
    }

    /// The order was not carried out.
    pub fn error(mut self, code: ErrorCode, message: impl Into<String>) {
        self.answer(Outcome::Error(ErrorBody {
            code,
            message: message.into(),
        }));
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(post) = self.post.take() {
            post.send(Letter::Reply {
                client: self.client,
                reply: Reply::new(self.id, outcome),
            });
        }
    }
}

impl Drop for ReplyHandle {
    fn drop(&mut self) {
        let message = "the order was given up without an answer".to_owned();
        self.answer(Outcome::Error(ErrorBody {
            code: ErrorCode::EngineFailed,
            message,
        }));
    }
}

/// Tells every subscriber, from any thread. Clones send to the same server.
#[derive(Debug, Clone)]
pub struct EventSender {
    post: Post,
}

impl EventSender {
    pub(super) fn new(post: Post) -> Self {
        Self { post }
    }

    /// One that tells nobody.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    pub fn to_nobody() -> io::Result<Self> {
        let (post, _) = Inbox::new()?;
        Ok(Self { post })
    }

    /// Never waits. After the server has ended nothing happens.
    pub fn send(&self, event: Event) {
        self.post.send(Letter::Event(event));
    }
}

/// What arrives in the inbox.
#[derive(Debug)]
pub(super) enum Letter {
    /// An answer for a client.
    Reply { client: u64, reply: Reply },
    /// An event for all subscribers.
    Event(Event),
    /// Deliver what is queued and end.
    Stop,
}

/// The way into the inbox.
#[derive(Debug, Clone)]
pub(super) struct Post {
    letters: Sender<Letter>,
    bell: Arc<OwnedFd>,
}

impl Post {
    pub(super) fn send(&self, letter: Letter) {
        if self.letters.send(letter).is_ok() {
            ring(&self.bell);
        }
    }
}

/// The control thread's end.
#[derive(Debug)]
pub(super) struct Inbox {
    letters: Receiver<Letter>,
    bell: Arc<OwnedFd>,
}

impl Inbox {
    pub(super) fn new() -> io::Result<(Post, Self)> {
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (sender, letters) = channel();
        Ok((
            Post {
                letters: sender,
                bell: Arc::clone(&bell),
            },
            Self { letters, bell },
        ))
    }

    /// Ready to be read when a letter may be waiting.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Silences the bell; then every letter that is taken was rung for.
    pub(super) fn silence(&self) {
        // Would block: it was silent.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    pub(super) fn take(&self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }
}

/// Adds 1 to an eventfd.
pub(super) fn ring(bell: impl AsFd) {
    // Would block: the counter is full and so the reader is awake.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

/// What a test's engine says to a supervisor that is the test itself.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum News {
    /// The answer to the order with this number.
    Reply(u64, Outcome),
    /// For everybody.
    Event(Event),
}

/// The control thread's place, taken by a test.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Desk {
    post: Post,
    inbox: Inbox,
}

#[cfg(test)]
impl Desk {
    pub(crate) fn new() -> Self {
        let (post, inbox) = Inbox::new().expect("an eventfd");
        Self { post, inbox }
    }

    pub(crate) fn events(&self) -> EventSender {
        EventSender::new(self.post.clone())
    }

    pub(crate) fn order(&self, number: u64, command: OrderCommand) -> Order {
        let reply = ReplyHandle::new(0, number, self.post.clone());
        Order { command, reply }
    }

    pub(crate) fn news(&self) -> Option<News> {
        self.inbox.take().and_then(|letter| match letter {
            Letter::Reply { reply, .. } => Some(News::Reply(reply.id, reply.outcome)),
            Letter::Event(event) => Some(News::Event(event)),
            Letter::Stop => None,
        })
    }
}
