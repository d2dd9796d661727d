//! The hidden stage `__cage`: enters the namespaces, then starts init. Single-threaded, dispatched by `main` first.
//!
//! Its standard input is a socket to reprov; the messages on it are in [`super::enter`].

use std::{
    io::{self, Read, Write},
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use rustix::{
    fs::Mode,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
    thread::UnshareFlags,
};
use serde::{Deserialize, Serialize};

use super::{
    sys, tree,
    unpack::{Unpack, unpack},
};

/// Port of the gateway inside the cage: a constant, since a step may print its proxy.
pub const GATEWAY_PORT: u16 = 3128;
/// Host name of cage and steps: a constant, so that a step that prints it stays the same.
pub const HOSTNAME: &str = "reprov";

/// Everything the cage needs to know; sent over its standard input as `u32` length and JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Whether binds can only be made inside the user namespace (ordinary user).
    pub unprivileged: bool,
    /// An existing directory of the host: where the cage's root is put together before it is entered.
    pub mount: PathBuf,
    /// What the cage calls itself and its own directory.
    pub place: Place,
    /// The root file system whose programs are used: a buildroot image's, unpacked, or the host's (`/`).
    pub programs: PathBuf,
    /// What is seen in that tree.
    pub binds: Vec<Bind>,
    /// Whether the gateway's listening socket is wanted.
    pub listen: bool,
    /// Whether loopback is wanted without it.
    pub loopback: bool,
    /// What happens there.
    pub task: Task,
    /// What init watches, as it reads it; none: nothing.
    pub bounds: Option<String>,
    /// What init does otherwise than ever, as it reads it (`src/shim/vary.rs`).
    pub varied: Vec<String>,
    /// The whole environment of init and its children.
    pub env: Vec<(String, String)>,
}

/// Names of a cage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// The directory of all that a build needs, at the cage's root.
    pub root: String,
    /// The host name.
    pub hostname: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { root: tree::ROOT.to_owned(), hostname: HOSTNAME.to_owned() }
    }
}

/// What a cage is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Init runs the plan in this file, as seen in the cage.
    Run(PathBuf),
    /// Layers are unpacked; no program is run.
    Unpack(Unpack),
}

/// One file or directory of the host, seen in the cage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// Name under the cage's tree, one component.
    pub target: String,
    /// Whether the cage may not write there.
    pub readonly: bool,
}

impl Bind {
    /// A bind that the cage may not write to.
    pub fn readonly(source: impl Into<PathBuf>, target: &str) -> Self {
        Self { source: source.into(), target: target.to_owned(), readonly: true }
    }

    /// A bind that the cage may write to.
    pub fn writable(source: impl Into<PathBuf>, target: &str) -> Self {
        Self { source: source.into(), target: target.to_owned(), readonly: false }
    }
}

/// Runs the stage to its end: the exit code is init's, or 125 if the cage could not be made.
#[must_use]
pub fn main() -> ExitCode {
    let control = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => UnixStream::from(fd),
        Err(_) => return ExitCode::from(125),
    };
    match stage(&control) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            let _ = (&control).write_all(format!("E{message}").as_bytes()); // reprov also sees exit code 125.
            ExitCode::from(125)
        }
    }
}

fn stage(control: &UnixStream) -> Result<u8, String> {
    let spec = receive(control)?;
    if !spec.unprivileged {
        step("make a mount namespace", sys::unshare(UnshareFlags::NEWNS))?;
        tree::enter(&spec)?;
    }
    step("make a user namespace", sys::unshare(UnshareFlags::NEWUSER))?;
    wait_for_maps(control)?;
    become_root()?;
    let namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    step("make namespaces", sys::unshare(namespaces))?;
    if spec.unprivileged {
        tree::enter(&spec)?;
    }
    let named = rustix::system::sethostname(spec.place.hostname.as_bytes());
    step("set the host name", named.map_err(Into::into))?;
    if spec.listen {
        hand_out_listener(control)?;
    } else if spec.loopback {
        bring_loopback_up()?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    match &spec.task {
        Task::Run(plan) => start_init(control, plan, &spec),
        Task::Unpack(task) => Ok(run_unpack(task, control)),
    }
}

/// Unpacks in this very process; like init it ends when reprov does. Why it failed goes to the output.
fn run_unpack(task: &Unpack, control: &UnixStream) -> u8 {
    let gone = || {
        use rustix::net::{RecvFlags, recv};
        matches!(recv(control, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((0, _)))
    };
    match unpack(task, &gone) {
        Ok(()) => 0,
        Err(why) => {
            let _ = io::stdout().write_all(why.as_bytes()); // The exit code says that something is wrong.
            1
        }
    }
}

fn step<T>(what: &str, outcome: io::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| format!("cannot {what}: {error}"))
}

fn receive(mut control: &UnixStream) -> Result<Spec, String> {
    let mut length = [0; 4];
    step("read the cage's specification", control.read_exact(&mut length))?;
    let mut bytes = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
    step("read the cage's specification", control.read_exact(&mut bytes))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("cannot read the cage's specification: {error}"))
}

fn wait_for_maps(mut control: &UnixStream) -> Result<(), String> {
    step("ask for id maps", control.write_all(b"U"))?;
    let mut answer = [0];
    step("wait for id maps", control.read_exact(&mut answer))
}

fn become_root() -> Result<(), String> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    step("drop groups", set_thread_groups(&[]).map_err(Into::into))?;
    step("become the cage's root group", set_thread_res_gid(gid, gid, gid).map_err(Into::into))?;
    step("become the cage's root", set_thread_res_uid(uid, uid, uid).map_err(Into::into))
}

fn bring_loopback_up() -> Result<(), String> {
    let socket = step("make a socket", std::net::UdpSocket::bind("0.0.0.0:0"))?;
    step("bring loopback up", sys::loopback_up(&socket))
}

/// A socket stays in the network namespace it was made in: reprov accepts outside what was made inside.
fn hand_out_listener(control: &UnixStream) -> Result<(), String> {
    bring_loopback_up()?;
    let listener = step("listen for the build", TcpListener::bind(("127.0.0.1", GATEWAY_PORT)))?;
    let fds = [listener.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = rustix::net::sendmsg(control, &[io::IoSlice::new(b"L")], &mut ancillary, SendFlags::empty());
    step("hand out the gateway's socket", sent.map(|_| ()).map_err(Into::into))
}

fn start_init(mut control: &UnixStream, plan: &Path, spec: &Spec) -> Result<u8, String> {
    let status = Command::new(format!("{}/shim", spec.place.root))
        .arg("init")
        .arg(plan)
        .arg(spec.bounds.as_deref().unwrap_or_default())
        .args(&spec.varied)
        .env_clear()
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .current_dir("/")
        .status();
    let status = step("start init", status)?;
    if let Some(code) = status.code().and_then(|code| u8::try_from(code).ok()) {
        return Ok(code);
    }
    step("say that init was killed", control.write_all(format!("Kits init ended by {status}").as_bytes()))?;
    Ok(125)
}
