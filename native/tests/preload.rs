//! The library inside QEMU, in a program that does what QEMU does: this one, started again with it.
//!
//! Without the usual harness, which would not run a test in the main thread.

mod common;

use std::arch::asm;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use kemari_engine::sys::clock_page::ClockPage;
use kemari_engine::sys::process::spawn_bound;
use rustix::time::{ClockId, clock_gettime};

/// How old the state is that the child has "loaded".
const LOADED_AGO_NS: u64 = 3_000_000_000;
const STOOD: Duration = Duration::from_millis(300);
const STOOD_NS: u64 = 300_000_000;
/// More than anything here takes.
const LONG_NS: u64 = 80_000_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    match arguments.get(1).map(String::as_str) {
        Some("child") => child(&arguments[2]),
        _ => {
            for (name, test) in [
                (
                    "a guest that stood still goes on as if it had not",
                    stopped_and_started as fn(),
                ),
                (
                    "a bound of nothing gives nothing back",
                    nothing_is_given_back,
                ),
                ("a crash is a crash", crashes),
                (
                    "the first UDP socket is the one that was handed over",
                    first_udp_socket,
                ),
                (
                    "kvmclock and the TSC of a loaded state are set forward",
                    kvm,
                ),
            ] {
                test();
                println!("test {name} ... ok");
            }
        }
    }
}

fn child(scenario: &str) {
    match scenario {
        "clock" => as_qemu(),
        "kvm" => with_kvm::run(),
        "orders" => asks_for_udp_sockets(),
        "null" => {
            // SAFETY: none; this is the end of the program, and meant to be.
            unsafe { std::ptr::null_mut::<u8>().write_volatile(1) }
        }
        "killed" => {
            // SAFETY: no pointers.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        other => panic!("{other}?"),
    }
}

/// Runs the child with a page; a guest that was captured [`LOADED_AGO_NS`] ago is about to run in it.
fn run(scenario: &str, catch_up_max_ns: u64) -> (Output, ClockPage) {
    let page = ClockPage::create().expect("a page");
    page.set_catch_up_max_ns(catch_up_max_ns);
    page.set_still_since_ns(monotonic_ns() - LOADED_AGO_NS);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["child", scenario])
        .env("LD_PRELOAD", common::preload())
        .env("KEMARI_PRELOAD_CLOCK", page.as_fd().as_raw_fd().to_string())
        .stdout(std::process::Stdio::piped());
    let child = spawn_bound(command, &[page.as_fd()]).expect("spawn");
    (child.wait_with_output().expect("wait"), page)
}

/// The numbers that the child printed.
fn numbers(output: &Output) -> Vec<u64> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect()
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("positive")
}

/// As libc's users read it: through the library.
fn asked_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: now is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("positive")
}

macro_rules! read_both_clocks {
    () => {{
        let (low, high): (u32, u32);
        // SAFETY: reads a register; under the library it faults and is read for us.
        unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack)) };
        (asked_ns(), u64::from(high) << 32 | u64::from(low))
    }};
}

/// As `cpu_enable_ticks`.
#[inline(never)]
fn start() -> (u64, u64) {
    read_both_clocks!()
}

/// As `cpu_disable_ticks`: another place in the program.
#[inline(never)]
fn stop() -> (u64, u64) {
    std::hint::black_box(read_both_clocks!())
}

/// Whether reading the TSC faults in this thread.
fn faults() -> bool {
    let mut mode: libc::c_int = 0;
    // SAFETY: mode is ours.
    unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut mode) };
    mode == libc::PR_TSC_SIGSEGV
}

fn as_qemu() {
    let before = monotonic_ns();
    let first = start();
    let after_start = asked_ns();
    let other = thread::spawn(|| (faults(), asked_ns()));
    let (other_faults, other_ns) = other.join().expect("a thread");
    let stopped = stop();
    thread::sleep(STOOD);
    // The main loop asks for the time while the guest stands still.
    let meanwhile = asked_ns();
    let started = start();
    let after = asked_ns();
    for number in [
        before,
        first.0,
        first.1,
        after_start,
        other_ns,
        stopped.0,
        stopped.1,
        meanwhile,
        started.0,
        started.1,
        after,
        u64::from(faults()),
        u64::from(other_faults),
    ] {
        println!("{number}");
    }
}

