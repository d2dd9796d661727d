//! The steps of a build, as the shim announces them.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::BuildrootError;

/// The shim's list of steps, in the build's directory.
const STEPS: &str = "profile/steps";

/// Where the shim says which steps it started.
#[derive(Debug, Clone)]
pub struct Announcements(PathBuf);

impl Announcements {
    /// Of the build in the directory `build`.
    pub(super) fn of(build: &Path) -> Self {
        Self(build.to_owned())
    }

    /// The lines so far.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self) -> Result<String, BuildrootError> {
        let path = &self.0.join(STEPS);
        let failed = || BuildrootError::io("read", path);
        // The engine may write to the build's directory: a link or pipe of its own is not followed.
        let dir =
            rustix::fs::open(&self.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let dir = dir.map_err(|error| failed()(error.into()))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = rustix::fs::openat2(dir, STEPS, flags, Mode::empty(), resolve);
        let file = File::from(file.map_err(|error| failed()(error.into()))?);
        let bytes = crate::model::limits::read_bounded(file, 64 << 20, "list of steps");
        Ok(String::from_utf8_lossy(&bytes.map_err(BuildrootError::io("read", path))?).into_owned())
    }
}
