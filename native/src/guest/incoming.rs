//! The way of a device state into a QEMU that waits for it.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::json;

use crate::guest::error::{GuestError, call};
use crate::guest::monitor::Monitor;
use crate::guest::output::last_line;
use crate::limits::QMP_TIMEOUT;
use crate::qmp::{GuestEvent, QmpError};

/// Most characters of what QEMU said that are repeated.
const WORDS_MAX: usize = 500;

/// Our end of the socket that it arrives on. It can be used once.
#[derive(Debug)]
pub(super) struct Incoming {
    socket: UnixStream,
    uri: String,
}

impl Incoming {
    /// For a QEMU that has inherited the other end as `descriptor`.
    pub(super) fn new(socket: UnixStream, descriptor: i32) -> Self {
        Self {
            socket,
            uri: format!("fd:{descriptor}"),
        }
    }

    /// Has QEMU load the state; `output` is the file that it talks to.
    ///
    /// # Errors
    /// [`GuestError::Load`] with QEMU's words if it cannot, or what else went wrong; that QEMU is of no more use.
    pub(super) fn load(
        mut self,
        monitor: &mut Monitor,
        device_state: &[u8],
        output: &Path,
    ) -> Result<(), GuestError> {
        monitor.execute("migrate-incoming", &json!({ "uri": self.uri }))?;
        self.socket
            .set_write_timeout(Some(QMP_TIMEOUT))
            .map_err(call("setting a time-out"))?;
        let written = self
            .socket
            .write_all(device_state)
            .and_then(|()| self.socket.shutdown(Shutdown::Write));
        let outcome = monitor.wait_event("migrate-incoming", QMP_TIMEOUT, |e| {
            matches!(e, GuestEvent::Loaded | GuestEvent::LoadFailed)
        });
        match (written, outcome) {
            (Ok(()), Ok(GuestEvent::Loaded)) => Ok(()),
            (_, Err(QmpError::Closed) | Ok(_)) => Err(GuestError::Load {
                output: words(output),
            }),
            (Err(source), _) => Err(GuestError::Call {
                step: "handing the device state to QEMU",
                source,
            }),
            (_, Err(error)) => Err(error.into()),
        }
    }
}

/// What QEMU said about a state that it could not load: first which device, last that it failed.
pub(super) fn words(output: &Path) -> String {
    let text = fs::read_to_string(output).unwrap_or_default();
    let said = sentences(&text);
    if said.is_empty() {
        last_line(output)
    } else {
        said
    }
}

fn sentences(text: &str) -> String {
    let sentences: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            line.split_once(": ")
                .filter(|(name, _)| name.starts_with("qemu"))
        })
        .map(|(_, said)| said.trim())
        // Without a description of its own at its end, which it never has, QEMU finds any state strange.
        .filter(|said| !said.starts_with("warning: ") && !said.contains("vmdescription"))
        .collect();
    sentences.join("; ").chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_qemu_says_the_reasons_are_told_in_order() {
        let said = "qemu-system-x86_64: warning: TCG doesn't support requested feature\n\
                    noise\n\
                    qemu-system-x86_64: Unknown savevm section or instance 'x' 0.\n\
                    qemu-system-x86_64: Expected vmdescription section, but got 0\n\
                    qemu-system-x86_64: load of migration failed: Invalid argument\n";
        assert_eq!(
            sentences(said),
            "Unknown savevm section or instance 'x' 0.; load of migration failed: Invalid argument"
        );
        assert_eq!(sentences("hello\n"), "");
        assert_eq!(words(Path::new("/nonexistent")), "it said nothing");
        let long = format!("qemu: {}", "é".repeat(2 * WORDS_MAX));
        assert_eq!(sentences(&long).chars().count(), WORDS_MAX);
    }
}
