//! The listening socket: its path, mode and end.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

use super::limits::LISTEN_BACKLOG;

/// Only the owner may connect.
const SOCKET_MODE: u32 = 0o600;

/// Removes its path when it is dropped, unless another socket is there by then.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

impl Listener {
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Linux makes the file with the mode of the unbound socket less the umask (net/unix/af_unix.c, unix_bind_bsd): there
        // is no moment at which others could connect, and the umask of the whole process stays as it is.
        fchmod(&socket, Mode::from_raw_mode(SOCKET_MODE))?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        let made = fs::symlink_metadata(path)?;
        listen(&socket, LISTEN_BACKLOG)?;
        Ok(Self {
            socket: UnixListener::from(socket),
            path: path.to_owned(),
            identity: (made.dev(), made.ino()),
        })
    }

    /// The next connection, nonblocking, if there is one.
    pub(super) fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.socket.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                Ok(Some(stream))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::ConnectionAborted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours {
            // It may be gone already; there is nothing more to do about it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket that an earlier engine left behind; anything else at that path is not ours to remove.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => {
            let message = format!("{} exists and is not a socket", path.display());
            Err(io::Error::new(ErrorKind::AlreadyExists, message))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
