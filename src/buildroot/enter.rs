//! The outer side of the cage: starts the hidden stage, writes its id maps, takes its listening socket, reads its
//! output, and ends it.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    process::Stdio,
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::{io::AsyncReadExt, net::unix::pipe, process::Child};
use tokio_util::sync::CancellationToken;

use super::{BuildrootError, Ids, allowance::exceeded, cage::Spec};
use crate::model::Exceeded;

/// How long entering may take; it takes milliseconds.
const ENTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Exit code of a cage that could not be made, or whose init could not do its part.
const STAGE_FAILED: u8 = 125;
/// How long the last words of a cage whose processes are gone may take.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest piece of a line handed on at once.
const LINE_SIZE_BYTES_MAX: usize = 64 << 10;

/// A running cage. Dropped, it ends: init sees its control socket close and takes everything with it.
#[derive(Debug)]
pub struct Cage {
    child: Child,
    control: UnixStream,
    output: pipe::Receiver,
    /// The gateway's socket, born inside.
    pub listener: Option<TcpListener>,
}

/// How a cage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The plan ran; exit code of its last command (0: all good).
    Exited(u8),
    /// It used more than it may.
    Exceeded(Exceeded),
    /// The time was up.
    TimedOut,
    /// The job was cancelled.
    Cancelled,
}

/// Enters a new cage: `spec`'s plan starts running.
///
/// # Errors
/// [`BuildrootError::Cage`] with what was refused.
pub async fn enter(spec: Spec, ids: &Ids) -> Result<Cage, BuildrootError> {
    let ids = ids.clone();
    let failed = |error: io::Error| BuildrootError::Cage(error.to_string());
    let (control, theirs) = UnixStream::pair().map_err(failed)?;
    let (read, write) = io::pipe().map_err(failed)?;
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0("reprov-cage").arg("__cage").env_clear().current_dir("/").process_group(0);
    command.stdin(OwnedFd::from(theirs));
    command.stdout(OwnedFd::from(write.try_clone().map_err(failed)?)).stderr(OwnedFd::from(write));
    let mut command = tokio::process::Command::from(command);
    let child = command.kill_on_drop(true).spawn().map_err(failed)?;
    drop(command); // It holds our copies of the pipe's write end.
    let pid = child.id().ok_or_else(|| BuildrootError::Cage("it ended at once".into()))?;
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(read)).map_err(failed)?;
    let greeted = tokio::task::spawn_blocking(move || handshake(control, &spec, &ids, pid)).await;
    let (control, listener) = greeted.map_err(|error| BuildrootError::Cage(error.to_string()))??;
    Ok(Cage { child, control, output, listener })
}

type Greeted = (UnixStream, Option<TcpListener>);

fn handshake(control: UnixStream, spec: &Spec, ids: &Ids, pid: u32) -> Result<Greeted, BuildrootError> {
    let failed = |error: io::Error| BuildrootError::Cage(error.to_string());
    control.set_read_timeout(Some(ENTER_TIMEOUT)).map_err(failed)?;
    let bytes = serde_json::to_vec(spec).map_err(|error| BuildrootError::Cage(error.to_string()))?;
    let length =
        u32::try_from(bytes.len()).map_err(|_| BuildrootError::Cage("specification too large".into()))?;
    (&control)
        .write_all(&length.to_be_bytes())
        .and_then(|()| (&control).write_all(&bytes))
        .map_err(failed)?;
    expect(&control, b'U')?;
    write_maps(ids, pid)?;
    (&control).write_all(b"G").map_err(failed)?;
    let listener = if spec.listen { Some(receive_listener(&control)?) } else { None };
    Ok((control, listener))
}

fn expect(mut control: &UnixStream, wanted: u8) -> Result<(), BuildrootError> {
    let mut tag = [0];
    let read = control.read_exact(&mut tag);
    if read.is_ok() && tag[0] == wanted {
        return Ok(());
    }
    Err(refusal(control, tag[0]))
}

/// The sentence after an `E` (it could not be made) or a `K` (something in it was killed).
fn refusal(control: &UnixStream, tag: u8) -> BuildrootError {
    let mut text = String::new();
    if matches!(tag, b'E' | b'K') {
        let _ = control.take(4096).read_to_string(&mut text); // Whatever came of it is what can be shown.
    }
    reported(tag, text)
}

fn reported(tag: u8, text: String) -> BuildrootError {
    match tag {
        b'K' => BuildrootError::Killed(text),
        _ if text.is_empty() => BuildrootError::Cage("the stage ended without a word".into()),
        _ => BuildrootError::Cage(text),
    }
}

