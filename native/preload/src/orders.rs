//! A socket of packets in place of a UDP socket, for QEMU's monitor.
//!
//! QEMU reads a monitor's commands byte by byte, with several system calls for each, except from a UDP socket: there it reads a
//! packet and takes the command from memory. Nobody else could be kept away from a real UDP socket. So the first one that
//! QEMU makes is a socket pair's end that it has inherited from the engine.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering};

const NONE: c_int = -1;

/// What the first UDP socket will be.
static WAITING: AtomicI32 = AtomicI32::new(NONE);
/// What it has become.
static GIVEN: AtomicI32 = AtomicI32::new(NONE);

/// The first UDP socket that is made from now on is `descriptor`.
pub(crate) fn hand_over(descriptor: c_int) {
    WAITING.store(descriptor, Ordering::Release);
}

fn is_ours(descriptor: c_int) -> bool {
    descriptor != NONE && descriptor == GIVEN.load(Ordering::Acquire)
}

/// As socket(2).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let is_udp = domain == libc::AF_INET
        && kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) == libc::SOCK_DGRAM;
    if is_udp {
        let descriptor = WAITING.swap(NONE, Ordering::AcqRel);
        if descriptor != NONE {
            GIVEN.store(descriptor, Ordering::Release);
            // SAFETY: no pointers; no child of QEMU's is to have it.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
            return descriptor;
        }
    }
    // SAFETY: no pointers.
    narrow(unsafe { libc::syscall(libc::SYS_socket, domain, kind, protocol) })
}

/// As bind(2). Ours has no address.
///
/// # Safety
/// As the C library's: `address` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(
    descriptor: c_int,
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> c_int {
    if is_ours(descriptor) {
        return 0;
    }
    // SAFETY: passed on as it came.
    narrow(unsafe { libc::syscall(libc::SYS_bind, descriptor, address, length) })
}

/// As connect(2). Ours is connected.
///
/// # Safety
/// As the C library's: `address` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(
    descriptor: c_int,
    address: *const libc::sockaddr,
    length: libc::socklen_t,
) -> c_int {
    if is_ours(descriptor) {
        return 0;
    }
    // SAFETY: passed on as it came.
    narrow(unsafe { libc::syscall(libc::SYS_connect, descriptor, address, length) })
}

/// A system call's result, which fits.
fn narrow(result: libc::c_long) -> c_int {
    c_int::try_from(result).unwrap_or(NONE)
}
