//! A child process that cannot outlive us and that inherits exactly the descriptors it is given.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, getpriority_process, setpriority_process};

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

/// A thread of another process that can be made to give way to others, and to stop giving way.
#[derive(Debug)]
pub struct GivingWay {
    thread: Pid,
    usual: i32,
}

impl GivingWay {
    /// How much it gives way (nice(2)).
    const MORE: i32 = 10;

    /// The thread of `process` that is called `name`.
    ///
    /// # Errors
    /// `NotFound` if there is no such thread; `EPERM` without `CAP_SYS_NICE`, because it could not be undone then.
    pub fn find(process: u32, name: &str) -> io::Result<Self> {
        for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let number = entry.file_name().to_str().and_then(|n| n.parse().ok());
            if comm.trim_end() == name
                && let Some(thread) = number.and_then(Pid::from_raw)
            {
                let usual = getpriority_process(Some(thread))?;
                // Whoever may do this may also undo what follows; the way back is always free.
                setpriority_process(Some(thread), usual - 1)?;
                setpriority_process(Some(thread), usual)?;
                return Ok(Self { thread, usual });
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Begins to give way, or ends it. A thread that is gone does neither.
    pub fn give_way(&self, gives: bool) {
        let nice = self.usual + if gives { Self::MORE } else { 0 };
        let _ = setpriority_process(Some(self.thread), nice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn only_the_named_thread_gives_way() {
        let (told, tid) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("gives way".to_owned());
        let thread = thread.spawn(move || {
            told.send(rustix::thread::gettid()).expect("told");
            let _ = ended.recv();
        });
        let tid = tid.recv().expect("its number");
        let nice = |thread| getpriority_process(Some(thread)).expect("nice");
        let (ours, theirs) = (nice(rustix::thread::gettid()), nice(tid));
        let thread_of = |name| GivingWay::find(std::process::id(), name);
        let found = thread_of("gives way").expect("found, and we are root");
        assert_eq!(nice(tid), theirs);
        found.give_way(true);
        assert!(nice(tid) > theirs);
        found.give_way(false);
        assert_eq!(nice(tid), theirs);
        assert_eq!(nice(rustix::thread::gettid()), ours);
        let missing = thread_of("nobody").expect_err("no such thread");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        drop(end);
        thread.expect("started").join().expect("ended");
    }

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
