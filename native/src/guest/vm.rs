//! What the roles ask of a guest, whoever runs it: a QEMU, or a simulator.

use std::io;
use std::ops::ControlFlow;
use std::time::SystemTime;

use crate::guest::clock::{CapturedAt, GuestTime};
use crate::guest::error::GuestError;
use crate::guest::monitor::AfterSave;
use crate::guest::pages::PageSet;
use crate::guest::process::Guest;
use crate::guest::run_state::RunState;
use crate::qmp::GuestEvent;
use crate::spec::Spec;
use crate::sys::memory::SharedMapping;
use crate::wire::Fingerprint;

/// Guest RAM, which may change under our eyes: it is copied out and in, never borrowed.
pub trait Ram {
    /// Size in bytes.
    fn bytes(&self) -> usize;

    /// Copies `into.len()` bytes from `offset`.
    ///
    /// # Panics
    /// If the range lies outside of RAM; so do the others.
    fn copy_out(&self, offset: usize, into: &mut [u8]);

    /// Copies `from` to `offset`.
    fn copy_in(&mut self, offset: usize, from: &[u8]);

    /// As [`Ram::copy_in`], for a lot of memory that is not soon written again.
    fn write_through(&mut self, offset: usize, from: &[u8]) {
        self.copy_in(offset, from);
    }

    /// Makes `bytes` bytes from `offset` zero.
    fn zero(&mut self, offset: usize, bytes: usize);
}

impl Ram for SharedMapping {
    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        Self::copy_out(self, offset, into);
    }

    fn copy_in(&mut self, offset: usize, from: &[u8]) {
        Self::copy_in(self, offset, from);
    }

    fn write_through(&mut self, offset: usize, from: &[u8]) {
        Self::write_through(self, offset, from);
    }

    fn zero(&mut self, offset: usize, bytes: usize) {
        Self::zero(self, offset, bytes);
    }
}

/// Takes one packet that a guest sent, as [`Vm::receive`], while it is busy with something that takes long.
pub type Receive<'a> = dyn Fn(&mut [u8]) -> io::Result<Option<usize>> + 'a;

/// Called again and again by what takes long; `Break`: it is to be left where it is.
pub type Meanwhile<'a> = dyn FnMut(&Receive<'_>) -> ControlFlow<()> + 'a;

/// A guest and whoever runs it. What each call does and reports is said at [`Guest`]'s methods of the same name. A
/// [`GuestError`] means that the state of the guest is not known any more, unless [`Vm::give_up_save`] then succeeds.
#[expect(clippy::missing_errors_doc, reason = "said once, at the trait")]
pub trait Vm {
    /// Its RAM.
    type Ram: Ram;

    /// What must be equal on the other host.
    fn fingerprint(&self, spec: &Spec) -> Result<Fingerprint, GuestError>;
    /// Process that runs it.
    fn pid(&self) -> u32;
    /// Pages of RAM.
    fn pages(&self) -> usize;
    /// Its RAM.
    fn ram(&self) -> &Self::Ram;
    /// Its RAM, to be written.
    fn ram_mut(&mut self) -> &mut Self::Ram;
    /// Takes one packet that the guest sent.
    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>>;
    /// Gives the guest a packet; false if there was no room for it.
    fn deliver(&self, packet: &[u8]) -> io::Result<bool>;
    /// Stops the vCPUs and saves the device state.
    fn stop_and_save(&mut self, after: AfterSave) -> Result<(), GuestError>;
    /// Lets a guest that was saved run on, if it was to.
    fn release(&mut self) -> Result<(), GuestError>;
    /// Copies the device state that was saved last into `into`, once; returns its length.
    fn read_device_state(&mut self, into: &mut [u8]) -> Result<usize, GuestError>;
    /// Waits until it is proven that the device state that was read is whole.
    fn confirm_state(&mut self) -> Result<(), GuestError>;
    /// See [`Guest::give_up_save`].
    fn give_up_save(&mut self) -> Result<(), GuestError>;
    /// Stops the vCPUs.
    fn pause(&mut self) -> Result<(), GuestError>;
    /// Lets the vCPUs run.
    fn resume(&mut self) -> Result<(), GuestError>;
    /// Begins to track written pages, or begins anew.
    fn track(&mut self) -> Result<(), GuestError>;
    /// Copies RAM from `offset` on, as what the secondary is to have of it. Pages that were collected are captured after
    /// that, and by this alone.
    fn capture(&mut self, offset: usize, into: &mut [u8]) {
        self.ram().copy_out(offset, into);
    }
    /// Adds the pages written since the last call to `pages`; calls `meanwhile` again and again if that takes long.
    fn collect_dirty(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), GuestError>;
    /// See [`Guest::look_for_dirty`]; this is for a guest whose pages are found at once.
    fn look_for_dirty(
        &mut self,
        pages: &mut PageSet,
        _: &mut Meanwhile<'_>,
    ) -> Result<ControlFlow<()>, GuestError> {
        let found = self.collect_dirty(pages, &mut || ());
        found.map(ControlFlow::Continue)
    }
    /// Loads a device state that was captured then; RAM holds the replica.
    fn load(&mut self, device_state: &[u8], captured: CapturedAt) -> Result<(), GuestError>;
    /// How the guest's clocks are doing; `None` if nobody keeps them.
    fn time(&self) -> Option<GuestTime>;
    /// When the guest, which is stopped, was stopped, by the clock that other hosts have too; `None` if nobody knows.
    fn stopped_at(&self) -> Option<SystemTime>;
    /// Asks the guest to power itself off, as the button of a machine does. It may not listen.
    fn press_power_button(&mut self) -> Result<(), GuestError>;
    /// See [`Guest::run_state`].
    fn run_state(&mut self) -> Result<RunState, GuestError>;
    /// Announces the guest's address to the network.
    fn announce(&mut self) -> Result<(), GuestError>;
    /// Has the guest's display shown here, if it has one.
    fn show_display(&mut self) {}
    /// Reads news of the guest.
    fn pump_events(&mut self) -> Result<(), GuestError>;
    /// The next news, of those read so far.
    fn next_event(&mut self) -> Option<GuestEvent>;
    /// How it ended.
    fn obituary(&mut self) -> GuestError;
}

