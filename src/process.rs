//! Starts short programs and reads what they say; bounded, named, killed with the job.
#![expect(clippy::disallowed_methods, reason = "the place that starts programs")]

use std::{ffi::OsStr, io, path::Path, process::Stdio, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Output kept of a short program.
const OUTPUT_SIZE_BYTES_MAX: usize = 1 << 20;

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
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    let ended = tokio::time::timeout(timeout, child.wait()).await;
    if let Some(group) = group {
        // What it left running is not to run on.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    match ended {
        Err(_) => Err(ProcessError::Timeout { program: name, seconds: timeout.as_secs() }),
        Ok(status) => status.map_err(failed),
    }
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
