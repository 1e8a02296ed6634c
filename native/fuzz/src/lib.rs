//! What is fuzzed: for every parser of bytes from outside one target, with seeds that are real messages.
//!
//! A target may say anything of its input but panic, overflow, take unbounded memory or time, or break what it asserts.

mod bridge;
mod changes;
mod control;
mod frames;
mod greeting;
mod identity;
mod key;
mod link;
mod opening;
mod packed;
mod ports;
mod primary;
mod qmp;
mod secondary;
mod secure;
mod spec;
mod strays;
mod tables;

/// A parser and what it is fed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, for `npm run fuzz -- --target`.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// The target of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }
}

macro_rules! target {
    ($name:literal, $module:ident) => {
        Target {
            name: $name,
            run: $module::run,
            seeds: $module::seeds,
        }
    };
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    target!("frames", frames),
    target!("primary", primary),
    target!("link", link),
    target!("opening", opening),
    target!("secure", secure),
    target!("changes", changes),
    target!("packed", packed),
    target!("greeting", greeting),
    target!("control", control),
    target!("key", key),
    target!("qmp", qmp),
    target!("identity", identity),
    target!("spec", spec),
    target!("tables", tables),
    target!("bridge", bridge),
    target!("strays", strays),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_takes_its_seeds_and_what_is_left_of_them() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            for seed in seeds {
                for length in [seed.len(), seed.len() / 2, seed.len().min(1), 0] {
                    (target.run)(&seed[..length]);
                }
            }
        }
    }
}