impl Vm for Guest {
    type Ram = SharedMapping;

    fn fingerprint(&self, spec: &Spec) -> Result<Fingerprint, GuestError> {
        Self::fingerprint(self, spec)
    }

    fn pid(&self) -> u32 {
        Self::pid(self)
    }

    fn pages(&self) -> usize {
        Self::pages(self)
    }

    fn ram(&self) -> &SharedMapping {
        &self.ram
    }

    fn ram_mut(&mut self) -> &mut SharedMapping {
        &mut self.ram
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        Self::receive(self, into)
    }

    fn deliver(&self, packet: &[u8]) -> io::Result<bool> {
        Self::deliver(self, packet)
    }

    fn stop_and_save(&mut self, after: AfterSave) -> Result<(), GuestError> {
        Self::stop_and_save(self, after)
    }

    fn release(&mut self) -> Result<(), GuestError> {
        Self::release(self)
    }

    fn read_device_state(&mut self, into: &mut [u8]) -> Result<usize, GuestError> {
        Self::read_device_state(self, into)
    }

    fn confirm_state(&mut self) -> Result<(), GuestError> {
        Self::confirm_state(self)
    }

    fn give_up_save(&mut self) -> Result<(), GuestError> {
        Self::give_up_save(self)
    }

    fn pause(&mut self) -> Result<(), GuestError> {
        Self::pause(self)
    }

    fn resume(&mut self) -> Result<(), GuestError> {
        Self::resume(self)
    }

    fn track(&mut self) -> Result<(), GuestError> {
        Self::track(self)
    }

    fn capture(&mut self, offset: usize, into: &mut [u8]) {
        Self::capture(self, offset, into);
    }

    fn collect_dirty(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), GuestError> {
        Self::collect_dirty(self, pages, meanwhile)
    }

    fn look_for_dirty(
        &mut self,
        pages: &mut PageSet,
        meanwhile: &mut Meanwhile<'_>,
    ) -> Result<ControlFlow<()>, GuestError> {
        Self::look_for_dirty(self, pages, meanwhile)
    }

    fn load(&mut self, device_state: &[u8], captured: CapturedAt) -> Result<(), GuestError> {
        Self::load(self, device_state, captured)
    }

    fn time(&self) -> Option<GuestTime> {
        self.clock.time()
    }

    fn stopped_at(&self) -> Option<SystemTime> {
        self.clock.stopped_at()
    }

    fn press_power_button(&mut self) -> Result<(), GuestError> {
        Self::press_power_button(self)
    }

    fn run_state(&mut self) -> Result<RunState, GuestError> {
        Self::run_state(self)
    }

    fn announce(&mut self) -> Result<(), GuestError> {
        Self::announce(self)
    }

    fn show_display(&mut self) {
        Self::show_display(self);
    }

    fn pump_events(&mut self) -> Result<(), GuestError> {
        Ok(self.monitor.pump()?)
    }

    fn next_event(&mut self) -> Option<GuestEvent> {
        self.monitor.next_event()
    }

    fn obituary(&mut self) -> GuestError {
        Self::obituary(self)
    }
}
