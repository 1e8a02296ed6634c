//! Userfaultfds of QEMU's address space, which only a thread inside QEMU can open.

use std::ffi::c_int;

/// Opens two and passes them through `socket`: one byte, 0 with the descriptors attached, or the error number of
/// userfaultfd(2) without them.
pub(crate) fn hand_over(socket: c_int) {
    let opened = [open(), open()];
    match opened {
        [Ok(one), Ok(other)] => send(socket, 0, Some([one, other])),
        [Err(number), _] | [_, Err(number)] => send(socket, number, None),
    }
    for descriptor in opened.into_iter().flatten() {
        // SAFETY: opened above, used by nobody else.
        unsafe { libc::close(descriptor) };
    }
    // SAFETY: inherited for this purpose only.
    unsafe { libc::close(socket) };
}

/// A userfaultfd, or the error number.
fn open() -> Result<c_int, u8> {
    // SAFETY: no pointers; the result is checked.
    let descriptor =
        unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
    match c_int::try_from(descriptor) {
        Ok(descriptor) if descriptor >= 0 => Ok(descriptor),
        _ => Err(errno()),
    }
}

fn errno() -> u8 {
    // SAFETY: the thread's own error number.
    u8::try_from(unsafe { *libc::__errno_location() }).unwrap_or(u8::MAX)
}

fn send(socket: c_int, status: u8, descriptors: Option<[c_int; 2]>) {
    let mut byte = [status];
    let mut content = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut ancillary = [0u64; 4];
    // SAFETY: msghdr is plain data, for which all zeros is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut content;
    message.msg_iovlen = 1;
    if let Some(descriptors) = descriptors {
        attach(&mut message, &mut ancillary, descriptors);
    }
    // SAFETY: message points to content, byte and ancillary, all alive here. A failure shows as silence to the engine.
    unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) };
}

fn attach(message: &mut libc::msghdr, ancillary: &mut [u64; 4], descriptors: [c_int; 2]) {
    const BYTES: libc::c_uint = 2 * libc::c_int::BITS / 8;
    message.msg_control = ancillary.as_mut_ptr().cast();
    // SAFETY: pure arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(BYTES) } as usize;
    // SAFETY: msg_control and msg_controllen describe `ancillary`, aligned and large enough (24 of 32 bytes).
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: header is the first control message inside `ancillary`; pure arithmetic for the length.
    unsafe {
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(BYTES) as usize;
        libc::CMSG_DATA(header)
            .cast::<[c_int; 2]>()
            .write_unaligned(descriptors);
    }
}
