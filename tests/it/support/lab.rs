//! A directory where one test works: sources, keys, stores, and the user who runs the program.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::Duration,
};

use tempfile::TempDir;

use super::{Base, Process, Ran, Registry, fixtures, must, root, user::User};

/// Closed to others (0700), as a home directory would be.
#[derive(Debug)]
pub(crate) struct Lab {
    dir: TempDir,
    user: Option<User>,
}

/// Longer than any build here takes; a run that hangs must fail, not hold up the rest.
const RUN_TIME_MAX: Duration = Duration::from_mins(10);

impl Lab {
    /// For whoever runs the tests.
    pub(crate) fn new() -> Self {
        Self::of(None)
    }

    /// For an ordinary user: another one if root runs the tests.
    pub(crate) fn ordinary() -> Self {
        static USER: LazyLock<User> = LazyLock::new(User::find_or_make);
        Self::of(root().then(|| USER.clone()))
    }

    /// For a user who cannot build; only root can become one.
    pub(crate) fn without_subordinate_ids() -> Option<Self> {
        root().then(|| Self::of(Some(User::nobody())))
    }

    fn of(user: Option<User>) -> Self {
        // Not /tmp: an overlay on a tmpfs needs a newer kernel than one on a disk.
        let dir = tempfile::Builder::new().prefix("reprov-it-").tempdir_in("/var/tmp").unwrap();
        let lab = Self { dir, user };
        lab.give(lab.dir.path());
        lab.reprov(&["key", "generate", "--out", &lab.path("signer")]).exits(0);
        lab
    }

    /// The lab's user, if it is not whoever runs the tests.
    pub(crate) fn user_name(&self) -> &str {
        self.user.as_ref().map_or("root", |user| &user.name)
    }

