//! What QEMU is told when it reads the host's clocks to stop or to start the guest's.

/// One moment, by both of the host's clocks that QEMU derives the guest's from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub ns: u64,
    /// TSC.
    pub ticks: u64,
}

/// The answer to one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The guest stops: the truth.
    Stopped(Moment),
    /// The guest starts.
    Started {
        /// What QEMU is told.
        moment: Moment,
        /// How long the guest stood still.
        stood_ns: u64,
        /// How much of that its clocks will lack.
        lost_ns: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    New,
    Stopped(Moment),
    Runs,
}

/// Knows whether the guest runs, and since when it does not.
#[derive(Debug)]
pub struct Keeper {
    born: Moment,
    catch_up_max_ns: u64,
    guest: Guest,
    start_site: usize,
    stop_site: usize,
    /// The guest has been started after a reading at that place.
    is_stop_site_certain: bool,
}

impl Keeper {
    /// In a QEMU of which this is about the beginning.
    pub const fn new(born: Moment, catch_up_max_ns: u64) -> Self {
        Self {
            born,
            catch_up_max_ns,
            guest: Guest::New,
            start_site: 0,
            stop_site: 0,
            is_stop_site_certain: false,
        }
    }

    /// The thread of QEMU that stops and starts guests reads the TSC at `now`, with the instruction at `site`. The guest's
    /// time stands still since `still_since_ns` if it has never run here; `None` as long as it is not to run.
    ///
    /// There are two such instructions, and QEMU never comes to the same one twice in a row (`cpu_ticks_enabled`). Whatever
    /// else reads the TSC is nothing of ours: `None`. Which one is for stopping is known when the guest is started for the
    /// second time: it was the last one before, and until then each may be it. To be told of a stop is to be told the truth, so
    /// nobody is misled by that.
    pub fn read(&mut self, site: usize, now: Moment, still_since_ns: Option<u64>) -> Option<Told> {
        match self.guest {
            Guest::New => {
                let since = self.moment_of(still_since_ns?, now);
                self.start_site = site;
                Some(self.start(since, now))
            }
            Guest::Stopped(since) if site == self.start_site => {
                self.is_stop_site_certain = true;
                Some(self.start(since, now))
            }
            Guest::Runs if self.is_stop_site_certain && site == self.stop_site => {
                self.guest = Guest::Stopped(now);
                Some(Told::Stopped(now))
            }
            Guest::Runs | Guest::Stopped(_)
                if !self.is_stop_site_certain && site != self.start_site =>
            {
                self.stop_site = site;
                self.guest = Guest::Stopped(now);
                Some(Told::Stopped(now))
            }
            _ => None,
        }
    }

    fn start(&mut self, since: Moment, now: Moment) -> Told {
        self.guest = Guest::Runs;
        let stood_ns = now.ns.saturating_sub(since.ns);
        let forward_ns = forward_ns(since.ns, now.ns, self.catch_up_max_ns);
        let moment = if forward_ns == stood_ns {
            since
        } else {
            let stood_ticks = now.ticks.saturating_sub(since.ticks);
            Moment {
                ns: now.ns - forward_ns,
                ticks: now.ticks - share(stood_ticks, forward_ns, stood_ns),
            }
        };
        Told::Started {
            moment,
            stood_ns,
            lost_ns: stood_ns - forward_ns,
        }
    }

    /// The moment at which `CLOCK_MONOTONIC` was `ns`, by the rate of the TSC since the beginning.
    fn moment_of(&self, ns: u64, now: Moment) -> Moment {
        let ns = ns.min(now.ns);
        let ticks = now.ticks.saturating_sub(self.born.ticks);
        let back = share(ticks, now.ns - ns, now.ns.saturating_sub(self.born.ns));
        Moment {
            ns,
            ticks: now.ticks.saturating_sub(back),
        }
    }
}

/// By how much a guest is set forward that stood still from `since_ns` to `now_ns`.
pub fn forward_ns(since_ns: u64, now_ns: u64, catch_up_max_ns: u64) -> u64 {
    now_ns.saturating_sub(since_ns).min(catch_up_max_ns)
}

