//! The program that libFuzzer drives.
#![no_main]

use std::sync::OnceLock;

use kemari_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("KEMARI_FUZZ_TARGET").unwrap_or_default();
        Target::by_name(&name)
            .unwrap_or_else(|| panic!("KEMARI_FUZZ_TARGET names no target: \"{name}\""))
    });
    (target.run)(data);
});