    /// Gives `path` to the lab's user.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid), Some(user.gid)).unwrap();
        }
    }

    /// A path in the lab.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A command of the lab's user, with little in its environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match &self.user {
            Some(user) => user.command(program),
            None => Command::new(program),
        };
        command.env_clear().current_dir(self.dir.path()).env("HOME", self.dir.path());
        command.env("CONTAINERS_REGISTRIES_CONF", "/dev/null"); // Not what this machine calls short names.
        let wanted =
            |name: &str| name == "PATH" || name == "SSL_CERT_FILE" || name.to_lowercase().ends_with("_proxy");
        for (name, value) in std::env::vars().filter(|(name, _)| wanted(name)) {
            command.env(name, value);
        }
        command
    }

    /// The program under test, where the lab's user can reach it.
    pub(crate) fn program(&self) -> &'static str {
        static SHARED: LazyLock<String> = LazyLock::new(|| {
            let uid = rustix::process::geteuid().as_raw();
            let dir = PathBuf::from(format!("/var/tmp/reprov-fixtures-{uid}/bin"));
            fs::create_dir_all(&dir).unwrap();
            // Another checkout's tests may run at the same time.
            let name = format!(
                "reprov-{}",
                reprov::model::Digest::of(env!("CARGO_BIN_EXE_reprov").as_bytes()).short()
            );
            // Written by a child: a file that this process has open for writing, and so whatever other tests start just
            // then, cannot be run.
            let part = dir.join(format!("{name}-{}", std::process::id()));
            must(Command::new("cp").arg(env!("CARGO_BIN_EXE_reprov")).arg(&part));
            fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&part, dir.join(&name)).unwrap();
            dir.join(name).to_str().unwrap().to_owned()
        });
        if self.user.is_some() { &SHARED } else { env!("CARGO_BIN_EXE_reprov") }
    }

    /// Runs the program.
    pub(crate) fn reprov(&self, args: &[&str]) -> Ran {
        let mut command = self.command(self.program());
        command.args(args);
        Self::run(command)
    }

    /// Runs any command for at most ten minutes.
    pub(crate) fn run(command: Command) -> Ran {
        let shown = format!("{command:?}");
        let output = assert_cmd::Command::from_std(command).timeout(RUN_TIME_MAX).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { command: shown, code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// A git repository of one commit with the files of `fixtures/NAME`.
    pub(crate) fn fixture(&self, name: &str) -> PathBuf {
        let from = fixtures(name);
        self.commit(name, |dir| drop(must(Command::new("cp").arg("-rT").arg(&from).arg(dir))))
    }

    /// A git repository of one commit with these files.
    pub(crate) fn source(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        self.commit(name, |dir| {
            for (path, text) in files {
                let path = dir.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        })
    }

    /// A git repository of one commit with what `fill` puts there.
    pub(crate) fn commit(&self, name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        fill(&dir);
        must(Command::new(fixtures("repository")).arg(&dir));
        if let Some(user) = &self.user {
            must(Command::new("chown").args(["-R", &format!("{}:{}", user.uid, user.gid)]).arg(&dir));
        }
        dir
    }

    /// Builds `source` with the lab's store and key, JSON on standard output; the fixtures' bases come from
    /// `registry`.
    pub(crate) fn build(&self, registry: &Registry, source: &Path, to: &str, more: &[&str]) -> Ran {
        Self::run(self.building(registry, source, to, more))
    }

    /// The command of [`Lab::build`].
    pub(crate) fn building(&self, registry: &Registry, source: &Path, to: &str, more: &[&str]) -> Command {
        let (store, key) = (self.path("store"), self.path("signer.key"));
        let mut args = vec!["build", source.to_str().unwrap(), "--tag", to, "--store", &store];
        args.extend(json(more));
        if !more.contains(&"--no-sign") {
            args.extend(["--key", &key]);
        }
        let swaps = swaps(registry, source);
        for swap in &swaps {
            args.extend(["--from", swap]);
        }
        args.extend(more);
        let mut command = self.command(self.program());
        command.args(args);
        command
    }

    /// Rebuilds `image` with a store that is empty (unless `more` names one), JSON on standard output.
    pub(crate) fn rebuild(&self, image: &str, more: &[&str]) -> Ran {
        let store = tempfile::Builder::new().prefix("empty-").tempdir_in(self.dir.path()).unwrap().keep();
        self.give(&store);
        let key = self.path("signer.pub");
        let mut args = vec!["rebuild", image];
        args.extend(json(more));
        if !more.contains(&"--store") {
            args.extend(["--store", store.to_str().unwrap()]);
        }
        if !more.contains(&"--trust") && !more.contains(&"--insecure-skip-verify") {
            args.extend(["--trust", &key]);
        }
        args.extend(more);
        self.reprov(&args)
    }

    /// What a run left behind: mounts, processes and build directories under the lab.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = self.running();
        let builds =
            fs::read_dir(self.dir.path().join("store/engine/builds")).into_iter().flatten().flatten();
        found.extend(builds.map(|entry| entry.path().display().to_string()));
        found
    }

    /// What runs under the lab, or is mounted anywhere from it.
    pub(crate) fn running(&self) -> Vec<String> {
        Process::naming(self.dir.path().to_str().unwrap())
    }
}

/// JSON, unless `more` says otherwise.
fn json(more: &[&str]) -> &'static [&'static str] {
    if more.contains(&"--format") { &[] } else { &["--format", "json"] }
}

/// `--from` values for the bases that the Dockerfile names.
fn swaps(registry: &Registry, source: &Path) -> Vec<String> {
    let dockerfile = fs::read(source.join("Dockerfile")).unwrap_or_default();
    let text = String::from_utf8_lossy(&dockerfile);
    let named = Base::ALL.iter().filter(|base| text.contains(base.written()));
    named.map(|base| format!("{}={}", base.written(), base.used(registry))).collect()
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !root() {
            // Stores hold files of the user's subordinate ids.
            let stores = ["--map-auto", "--map-root-user", "find"];
            let inside = ["-mindepth", "1", "-delete"];
            let _ = Command::new("unshare").args(stores).arg(self.dir.path()).args(inside).output();
        }
    }
}
