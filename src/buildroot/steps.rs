//! The steps of a build, as the shim announces them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::Deserialize;

use super::BuildrootError;
use crate::model::limits::{STEPS_SIZE_BYTES_MAX, read_bounded};

/// The shim's list of steps, in the build's directory.
const STEPS: &str = "profile/steps";

/// What went around the proxy and found no way, since the cage was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Strays {
    /// By IPv4, without a route.
    pub ipv4: u64,
    /// By IPv6, without a route.
    pub ipv6: u64,
    /// Datagrams to a port of loopback where nobody is.
    pub udp: u64,
}

/// A line of the shim's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// A step is about to run.
    Began {
        /// The last word of what runs, as the engine has it.
        command: Option<String>,
        /// Where something is mounted in it.
        mounts: Vec<String>,
        /// Counted before it.
        strays: Strays,
        /// What of it the commit's clock does not reach: the program, and why.
        unreached: Option<String>,
    },
    /// The step that began last has ended.
    Ended {
        /// Counted after it.
        strays: Strays,
    },
}

impl Announced {
    /// Reads a line; what the shim would not write is nothing.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line {
            args: Option<Vec<String>>,
            #[serde(default)]
            mounts: Vec<String>,
            #[serde(default)]
            strays: Strays,
            #[serde(default)]
            ended: bool,
            unreached: Option<String>,
        }
        let Line { args, mounts, strays, ended, unreached } = serde_json::from_str(line).ok()?;
        match args {
            Some(mut args) => Some(Self::Began { command: args.pop(), mounts, strays, unreached }),
            None => ended.then_some(Self::Ended { strays }),
        }
    }
}

/// Where the shim says which steps it started.
#[derive(Debug)]
pub struct Announcements {
    build: PathBuf,
    file: Option<File>,
    /// Bytes read so far.
    read_bytes: u64,
    /// A line that is not whole yet.
    rest: Vec<u8>,
}

impl Announcements {
    /// Of the build in the directory `build`.
    #[must_use]
    pub fn of(build: &Path) -> Self {
        Self { build: build.to_owned(), file: None, read_bytes: 0, rest: Vec::new() }
    }

    /// What was announced since this was asked last. Once the shim's file exists, asking costs a look at its size.
    ///
    /// # Errors
    /// Those of the disk; more than [`STEPS_SIZE_BYTES_MAX`].
    pub fn news(&mut self) -> Result<Vec<Announced>, BuildrootError> {
        let path = self.build.join(STEPS);
        let read = self.read().map_err(BuildrootError::io("read", path))?;
        let mut found = Vec::new();
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.ends_with(b"\n") {
                found.extend(Announced::read(&String::from_utf8_lossy(&self.rest)));
                self.rest.clear();
            }
        }
        Ok(found)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.build)?),
        };
        if file.metadata()?.len() <= self.read_bytes {
            return Ok(Vec::new());
        }
        let left_bytes = STEPS_SIZE_BYTES_MAX.saturating_sub(self.read_bytes);
        let bytes = read_bounded(file.by_ref(), left_bytes, "list of steps")?;
        self.read_bytes += bytes.len() as u64;
        Ok(bytes)
    }
}

/// The engine may write to the build's directory: a link or pipe of its own is not followed.
fn open(build: &Path) -> io::Result<File> {
    let dir = rustix::fs::open(build, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(File::from(rustix::fs::openat2(dir, STEPS, flags, Mode::empty(), resolve)?))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn lines_are_read_as_they_come() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("profile")).unwrap();
        let path = dir.path().join(STEPS);
        let mut file = File::create(&path).unwrap();
        let mut announcements = Announcements::of(dir.path());
        assert_eq!(announcements.news().unwrap(), []);
        let strays = |ipv4| Strays { ipv4, ipv6: 2, udp: 3 };
        file.write_all(
            br#"{"args":["/bin/sh","-c","true"],"strays":{"ipv4":1,"ipv6":2,"udp":3},"mounts":["/p"],"unreached":"a static one"}"#,
        )
        .unwrap();
        assert_eq!(announcements.news().unwrap(), [], "half a line is none");
        file.write_all(b"\nnot json\n{\"ended\":true,\"strays\":{\"ipv4\":5,\"ipv6\":2,\"udp\":3}}\n")
            .unwrap();
        let began = Announced::Began {
            command: Some("true".into()),
            mounts: vec!["/p".into()],
            strays: strays(1),
            unreached: Some("a static one".into()),
        };
        assert_eq!(announcements.news().unwrap(), [began, Announced::Ended { strays: strays(5) }]);
        assert_eq!(announcements.news().unwrap(), []);
    }

    #[test]
    fn a_link_in_the_lists_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("profile")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(STEPS)).unwrap();
        assert!(Announcements::of(dir.path()).news().is_err());
    }
}
