//! Starts short programs and reads what they say; bounded, named, killed with the job.
#![expect(clippy::disallowed_methods, reason = "the place that starts programs")]

use std::{ffi::OsStr, io, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// Output kept of a short program.
const OUTPUT_SIZE_BYTES_MAX: usize = 1 << 20;
/// Of what a program says about its failure, as many bytes at the end are told.
const TAIL_SIZE_BYTES_MAX: usize = 2000;

/// A program that could not be run, or said no.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot run `{program}`")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("`{program}` ended with {status}: {tail}")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last of what it said.
        tail: String,
    },
    /// It did not end in time and was killed.
    #[error("`{program}` did not end within {seconds} s and was killed")]
    Timeout {
        /// Which.
        program: String,
        /// The bound.
        seconds: u64,
    },
    /// It said more than its answer can be.
    #[error("`{program}` said more than {size_bytes_max} bytes and was killed")]
    Output {
        /// Which.
        program: String,
        /// The bound.
        size_bytes_max: u64,
    },
}

/// Asks a program of the user's own, in the environment we have ourselves: gives it `input`, and takes what it says.
/// Nothing of that stands in an error, for it may be secret. Also says whether it ended well.
///
/// # Errors
/// [`ProcessError`].
pub async fn ask(
    program: &Path,
    arg: &str,
    input: &[u8],
    timeout: Duration,
) -> Result<(bool, Vec<u8>), ProcessError> {
    let talk = async {
        let mut command = tokio::process::Command::new(program);
        command
            .arg(arg)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input).await; // Who does not read it may still have an answer.
        }
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(OUTPUT_SIZE_BYTES_MAX as u64).read_to_end(&mut said).await?;
        }
        Ok::<_, io::Error>((child.wait().await?.success(), said))
    };
    let program = program.display().to_string();
    match tokio::time::timeout(timeout, talk).await {
        Err(_) => Err(ProcessError::Timeout { program, seconds: timeout.as_secs() }),
        Ok(talked) => talked.map_err(|source| ProcessError::Start { program, source }),
    }
}

/// Runs a program of the user's own, in the environment we have ourselves: gives it `input`, and takes at most
/// `size_bytes_max` bytes of what it says. It is in a process group of its own, and whatever is left of that is killed when it
/// has ended, when its time is over, and when nobody waits for the answer any more.
///
/// # Errors
/// [`ProcessError`]; the tail of standard error goes into it. Also if `words` is empty.
pub async fn converse(
    words: &[String],
    input: &[u8],
    timeout: Duration,
    size_bytes_max: u64,
) -> Result<Vec<u8>, ProcessError> {
    let program = words.first().cloned().unwrap_or_default();
    let start = |source| ProcessError::Start { program: program.clone(), source };
    let mut command = tokio::process::Command::new(&program);
    command.args(words.iter().skip(1)).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    let _group = Group::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(input).await; // Who does not read it may still have an answer.
        }
    };
    let talk = async {
        let ((), said, tail) = tokio::join!(give, head(stdout, size_bytes_max), tail(stderr));
        let Some(said) = said? else { return Ok(None) };
        Ok::<_, io::Error>(Some((child.wait().await?, said, tail)))
    };
    match tokio::time::timeout(timeout, talk).await {
        Err(_) => Err(ProcessError::Timeout { program, seconds: timeout.as_secs() }),
        Ok(Err(source)) => Err(start(source)),
        Ok(Ok(None)) => Err(ProcessError::Output { program, size_bytes_max }),
        Ok(Ok(Some((status, said, _)))) if status.success() => Ok(said),
        Ok(Ok(Some((status, _, tail)))) => Err(ProcessError::Failed { program, status, tail }),
    }
}

/// Kills a child's process group when it is dropped: at once after the child was waited for, when its number cannot have come
/// round yet.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL); // There may be nobody left.
        }
    }
}

/// All that comes; nothing if it is more than `size_bytes_max`.
async fn head(from: Option<impl AsyncRead + Unpin>, size_bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut said = Vec::new();
    if let Some(from) = from {
        from.take(size_bytes_max.saturating_add(1)).read_to_end(&mut said).await?;
    }
    Ok((said.len() as u64 <= size_bytes_max).then_some(said))
}

/// The last of what comes.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    if let Some(mut from) = from {
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            kept.extend_from_slice(&buffer[..count]);
            kept.drain(..kept.len().saturating_sub(TAIL_SIZE_BYTES_MAX));
        }
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Runs a program that somebody else chose, in `dir`, saying nothing to it and hearing nothing from it: without our environment,
/// in a process group of its own, which is killed when the time is over. How it ended.
///
/// # Errors
/// [`ProcessError`] if it cannot be started or takes too long.
pub async fn watched(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    dir: &Path,
    timeout: Duration,
) -> Result<std::process::ExitStatus, ProcessError> {
    let name = program.as_ref().to_string_lossy().into_owned();
    let failed = |source| ProcessError::Start { program: name.clone(), source };
    let home = tempfile::tempdir().map_err(failed)?;
    let mut command = tokio::process::Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.envs(["HOME", "TMPDIR"].map(|name| (name, home.path()))).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let _group = Group::of(&child);
    match tokio::time::timeout(timeout, child.wait()).await {
        Err(_) => Err(ProcessError::Timeout { program: name, seconds: timeout.as_secs() }),
        Ok(status) => status.map_err(failed),
    }
}

/// Runs a command of the user's own before their eyes: in the environment we have ourselves, with our standard input; what it says
/// goes to our standard error. Its exit code; by a signal, 128 and its number.
///
/// # Errors
/// [`ProcessError::Start`]. Also if `words` is empty.
pub async fn attended(words: &[String]) -> Result<i32, ProcessError> {
    use std::os::unix::process::ExitStatusExt as _;
    let program = words.first().cloned().unwrap_or_default();
    let start = |source| ProcessError::Start { program: program.clone(), source };
    let mut command = tokio::process::Command::new(&program);
    command.args(words.iter().skip(1)).stdout(io::stderr()).kill_on_drop(true);
    let status = command.status().await.map_err(start)?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// Runs `program` and waits for it; its standard output as text.
///
/// # Errors
/// [`ProcessError`]; the tail of standard error goes into it.
pub async fn capture(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    timeout: Duration,
) -> Result<String, ProcessError> {
    let name = program.as_ref().to_string_lossy().into_owned();
    // buildah makes directories for its user even to say its version: here they are gone afterwards.
    let home = tempfile::tempdir().map_err(|source| ProcessError::Start { program: name.clone(), source })?;
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.envs(["HOME", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name, home.path())));
    let output = match tokio::time::timeout(timeout, command.output()).await {
        Err(_) => return Err(ProcessError::Timeout { program: name, seconds: timeout.as_secs() }),
        Ok(Err(source)) => return Err(ProcessError::Start { program: name, source }),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let tail = text.trim().chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect();
        return Err(ProcessError::Failed { program: name, status: output.status, tail });
    }
    let kept = &output.stdout[..output.stdout.len().min(OUTPUT_SIZE_BYTES_MAX)];
    Ok(String::from_utf8_lossy(kept).into_owned())
}
