//! What is around a primary: the world that its guest talks to, and a secondary that can be called.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use kemari_engine::clock::Clock;
use kemari_engine::guest::{GuestError, Start, Trial};
use kemari_engine::link::{Answer, Dial, DialError, Dialed, Link, LinkError, understand};
use kemari_engine::release::Device;
use kemari_engine::role::Ports;
use kemari_engine::spec::Spec;
use kemari_engine::wire::{FrameReader, Hello};

use super::guest::Busy;
use crate::ports::{Hands, Once, READER_BYTES, Wire};

/// A primary tries nothing.
pub(super) struct Untried;

impl Trial for Untried {
    fn load(&mut self, _: Vec<u8>) {
        unreachable!("a primary tries nothing")
    }
    fn verdict(&mut self) -> Option<Result<(), String>> {
        unreachable!("a primary tries nothing")
    }
}

/// Sees what leaves, and lets in what the world sends.
#[derive(Clone, Default)]
pub(super) struct Gate {
    pub(super) out: Rc<Cell<u64>>,
    pub(super) waiting: Rc<Cell<usize>>,
}

impl Device for Gate {
    fn name(&self, _: &[u8]) -> &'static str {
        "gate"
    }
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let number = u64::from_le_bytes(*packet.first_chunk().expect("its number"));
        assert_eq!(number, self.out.get(), "in order, each once");
        self.out.set(number + 1);
        Ok(())
    }
    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(left) = self.waiting.get().checked_sub(1) else {
            return Ok(None);
        };
        self.waiting.set(left);
        into[..60].fill(1);
        Ok(Some(60))
    }
}

/// Reaches the secondary at once; the first frame is its answer.
pub(super) struct Calling {
    pub(super) wire: Wire,
    pub(super) busy: bool,
    /// Frames heard on the connection.
    pub(super) sequence: Rc<Cell<u64>>,
    pub(super) clock: Hands,
}

impl Calling {
    /// The answer, if it is there.
    fn answer(&mut self) -> Option<(FrameReader, Result<Answer, LinkError>)> {
        let mut reader = FrameReader::with_room(READER_BYTES);
        if self.wire.said.borrow().is_empty() {
            return None;
        }
        reader.fill(&mut self.wire).expect("memory does not fail");
        let answer = match reader.next() {
            Ok(frame) => understand(frame?).map_err(LinkError::from),
            Err(error) => Err(error.into()),
        };
        Some((reader, answer))
    }
}

impl Dial<Wire> for Calling {
    fn is_busy(&self) -> bool {
        self.busy
    }
    fn dial(&mut self, _: usize, _: Hello) {
        self.busy = true;
        self.wire.said.borrow_mut().clear();
        self.sequence.set(0);
    }
    fn result(&mut self) -> Option<Dialed<Wire>> {
        let (reader, answer) = self.busy.then(|| self.answer()).flatten()?;
        self.busy = false;
        let address = ([10, 77, 2, 2], 7900).into();
        Some(match answer {
            Ok(Answer::Welcome(welcome)) => Ok((
                Link::new(self.wire.opened(reader), self.clock.now()),
                welcome,
            )),
            Ok(Answer::Refuse(refuse)) => Err(DialError::Refused { address, refuse }),
            Ok(Answer::Other) => Err(DialError::Greeting {
                address,
                source: LinkError::Closed,
            }),
            Err(source) => Err(DialError::Greeting { address, source }),
        })
    }
}

/// The outside of the engine.
pub(super) struct Outside;

impl Ports for Outside {
    type Vm = Busy;
    type Clock = Hands;
    type Device = Gate;
    type Transport = Wire;
    type Dialer = Calling;
    type Door = Once;
    type Trial = Untried;

    fn start_guest(&self, _: &Spec, _: Start) -> Result<Busy, GuestError> {
        unreachable!("it runs already")
    }
    fn begin_trial(&self, _: &Spec, _: &Busy) -> Result<Untried, GuestError> {
        unreachable!("a primary tries nothing")
    }
    fn forget_addresses(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
