//! How epochs are sent, by what that was measured to cost. Two looks at the clock while an epoch is made ready; everything
//! else is done after its ack, when its outputs are out.

use std::time::{Duration, Instant};

use super::baseline::Baseline;
use super::commit::InFlight;
use super::{Engine, Ports, Primary};
use crate::checkpoint::{Chooser, Compression, DrainRate, LinkRate, UNKNOWN_LINK_NS_PER_BYTE};
use crate::fault::{Fault, makes};
use crate::wire::Codec;

/// What is known of the epochs and of the link.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) chooser: Chooser,
    link: LinkRate,
    /// What this host takes to write a byte: copies and encryption, which the other side has to undo.
    writing: DrainRate,
}

impl Measured {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            chooser: Chooser::for_epochs(compression),
            link: LinkRate::believed(UNKNOWN_LINK_NS_PER_BYTE),
            writing: DrainRate::default(),
        }
    }

    /// `bytes` of pages were written in `ns`.
    pub(super) fn written(&mut self, bytes: u64, ns: u64) {
        if bytes > 0 {
            self.writing.drained(bytes, ns);
        }
    }

    /// What a byte more costs. However fast a link is, its bytes are not free.
    fn ns_per_byte(&self) -> f64 {
        let writing = self.writing.ns_per_byte().unwrap_or(0.0);
        self.link.ns_per_byte().max(writing)
    }

    /// There is a new link, or a baseline has shown what the link is like.
    pub(super) fn relearn(&mut self, ns_per_byte: Option<f64>) {
        self.link = LinkRate::believed(ns_per_byte.unwrap_or(self.link.ns_per_byte()));
    }
}

/// The same for a baseline.
#[derive(Debug)]
pub(super) struct Chunks {
    chooser: Chooser,
    drain: DrainRate,
    /// The chunk on its way: its bytes, and since when.
    sent: Option<(u64, Instant)>,
}

impl Chunks {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            chooser: Chooser::for_baseline(compression),
            drain: DrainRate::default(),
            sent: None,
        }
    }

    /// The link has taken all that was sent.
    pub(super) fn drained(&mut self, now: Instant) {
        if let Some((bytes, sent_at)) = self.sent.take() {
            self.drain.drained(bytes, since(sent_at, now));
            if let Some(ns_per_byte) = self.drain.ns_per_byte() {
                self.chooser.link(ns_per_byte);
            }
            self.chooser.settle();
        }
    }

    /// What the link takes for a byte.
    pub(super) fn ns_per_byte(&self) -> Option<f64> {
        self.drain.ns_per_byte()
    }
}

impl<P: Ports> Primary<P> {
    /// Sends the staged pages as a part of the baseline.
    pub(super) fn send_chunk(&mut self, engine: &mut Engine<P>) {
        let (Some(Baseline { chunks, .. }), Some(link)) = (&mut self.baseline, &mut self.link)
        else {
            return;
        };
        let (encoding, trial) = (chunks.chooser.next(), chunks.chooser.trial());
        let (body, runs) = (self.staging.body(), self.staging.runs());
        let (before, began) = (link.outgoing.bytes_encoded(), engine.now());
        let mut encoder = link.encoder();
        encoder.pack_by(encoding.codec);
        if trial.is_some() {
            encoder.take_sample();
        }
        let plain_bytes = encoder.sync_pages(self.generation, self.epoch + 1, body, runs);
        let encoded_at = engine.now();
        let pages = runs.iter().map(|run| u64::from(run.pages)).sum();
        chunks
            .chooser
            .encoded(encoding, pages, plain_bytes, since(began, encoded_at));
        chunks.sent = Some((link.outgoing.bytes_encoded() - before, encoded_at));
        self.flush_link(engine);
        self.try_out(engine, trial);
    }

    /// Tries a codec out while the link is busy.
    fn try_out(&mut self, engine: &Engine<P>, trial: Option<Codec>) {
        if let (Some(codec), Some(baseline), Some(link)) =
            (trial, &mut self.baseline, &mut self.link)
        {
            let began = engine.now();
            if let Some((plain, packed)) = link.encoder().try_out(codec) {
                let chooser = &mut baseline.chunks.chooser;
                chooser.tried(codec, plain, packed, since(began, engine.now()));
            }
        }
    }

    /// Makes the staged pages ready to be sent.
    pub(super) fn encode_pages(&mut self, engine: &Engine<P>) {
        let Some(link) = &mut self.link else { return };
        let (body, runs, shadow) = (self.staging.body(), self.staging.runs(), &self.shadow);
        let chooser = &mut self.measured.chooser;
        let (encoding, began) = (chooser.next(), engine.now());
        let mut encoder = link.encoder();
        encoder.pack_by(encoding.codec);
        let base = |page| shadow.base(page).filter(|_| encoding.changes);
        let plain_bytes = encoder.pages(body, runs, base);
        let pages = runs.iter().map(|run| u64::from(run.pages)).sum();
        chooser.encoded(encoding, pages, plain_bytes, since(began, engine.now()));
    }

    /// A transaction begins: keeps some of it if a codec is to be tried out.
    pub(super) fn take_sample(&mut self) {
        if let Some(link) = &mut self.link
            && self.measured.chooser.trial().is_some()
        {
            link.encoder().take_sample();
        }
    }

    /// An epoch has been acknowledged and its outputs are out: learns from it, and notes what the secondary has now.
    pub(super) fn learn(&mut self, engine: &Engine<P>, in_flight: &InFlight, acked_at: Instant) {
        if let Some((bytes, burst_from)) = in_flight.whole_burst() {
            self.measured.link.acked(bytes, since(burst_from, acked_at));
        }
        let ns_per_byte = self.measured.ns_per_byte();
        let chooser = &mut self.measured.chooser;
        chooser.link(ns_per_byte);
        if let (Some(codec), Some(link)) = (chooser.trial(), &mut self.link) {
            let began = engine.now();
            if let Some((plain, packed)) = link.encoder().try_out(codec) {
                chooser.tried(codec, plain, packed, since(began, engine.now()));
            }
        }
        let before = chooser.settled();
        chooser.settle();
        let settled = chooser.settled();
        if settled != before {
            tracing::debug!(?settled, ns_per_byte, "encoding");
            engine
                .board
                .update(|status| status.encoding = Some(settled.shown()));
        }
        if makes(Fault::StaleBase) && !self.epoch.is_multiple_of(3) {
            return;
        }
        if chooser.next().changes {
            let began = engine.now();
            let runs = self.staging.runs();
            self.shadow.note(self.staging.body(), runs);
            let pages = runs.iter().map(|run| u64::from(run.pages)).sum();
            chooser.noted(pages, since(began, engine.now()));
        } else {
            self.shadow.forget_pages();
        }
        self.shadow.note_device_state(self.staging.device_state());
    }
}

/// Nanoseconds.
pub(super) fn since(began: Instant, ended: Instant) -> u64 {
    let span: Duration = ended.saturating_duration_since(began);
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
