//! The `git` child: fetches a URL into a bare repository of the store. The only place here that starts a program.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File, TryLockError},
    io::Read,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use git2::{Oid, Repository, RepositoryInitOptions};
use rustix::process::{Pid, Signal, kill_process_group};
use url::Url;

use super::{Options, SourceError, locate, spec::Remote};
use crate::model::{Digest, limits::read_bounded};

/// How often a child and a lock are looked at.
const TICK: Duration = Duration::from_millis(10);
/// What of a child's stderr is kept.
const STDERR_SIZE_BYTES_MAX: usize = 8 << 10;
/// Time between asking a child to end (it removes its lock files) and ending it.
const GRACE: Duration = Duration::from_secs(2);
/// Variables of the caller that reach `git`.
const PASSED: [&str; 12] = [
    "PATH",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// Variables that reach `ssh` besides, for its keys.
const PASSED_TO_SSH: [&str; 3] = ["HOME", "USER", "SSH_AUTH_SOCK"];
/// Asks nobody, and believes no host it does not know.
const SSH: &str = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes";
/// Largest list of a remote's tags.
const TAG_LIST_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Configuration that is ours alone: the system's and the user's are not read.
const CONFIG: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];
/// What a repository without history lists its edge in.
const SHALLOW: &str = "shallow";
/// The ref that one revision is fetched to.
const FETCHED: &str = "refs/reprov/fetched";
/// The ref that the remote's HEAD is fetched to.
const REMOTE_HEAD: &str = "refs/reprov/head";
/// Lock files that a killed `git` leaves; nobody else can hold them while we hold our own lock.
const STALE_LOCKS: [&str; 3] = ["shallow.lock", "packed-refs.lock", "refs/reprov/fetched.lock"];

/// One fetch and its end.
struct Fetch<'a> {
    remote: &'a Remote,
    options: &'a Options<'a>,
    deadline: Instant,
}

/// Fetches `rev` (branch, tag, commit, or an expression such as `main~2`) of `remote`: a bare repository that has it,
/// and the object it names.
///
/// One revision is fetched without history; if the remote cannot do that, or it is an expression, all branches and
/// tags are.
pub(super) fn fetch(
    remote: &Remote,
    rev: &str,
    options: &Options<'_>,
) -> Result<(Repository, Oid), SourceError> {
    let (fetch, dir, _lock) = Fetch::begin(remote, options)?;
    if is_commit_id(rev)
        && let Some(found) = present(&dir, rev)?
    {
        return Ok(found);
    }
    if is_name(rev) && fetch.one(&dir, rev)? {
        let repository = locate::open(&dir)?;
        let id = repository.refname_to_id(FETCHED).map_err(SourceError::git("read what was fetched"))?;
        return Ok((repository, id));
    }
    fetch.all(&dir)?;
    let repository = locate::open(&dir)?;
    let resolve = || {
        repository.set_head_detached(repository.refname_to_id(REMOTE_HEAD)?)?;
        Ok(repository.revparse_single(rev)?.id())
    };
    let place = remote.public.to_string();
    let id = resolve().map_err(|source| SourceError::Rev { rev: rev.to_owned(), place, source })?;
    Ok((repository, id))
}

