//! Video memory that the engine shares.
//!
//! QEMU takes guest RAM from a file that it is told of, but a display's memory from the kernel, where only QEMU can see it. So
//! the one mapping that it makes for that is made of the engine's file instead: it is the only anonymous memory of this
//! length that QEMU wants at a place of its own choice (`qemu_ram_mmap()`, util/mmap-alloc.c). The engine looks afterwards
//! whether the file is mapped as it should be.

use std::ffi::{c_int, c_long, c_void};
use std::sync::Mutex;

/// What the mapping of that length will be made of.
struct Piece {
    file: c_int,
    offset: libc::off_t,
    bytes: usize,
}

static WAITING: Mutex<Option<Piece>> = Mutex::new(None);

/// The first anonymous memory of this length that is put at a fixed place from now on is a piece of a file: `FILE:OFFSET:BYTES`.
/// The descriptor stays open.
pub(crate) fn expect(text: &str) {
    let mut parts = text.split(':');
    let piece = (|| {
        Some(Piece {
            file: parts.next()?.parse().ok()?,
            offset: parts.next()?.parse().ok()?,
            bytes: parts.next()?.parse().ok()?,
        })
    })();
    if let Ok(mut waiting) = WAITING.lock() {
        *waiting = piece;
    }
}

/// The piece, if this is the mapping that it is for.
fn take(bytes: usize, protection: c_int, flags: c_int) -> Option<Piece> {
    const WANTED: c_int = libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_PRIVATE;
    if flags & WANTED != WANTED || protection != libc::PROT_READ | libc::PROT_WRITE {
        return None;
    }
    let mut waiting = WAITING.lock().ok()?;
    waiting.take_if(|piece| piece.bytes == bytes)
}

/// As mmap(2).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    let (flags, descriptor, offset) = match take(bytes, protection, flags) {
        Some(piece) => (libc::MAP_SHARED | libc::MAP_FIXED, piece.file, piece.offset),
        None => (flags, descriptor, offset),
    };
    // SAFETY: the caller's promise; a piece of a file lies where anonymous memory would have.
    let place: c_long = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            address,
            bytes,
            protection,
            flags,
            descriptor,
            offset,
        )
    };
    // -1 is MAP_FAILED.
    place as *mut c_void
}

/// As mmap64(3), which is the same here.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { mmap(address, bytes, protection, flags, descriptor, offset) }
}
