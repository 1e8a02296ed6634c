//! Loaded into QEMU with `LD_PRELOAD`, for what only a thread inside QEMU can do:
//!
//! - it opens two userfaultfds of QEMU's address space and passes them to the engine over an inherited socket;
//! - it makes the display's memory of a file that the engine shares: see [`video`];
//! - it gives QEMU's monitor a socket that it reads at once: see [`orders`];
//! - it keeps the guest's time: see `kemari_guest_clock` for what QEMU is told, [`trap`] and [`clock`] for how.
//!
//! The environment is cleaned, so that no child of QEMU's is concerned. Where a script that ends in `exec qemu…` has QEMU's place,
//! its interpreter is left alone and passes the environment on.

mod clock;
mod kvm;
mod main_thread;
mod orders;
mod trap;
mod userfault;
mod video;

use std::ffi::{CStr, c_char, c_int};

const SOCKET_VARIABLE: &CStr = c"KEMARI_PRELOAD_SOCKET";
const ORDERS_VARIABLE: &CStr = c"KEMARI_PRELOAD_ORDERS";
const CLOCK_VARIABLE: &CStr = c"KEMARI_PRELOAD_CLOCK";
const VIDEO_VARIABLE: &CStr = c"KEMARI_PRELOAD_VIDEO";

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = begin;

extern "C" fn begin() {
    if is_interpreter() {
        return;
    }
    let (socket, orders, page) = (
        take(SOCKET_VARIABLE),
        take(ORDERS_VARIABLE),
        take(CLOCK_VARIABLE),
    );
    if socket.is_none() && orders.is_none() && page.is_none() {
        return;
    }
    // SAFETY: a constructor runs before any other thread exists, so the environment cannot change meanwhile.
    unsafe { libc::unsetenv(c"LD_PRELOAD".as_ptr()) };
    take_text(VIDEO_VARIABLE, video::expect);
    if let Some(orders) = orders {
        orders::hand_over(orders);
    }
    if let Some(page) = page {
        clock::take_charge(page);
    }
    if let Some(socket) = socket {
        userfault::hand_over(socket);
    }
}

/// Whether this program was started to run a script: then the file that was to be executed is not the program
/// (getauxval(3), `AT_EXECFN`).
fn is_interpreter() -> bool {
    // SAFETY: no pointers go in; the kernel's string lives as long as the process.
    let executed = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    if executed.is_null() {
        return false;
    }
    match (file(executed), file(c"/proc/self/exe".as_ptr())) {
        (Some(executed), Some(program)) => executed != program,
        _ => false,
    }
}

/// Device and inode of the file at `path`.
fn file(path: *const c_char) -> Option<(libc::dev_t, libc::ino_t)> {
    // SAFETY: stat is plain data, for which all zeros is a valid value.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: path is a NUL-terminated string, status is ours.
    let outcome = unsafe { libc::stat(path, &raw mut status) };
    (outcome == 0).then_some((status.st_dev, status.st_ino))
}

/// The number of a descriptor from the environment, and out of it.
fn take(variable: &CStr) -> Option<c_int> {
    take_text(variable, |text| text.parse().ok())?
}

/// What `read` makes of a variable of the environment, which is there no more after that.
fn take_text<T>(variable: &CStr, read: impl FnOnce(&str) -> T) -> Option<T> {
    // SAFETY: a constructor runs before any other thread exists, so the environment cannot change meanwhile.
    let value = unsafe { libc::getenv(variable.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returned a NUL-terminated string that nobody changes meanwhile.
    let result = unsafe { CStr::from_ptr(value) }.to_str().ok().map(read);
    // SAFETY: as above, single-threaded.
    unsafe { libc::unsetenv(variable.as_ptr()) };
    result
}