/// Finds out which tags of `remote` point at `commit`: names without `refs/tags/`, and the ids they have.
pub(super) fn tags(
    remote: &Remote,
    commit: Oid,
    options: &Options<'_>,
) -> Result<Vec<(String, String)>, SourceError> {
    let (fetch, dir, _lock) = Fetch::begin(remote, options)?;
    let listed = fetch.run(&dir, &["ls-remote", "--tags", "--", remote.public.as_str()])?;
    let listed = String::from_utf8_lossy(&listed);
    let lines = || listed.lines().filter_map(|line| line.split_once("\trefs/tags/"));
    let commit = commit.to_string();
    let at: BTreeSet<&str> = lines()
        .filter(|(id, _)| *id == commit)
        // `v1^{}` is what the annotated tag `v1` points at.
        .map(|(_, name)| name.strip_suffix("^{}").unwrap_or(name))
        .collect();
    let found = lines().filter(|(_, name)| at.contains(name));
    Ok(found.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
}

/// Fetches the objects of the tags `names`: the repository that has them then.
pub(super) fn fetch_tags(
    remote: &Remote,
    names: &[&str],
    options: &Options<'_>,
) -> Result<Repository, SourceError> {
    let (fetch, dir, _lock) = Fetch::begin(remote, options)?;
    let refspecs: Vec<String> =
        names.iter().map(|name| format!("+refs/tags/{name}:refs/tags/{name}")).collect();
    let refspecs: Vec<&str> = refspecs.iter().map(String::as_str).collect();
    match fetch.get(&dir, &["--depth=1", "--no-tags"], &refspecs) {
        Err(SourceError::Fetch { .. }) => fetch.get(&dir, &["--no-tags"], &refspecs)?,
        other => other?,
    }
    locate::open(&dir)
}

/// The commit `rev` if it was fetched before.
fn present(dir: &Path, rev: &str) -> Result<Option<(Repository, Oid)>, SourceError> {
    let repository = locate::open(dir)?;
    let id = Oid::from_str(rev).and_then(|id| repository.find_commit(id).map(|commit| commit.id()));
    Ok(id.ok().map(|id| (repository, id)))
}

fn init(dir: &Path) -> Result<(), SourceError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("main");
    Repository::init_opts(dir, &options).map_err(SourceError::git("make a repository in the store"))?;
    for lock in STALE_LOCKS {
        let _ = fs::remove_file(dir.join(lock)); // Mostly there is none.
    }
    Ok(())
}

