//! The guest's clocks, asked over the network (`test/guest/clock.c`).

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{GUEST, eventually};

/// One look at them.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The host's time before.
    asked: Instant,
    /// The host's time after.
    answered: Instant,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Duration,
    /// `CLOCK_REALTIME`, since 1970.
    pub realtime: Duration,
    /// The TSC.
    pub ticks: u64,
    /// How often any of them has gone back.
    pub steps_back: u64,
    /// The largest of those steps, nanoseconds or ticks.
    pub largest_step: u64,
    /// By which hardware the guest's kernel tells the time.
    pub clocksource: String,
}

/// What passed between two readings.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// On the host, at least and at most.
    pub host: (Duration, Duration),
    /// By the guest's `CLOCK_MONOTONIC`.
    pub monotonic: Duration,
    /// By the guest's `CLOCK_REALTIME`.
    pub realtime: Duration,
    /// By the guest's TSC.
    pub ticks: u64,
}

impl Reading {
    /// What passed since `before`.
    pub fn since(&self, before: &Self) -> Passed {
        Passed {
            host: (
                self.asked.saturating_duration_since(before.answered),
                self.answered.saturating_duration_since(before.asked),
            ),
            monotonic: self.monotonic.checked_sub(before.monotonic).expect("ahead"),
            realtime: self.realtime.checked_sub(before.realtime).expect("ahead"),
            ticks: self.ticks.checked_sub(before.ticks).expect("ahead"),
        }
    }
}

impl Passed {
    /// Ticks of the TSC in a second of the guest's.
    pub fn ticks_per_second(&self) -> f64 {
        let ticks = u32::try_from(self.ticks >> 16).expect("less than a day");
        f64::from(ticks) * 65_536.0 / self.monotonic.as_secs_f64()
    }

    /// Both of the guest's clocks moved with the host's, but for `tolerance`.
    pub fn assert_kept_up(&self, tolerance: Duration) {
        let (least, most) = self.host;
        for guest in [self.monotonic, self.realtime] {
            assert!(
                guest + tolerance >= least && guest <= most + tolerance,
                "{self:?}, tolerance {tolerance:?}"
            );
        }
    }
}

/// The way to ask.
#[derive(Debug)]
pub struct GuestClocks {
    socket: UdpSocket,
    questions: u64,
    last: Option<Reading>,
}

impl GuestClocks {
    /// Waits until the guest answers.
    pub fn watch() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
        socket.connect((GUEST, 7001)).expect("connect");
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("time-out");
        let mut clocks = Self {
            socket,
            questions: 0,
            last: None,
        };
        clocks.read();
        clocks
    }

    /// As [`Self::watch`], for a guest of one processor, which a while after its start finds that it may trust its TSC.
    pub fn watch_trusted() -> Self {
        let mut clocks = Self::watch();
        eventually("the guest tells the time by its TSC", || {
            (clocks.read().clocksource == "tsc").then_some(())
        });
        clocks
    }

    /// Asks until there is an answer. Whatever happened since the last one, no clock may have gone back.
    pub fn read(&mut self) -> Reading {
        let (first, mut asked) = (self.questions, Vec::new());
        let reading = eventually("the guest tells its clocks", || {
            asked.push(Instant::now());
            self.socket
                .send(self.questions.to_string().as_bytes())
                .ok()?;
            self.questions += 1;
            self.answer(first, &asked)
        });
        assert_eq!(reading.steps_back, 0, "{reading:?}");
        if let Some(last) = &self.last {
            let goes_on = reading.monotonic >= last.monotonic
                && reading.realtime >= last.realtime
                && reading.ticks >= last.ticks;
            assert!(goes_on, "{last:?} {reading:?}");
        }
        self.last = Some(reading.clone());
        reading
    }

    /// Of several readings the one that took the shortest.
    pub fn read_closely(&mut self) -> Reading {
        let readings = (0..20).map(|_| self.read());
        readings
            .min_by_key(|reading| reading.answered - reading.asked)
            .expect("some")
    }

    /// An answer to one of the questions from `first` on, which were `asked` then. Those to older ones may come first: a
    /// promoted guest sends again what may have been lost.
    fn answer(&self, first: u64, asked: &[Instant]) -> Option<Reading> {
        loop {
            let mut text = [0; 256];
            let length = self.socket.recv(&mut text).ok()?;
            let answered = Instant::now();
            let text = String::from_utf8_lossy(&text[..length]).into_owned();
            let fields: Vec<&str> = text.split(' ').collect();
            let &[
                echoed,
                monotonic,
                realtime,
                ticks,
                steps_back,
                largest,
                clocksource,
            ] = &fields[..]
            else {
                panic!("{text:?}")
            };
            let count = |field: &str| field.parse::<u64>().expect("a number");
            let index = count(echoed)
                .checked_sub(first)
                .map(|index| usize::try_from(index).expect("few"));
            if let Some(&asked) = index.and_then(|index| asked.get(index)) {
                return Some(Reading {
                    asked,
                    answered,
                    monotonic: Duration::from_nanos(count(monotonic)),
                    realtime: Duration::from_nanos(count(realtime)),
                    ticks: count(ticks),
                    steps_back: count(steps_back),
                    largest_step: count(largest),
                    clocksource: clocksource.to_owned(),
                });
            }
        }
    }
}