/// `whole * part / of`, in ticks.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: usize = 0x1000;
    const STOP: usize = 0x2000;
    const BORN: Moment = Moment {
        ns: 7_000_000,
        ticks: 900,
    };
    const BOUND_NS: u64 = 15_000_000_000;
    /// 2.5 ticks a nanosecond.
    fn at(ns: u64) -> Moment {
        Moment {
            ns: BORN.ns + ns,
            ticks: BORN.ticks + ns * 5 / 2,
        }
    }

    /// QEMU's own arithmetic (softmmu/cpu-timers.c), with what it is told.
    struct Qemu {
        keeper: Keeper,
        still_since_ns: Option<u64>,
        clock_offset: u64,
        ticks_offset: u64,
        runs: bool,
        lost_ns: u64,
    }

    impl Qemu {
        fn new(catch_up_max_ns: u64, loaded: Moment, still_since_ns: u64) -> Self {
            Self {
                keeper: Keeper::new(BORN, catch_up_max_ns),
                still_since_ns: Some(still_since_ns),
                clock_offset: loaded.ns,
                ticks_offset: loaded.ticks,
                runs: false,
                lost_ns: 0,
            }
        }

        fn guest(&self, now: Moment) -> Moment {
            if self.runs {
                Moment {
                    ns: self.clock_offset.wrapping_add(now.ns),
                    ticks: self.ticks_offset.wrapping_add(now.ticks),
                }
            } else {
                Moment {
                    ns: self.clock_offset,
                    ticks: self.ticks_offset,
                }
            }
        }

        fn stop(&mut self, now: Moment) {
            let told = self.keeper.read(STOP, now, self.still_since_ns);
            let Some(Told::Stopped(told)) = told else {
                panic!("{told:?}")
            };
            let guest = self.guest(told);
            (self.clock_offset, self.ticks_offset, self.runs) = (guest.ns, guest.ticks, false);
        }

        fn start(&mut self, now: Moment) {
            let told = self.keeper.read(START, now, self.still_since_ns);
            let Some(Told::Started {
                moment, lost_ns, ..
            }) = told
            else {
                panic!("{told:?}")
            };
            self.clock_offset = self.clock_offset.wrapping_sub(moment.ns);
            self.ticks_offset = self.ticks_offset.wrapping_sub(moment.ticks);
            self.runs = true;
            self.lost_ns += lost_ns;
        }
    }

    fn cold(catch_up_max_ns: u64) -> Qemu {
        let nothing = Moment { ns: 0, ticks: 0 };
        let mut qemu = Qemu::new(catch_up_max_ns, nothing, at(1000).ns);
        qemu.start(at(1000));
        qemu
    }

    #[test]
    fn a_guest_that_was_stopped_is_where_it_would_be_had_it_not_been() {
        let mut qemu = cold(BOUND_NS);
        let before = qemu.guest(at(5_000));
        qemu.stop(at(6_000));
        qemu.start(at(900_006_000));
        let after = qemu.guest(at(2_000_000_000));
        assert_eq!(before.ns, 4_000);
        assert_eq!(after.ns, 2_000_000_000 - 1000);
        assert_eq!(after.ticks, after.ns * 5 / 2);
        assert_eq!(qemu.lost_ns, 0);
    }

    #[test]
    fn a_long_stop_is_given_back_up_to_the_bound_on_both_clocks() {
        let mut qemu = cold(BOUND_NS);
        qemu.stop(at(2_000));
        let resumed = at(2_000 + BOUND_NS + 60_000_000_000);
        qemu.start(resumed);
        let after = qemu.guest(resumed);
        assert_eq!(after.ns, 1_000 + BOUND_NS);
        assert_eq!(qemu.lost_ns, 60_000_000_000);
        assert_eq!(after.ticks, after.ns * 5 / 2);
    }

    #[test]
    fn a_loaded_state_stood_still_since_its_capture() {
        // Captured elsewhere when the guest was 40 s old.
        let captured = Moment {
            ns: 40_000_000_000,
            ticks: 100_000_000_000,
        };
        let mut qemu = Qemu::new(BOUND_NS, captured, at(1_000_000_000).ns);
        qemu.start(at(3_000_000_000));
        let guest = qemu.guest(at(3_000_000_000));
        assert_eq!(guest.ns, 42_000_000_000);
        assert!(guest.ticks.abs_diff(105_000_000_000) <= 1, "{guest:?}");
        assert_eq!(qemu.lost_ns, 0);
    }

    #[test]
    fn other_readers_of_the_tsc_are_told_the_truth() {
        let mut keeper = Keeper::new(BORN, BOUND_NS);
        assert_eq!(keeper.read(START, at(1), None), None, "no guest yet");
        let since = Some(at(2).ns);
        assert!(keeper.read(START, at(2), since).is_some());
        assert_eq!(keeper.read(START, at(3), since), None, "it runs already");
        assert!(keeper.read(STOP, at(4), since).is_some());
        assert_eq!(keeper.read(START, at(7), since).map(stood), Some(3));
        assert_eq!(keeper.read(0x3000, at(8), since), None);
        assert!(keeper.read(STOP, at(9), since).is_some());
        assert_eq!(keeper.read(0x3000, at(10), since), None);
        assert_eq!(keeper.read(STOP, at(11), since), None, "it is stopped");
        assert_eq!(keeper.read(START, at(12), since).map(stood), Some(3));
    }

    #[test]
    fn another_reader_before_the_first_stop_does_not_set_the_guest_ahead_of_its_host() {
        let mut keeper = Keeper::new(BORN, BOUND_NS);
        let since = Some(at(2).ns);
        assert!(keeper.read(START, at(2), since).is_some());
        for (site, ns) in [(0x3000, 10), (0x4000, 900), (0x3000, 1000)] {
            let told = keeper.read(site, at(ns), since);
            assert_eq!(told, Some(Told::Stopped(at(ns))), "the truth");
        }
        assert!(keeper.read(STOP, at(5000), since).is_some());
        assert_eq!(keeper.read(START, at(5007), since).map(stood), Some(7));
        assert_eq!(keeper.read(0x3000, at(6000), since), None);
        assert!(keeper.read(STOP, at(7000), since).is_some());
        assert_eq!(keeper.read(START, at(7005), since).map(stood), Some(5));
    }

    fn stood(told: Told) -> u64 {
        match told {
            Told::Started { stood_ns, .. } => stood_ns,
            Told::Stopped(_) => panic!("{told:?}"),
        }
    }

    proptest! {
        /// Whatever the stops and the bound: no clock of the guest ever goes back, none runs ahead of the host's, and what
        /// they lack is what was reported.
        #[test]
        fn the_guests_time_never_goes_back_and_lacks_what_is_reported(
            catch_up_max_ns in prop_oneof![Just(0), 0..5_000_000_000_u64, Just(u64::MAX)],
            behind_ns in 0..20_000_000_000_u64,
            steps in prop::collection::vec((0..50_000_000_u64, 0..10_000_000_000_u64), 0..60),
        ) {
            let captured = Moment { ns: 1 << 40, ticks: 1 << 41 };
            let mut now = 30_000_000_000;
            let mut qemu = Qemu::new(catch_up_max_ns, captured, at(now - behind_ns).ns);
            let origin = now - behind_ns;
            qemu.start(at(now));
            let mut last = captured;
            for (ran_ns, stood_ns) in steps {
                let mut seen = vec![qemu.guest(at(now))];
                now += ran_ns;
                seen.push(qemu.guest(at(now)));
                qemu.stop(at(now));
                seen.push(qemu.guest(at(now)));
                now += stood_ns;
                seen.push(qemu.guest(at(now)));
                qemu.start(at(now));
                seen.push(qemu.guest(at(now)));
                for guest in seen {
                    prop_assert!(guest.ns >= last.ns && guest.ticks >= last.ticks, "{last:?} {guest:?}");
                    last = guest;
                }
            }
            let guest = qemu.guest(at(now));
            prop_assert_eq!(guest.ns - captured.ns + qemu.lost_ns, now - origin);
            let ticks = u128::from(guest.ticks - captured.ticks);
            let wanted = u128::from(guest.ns - captured.ns) * 5 / 2;
            prop_assert!(ticks.abs_diff(wanted) <= 200, "{ticks} ticks, {wanted} wanted");
        }
    }
}