fn is_commit_id(rev: &str) -> bool {
    rev.len() == 40 && rev.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `rev` can stand in a refspec as it is.
fn is_name(rev: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    rev.starts_with(|c: char| c.is_ascii_alphanumeric()) && rev.chars().all(word) && !rev.contains("..")
}

impl<'a> Fetch<'a> {
    /// Makes and locks the repository of the store that `remote` is fetched into.
    fn begin(remote: &'a Remote, options: &'a Options<'a>) -> Result<(Self, PathBuf, File), SourceError> {
        let fetch = Self { remote, options, deadline: Instant::now() + options.timeout };
        let name = Digest::of(remote.public.as_str().as_bytes()).hex();
        let parent = options.store.root().join("git");
        fs::create_dir_all(&parent).map_err(SourceError::io("create", &parent))?;
        let lock = fetch.lock(&parent.join(format!("{name}.lock")))?;
        let dir = parent.join(name);
        init(&dir)?;
        Ok((fetch, dir, lock))
    }

    /// Fetches one revision without history; whether the remote could.
    fn one(&self, dir: &Path, rev: &str) -> Result<bool, SourceError> {
        match self.get(dir, &["--depth=1", "--no-tags"], &[&format!("+{rev}:{FETCHED}")]) {
            Ok(()) => Ok(true),
            Err(SourceError::Fetch { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn all(&self, dir: &Path) -> Result<(), SourceError> {
        let head = format!("+HEAD:{REMOTE_HEAD}");
        let refspecs = [head.as_str(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let flags: &[&str] =
            if dir.join(SHALLOW).exists() { &["--prune", "--unshallow"] } else { &["--prune"] };
        self.get(dir, flags, &refspecs)
    }

    fn get(&self, dir: &Path, flags: &[&str], refspecs: &[&str]) -> Result<(), SourceError> {
        let fetch = ["fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head"];
        let url = ["--", self.remote.public.as_str()];
        self.run(dir, &[&fetch, flags, &url, refspecs].concat()).map(|_| ())
    }

    /// Runs `git`: what it writes.
    fn run(&self, dir: &Path, args: &[&str]) -> Result<Vec<u8>, SourceError> {
        let mut child = self.command(dir, args).spawn().map_err(SourceError::NoGit)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reader = thread::spawn(move || stderr.map(tail).unwrap_or_default());
        let listed = thread::spawn(move || stdout.map_or(Ok(Vec::new()), list));
        let status = self.wait(&mut child);
        let stderr = reader.join().unwrap_or_default(); // The readers have nothing to panic about.
        let listed = listed.join().unwrap_or(Ok(Vec::new()));
        let status = status?;
        let listed = listed.map_err(SourceError::io("read the tags of", self.url()))?;
        if status.success() { Ok(listed) } else { Err(self.failure(status, &stderr)) }
    }

    fn failure(&self, status: ExitStatus, stderr: &str) -> SourceError {
        let stderr = self.without_secrets(stderr);
        let url = self.url();
        if stderr.contains("mismatched algorithms") {
            return SourceError::ObjectFormat { place: url };
        }
        if stderr.contains("Host key verification failed") {
            return SourceError::HostKey { url, stderr };
        }
        let status = match status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => format!("exit status {}", status.code().unwrap_or_default()),
        };
        SourceError::Fetch { url, status, stderr }
    }

    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(dir)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent");
        let ssh = self.remote.public.scheme() == "ssh";
        for (name, value) in &self.options.env {
            if PASSED.contains(&name.as_str()) || ssh && PASSED_TO_SSH.contains(&name.as_str()) {
                command.env(name, value);
            }
        }
        command
            .env("GIT_DIR", ".")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", self.remote.public.scheme())
            .env("GIT_SSH_COMMAND", SSH)
            .env("LC_ALL", "C");
        if self.remote.secret != self.remote.public.as_str() {
            // Through the environment: arguments are for everyone on this machine to see.
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("url.{}.insteadOf", self.remote.secret))
                .env("GIT_CONFIG_VALUE_0", self.remote.public.as_str());
        }
        command.args(CONFIG.iter().flat_map(|setting| ["-c", setting])).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    /// Waits for `child`; past the deadline its whole process group is ended.
    fn wait(&self, child: &mut Child) -> Result<ExitStatus, SourceError> {
        let failed = SourceError::io("wait for", "git");
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(error) => return Err(failed(error)),
            }
            if let Err(error) = self.pause() {
                end(child);
                return Err(error);
            }
        }
    }

    /// Sleeps for a tick, unless there is no reason to go on.
    fn pause(&self) -> Result<(), SourceError> {
        if self.options.cancel.is_cancelled() {
            return Err(SourceError::Cancelled { url: self.url() });
        }
        if Instant::now() >= self.deadline {
            return Err(SourceError::Timeout { url: self.url(), seconds: self.options.timeout.as_secs() });
        }
        thread::sleep(TICK);
        Ok(())
    }

    /// Holds the repository against other processes until dropped.
    fn lock(&self, path: &Path) -> Result<File, SourceError> {
        let file = File::create(path).map_err(SourceError::io("create", path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => self.pause()?,
                Err(TryLockError::Error(error)) => return Err(SourceError::io("lock", path)(error)),
            }
        }
    }

    fn url(&self) -> String {
        self.remote.public.to_string()
    }

    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.replace(&self.remote.secret, self.remote.public.as_str());
        let url = Url::parse(&self.remote.secret).ok();
        if let Some(secret) = url.as_ref().and_then(Url::password).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
        crate::model::path::printable(&text.trim().replace('\n', "; "))
    }
}

/// Ends the process group of `child`: politely, then for good.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let _ = signal(Signal::TERM); // It may have ended by itself.
    let grace = Instant::now() + GRACE;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < grace {
        thread::sleep(TICK);
    }
    let _ = signal(Signal::KILL); // What is left of the group.
    let _ = child.wait();
}

/// Reads all of `stderr`, keeps its end.
fn tail(mut stderr: impl Read) -> String {
    let mut kept = VecDeque::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        kept.extend(&buffer[..count]);
        kept.drain(..kept.len().saturating_sub(STDERR_SIZE_BYTES_MAX));
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}

/// Reads all of `stdout`, to its bound. Past it, `git` is left without a reader and ends.
fn list(stdout: impl Read) -> std::io::Result<Vec<u8>> {
    read_bounded(stdout, TAG_LIST_SIZE_BYTES_MAX, "the list of tags")
}
