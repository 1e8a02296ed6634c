//! The program that libFuzzer drives.
#![no_main]

use std::sync::OnceLock;

use kemari_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

/// As Rust's own start of a program does, which libFuzzer's is not: whoever writes to a socket that is closed gets an error.
fn ignore_broken_pipes() {
    // SAFETY: no thread runs yet, and nothing is called when the signal comes.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

fuzz_target!(init: ignore_broken_pipes(), |data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("KEMARI_FUZZ_TARGET").unwrap_or_default();
        Target::by_name(&name)
            .unwrap_or_else(|| panic!("KEMARI_FUZZ_TARGET names no target: \"{name}\""))
    });
    (target.run)(data);
});
