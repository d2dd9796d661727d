//! The hidden stage `__try`: does to the kernel what a cage does, one thing after another, and says how each went.
//! Single-threaded, dispatched by `main` first. It needs no program, no subordinate ids and no store but a directory.

use std::{
    ffi::{CString, OsString},
    fmt, fs,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    str::FromStr,
};

use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::{LinkNameSpaceType, UnshareFlags},
};

use super::sys;
use crate::engine::MOUNT_OPTIONS;

/// The word that starts this stage.
pub const STAGE: &str = "__try";
/// The word after it that starts the part inside the new pid namespace.
const INSIDE: &str = "proc";

/// What is tried, in this order; what fails before [`Step::Overlay`] ends the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Making a user namespace.
    User,
    /// Whether the root directory is that of the mount namespace; `EPERM` stands for a chroot(2). Only tried by root,
    /// and only where no user namespace could be made.
    Root,
    /// Becoming its root.
    Map,
    /// Making the other namespaces, and mounts private.
    Namespaces,
    /// Mounting an overlay with the options of builds, and making a whiteout in it.
    Overlay,
    /// Mounting /proc in a new pid namespace.
    Proc,
}

impl Step {
    const ALL: [Self; 6] = [Self::User, Self::Root, Self::Map, Self::Namespaces, Self::Overlay, Self::Proc];

    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Root => "root",
            Self::Map => "map",
            Self::Namespaces => "namespaces",
            Self::Overlay => "overlay",
            Self::Proc => INSIDE,
        }
    }
}

/// How one step went: 0, or the error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What was tried.
    pub step: Step,
    /// 0, or the number of errno(3).
    pub errno: i32,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.step.word(), self.errno)
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (word, errno) = line.split_once(' ').ok_or(())?;
        let step = Step::ALL.into_iter().find(|step| step.word() == word).ok_or(())?;
        Ok(Self { step, errno: errno.parse().map_err(|_| ())? })
    }
}

/// Runs the stage: `args` is the directory to try an overlay in (empty, ours), or what this stage calls itself with.
/// What it finds stands on standard output; the exit code says nothing.
#[must_use]
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(word) = args.next() else { return ExitCode::FAILURE };
    if word == INSIDE {
        say(Step::Proc, mount_proc());
    } else {
        try_all(Path::new(&word));
    }
    ExitCode::SUCCESS
}

/// Says how a step went; whether well.
fn say(step: Step, outcome: io::Result<()>) -> bool {
    let errno = outcome.err().map_or(0, |error| error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()));
    let _ = writeln!(io::stdout(), "{}", Outcome { step, errno }); // Who does not read it learns nothing.
    errno == 0
}

fn try_all(dir: &Path) {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if !say(Step::User, sys::unshare(UnshareFlags::NEWUSER)) {
        if let (true, Ok(whole)) = (uid.is_root(), sees_the_whole_namespace()) {
            say(Step::Root, if whole { Ok(()) } else { Err(Errno::PERM.into()) });
        }
        return;
    }
    if say(Step::Map, write_maps(uid.as_raw(), gid.as_raw())) && say(Step::Namespaces, namespaces()) {
        say(Step::Overlay, overlay(dir));
        try_proc();
    }
}

/// Entering our own mount namespace anew leads to its root, out of any chroot(2).
fn sees_the_whole_namespace() -> io::Result<bool> {
    let root = || fs::metadata("/").map(|root| (root.dev(), root.ino()));
    let before = root()?;
    let own = fs::File::open("/proc/self/ns/mnt")?;
    rustix::thread::move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Mount))?;
    Ok(before == root()?)
}

/// One id is enough here, and needs nobody's leave.
fn write_maps(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn namespaces() -> io::Result<()> {
    sys::unshare(
        UnshareFlags::NEWNS
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS,
    )?;
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

fn overlay(dir: &Path) -> io::Result<()> {
    rustix::process::chdir(dir)?;
    let parts = ["l", "u", "w", "m"];
    parts.iter().try_for_each(fs::create_dir)?;
    fs::write("l/x", b"")?;
    let options = CString::new(format!("lowerdir=l,upperdir=u,workdir=w,{MOUNT_OPTIONS}"))?;
    let tried = mount("overlay", "m", "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(io::Error::from)
        .and_then(|()| {
            let whiteout = fs::remove_file("m/x");
            whiteout.and(unmount("m", UnmountFlags::empty()).map_err(Into::into))
        });
    // The overlay's own directory can only be removed by who is root here; the rest goes with the directory.
    let _ = fs::remove_dir_all("w");
    tried
}

/// The first child after `unshare` is pid 1 of the new pid namespace, and says the last word itself.
fn try_proc() {
    let mut child = Command::new("/proc/self/exe");
    child.args([STAGE, INSIDE]).env_clear().current_dir("/").stdin(Stdio::null());
    if let Err(error) = child.status() {
        say(Step::Proc, Err(error));
    }
}

fn mount_proc() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("proc", "/proc", "proc", flags, None::<&std::ffi::CStr>)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_as_they_are_written() {
        for step in Step::ALL {
            let outcome = Outcome { step, errno: 22 };
            assert_eq!(outcome.to_string().parse(), Ok(outcome));
        }
        for wrong in ["", "user", "user x", "other 0"] {
            assert_eq!(wrong.parse::<Outcome>(), Err(()));
        }
    }
}
