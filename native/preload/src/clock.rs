//! The functions of the C library that QEMU asks for the time, in front of the library's own.
//!
//! Only two answers are ever other than the host's: those to the reading of the TSC and to the reading of `CLOCK_MONOTONIC`
//! that QEMU makes right after it when it stops or starts the guest, in the main thread. Timers, logs and every other
//! thread are told the truth.

use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use kemari_guest_clock::{Keeper, Moment, PAGE_BYTES, Page, Told};

use crate::main_thread::{self, MainThread};
use crate::trap;

type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
type Gettimeofday = unsafe extern "C" fn(*mut libc::timeval, *mut c_void) -> c_int;
type PthreadCreate = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    extern "C" fn(*mut c_void) -> *mut c_void,
    *mut c_void,
) -> c_int;

static CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static GETTIMEOFDAY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static PTHREAD_CREATE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

static PAGE: AtomicPtr<Page> = AtomicPtr::new(null_mut());
static STATE: MainThread<State> = MainThread::new(State {
    keeper: Keeper::new(Moment { ns: 0, ticks: 0 }, 0),
    answer_ns: None,
});

struct State {
    keeper: Keeper,
    /// What the next question for `CLOCK_MONOTONIC` is answered with.
    answer_ns: Option<u64>,
}

/// What the engine and we say to each other, if it wants the guest's time to be kept.
pub(crate) fn page() -> Option<&'static Page> {
    // SAFETY: null, or a mapping that is never undone.
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }
}

/// The calling thread becomes the one that stops and starts the guest; `descriptor` holds the page.
pub(crate) fn take_charge(descriptor: c_int) {
    for (function, name) in [
        (&CLOCK_GETTIME, c"clock_gettime"),
        (&GETTIMEOFDAY, c"gettimeofday"),
        (&PTHREAD_CREATE, c"pthread_create"),
    ] {
        function.store(next(name), Ordering::Release);
    }
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe {
        libc::mmap(
            null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            descriptor,
            0,
        )
    };
    // SAFETY: inherited for this purpose only.
    unsafe { libc::close(descriptor) };
    if page == libc::MAP_FAILED || PTHREAD_CREATE.load(Ordering::Acquire).is_null() {
        // The engine sees it: the page says of no stop.
        return;
    }
    PAGE.store(page.cast(), Ordering::Release);
    main_thread::become_it();
    let born = Moment {
        ns: monotonic_ns(),
        ticks: trap::read_plain(),
    };
    let catch_up_max_ns = self::page().map_or(0, Page::catch_up_max_ns);
    STATE.with(|state| state.keeper = Keeper::new(born, catch_up_max_ns));
    trap::begin();
}

/// The main thread reads the TSC, which is `ticks`, with the instruction at `site` of QEMU's: what it is told.
pub(crate) fn read(site: usize, ticks: u64) -> u64 {
    let Some(page) = page() else { return ticks };
    let now = Moment {
        ns: monotonic_ns(),
        ticks,
    };
    let told = STATE.with(|state| {
        let told = state.keeper.read(site, now, page.still_since_ns())?;
        let moment = match told {
            Told::Stopped(moment) | Told::Started { moment, .. } => moment,
        };
        state.answer_ns = Some(moment.ns);
        Some((told, moment))
    });
    match told.flatten() {
        Some((Told::Stopped(_), moment)) => {
            page.note_stop(moment.ns);
            moment.ticks
        }
        Some((
            Told::Started {
                stood_ns, lost_ns, ..
            },
            moment,
        )) => {
            page.note_start(stood_ns, lost_ns);
            moment.ticks
        }
        None => ticks,
    }
}

/// `CLOCK_MONOTONIC`, by a system call: the C library would read the TSC.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: now is ours. It cannot fail for this clock.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut now) };
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

/// The function of that name that would be called if this library were not there.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: a NUL-terminated name.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

/// In front of `clock_gettime(2)`.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, into: *mut libc::timespec) -> c_int {
    let real = CLOCK_GETTIME.load(Ordering::Acquire);
    if !main_thread::is_this() && !real.is_null() {
        // SAFETY: dlsym found the function of this name, which has this type; the rest is the caller's promise.
        return unsafe { transmute::<*mut c_void, ClockGettime>(real)(clock, into) };
    }
    if clock == libc::CLOCK_MONOTONIC
        && let Some(answer_ns) = STATE.with(|state| state.answer_ns.take()).flatten()
    {
        let part = |part: u64| i64::try_from(part).unwrap_or(i64::MAX);
        // SAFETY: the caller's promise.
        unsafe {
            (*into).tv_sec = part(answer_ns / 1_000_000_000);
            (*into).tv_nsec = part(answer_ns % 1_000_000_000);
        }
        return 0;
    }
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, into) };
    -c_int::from(result != 0)
}

/// In front of gettimeofday(2).
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(into: *mut libc::timeval, zone: *mut c_void) -> c_int {
    let real = GETTIMEOFDAY.load(Ordering::Acquire);
    if !main_thread::is_this() && !real.is_null() {
        // SAFETY: dlsym found the function of this name, which has this type; the rest is the caller's promise.
        return unsafe { transmute::<*mut c_void, Gettimeofday>(real)(into, zone) };
    }
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_gettimeofday, into, zone) };
    -c_int::from(result != 0)
}

/// In front of `pthread_create(3)`: reading the TSC does not fault in the threads that the main one makes.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    let mut real = PTHREAD_CREATE.load(Ordering::Acquire);
    if real.is_null() {
        real = next(c"pthread_create");
    }
    if real.is_null() {
        return libc::ENOSYS;
    }
    let faults = main_thread::is_this();
    if faults {
        trap::set(false);
    }
    // SAFETY: dlsym found the function of this name, which has this type; the rest is the caller's promise.
    let result = unsafe {
        transmute::<*mut c_void, PthreadCreate>(real)(thread, attributes, start, argument)
    };
    if faults {
        trap::set(true);
    }
    result
}
