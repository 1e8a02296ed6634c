//! Many seeds, on all processors.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::invariant::{Invariant, Violation};
use super::story::play;
use super::tally::Tally;
use crate::fault::{Fault, MADE};

/// Seeds that every run of the tests plays.
const SEEDS: Range<u64> = 0..10_000;

/// Plays a seed; a panic of the engine is a violation too.
pub(super) fn played(seed: u64, traced: bool) -> Result<Tally, Violation> {
    catch_unwind(AssertUnwindSafe(|| play(seed, traced))).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_default();
        Err(Violation {
            invariant: Invariant::Soundness,
            message,
        })
    })
}

/// The first violation in `seeds`, if `fault` is made.
pub(super) fn first_violation(
    seeds: Range<u64>,
    fault: Option<Fault>,
) -> Result<Tally, (u64, Violation)> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, Violation)>> = Mutex::new(None);
    let total: Mutex<Tally> = Mutex::new(Tally::default());
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                MADE.set(fault);
                let mut sum = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().expect("no panic").is_some() {
                        break;
                    }
                    match played(seed, false) {
                        Ok(tally) => sum += tally,
                        Err(violation) => {
                            let mut found = found.lock().expect("no panic");
                            if found.as_ref().is_none_or(|(known, _)| *known > seed) {
                                *found = Some((seed, violation));
                            }
                        }
                    }
                }
                *total.lock().expect("no panic") += sum;
            });
        }
    });
    match found.into_inner().expect("no panic") {
        Some(found) => Err(found),
        None => Ok(total.into_inner().expect("no panic")),
    }
}

fn asked_for() -> Option<Range<u64>> {
    let text = std::env::var("KEMARI_SIMULATION").ok()?;
    let number = |text: &str| text.parse().expect("KEMARI_SIMULATION is SEED or FROM..TO");
    Some(match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    })
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let seeds = asked_for().unwrap_or(SEEDS);
    if seeds.end - seeds.start == 1 {
        let subscriber = tracing_subscriber::fmt().with_test_writer().finish();
        let played = tracing::subscriber::with_default(subscriber, || played(seeds.start, true));
        println!("{played:?}");
        assert!(played.is_ok(), "seed {}", seeds.start);
        return;
    }
    match first_violation(seeds.clone(), None) {
        Ok(tally) => println!("seeds {seeds:?}: {tally:?}"),
        Err((seed, violation)) => panic!(
            "seed {seed} violates {:?}: {}\nKEMARI_SIMULATION={seed} plays it again and prints what happens",
            violation.invariant, violation.message
        ),
    }
}
