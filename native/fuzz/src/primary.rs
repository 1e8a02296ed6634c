//! A secondary that knows the protocol: answers of any kind and contents, numbered and summed as they should be, to a real
//! primary whose guest sends packets all the time. Also the answer to a greeting.
//!
//! Whatever is said, no output leaves before the ack of its epoch on the connection that carried it, unless the guest has no
//! replica yet or the secondary has said that its own is outdated; outputs leave in order, each once; a guest that was handed
//! over or has ended does not run again; and nothing that is said ends the engine.
//!
//! Input: frames of `{ u8 kind, u8 flags, u16 length, length bytes }`; flags: bits 0-1 packing, 2 another generation,
//! 3 the next epoch, 4 a gap in the numbers, 5 the epoch before. Without these a frame belongs to what was told last that wants
//! an answer. From `PASS` on a kind is something that happens here. What is not whole at the end is dropped.

mod guest;
mod outside;
mod pauses;
mod seeds;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use kemari_engine::control::{Order, OrderCommand, ReplyHandle};
use kemari_engine::guest::Ram;
use kemari_engine::qmp::GuestEvent;
use kemari_engine::release::Solo;
use kemari_engine::role::{Beginning, Engine, Fatal, Primary, Ready};
use kemari_engine::wire::{Fingerprint, FrameKind, limits};

use self::guest::{Busy, Life, Unsaved};
use self::outside::{Calling, Gate, Outside};
pub use self::seeds::seeds;
use crate::frames::{frame, headings};
use crate::ports::{Hands, Memory, PAGES, Wire, engine};

/// The flag of a frame that belongs to the epoch after the one that was told last.
const NEXT_EPOCH: u8 = 1 << 3;
/// Time passes: four milliseconds for each of the flags.
const PASS: u8 = 0xf0;
/// The supervisor wants the guest elsewhere.
const DEMOTE: u8 = 0xf1;
/// The supervisor wants it to go on without a replica.
const ENTER_SOLO: u8 = 0xf2;
/// The guest powers itself off.
const POWER_OFF: u8 = 0xf3;
/// The guest writes to the page that the flags name.
const WRITE: u8 = 0xf4;
/// The world sends a packet.
const WORLD: u8 = 0xf5;
/// The guest is going to write to as many pages as the flags say before it stands still the next time.
const BURST: u8 = 0xf6;
/// From now on the connection takes sixteen bytes in a turn for each of the flags; all that there are if it has none.
const NARROW: u8 = 0xf7;

/// The guest's state cannot be saved the next time: QEMU refuses, or if it has flags the state is too large.
const UNSAVED: u8 = 0xf8;

/// How long a turn takes.
const TURN: Duration = Duration::from_millis(2);
/// Most turns until nothing is told any more: a baseline takes the most.
const TURNS_MAX: usize = 40;
/// Most frames of an input: each may cost as many turns.
const FRAMES_MAX: usize = 400;
/// Most bytes of a turn: all of RAM, and what goes with it.
const TOLD_BYTES: usize = 2 * PAGES * limits::PAGE_BYTES;
/// Of the hold: it is full soon.
const HOLD_BYTES: usize = 4 << 10;

/// A primary of generation 1 that runs the only copy.
struct Host {
    engine: Engine<Outside>,
    primary: Box<Primary<Outside>>,
    clock: Hands,
    memory: Memory,
    life: Rc<RefCell<Life>>,
    gate: Gate,
    wire: Wire,
    /// Bytes that the connection takes in a turn.
    room: Option<usize>,
    orders: Sender<Order>,
    sequence: Rc<Cell<u64>>,
    /// What was told last that wants an answer.
    place: (u64, u64),
    /// The transaction on its way on this connection, and the packets of the guest up to its end.
    awaited: Option<((u64, u64), u64)>,
    /// Packets that may have left; all if there is no replica.
    may_leave: Option<u64>,
    /// The secondary has said that its replica of this generation is outdated.
    outdated: Option<u64>,
    generation: u64,
    all_told: Vec<u8>,
    handed_over: bool,
    ended: bool,
}

