//! Which accelerator can be used here, and if it is not KVM, why.

use std::fs;
use std::path::Path;

use crate::spec::AccelWish;

/// The accelerator in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// Hardware virtualization.
    Kvm,
    /// QEMU's own translation.
    Tcg,
}

impl Accel {
    /// QEMU's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// An accelerator and, where it is a fallback, the reason.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What will be used.
    pub accel: Accel,
    /// Why it is not KVM, if KVM was wished for or possible.
    pub reason: Option<String>,
}

/// Chooses by what the host offers.
///
/// # Errors
/// A sentence, if KVM was demanded and cannot be used.
pub fn choose(wish: AccelWish) -> Result<Choice, String> {
    decide(
        wish,
        obstacle(
            Path::new("/dev/kvm"),
            &fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
        ),
    )
}

fn decide(wish: AccelWish, obstacle: Option<String>) -> Result<Choice, String> {
    match (wish, obstacle) {
        (AccelWish::Tcg, _) => Ok(Choice {
            accel: Accel::Tcg,
            reason: Some("TCG was asked for".to_owned()),
        }),
        (AccelWish::Auto | AccelWish::Kvm, None) => Ok(Choice {
            accel: Accel::Kvm,
            reason: None,
        }),
        (AccelWish::Auto, Some(why)) => Ok(Choice {
            accel: Accel::Tcg,
            reason: Some(format!("KVM cannot be used: {why}")),
        }),
        (AccelWish::Kvm, Some(why)) => Err(format!(
            "KVM cannot be used: {why}. Enable it, or set accel to \"auto\" to run the guest in software"
        )),
    }
}

/// What speaks against KVM. A `/dev/kvm` alone proves nothing: a host without the CPU's virtualization can show one.
fn obstacle(device: &Path, cpuinfo: &str) -> Option<String> {
    if !device.exists() {
        return Some(format!("{} does not exist", device.display()));
    }
    let flags = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    if !flags
        .split_whitespace()
        .any(|flag| flag == "vmx" || flag == "svm")
    {
        return Some(
            "the CPU offers no hardware virtualization (neither vmx nor svm in /proc/cpuinfo)"
                .to_owned(),
        );
    }
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .err()
        .map(|error| format!("{} cannot be opened: {error}", device.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_kvm_auto_falls_back_and_says_why() {
        let choice =
            decide(AccelWish::Auto, Some("/dev/kvm does not exist".to_owned())).expect("fallback");
        assert_eq!(choice.accel, Accel::Tcg);
        assert_eq!(
            choice.reason.as_deref(),
            Some("KVM cannot be used: /dev/kvm does not exist")
        );
    }

    #[test]
    fn demanded_kvm_is_an_error_where_it_is_not() {
        assert!(decide(AccelWish::Kvm, Some("no".to_owned())).is_err());
        assert_eq!(decide(AccelWish::Kvm, None).expect("kvm").accel, Accel::Kvm);
        assert_eq!(
            decide(AccelWish::Auto, None).expect("kvm").accel,
            Accel::Kvm
        );
    }

    #[test]
    fn a_device_without_the_cpus_help_is_not_enough() {
        let exists = Path::new("/dev/null");
        assert!(
            obstacle(exists, "flags : fpu sse hypervisor\n").is_some_and(|why| why.contains("vmx"))
        );
        assert_eq!(obstacle(exists, "flags : fpu vmx\n"), None);
        assert!(
            obstacle(Path::new("/nonexistent"), "flags : vmx\n")
                .is_some_and(|why| why.contains("/nonexistent"))
        );
    }
}