fn receive_listener(control: &UnixStream) -> Result<TcpListener, BuildrootError> {
    let mut tag = [0];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(control, &mut [io::IoSliceMut::new(&mut tag)], &mut ancillary, flags);
    received.map_err(|error| BuildrootError::Cage(error.to_string()))?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(TcpListener::from(fd));
        }
    }
    Err(refusal(control, tag[0]))
}

fn write_maps(ids: &Ids, pid: u32) -> Result<(), BuildrootError> {
    for (kind, map) in ["uid", "gid"].into_iter().zip(ids.maps()) {
        match ids {
            Ids::Root { .. } => {
                let text: String = map
                    .iter()
                    .map(|(inside, outside, count)| format!("{inside} {outside} {count}\n"))
                    .collect();
                let file = format!("/proc/{pid}/{kind}_map");
                fs::write(&file, text).map_err(BuildrootError::io("write", file))?;
            }
            Ids::User { .. } => newidmap(kind, pid, &map)?,
        }
    }
    Ok(())
}

/// An ordinary user's maps are written by shadow's setuid program, which checks /etc/subuid.
fn newidmap(kind: &str, pid: u32, map: &[(u32, u32, u32)]) -> Result<(), BuildrootError> {
    let program = format!("new{kind}map");
    let numbers = map.iter().flat_map(|(inside, outside, count)| [inside, outside, count]);
    let output = std::process::Command::new(&program)
        .arg(pid.to_string())
        .args(numbers.map(u32::to_string))
        .stdin(Stdio::null())
        .output()
        .map_err(|_| BuildrootError::NoProgram { program: "newuidmap", package: "uidmap" })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(BuildrootError::Cage(format!("{program}: {}", text.trim())));
    }
    Ok(())
}

impl Cage {
    /// Waits for the end, until `limit` returns; every line of output goes to `each_line` as it comes (long ones in
    /// pieces).
    ///
    /// # Errors
    /// If the output cannot be read, or `each_line` says no.
    pub async fn wait(
        mut self,
        limit: impl Future<Output = ()>,
        cancel: &CancellationToken,
        mut each_line: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Ended, BuildrootError> {
        self.listener = None;
        let ended = {
            let mut reading = std::pin::pin!(read_lines(&mut self.output, &mut each_line));
            tokio::select! {
                read = &mut reading => read.map(|()| None),
                // Init ended, or somebody killed the stage: then what runs inside must not run on by itself.
                _ = self.child.wait() => match self.control.shutdown(std::net::Shutdown::Write) {
                    Ok(()) => reading.await.map(|()| None),
                    Err(error) => Err(error),
                },
                () = limit => Ok(Some(Ended::TimedOut)),
                () = cancel.cancelled() => Ok(Some(Ended::Cancelled)),
            }
        };
        let _ = self.control.shutdown(std::net::Shutdown::Write); // Ends init, if it still runs.
        let status = self.child.wait().await.map_err(|error| BuildrootError::Cage(error.to_string()))?;
        let ended = ended.map_err(|error| BuildrootError::Cage(format!("its output: {error}")))?;
        if let Some(ended) = ended {
            return Ok(ended);
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let code =
            code.ok_or_else(|| BuildrootError::Killed(format!("its first process ended by {status}")))?;
        let said = self.last_words();
        match said.split_at_checked(1) {
            // Whoever is ended for a limit may say too that it was killed.
            Some(("X", said)) => Ok(said.lines().next().and_then(exceeded).unwrap_or(Ended::Exited(code))),
            Some((tag, sentence)) if code == STAGE_FAILED => {
                Err(reported(tag.as_bytes()[0], sentence.to_owned())) // One byte long by the split.
            }
            _ => Ok(Ended::Exited(code)),
        }
    }

    /// What the stage or init wrote before it ended; no step has this socket.
    fn last_words(&self) -> String {
        let mut text = String::new();
        let _ = self.control.set_read_timeout(Some(LAST_WORDS_TIMEOUT)); // Both ends of it are gone by now.
        let _ = (&self.control).take(4096).read_to_string(&mut text); // Whatever came is what there is.
        text
    }
}

async fn read_lines(
    output: &mut pipe::Receiver,
    each_line: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = output.read(&mut buffer).await?;
        for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") || line.len() >= LINE_SIZE_BYTES_MAX {
                each_line(&line)?;
                line.clear();
            }
        }
        if count == 0 {
            return if line.is_empty() { Ok(()) } else { each_line(&line) };
        }
    }
}