fn stopped_and_started() {
    let (output, page) = run("clock", u64::MAX);
    let [
        before,
        first_ns,
        first_ticks,
        after_start,
        other,
        stopped_ns,
        stopped_ticks,
        meanwhile,
        started_ns,
        started_ticks,
        after,
        main_faults,
        other_faults,
    ] = numbers(&output)[..]
    else {
        panic!("{output:?}")
    };
    // What was loaded has stood still since it was captured.
    let behind = before - first_ns;
    assert!((LOADED_AGO_NS..LONG_NS).contains(&behind), "{behind}");
    // Nobody else is told anything but the time.
    let truth = [before, after_start, other, stopped_ns, meanwhile, after];
    assert!(truth.is_sorted(), "{truth:?}");
    assert!(meanwhile - stopped_ns >= STOOD_NS);
    assert_eq!((main_faults, other_faults), (1, 0));
    // At the start, what it was at the stop: to the nanosecond and to the tick.
    assert_eq!((started_ns, started_ticks), (stopped_ns, stopped_ticks));
    assert!(first_ticks < stopped_ticks);
    assert!(page.stood_ns() >= LOADED_AGO_NS + STOOD_NS);
    assert_eq!((page.lost_ns(), page.stopped_since_ns()), (0, None));
}

fn nothing_is_given_back() {
    let (output, page) = run("clock", 0);
    let numbers = numbers(&output);
    let (before, first_ns, meanwhile, started_ns) =
        (numbers[0], numbers[1], numbers[7], numbers[8]);
    assert!(first_ns >= before && started_ns >= meanwhile);
    assert_eq!(page.lost_ns(), page.stood_ns());
}

/// As QEMU opens a chardev: a port that is not free if it is the real one.
fn asks_for_udp_sockets() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("no UDP socket: a real one");
    drop(taken);
    let first = std::net::UdpSocket::bind("192.0.2.1:9").expect("an address that no host has");
    first.connect("192.0.2.2:9").expect("connected already");
    let mut order = [0; 100];
    let length = first.recv(&mut order).expect("an order");
    first.send(&order[..length]).expect("an answer");
    // What is left unread at the end would be told to the other side as a reset, in place of the answer.
    let length = first.recv(&mut order).expect("another order");
    assert_eq!(order[..length], *b"cont");
    let second = std::net::UdpSocket::bind("192.0.2.1:9").expect_err("a real one");
    assert_eq!(second.kind(), std::io::ErrorKind::AddrNotAvailable);
}

fn first_udp_socket() {
    let (ours, theirs) = kemari_engine::sys::descriptor::packet_pair().expect("socketpair");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["child", "orders"])
        .env("LD_PRELOAD", common::preload())
        .env("KEMARI_PRELOAD_ORDERS", theirs.as_raw_fd().to_string());
    let mut child = spawn_bound(command, &[theirs.as_fd()]).expect("spawn");
    drop(theirs);
    let no_flags = rustix::net::SendFlags::empty();
    for order in [b"stop", b"cont"] {
        rustix::net::send(&ours, order, no_flags).expect("sent");
    }
    let mut answer = [0; 100];
    let flags = rustix::net::RecvFlags::empty();
    let (length, _) = rustix::net::recv(&ours, &mut answer, flags).expect("an answer");
    assert_eq!(answer[..length], *b"stop", "one order at a time");
    let (end, _) = rustix::net::recv(&ours, &mut answer, flags).unwrap_or_default();
    assert_eq!(end, 0, "its end shows");
    assert!(child.wait().expect("wait").success());
}

fn crashes() {
    for scenario in ["null", "killed"] {
        let (output, _) = run(scenario, u64::MAX);
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
    }
}

