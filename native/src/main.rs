//! `kemari-engine`: one per resource and node, child of `kemari supervise`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kemari_engine::{report, run};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Keeps a replica of a running QEMU guest on a second host and holds what leaves the guest until it is acknowledged.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 stopped by order, 2 bad specification, 3 something on this host is \
missing or in use, 4 the guest was lost, 70 internal error."
)]
struct Arguments {
    /// The specification written by `kemari supervise`.
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// How much to log: error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: tracing::level_filters::LevelFilter,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (level, handle) = reload::Layer::new(arguments.log_level);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        // A disk that is full takes no line: it would be told on the same one, and a guest end of it.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(level)
        .with(lines)
        .init();
    let set_log_level = move |level| {
        // It fails when nothing is logged any more.
        let _ = handle.reload(level);
    };
    match run::engine(&arguments.spec, Box::new(set_log_level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The last line on standard error: the supervisor makes the exit reason of it.
            tracing::error!(code = error.code(), "{}", report::chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
