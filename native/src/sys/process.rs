//! A child process that cannot outlive us and that inherits exactly the descriptors it is given.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::FdFlags;
use rustix::process::Signal;

/// Starts `command` so that the kernel kills it when the calling thread ends, with `inherit` open in it under the same
/// numbers as here.
///
/// The thread that calls this must live as long as the process does: `PR_SET_PDEATHSIG` is tied to the thread.
///
/// # Errors
/// Whatever fork(2), prctl(2) or execve(2) report.
pub fn spawn_bound(mut command: Command, inherit: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let parent = rustix::process::getpid();
    let numbers: Vec<RawFd> = inherit.iter().map(AsRawFd::as_raw_fd).collect();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // If we died between fork and prctl, nobody would ever kill it.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        for &number in &numbers {
            // SAFETY: the caller borrowed these descriptors for the whole call, and fork copied them.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: only prctl, getppid and fcntl run between fork and exec, all async-signal-safe; nothing allocates.
    unsafe { command.pre_exec(before_exec) };
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_child_has_the_descriptors_it_was_given() {
        let (mut ours, theirs) = io::pipe().expect("pipe");
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("echo here > /proc/self/fd/{}", theirs.as_raw_fd()),
        ]);
        let mut child = spawn_bound(command, &[theirs.as_fd()]).expect("spawn");
        assert!(child.wait().expect("wait").success());
        drop(theirs);
        let mut text = String::new();
        io::Read::read_to_string(&mut ours, &mut text).expect("read");
        assert_eq!(text, "here\n");
    }
}