fn kvm() {
    if !std::path::Path::new("/dev/kvm").exists() {
        let what = "kvmclock and the TSC of a loaded state";
        return common::not_tried(what, "there is no /dev/kvm here");
    }
    let (output, _) = run("kvm", u64::MAX);
    let [loaded_ns, ticks_ns, read_ns, set_ns, unchanged] = numbers(&output)[..] else {
        panic!("{output:?}")
    };
    assert!((LOADED_AGO_NS..LONG_NS).contains(&loaded_ns), "{loaded_ns}");
    assert!((LOADED_AGO_NS..LONG_NS).contains(&ticks_ns), "{ticks_ns}");
    let stood = set_ns - read_ns;
    assert!((STOOD_NS..LONG_NS).contains(&stood), "{stood}");
    assert!(unchanged < STOOD_NS, "set again without having been read");
}

/// What QEMU does with KVM.
mod with_kvm {
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::thread;

    use super::STOOD;

    const CREATE_VM: u32 = 0xae01;
    const CREATE_VCPU: u32 = 0xae41;
    const GET_CLOCK: u32 = 0x8030_ae7c;
    const SET_CLOCK: u32 = 0x4030_ae7b;
    const SET_MSRS: u32 = 0x4008_ae89;
    const GET_TSC_KHZ: u32 = 0xaea3;
    /// nmsrs and pad; index and reserved; data.
    const TSC_AT_ZERO: [u64; 3] = [1, 0x10, 0];

    /// As QEMU, which keeps the number in an `int`: it is passed on with its sign.
    fn ioctl(on: &impl AsRawFd, request: u32, argument: *mut u64) -> i32 {
        let extended = i64::from(request.cast_signed()).cast_unsigned();
        // SAFETY: each request below is given as many words as it reads and writes.
        let result = unsafe { libc::ioctl(on.as_raw_fd(), extended, argument) };
        assert!(
            result >= 0,
            "{request:#x}: {}",
            std::io::Error::last_os_error()
        );
        result
    }

    fn made(on: &impl AsRawFd, request: u32) -> OwnedFd {
        let descriptor = ioctl(on, request, std::ptr::null_mut());
        // SAFETY: just made, and nobody else's.
        unsafe { OwnedFd::from_raw_fd(descriptor) }
    }

    fn clock(vm: &OwnedFd) -> u64 {
        let mut data = [0_u64; 6];
        ioctl(vm, GET_CLOCK, data.as_mut_ptr());
        data[0]
    }

    fn set_clock(vm: &OwnedFd, ns: u64) {
        let mut data = [ns, 0, 0, 0, 0, 0];
        ioctl(vm, SET_CLOCK, data.as_mut_ptr());
        assert_eq!(data[0], ns, "QEMU's own copy is left alone");
    }

    pub fn run() {
        let kvm = File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .expect("/dev/kvm");
        let vm = made(&kvm, CREATE_VM);
        let vcpu = made(&vm, CREATE_VCPU);
        let mut tsc = TSC_AT_ZERO;
        // What is set, not what the vCPU then has: a KVM without hardware behind it takes a TSC and keeps its own.
        ioctl(&vcpu, SET_MSRS, tsc.as_mut_ptr());
        let khz = u64::try_from(ioctl(&vcpu, GET_TSC_KHZ, std::ptr::null_mut())).expect("a rate");
        let ticks_ns =
            u64::try_from(u128::from(tsc[2]) * 1_000_000 / u128::from(khz)).expect("some seconds");
        // QEMU reads it when it makes the device, too.
        clock(&vm);
        super::start();
        set_clock(&vm, 0);
        let loaded_ns = clock(&vm);

        let read_ns = clock(&vm);
        thread::sleep(STOOD);
        set_clock(&vm, read_ns);
        let set_ns = clock(&vm);
        // Only what was read can have stood still, and a TSC that is set later is not a loaded one.
        set_clock(&vm, read_ns);
        thread::sleep(STOOD / 3);
        set_clock(&vm, 0);
        let unchanged = clock(&vm);
        let mut later = TSC_AT_ZERO;
        ioctl(&vcpu, SET_MSRS, later.as_mut_ptr());
        assert_eq!(later, TSC_AT_ZERO);
        for number in [loaded_ns, ticks_ns, read_ns, set_ns, unchanged] {
            println!("{number}");
        }
    }
}