impl Host {
    fn new() -> Self {
        let (clock, life) = (Hands::new(), Rc::<RefCell<Life>>::default());
        let (gate, wire) = (Gate::default(), Wire::default());
        // Some of it is told while the guest stands still, where nothing is to be allocated.
        wire.told.borrow_mut().reserve(TOLD_BYTES);
        let (orders, inbox) = channel();
        let sequence = Rc::<Cell<u64>>::default();
        let calling = Calling {
            wire: wire.clone(),
            busy: false,
            sequence: Rc::clone(&sequence),
            clock: clock.clone(),
        };
        let mut engine = engine((Outside, gate.clone(), calling), &clock, inbox, None);
        engine.spec.limits.hold_bytes = HOLD_BYTES;
        let memory = Memory::new();
        let guest = Busy {
            memory: memory.clone(),
            life: Rc::clone(&life),
            clock: clock.clone(),
        };
        let beginning = Beginning {
            permit: Solo::cold_start(1),
            fingerprint: Fingerprint::default(),
        };
        let primary = Primary::begin(&engine, guest, beginning).expect("memory");
        let mut host = Self {
            engine,
            primary: Box::new(primary),
            clock,
            memory,
            life,
            gate,
            wire,
            room: None,
            orders,
            sequence,
            place: (1, 1),
            awaited: None,
            may_leave: None,
            outdated: None,
            generation: 1,
            all_told: Vec::new(),
            handed_over: false,
            ended: false,
        };
        host.settle(None);
        host
    }

    /// The guest sends a packet, and the primary has turns until it tells nothing more. In the first of them it hears a frame of this kind and place.
    fn settle(&mut self, mut heard: Option<(u8, (u64, u64))>) {
        let is_over = self.life.borrow().over;
        self.life.borrow_mut().sent += u64::from(!is_over);
        for _ in 0..TURNS_MAX {
            self.clock.pass(TURN);
            if !self.turn(heard.take()) {
                return;
            }
        }
    }

    /// The secondary acknowledges what was told of this place, if that is what it should.
    fn note_ack(&mut self, place: (u64, u64)) {
        if let Some((_, sent)) = self.awaited.take_if(|(awaited, _)| *awaited == place) {
            self.may_leave = Some(sent);
        }
    }

    /// One turn; whether it told anything, and there may be more.
    fn turn(&mut self, heard: Option<(u8, (u64, u64))>) -> bool {
        match heard {
            Some((kind, place)) if kind == FrameKind::Ack as u8 => self.note_ack(place),
            Some((kind, (generation, _)))
                if kind == FrameKind::Farewell as u8 && generation == self.generation =>
            {
                self.outdated = Some(generation);
            }
            _ => {}
        }
        let ready = Ready {
            link: true,
            guest: true,
            world: true,
            // They would end the forwarding, which is to be seen.
            orders: !self.handed_over,
            news: true,
            death: false,
        };
        self.wire.room.set(self.room);
        let outcome = self.primary.turn(&mut self.engine, ready);
        let (told, bytes) = headings(&self.wire.told.borrow());
        // Of a connection that takes few the end of a frame may come later.
        self.wire.told.borrow_mut().drain(..bytes);
        for (kind, place) in &told {
            self.note_told(*kind, *place);
        }
        if let Some((kind, place)) = heard
            && kind == FrameKind::Ack as u8
        {
            // The last byte of what it is for has left before it was read.
            self.note_ack(place);
        }
        self.ended |= match outcome {
            Ok(next) => next.is_some(),
            Err(error) => {
                self.check_end(&error);
                true
            }
        };
        let status = self.engine.board.snapshot();
        if !status.peer.connected {
            // No ack counts any more, and nothing of what was left of a frame follows.
            self.awaited = None;
            self.wire.told.borrow_mut().clear();
        }
        if status.generation > self.generation && !self.ended {
            assert_eq!(self.outdated, Some(self.generation), "without its word");
            self.generation = status.generation;
            self.may_leave = None;
        }
        let out = self.gate.out.get();
        assert!(
            self.may_leave.is_none_or(|most| out <= most),
            "an output has left before its ack"
        );
        !told.is_empty() && !self.ended
    }

