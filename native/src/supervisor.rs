//! The supervisor, brought back when it has died: until the next monitor nobody else would notice, and what happens to the
//! guest meanwhile would reach the cluster as late.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::control::server::Attended;
use crate::limits::{SUPERVISOR_ABSENCE_MAX, SUPERVISORS_APART};
use crate::spec::SupervisorCommand;

/// Watches over whether there is one. Clones know the same.
#[derive(Clone)]
pub struct Guardian {
    command: Option<SupervisorCommand>,
    /// Somebody listens to what happens here.
    attended: Arc<AtomicBool>,
    /// When another one may be started: one that dies at once dies again.
    next_start: Instant,
}

impl Guardian {
    /// One that starts supervisors by `command`; none at all without it.
    pub fn new(command: Option<SupervisorCommand>) -> Self {
        Self {
            command,
            attended: Arc::default(),
            next_start: Instant::now(),
        }
    }
}

impl Guardian {
    /// The engine ends without having been told to: somebody must tell the cluster, now.
    pub fn leave(&self) {
        let Some(command) = &self.command else {
            return;
        };
        if self.attended.load(Ordering::Relaxed) {
            return;
        }
        tracing::warn!("there is no supervisor to tell of this end: another one is started");
        if let Err(error) = start(command) {
            tracing::error!(%error, "no supervisor could be started");
        }
    }
}

impl Attended for Guardian {
    fn changed(&mut self, attended: bool) {
        self.attended.store(attended, Ordering::Relaxed);
        let Some(command) = self.command.as_ref().filter(|_| !attended) else {
            return;
        };
        // Whoever ends it on purpose ends the engine next, or connects anew.
        let at = self.next_start.max(Instant::now() + SUPERVISOR_ABSENCE_MAX);
        self.next_start = at + SUPERVISORS_APART;
        let (command, attended) = (command.clone(), Arc::clone(&self.attended));
        let watch = move || {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if attended.load(Ordering::Relaxed) {
                return;
            }
            tracing::warn!("the supervisor is gone: another one is started");
            // Waited for, so that it leaves no zombie.
            let ended = start(&command).and_then(|mut child| child.wait());
            if let Err(error) = ended {
                tracing::error!(%error, "no supervisor could be started");
            }
        };
        let thread = thread::Builder::new().name("guardian".to_owned());
        if let Err(error) = thread.spawn(watch) {
            tracing::error!(%error, "the supervisor is gone, and nobody can look after it");
        }
    }
}

fn start(command: &SupervisorCommand) -> io::Result<Child> {
    let [program, arguments @ ..] = &command.arguments[..] else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&command.log)?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // What ends the engine's group must not end the one that has to tell of it.
        .process_group(0)
        .spawn()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn guardian(folder: &Path) -> Guardian {
        let script = format!("echo started >> {}", folder.join("started").display());
        Guardian::new(Some(SupervisorCommand {
            arguments: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
            log: folder.join("log"),
        }))
    }

    fn started(folder: &Path) -> usize {
        let text = std::fs::read_to_string(folder.join("started"));
        text.map_or(0, |text| text.lines().count())
    }

    #[test]
    fn one_that_is_gone_is_brought_back_and_not_again_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut guardian = guardian(folder.path());
        guardian.changed(true);
        guardian.changed(false);
        let patience = Instant::now() + Duration::from_secs(30);
        while started(folder.path()) == 0 {
            assert!(Instant::now() < patience, "nobody was started");
            thread::sleep(Duration::from_millis(20));
        }
        guardian.changed(false);
        thread::sleep(2 * SUPERVISOR_ABSENCE_MAX);
        assert_eq!(started(folder.path()), 1);
    }

    #[test]
    fn an_engine_that_nobody_listens_to_does_not_end_unheard() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut guardian = guardian(folder.path());
        guardian.changed(true);
        guardian.leave();
        thread::sleep(SUPERVISOR_ABSENCE_MAX);
        assert_eq!(started(folder.path()), 0);
        guardian.changed(false);
        guardian.leave();
        let patience = Instant::now() + Duration::from_secs(30);
        while started(folder.path()) == 0 {
            assert!(Instant::now() < patience, "nobody was started");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn one_that_comes_back_by_itself_is_the_only_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut guardian = guardian(folder.path());
        guardian.changed(true);
        guardian.changed(false);
        guardian.changed(true);
        thread::sleep(2 * SUPERVISOR_ABSENCE_MAX);
        assert_eq!(started(folder.path()), 0);
    }
}
