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
use std::time::{Duration, Instant};

use crate::control::server::Attended;
use crate::limits::{SUPERVISOR_ABSENCE_MAX, SUPERVISORS_APART};
use crate::spec::SupervisorCommand;

/// Watches over whether there is one. Clones know the same.
#[derive(Clone)]
pub struct Guardian {
    command: Option<SupervisorCommand>,
    watch: Arc<Watch>,
}

struct Watch {
    /// Nobody is missed who comes back within this.
    absence_max: Duration,
    /// Between two starts, if the first supervisor dies at once.
    apart: Duration,
    /// Somebody listens to what happens here.
    attended: AtomicBool,
    /// A thread sees to it that somebody does again.
    going_on: AtomicBool,
}

impl Guardian {
    /// One that starts supervisors by `command`; none at all without it.
    pub fn new(command: Option<SupervisorCommand>) -> Self {
        Self::with_pauses(command, SUPERVISOR_ABSENCE_MAX, SUPERVISORS_APART)
    }

    fn with_pauses(
        command: Option<SupervisorCommand>,
        absence_max: Duration,
        apart: Duration,
    ) -> Self {
        let watch = Watch {
            absence_max,
            apart,
            attended: AtomicBool::new(false),
            going_on: AtomicBool::new(false),
        };
        Self {
            command,
            watch: Arc::new(watch),
        }
    }

    /// The engine ends without having been told to: somebody must tell the cluster, now.
    pub fn leave(&self) {
        let Some(command) = &self.command else {
            return;
        };
        if self.watch.attended.load(Ordering::SeqCst) {
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
        self.watch.attended.store(attended, Ordering::SeqCst);
        let Some(command) = self.command.clone().filter(|_| !attended) else {
            return;
        };
        if self.watch.going_on.swap(true, Ordering::SeqCst) {
            return;
        }
        let watch = Arc::clone(&self.watch);
        let thread = thread::Builder::new().name("guardian".to_owned());
        if let Err(error) = thread.spawn(move || watch.bring_back(&command)) {
            self.watch.going_on.store(false, Ordering::SeqCst);
            tracing::error!(%error, "the supervisor is gone, and nobody can look after it");
        }
    }
}

impl Watch {
    /// Until somebody listens.
    fn bring_back(&self, command: &SupervisorCommand) {
        // Whoever ends it on purpose ends the engine next, or connects anew.
        let mut pause = self.absence_max;
        loop {
            thread::sleep(pause);
            if self.attended.load(Ordering::SeqCst) {
                self.going_on.store(false, Ordering::SeqCst);
                // It may have gone before this thread was seen to end.
                let is_deserted = !self.attended.load(Ordering::SeqCst);
                if is_deserted && !self.going_on.swap(true, Ordering::SeqCst) {
                    continue;
                }
                return;
            }
            tracing::warn!("the supervisor is gone: another one is started");
            let began = Instant::now();
            // Waited for, so that it leaves no zombie.
            if let Err(error) = start(command).and_then(|mut child| child.wait()) {
                tracing::error!(%error, "no supervisor could be started");
            }
            // One that dies at once dies again.
            let lived = began.elapsed();
            pause = if lived < self.apart {
                self.apart
            } else {
                self.absence_max
            };
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
        .open(&command.log)
        // A disk that takes no file must not keep it from coming back.
        .or_else(|_| OpenOptions::new().append(true).open("/dev/null"))?;
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

    use super::*;

    fn command(folder: &Path) -> SupervisorCommand {
        let script = format!("echo started >> {}", folder.join("started").display());
        SupervisorCommand {
            arguments: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
            log: folder.join("log"),
        }
    }

    fn started(folder: &Path) -> usize {
        let text = std::fs::read_to_string(folder.join("started"));
        text.map_or(0, |text| text.lines().count())
    }

    fn await_starts(folder: &Path, count: usize) {
        let patience = Instant::now() + Duration::from_secs(60);
        while started(folder) < count {
            assert!(Instant::now() < patience, "nobody was started");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn one_that_is_gone_is_brought_back_until_somebody_listens() {
        let folder = tempfile::tempdir().expect("a folder");
        let [absence_max, apart] = [50, 500].map(Duration::from_millis);
        let mut guardian = Guardian::with_pauses(Some(command(folder.path())), absence_max, apart);
        guardian.changed(true);
        guardian.changed(false);
        // The first dies at once and is not the last.
        await_starts(folder.path(), 2);
        guardian.changed(true);
        while guardian.watch.going_on.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        let count = started(folder.path());
        guardian.changed(false);
        await_starts(folder.path(), count + 1);
    }

    #[test]
    fn an_engine_that_nobody_listens_to_does_not_end_unheard() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut guardian = Guardian::new(Some(command(folder.path())));
        guardian.changed(true);
        guardian.leave();
        thread::sleep(SUPERVISOR_ABSENCE_MAX);
        assert_eq!(started(folder.path()), 0);
        guardian.changed(false);
        guardian.leave();
        await_starts(folder.path(), 1);
    }

    #[test]
    fn one_that_comes_back_by_itself_is_the_only_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut guardian = Guardian::new(Some(command(folder.path())));
        guardian.changed(true);
        guardian.changed(false);
        guardian.changed(true);
        thread::sleep(2 * SUPERVISOR_ABSENCE_MAX);
        assert_eq!(started(folder.path()), 0);
    }
}
