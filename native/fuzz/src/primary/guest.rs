//! A guest that never rests.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::SystemTime;

use kemari_engine::clock::Clock;
use kemari_engine::guest::clock::{CapturedAt, GuestTime};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{AfterSave, GuestError, Ram, RunState, Vm};
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::qmp::{GuestEvent, QmpError};
use kemari_engine::spec::Spec;
use kemari_engine::wire::Fingerprint;

use super::pauses::Pauses;
use crate::ports::{Hands, Memory, PAGES};

/// What the guest is at.
#[derive(Default)]
pub(super) struct Life {
    /// Packets that it has sent, and those of them that the engine has taken.
    pub(super) sent: u64,
    pub(super) taken: u64,
    /// Both when it was stopped last.
    pub(super) at_stop: (u64, u64),
    pub(super) dirty: Vec<usize>,
    /// Pages that it writes to until it stands still the next time.
    pub(super) burst: usize,
    pub(super) news: VecDeque<GuestEvent>,
    pub(super) pauses: Pauses,
    /// How the next attempt to save its state fails.
    pub(super) unsaved: Option<Unsaved>,
    /// The last attempt has failed.
    pub(super) was_unsaved: bool,
    /// It stands still for good.
    pub(super) over: bool,
    /// It is to run on when what was saved of it has been read.
    runs_on: bool,
}

impl Life {
    /// Writes to pages here and there what nothing makes shorter.
    fn write_much(&mut self, memory: &mut Memory) {
        for number in 0..std::mem::take(&mut self.burst).min(PAGES) {
            let page = number * APART % PAGES;
            let mut word = self.sent * PAGES as u64 + page as u64;
            let noise = [0; PAGE_BYTES].map(|_: u8| {
                word = word.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
                word.to_le_bytes()[7]
            });
            memory.copy_in(page * PAGE_BYTES, &noise);
            self.dirty.push(page);
        }
    }
}

/// How an attempt to save a guest's state fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaved {
    /// QEMU does not want to, and the guest runs on as if nobody had asked.
    Refused,
    /// It is larger than anybody has room for.
    TooLarge,
}

/// Pages from one that is written to the next: none of them are neighbours, and all get their turn.
const APART: usize = 5;
/// Of Knuth's MMIX generator of pseudo-random numbers.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
/// The same.
const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// It runs already.
pub(super) struct Busy {
    pub(super) memory: Memory,
    pub(super) life: Rc<RefCell<Life>>,
    pub(super) clock: Hands,
}

impl Busy {
    /// Says as QEMU does that it runs.
    fn say_resumed(&self) {
        let since = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
        let at = since.expect("after 1970");
        let mut life = self.life.borrow_mut();
        life.news.push_back(GuestEvent::Resumed(at));
    }
}

impl Vm for Busy {
    type Ram = Memory;

    fn fingerprint(&self, _: &Spec) -> Result<Fingerprint, GuestError> {
        Ok(Fingerprint::default())
    }
    fn pid(&self) -> u32 {
        1
    }
    fn pages(&self) -> usize {
        PAGES
    }
    fn ram(&self) -> &Memory {
        &self.memory
    }
    fn ram_mut(&mut self) -> &mut Memory {
        unreachable!("it has the guest that it runs")
    }
    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let life = &mut *self.life.borrow_mut();
        if life.taken == life.sent {
            return Ok(None);
        }
        into[..8].copy_from_slice(&life.taken.to_le_bytes());
        life.taken += 1;
        Ok(Some(60))
    }
    fn deliver(&self, _: &[u8]) -> io::Result<bool> {
        Ok(true)
    }
    fn stop_and_save(&mut self, after: AfterSave) -> Result<(), GuestError> {
        let life = &mut *self.life.borrow_mut();
        life.was_unsaved = life.unsaved == Some(Unsaved::Refused);
        if life.was_unsaved {
            life.unsaved = None;
            return Err(GuestError::Qmp(QmpError::Refused {
                command: "xen-save-devices-state",
                description: "State blocked by a device".to_owned(),
            }));
        }
        life.write_much(&mut self.memory);
        life.runs_on = after == AfterSave::RunOn;
        life.at_stop = (life.sent, life.taken);
        life.pauses.begin();
        Ok(())
    }
    fn release(&mut self) -> Result<(), GuestError> {
        self.life.borrow_mut().pauses.end();
        let runs_on = std::mem::take(&mut self.life.borrow_mut().runs_on);
        if runs_on {
            self.say_resumed();
        }
        Ok(())
    }
    fn read_device_state(&mut self, into: &mut [u8]) -> Result<usize, GuestError> {
        let life = &mut *self.life.borrow_mut();
        life.was_unsaved = life.unsaved.take().is_some();
        if life.was_unsaved {
            return Err(GuestError::Call {
                step: "reading the guest's device state",
                source: io::ErrorKind::FileTooLarge.into(),
            });
        }
        into[..90].fill(7);
        into[..8].copy_from_slice(&life.sent.to_le_bytes());
        Ok(90)
    }
    fn confirm_state(&mut self) -> Result<(), GuestError> {
        Ok(())
    }
    fn give_up_save(&mut self) -> Result<(), GuestError> {
        Ok(())
    }
    fn pause(&mut self) -> Result<(), GuestError> {
        Ok(())
    }
    fn resume(&mut self) -> Result<(), GuestError> {
        assert!(!self.life.borrow().over, "it does not run again");
        self.say_resumed();
        Ok(())
    }
    fn track(&mut self) -> Result<(), GuestError> {
        self.life.borrow_mut().dirty.clear();
        Ok(())
    }
    fn collect_dirty(
        &mut self,
        pages: &mut PageSet,
        _: &mut dyn FnMut(),
    ) -> Result<(), GuestError> {
        let life = &mut *self.life.borrow_mut();
        for page in life.dirty.drain(..) {
            pages.insert(page..page + 1);
        }
        life.pauses.pages = pages.count();
        Ok(())
    }
    fn load(&mut self, _: &[u8], _: CapturedAt) -> Result<(), GuestError> {
        unreachable!("it runs already")
    }
    fn time(&self) -> Option<GuestTime> {
        None
    }
    fn stopped_at(&self) -> Option<SystemTime> {
        None
    }
    fn press_power_button(&mut self) -> Result<(), GuestError> {
        unreachable!("nobody orders it")
    }
    fn run_state(&mut self) -> Result<RunState, GuestError> {
        unreachable!("nobody orders it")
    }
    fn announce(&mut self) -> Result<(), GuestError> {
        unreachable!("it runs already")
    }
    fn pump_events(&mut self) -> Result<(), GuestError> {
        Ok(())
    }
    fn next_event(&mut self) -> Option<GuestEvent> {
        self.life.borrow_mut().news.pop_front()
    }
    fn obituary(&mut self) -> GuestError {
        unreachable!("it does not die")
    }
}
