//! The guest's clocks that are in KVM and not in QEMU: kvmclock, and the TSC of a state that is loaded.
//!
//! QEMU reads kvmclock when it stops the guest and sets it to the same when it starts it (hw/i386/kvm/clock.c); the TSC runs
//! on by itself. So what QEMU sets is set forward here, by as much as the guest stood still: since kvmclock was read, or, for
//! a state that was loaded, since its capture. The TSC of such a state is set forward when it is loaded, for QEMU never sets
//! it again.

use std::ffi::{c_int, c_ulong, c_void};

use kemari_guest_clock::forward_ns;

use crate::clock;
use crate::main_thread::MainThread;

/// `KVM_GET_CLOCK`, `KVM_SET_CLOCK`, `KVM_SET_MSRS` and `KVM_GET_TSC_KHZ` of linux/kvm.h.
///
/// Only [`SEEN_BY_KERNEL`] of a request counts: QEMU passes an `int`, which arrives here with its sign in the upper half
/// (`kvm_vm_ioctl`, accel/kvm/kvm-all.c).
const GET_CLOCK: u64 = kvm_reads::<ClockData>(0x7c);
const SET_CLOCK: u64 = kvm_writes::<ClockData>(0x7b);
const SET_MSRS: u64 = kvm_writes::<MsrsHeader>(0x89);
const GET_TSC_KHZ: u64 = kvm(0xa3);
const _: () = assert!(GET_CLOCK == 0x8030_ae7c && SET_CLOCK == 0x4030_ae7b);
const _: () = assert!(SET_MSRS == 0x4008_ae89 && GET_TSC_KHZ == 0xaea3);
const SEEN_BY_KERNEL: u64 = 0xffff_ffff;

/// `_IO(KVMIO, number)` of asm-generic/ioctl.h.
const fn kvm(number: u8) -> u64 {
    0xae << 8 | number as u64
}

/// `_IOR(KVMIO, number, T)`.
const fn kvm_reads<T>(number: u8) -> u64 {
    2 << 30 | (size_of::<T>() as u64) << 16 | kvm(number)
}

/// `_IOW(KVMIO, number, T)`.
const fn kvm_writes<T>(number: u8) -> u64 {
    1 << 30 | (size_of::<T>() as u64) << 16 | kvm(number)
}

/// `MSR_IA32_TSC`.
const TSC: u32 = 0x10;

/// `struct kvm_clock_data`: in older kernels, too, the clock is the first word of 48 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct ClockData {
    clock_ns: u64,
    rest: [u64; 5],
}

/// `struct kvm_msrs`, which the entries follow, and which is aligned as they are.
#[repr(C, align(8))]
struct MsrsHeader {
    count: u32,
    pad: u32,
}

/// `struct kvm_msr_entry`.
#[repr(C)]
struct MsrEntry {
    index: u32,
    reserved: u32,
    data: u64,
}

const _: () = assert!(size_of::<ClockData>() == 48);
const _: () = assert!(size_of::<MsrsHeader>() == 8 && size_of::<MsrEntry>() == 16);

/// Since when the kvmclock that QEMU is about to set stands still.
#[derive(Clone, Copy)]
enum Still {
    /// As long as the guest's time, for it has not run here.
    Unset,
    /// QEMU has read it.
    SinceNs(u64),
    /// It does not.
    Runs,
}

static STILL: MainThread<Still> = MainThread::new(Still::Unset);

/// In front of ioctl(2). It is variadic in C; on `x86_64` the third argument is passed in the same way.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(
    descriptor: c_int,
    request: c_ulong,
    argument: *mut c_void,
) -> c_int {
    match request & SEEN_BY_KERNEL {
        GET_CLOCK => {
            // SAFETY: the caller's promise.
            let result = unsafe { real(descriptor, request, argument) };
            STILL.with(|still| {
                // What QEMU reads before the guest runs here is not the guest's.
                if !matches!(still, Still::Unset) {
                    *still = Still::SinceNs(clock::monotonic_ns());
                }
            });
            result
        }
        SET_CLOCK => {
            // SAFETY: the caller's promise: this request comes with a kvm_clock_data.
            let mut data = unsafe { argument.cast::<ClockData>().read() };
            data.clock_ns = data.clock_ns.saturating_add(stood_ns());
            // SAFETY: data is as large as what the caller promised.
            unsafe { real(descriptor, request, (&raw mut data).cast()) }
        }
        SET_MSRS => {
            if let Some(loaded_ago_ns) = loaded_ago_ns() {
                // SAFETY: the caller's promise: this request comes with a kvm_msrs and its entries, for a vCPU.
                unsafe { set_tsc_forward(descriptor, argument.cast(), loaded_ago_ns) };
            }
            // SAFETY: the caller's promise.
            unsafe { real(descriptor, request, argument) }
        }
        // SAFETY: the caller's promise.
        _ => unsafe { real(descriptor, request, argument) },
    }
}

unsafe fn real(descriptor: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_ioctl, descriptor, request, argument) };
    c_int::try_from(result).unwrap_or(-1)
}

/// By how much the clock that QEMU is about to set has stood still, within the bound.
fn stood_ns() -> u64 {
    let Some(page) = clock::page() else { return 0 };
    let still = STILL.with(|still| std::mem::replace(still, Still::Runs));
    let since_ns = match still {
        Some(Still::Unset) => page.still_since_ns(),
        Some(Still::SinceNs(ns)) => Some(ns),
        Some(Still::Runs) | None => None,
    };
    since_ns.map_or(0, |ns| {
        forward_ns(ns, clock::monotonic_ns(), page.catch_up_max_ns())
    })
}

/// For a state that is being loaded, how long ago it was captured, within the bound.
fn loaded_ago_ns() -> Option<u64> {
    let page = clock::page()?;
    let since_ns = page.still_since_ns().filter(|_| page.stood_ns() == 0)?;
    Some(forward_ns(
        since_ns,
        clock::monotonic_ns(),
        page.catch_up_max_ns(),
    ))
}

/// # Safety
/// `msrs` is followed by as many entries as it says, and `descriptor` is a vCPU of KVM's.
unsafe fn set_tsc_forward(descriptor: c_int, msrs: *mut MsrsHeader, ns: u64) {
    // SAFETY: the caller's promise.
    let entries = unsafe {
        let count = usize::try_from((*msrs).count).unwrap_or(0);
        std::slice::from_raw_parts_mut(msrs.add(1).cast::<MsrEntry>(), count)
    };
    let Some(entry) = entries.iter_mut().find(|entry| entry.index == TSC) else {
        return;
    };
    // SAFETY: this request has no argument.
    let khz = unsafe { real(descriptor, GET_TSC_KHZ, std::ptr::null_mut()) };
    let ticks = u128::from(ns) * u128::try_from(khz).unwrap_or(0) / 1_000_000;
    entry.data = entry.data.wrapping_add(u64::try_from(ticks).unwrap_or(0));
}