    /// Nothing that is said ends the guest. That its state cannot be saved does only when there is somebody who may go on with it:
    /// when the first checkpoint has left.
    fn check_end(&self, error: &Fatal) {
        let was_begun = |told: &&u8| **told == FrameKind::SyncBegin as u8;
        let since = self
            .all_told
            .iter()
            .rev()
            .take_while(|told| !was_begun(told));
        let promised = since
            .into_iter()
            .any(|told| *told == FrameKind::Commit as u8);
        let unsaved = self.life.borrow().was_unsaved;
        assert!(unsaved && promised, "the only copy has ended: {error:?}");
    }

    fn note_told(&mut self, kind: u8, place: (u64, u64)) {
        self.all_told.push(kind);
        let life = &mut *self.life.borrow_mut();
        let (sent, taken) = life.at_stop;
        if kind == FrameKind::Commit as u8 {
            self.awaited = Some((place, sent));
            // Those that were taken before there was a replica are out.
            self.may_leave.get_or_insert(taken);
        }
        let last = [FrameKind::Handover as u8, FrameKind::End as u8].contains(&kind);
        life.over |= last;
        self.handed_over |= kind == FrameKind::Handover as u8;
        let asks = [FrameKind::Commit as u8, FrameKind::Trial as u8].contains(&kind);
        if last || asks {
            self.place = place;
        }
    }

    fn hear(&mut self, (kind, flags): (u8, u8), payload: &[u8]) {
        let at = (
            self.place.0 + u64::from(flags >> 2 & 1),
            self.place.1 + u64::from(flags & NEXT_EPOCH > 0) - u64::from(flags >> 5 & 1),
        );
        let sequence = self.sequence.get() + u64::from(flags >> 4 & 1);
        self.sequence.set(sequence + 1);
        let bytes = frame(kind, flags & 3, at, sequence, payload);
        self.wire.said.borrow_mut().extend(bytes);
        // What does not follow is not heard.
        self.settle((flags >> 4 & 1 == 0).then_some((kind, at)));
    }

    fn order(&self, command: OrderCommand) {
        let reply = ReplyHandle::to_nobody();
        self.orders
            .send(Order { command, reply })
            .expect("the engine is there");
    }

    fn happen(&mut self, kind: u8, flags: u8) {
        match kind {
            PASS => self.clock.pass(Duration::from_millis(4) * flags.into()),
            DEMOTE => self.order(OrderCommand::Demote { timeout_ms: 500 }),
            ENTER_SOLO => self.order(OrderCommand::EnterSolo {
                generation: self.generation + u64::from(flags),
            }),
            POWER_OFF => {
                let life = &mut *self.life.borrow_mut();
                if !life.over {
                    life.over = true;
                    life.news.push_back(GuestEvent::PoweredOff);
                }
            }
            WRITE => {
                let page = usize::from(flags) % PAGES;
                self.memory.copy_in(page * limits::PAGE_BYTES, &[flags; 70]);
                self.life.borrow_mut().dirty.push(page);
            }
            BURST => self.life.borrow_mut().burst = usize::from(flags),
            NARROW => self.room = (flags > 0).then_some(16 * usize::from(flags)),
            UNSAVED => {
                self.life.borrow_mut().unsaved = Some(if flags == 0 {
                    Unsaved::Refused
                } else {
                    Unsaved::TooLarge
                });
            }
            WORLD => self.gate.waiting.set(self.gate.waiting.get() + 1),
            _ => {}
        }
        self.settle(None);
    }
}

pub fn run(data: &[u8]) {
    play(data);
}

/// The primary in the end.
fn play(data: &[u8]) -> Host {
    let (mut host, mut rest, mut frames) = (Host::new(), data, 0);
    while !host.ended
        && frames < FRAMES_MAX
        && let [kind, flags, low, high, payload @ ..] = rest
    {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((payload, later)) = payload.split_at_checked(length) else {
            break;
        };
        rest = later;
        frames += 1;
        if *kind >= PASS {
            host.happen(*kind, *flags);
        } else {
            host.hear((*kind, *flags), payload);
        }
    }
    host
}
