//! Reading the TSC faults in QEMU's main thread (prctl(2), `PR_SET_TSC`), and the fault's handler reads it instead: that is
//! how the moments are found at which QEMU stops and starts the guest's clocks, in any build of QEMU. The vCPUs have
//! threads of their own, in which nothing is changed.
//!
//! The main thread reads the TSC at a stop and at a start, and through the C library when it asks for the time, which
//! [`crate::clock`] turns into system calls. A fault costs about 2 us.

use std::arch::x86_64::{__rdtscp, _mm_lfence, _rdtsc};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::clock;

/// A fault that is none of the memory's: a privileged instruction (asm-generic/siginfo.h).
const SI_KERNEL: c_int = 0x80;

/// Where QEMU's own code is; libraries that read the TSC do it for purposes of their own.
static CODE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Sets it up in the calling thread; false if that is not possible.
pub(crate) fn begin() -> bool {
    // SAFETY: find_code matches the type that dl_iterate_phdr expects and keeps nothing of what it is given.
    unsafe { libc::dl_iterate_phdr(Some(find_code), std::ptr::null_mut()) };
    // SAFETY: sigaction is plain data, for which all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction =
        on_fault as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: action is initialised, and its handler is safe to run at any place: it allocates and locks nothing.
    let installed =
        unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) };
    installed == 0 && set(true)
}

/// Whether the calling thread's next reading of the TSC faults; threads inherit it from the one that makes them.
pub(crate) fn set(faults: bool) -> bool {
    let mode = if faults {
        libc::PR_TSC_SIGSEGV
    } else {
        libc::PR_TSC_ENABLE
    };
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_TSC, mode, 0, 0, 0) == 0 }
}

/// The TSC and the number of the processor, for a thread in which reading faults.
pub(crate) fn read_host() -> (u64, u32) {
    set(false);
    let mut processor = 0;
    // SAFETY: every processor that has userfaultfd's write protection has rdtscp; the fence keeps what follows behind it.
    let ticks = unsafe {
        let ticks = __rdtscp(&raw mut processor);
        _mm_lfence();
        ticks
    };
    set(true);
    (ticks, processor)
}

/// The TSC, for a thread in which reading does not fault.
pub(crate) fn read_plain() -> u64 {
    // SAFETY: every processor of 64 bits has it.
    unsafe { _rdtsc() }
}

/// The first object is the program itself (`dl_iterate_phdr(3)`).
unsafe extern "C" fn find_code(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the C library hands over a valid description with dlpi_phnum headers.
    let (base, headers) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (info.dlpi_addr, headers)
    };
    let (mut from, mut to) = (u64::MAX, 0);
    for header in headers {
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0 {
            from = from.min(base + header.p_vaddr);
            to = to.max(base + header.p_vaddr + header.p_memsz);
        }
    }
    for (word, address) in CODE.iter().zip([from, to]) {
        word.store(usize::try_from(address).unwrap_or(0), Ordering::Relaxed);
    }
    1
}

fn is_qemus(site: usize) -> bool {
    let [from, to] = [&CODE[0], &CODE[1]].map(|word| word.load(Ordering::Relaxed));
    (from..to).contains(&site)
}

/// Length of the instruction at `site` if it reads the TSC, and whether it tells the processor too.
fn decode(site: usize) -> Option<(i64, bool)> {
    // SAFETY: the processor has just fetched the instruction from there: at least as many bytes as it is long, and the
    // second is looked at only if the first begins a longer one, the third likewise.
    unsafe {
        let code = std::ptr::with_exposed_provenance::<u8>(site);
        match (code.read(), code.add(1).read()) {
            (0x0f, 0x31) => Some((2, false)),
            (0x0f, 0x01) if code.add(2).read() == 0xf9 => Some((3, true)),
            _ => None,
        }
    }
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo_t and a ucontext_t that is ours until we return.
    let (code, registers) = unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        ((*info).si_code, &mut context.uc_mcontext.gregs)
    };
    let at = |register: c_int| usize::try_from(register).expect("a small constant");
    let site = usize::from_ne_bytes(registers[at(libc::REG_RIP)].to_ne_bytes());
    let instruction = if code == SI_KERNEL {
        decode(site)
    } else {
        None
    };
    let Some((length, tells_processor)) = instruction else {
        die_of(signal, code);
        return;
    };
    // SAFETY: the thread's own error number, which the interrupted code may be about to read.
    let errno = unsafe { *libc::__errno_location() };
    let (ticks, processor) = read_host();
    let told = if is_qemus(site) {
        clock::read(site, ticks)
    } else {
        ticks
    };
    let half = |half: u64| i64::try_from(half).expect("32 bits");
    registers[at(libc::REG_RAX)] = half(told & u64::from(u32::MAX));
    registers[at(libc::REG_RDX)] = half(told >> 32);
    if tells_processor {
        registers[at(libc::REG_RCX)] = i64::from(processor);
    }
    registers[at(libc::REG_RIP)] += length;
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Any other fault is QEMU's own end: the same as if this handler were not there.
fn die_of(signal: c_int, code: c_int) {
    // SAFETY: no pointers.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        // A fault repeats itself on return; a signal that somebody sent does not.
        if code <= 0 {
            libc::raise(signal);
        }
    }
}
