//! What the benchmark measures without an engine: the floor of a pause, and the scan of a large guest.
//!
//! Each line of standard input is answered with one JSON object: quantiles in microseconds.

mod floor;
mod scan;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kemari_engine::report;
use serde_json::{Value, json};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs a guest that is paused for each of its outputs: stop, save, cont, and nothing else.
    Floor {
        /// Specification of the guest, as an engine's.
        #[arg(long)]
        spec: PathBuf,
    },
    /// Scans memory of which little is written.
    Scan {
        /// Its size.
        #[arg(long)]
        gib: usize,
        /// Pages that are written before each scan.
        #[arg(long)]
        hot: usize,
        /// Scans per round.
        #[arg(long)]
        scans: usize,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Floor { spec } => floor::Floor::begin(&spec).and_then(floor::Floor::run),
        What::Scan { gib, hot, scans } => {
            scan::Scan::begin(gib, hot).and_then(|scan| scan.run(scans))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", report::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Times of one round, microseconds: of the whole, and of its parts by name.
#[derive(Default)]
struct Times {
    whole_us: Vec<u64>,
    parts_us: BTreeMap<&'static str, Vec<u64>>,
}

impl Times {
    /// One line of standard output.
    fn tell(self) {
        let parts: BTreeMap<_, _> = (self.parts_us.into_iter())
            .map(|(name, times)| (name, quantiles(times)))
            .collect();
        println!(
            "{}",
            json!({"whole": quantiles(self.whole_us), "parts": parts})
        );
    }
}

fn quantiles(mut times_us: Vec<u64>) -> Value {
    times_us.sort_unstable();
    let at = |percent: usize| {
        let place = times_us.len() * percent / 100;
        times_us.get(place.min(times_us.len().saturating_sub(1)))
    };
    json!({"p50_us": at(50), "p99_us": at(99)})
}
