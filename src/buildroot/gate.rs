//! Steps of a build that ask before they begin: the shim connects to a socket in the profile, where there is one, and
//! waits for a byte.

use std::{os::fd::AsRawFd, path::Path};

use rustix::fs::{Mode, OFlags, open};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
};

use super::BuildrootError;

/// The socket's name in the profile.
const NAME: &str = "gate";
const GO: &[u8] = b"g";

/// Where steps wait.
#[derive(Debug)]
pub struct Gate(UnixListener);

/// A step that waits, until it is let go. Dropped instead, it fails.
#[derive(Debug)]
pub struct Waiting(UnixStream);

impl Gate {
    /// Makes the socket in `profile`, the directory that the shim reads.
    pub(super) fn make(profile: &Path) -> Result<Self, BuildrootError> {
        let failed = |error| BuildrootError::io("make a socket in", profile)(error);
        let dir = open(profile, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let dir = dir.map_err(|error| failed(error.into()))?;
        // A socket's path may not be longer than 107 bytes, and the store's may.
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()));
        Ok(Self(listener.map_err(failed)?))
    }

    /// Waits for the next step that is about to begin.
    ///
    /// # Errors
    /// If the socket breaks.
    pub async fn next(&self) -> Result<Waiting, BuildrootError> {
        let (stream, _) = self.0.accept().await.map_err(BuildrootError::io("wait for steps at", NAME))?;
        Ok(Waiting(stream))
    }
}

impl Waiting {
    /// Lets it begin. Who was killed meanwhile does not hear it.
    pub async fn go(mut self) {
        let _ = self.0.write_all(GO).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixStream, time::Duration};

    use super::*;

    #[tokio::test]
    async fn a_step_begins_when_it_is_let_go_also_below_a_long_path() {
        let dir = tempfile::tempdir().unwrap();
        let profile = dir.path().join("a".repeat(200));
        std::fs::create_dir(&profile).unwrap();
        let gate = Gate::make(&profile).unwrap();
        let short = dir.path().join("p");
        std::os::unix::fs::symlink(&profile, &short).unwrap();
        let asks = || {
            let mut stream = UnixStream::connect(short.join(NAME)).unwrap();
            tokio::task::spawn_blocking(move || stream.read(&mut [0; 1]).unwrap())
        };
        let first = asks();
        let waiting = gate.next().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!first.is_finished());
        waiting.go().await;
        assert_eq!(first.await.unwrap(), 1);
        let second = asks();
        drop(gate.next().await.unwrap());
        assert_eq!(second.await.unwrap(), 0, "nobody let it go");
    }
}
