//! Two real engines with real QEMUs in a network namespace of their own.
//!
//! ```text
//!  br0 10.77.3.254 ── kt1 ── engine n1, 10.77.2.1 ──► proxy 10.77.2.12 ──► engine n2
//!   │ client             └── engine n2, 10.77.2.2 ──► proxy 10.77.2.11 ──► engine n1
//!   └─ kt2
//! ```
//!
//! Nothing here survives its test: the namespace belongs to the test's thread, engines are killed by `Drop` and, if the
//! test process itself is killed, by the kernel.

// Each test file uses a part of it.
#![allow(dead_code)]

pub mod client;
pub mod clock;
pub mod engine;
pub mod key;
pub mod outputs;
pub mod pair;
pub mod proxy;
pub mod ram;
pub mod random;
pub mod recorder;
pub mod screen;
pub mod side;
pub mod sniffer;
pub mod stranger;

use std::fs::File;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

/// Longest wait for anything: generous, because the machine is shared.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The guest's address.
pub const GUEST: &str = "10.77.3.10";
/// Ethernet addresses of its interfaces, the first as in the golden specification.
pub const GUEST_MACS: [[u8; 6]; 2] = [
    [0x52, 0x54, 0x00, 0x6b, 0x00, 0x01],
    [0x52, 0x54, 0x00, 0x6b, 0x00, 0x02],
];
/// Pairs of QEMUs that may run at the same time on this machine.
const PAIRS_MAX: usize = 2;

/// A namespace with a bridge, and a folder.
pub struct Lab {
    folder: TempDir,
}

impl Lab {
    /// A private folder of this test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs `test` in a thread with a network namespace of its own.
pub fn in_lab(test: impl FnOnce(&Lab) + Send) {
    let lab = Lab {
        folder: tempfile::tempdir().expect("a folder for the test"),
    };
    let outcome = thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: only the network namespace of this thread changes, no memory or descriptor table.
                unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
                    .expect("network namespaces need root: run the tests as root");
                for step in [
                    "link set lo up",
                    "link add br0 type bridge forward_delay 0 mcast_snooping 0",
                    // Else it takes the address of a port, and changes it when an engine dies.
                    "link set br0 address 02:00:00:00:00:01",
                    "link set br0 up",
                    "addr add 10.77.3.254/24 dev br0",
                    "addr add 10.77.2.1/24 dev lo",
                    "addr add 10.77.2.2/24 dev lo",
                    "addr add 10.77.2.11/24 dev lo",
                    "addr add 10.77.2.12/24 dev lo",
                ] {
                    ip(step);
                }
                key::make(lab.folder());
                test(&lab);
            })
            .join()
    });
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// As [`in_lab`], while no more than two tests with a running guest are under way on this machine.
pub fn in_guest_lab(test: impl FnOnce(&Lab) + Send) {
    let _place = place();
    in_lab(test);
}

/// Runs `ip` in this thread's namespace.
pub fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip(8): install iproute2");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Frames that the kernel has handed to the reader of a TAP device so far.
pub fn frames_to(tap: &str) -> u64 {
    let output = Command::new("ip")
        .args(["-stats", "-json", "link", "show", "dev", tap])
        .output()
        .expect("ip(8): install iproute2");
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    links[0]["stats64"]["tx"]["packets"]
        .as_u64()
        .expect("a count")
}

/// Memory that programs can have on this machine now.
pub fn available_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    text.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse::<u64>().ok())
        .expect("MemAvailable")
        / 1024
}

/// Says that a part of the tests could not be made on this machine: past the harness, which keeps what a test prints to itself
/// when it passes.
pub fn not_tried(what: &str, why: &str) {
    writeln!(std::io::stderr(), "NOT TRIED: {what}, because {why}").expect("standard error");
}

/// Waits until `condition` yields something.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "not within {} s: {what}",
            PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// The folder of the test guest's image.
pub fn guest_image() -> PathBuf {
    image("KEMARI_TEST_GUEST", "guest")
}

/// The folder of the test guest with a kernel for real machines.
pub fn pc_image() -> PathBuf {
    image("KEMARI_TEST_GUEST_PC", "guest-pc")
}

/// The folder of the Debian guest's image.
pub fn debian_image() -> PathBuf {
    image("KEMARI_TEST_GUEST_DEBIAN", "guest-debian")
}

fn image(variable: &str, name: &str) -> PathBuf {
    let folder = std::env::var_os(variable).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../cache")
                .join(name)
        },
        PathBuf::from,
    );
    for file in ["vmlinuz", "initrd.gz"] {
        assert!(
            folder.join(file).is_file(),
            "a guest is missing ({}): build it with `bash test/{name}/build.sh`, or set {variable} to the folder that \
             holds vmlinuz and initrd.gz",
            folder.join(file).display()
        );
    }
    folder
}

/// The preload library of the same profile. Cargo does not build a cdylib for tests, so it is asked to.
pub fn preload() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_kemari-engine"))
            .parent()
            .expect("a folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--locked", "--offline", "--quiet"])
            .args(["-p", "kemari-preload"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", folder.parent().expect("target"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let output = cargo.output().expect("cargo");
        let library = folder.join("libkemari_preload.so");
        assert!(
            output.status.success() && library.is_file(),
            "the preload library {} could not be built: {}",
            library.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        library
    })
}

/// Waits for one of the places; the kernel frees it with the descriptor, also when the test process is killed.
fn place() -> File {
    let open = |number: usize| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pair-{number}.lock"));
        File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut places: Vec<File> = (0..PAIRS_MAX).map(open).collect();
    loop {
        for number in 0..places.len() {
            if rustix::fs::flock(&places[number], FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                return places.swap_remove(number);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}
