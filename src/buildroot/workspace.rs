//! The directories of one build: what the cage sees, made before it and removed after it.
//!
//! `STORE/engine/` holds `builds/ID` (private, one per build), `bases-N` (base images shared by all builds of one
//! block of ids with the host's engine; `bases-N-HEX` with a buildroot image's), `roots-N` (such images, unpacked) and the
//! shim. All of it may be deleted while nothing runs.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{AtFlags, FlockOperation, Gid, Uid};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Bind, BuildrootError, Gate, Ids, Profile, Tools,
    allowance::bounds,
    cage::{Spec, Task},
    enter::{Ended, enter},
    keep::remove_trees,
    steps::Announcements,
    tools::PATH,
    vary::Varied,
};
use crate::{
    engine::{COMMITTED, Command},
    model::{Allowance, Digest, Variations},
};

/// The shim, compiled by the build script.
const SHIM: &[u8] = include_bytes!(env!("REPROV_SHIM_BINARY"));
/// Directories that every Linux host has; on one of them the cage's root is put together, unseen by anybody else.
const MOUNTS: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// One build's directory, and how to enter the cage with it.
#[derive(Debug)]
pub struct Workspace {
    dir: PathBuf,
    engine_dir: PathBuf,
    /// Held while the build lives: others remove what is not locked.
    _lock: File,
    ids: Ids,
    tools: Tools,
    mount: PathBuf,
    shim: PathBuf,
    blobs: PathBuf,
    bounds: Option<String>,
    varied: Varied,
}

impl Workspace {
    /// Makes the directory of a new build in the store at `store` (whose blobs are in `blobs`), and removes what
    /// killed builds left.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn create(
        store: &Path,
        blobs: PathBuf,
        ids: Ids,
        tools: Tools,
    ) -> Result<Self, BuildrootError> {
        let engine_dir = store.join("engine");
        let builds = engine_dir.join("builds");
        fs::create_dir_all(&builds).map_err(BuildrootError::io("create", &builds))?;
        let shim = install_shim(&engine_dir)?;
        let mount = mount_point()?;
        let (dir, lock) = claim(&builds)?;
        let (bounds, varied) = (None, Varied::default());
        let workspace = Self { dir, engine_dir, _lock: lock, ids, tools, mount, shim, blobs, bounds, varied };
        workspace.make_directories()?;
        workspace.remove_leftovers(&builds).await;
        Ok(workspace)
    }

    /// Watches, from now on, that what runs inside stays within `allowance`.
    #[must_use]
    pub fn within(self, allowance: &Allowance) -> Self {
        Self { bounds: Some(bounds(allowance)), ..self }
    }

    /// Does, from now on, as `variations` say.
    ///
    /// # Errors
    /// If the kernel's own files cannot be read.
    pub fn varied(self, variations: &Variations) -> Result<Self, BuildrootError> {
        Ok(Self { varied: Varied::of(variations)?, ..self })
    }

    fn make_directories(&self) -> Result<(), BuildrootError> {
        let inner = ["context", "profile/gw", "store", COMMITTED, "run", "tmp", "home", "lowered"]
            .map(|name| self.dir.join(name));
        for dir in inner.iter().chain([&self.bases()]) {
            fs::create_dir_all(dir).map_err(BuildrootError::io("create", dir))?;
        }
        for dir in [&self.dir, &self.bases()] {
            let public = fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
            public.map_err(BuildrootError::io("open up", dir))?;
        }
        self.give(&self.bases(), false)
    }

    /// The build's directory on the host; the cage sees it as `ROOT/build`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the build's directories are inside the cage.
    #[must_use]
    pub fn root(&self) -> String {
        self.varied.place.root.clone()
    }

    /// The engine's file.
    #[must_use]
    pub fn engine_program(&self) -> String {
        self.tools.engine.path.to_string_lossy().into_owned()
    }

    /// Whether the programs are an image's.
    #[must_use]
    pub fn of_image(&self) -> bool {
        self.tools.root.is_some()
    }

    /// The engine and its version, for people.
    #[must_use]
    pub fn engine_name(&self) -> String {
        format!("{} {}", self.tools.engine.name, self.tools.engine.version)
    }

    fn bases(&self) -> PathBuf {
        // What one buildroot's engine wrote is not read by another's: an image may lie.
        let whose = self.tools.root.as_deref().and_then(Path::file_name).map(|root| root.to_string_lossy());
        let whose = whose.map(|root| format!("-{root}")).unwrap_or_default();
        self.engine_dir.join(format!("bases-{}{whose}", self.ids.label()))
    }

    /// Writes what the shim injects.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_profile(&self, profile: &Profile) -> Result<(), BuildrootError> {
        profile.write(&self.dir.join("profile"), &self.tools.runtime.path, &self.varied)
    }

    /// Has steps ask before they begin; after [`Workspace::write_profile`], before [`Workspace::hand_over`].
    ///
    /// # Errors
    /// Those of the disk.
    pub fn gate(&self) -> Result<Gate, BuildrootError> {
        Gate::make(&self.dir.join("profile"))
    }

    /// Writes secrets where the engine reads them and no step can: only the cage's root may, and what a step mounts
    /// must lie elsewhere.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_secrets<'a>(&self, secrets: impl Iterator<Item = &'a [u8]>) -> Result<(), BuildrootError> {
        let dir = self.dir.join("secrets");
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(BuildrootError::io("create", &dir))?;
        for (index, bytes) in secrets.enumerate() {
            write(&dir.join(index.to_string()), bytes, 0o400)?;
        }
        Ok(())
    }

    /// Where the cage sees the secret number `index`.
    #[must_use]
    pub fn secret(&self, index: usize) -> String {
        format!("{}/build/secrets/{index}", self.root())
    }

    /// Gives everything in the build's directory to the cage's root, if that is another user than ours.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn hand_over(&self) -> Result<(), BuildrootError> {
        self.give(&self.dir, true)
    }

    fn give(&self, path: &Path, recursive: bool) -> Result<(), BuildrootError> {
        if matches!(self.ids, Ids::User { .. }) {
            return Ok(());
        }
        let (uid, gid) = self.ids.root();
        chown(path, uid, gid, recursive).map_err(BuildrootError::io("give to the buildroot", path))
    }

    /// What a cage that runs `plan` looks like; with `load` it may write to the base store, and sees these blobs.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn spec(&self, plan: &[Command], listen: bool, load: &[Digest]) -> Result<Spec, BuildrootError> {
        write_plan(&self.dir, plan)?;
        let bases = Bind { source: self.bases(), target: "bases".into(), readonly: load.is_empty() };
        let mut binds = vec![Bind::readonly(&self.shim, "shim"), Bind::writable(&self.dir, "build"), bases];
        let blob = |digest: &Digest| Bind::readonly(self.blobs.join(digest.hex()), &blob_name(digest));
        binds.extend(load.iter().map(blob));
        let unprivileged = matches!(self.ids, Ids::User { .. });
        let (mount, plan) = (self.mount.clone(), PathBuf::from(format!("{}/build/plan", self.root())));
        let programs = self.tools.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        let (task, bounds, env) = (Task::Run(plan), self.bounds.clone(), self.engine_env(listen));
        let Varied { place, init: varied, .. } = self.varied.clone();
        // Only the cage that runs steps is another.
        let varied = if listen { varied } else { Vec::new() };
        let loopback = false;
        Ok(Spec { unprivileged, mount, place, programs, binds, listen, loopback, task, bounds, varied, env })
    }

    fn engine_env(&self, listen: bool) -> Vec<(String, String)> {
        let root = self.root();
        let at = |path: &str| format!("{root}/build/{path}");
        let mut env = vec![
            ("PATH", PATH.to_owned()),
            ("LANG", self.varied.lang.unwrap_or("C.UTF-8").to_owned()),
            ("TZ", "UTC".to_owned()),
            ("HOME", at("home")),
            ("TMPDIR", at("tmp")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("REPROV_SHIM", at("profile")),
            ("CONTAINERS_CONF", at("profile/containers.conf")),
            ("CONTAINERS_REGISTRIES_CONF", at("profile/registries.conf")),
            ("REGISTRIES_CONFIG_PATH", at("profile/registries.conf")),
            ("CONTAINERS_STORAGE_CONF", at("profile/storage.conf")),
        ];
        if listen {
            // The engine fetches too (`ADD https://…`), through the same gateway.
            let proxy = format!("http://127.0.0.1:{}", super::GATEWAY_PORT);
            env.extend(
                ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|key| (key, proxy.clone())),
            );
            env.push(("SSL_CERT_FILE", at("profile/gw/ca.pem")));
        }
        env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Locks the shared base store for loading; other builds wait. Dropping the file unlocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn lock_bases(&self) -> Result<File, BuildrootError> {
        let path = self.bases().with_extension("lock");
        let locking = tokio::task::spawn_blocking(move || locked(&path, FlockOperation::LockExclusive));
        locking.await.map_err(|error| BuildrootError::Cage(error.to_string()))?
    }

    /// Whether the base store has an image under the name `local`.
    #[must_use]
    pub fn has_base(&self, local: &str) -> bool {
        // Written only after the engine said that image and name are there, under the lock.
        self.bases().join(format!("{}.loaded", local.rsplit(':').next().unwrap_or(local))).exists()
    }

    /// Remembers that [`Workspace::has_base`] holds from now on.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_base(&self, local: &str) -> Result<(), BuildrootError> {
        // The engine may write there too: a link of its own is not followed.
        let path = self.bases().join(format!("{}.loaded", local.rsplit(':').next().unwrap_or(local)));
        match File::create_new(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(BuildrootError::io("create", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// The shim's announcements, from the first.
    #[must_use]
    pub fn announcements(&self) -> Announcements {
        Announcements::of(&self.dir)
    }

    /// Removes the build's directory.
    ///
    /// # Errors
    /// If something of it cannot be removed.
    pub async fn remove(self) -> Result<(), BuildrootError> {
        self.remove_tree(&self.dir.clone()).await
    }

    async fn remove_tree(&self, dir: &Path) -> Result<(), BuildrootError> {
        // What a killed build left may be another block's.
        let ids = match self.ids {
            Ids::Root { .. } => Vec::new(),
            Ids::User { .. } if dir == self.dir => vec![self.ids.clone()],
            Ids::User { .. } => Ids::all(self.engine_dir.parent().unwrap_or(&self.engine_dir)),
        };
        remove_trees(&self.engine_dir, &ids, &[dir.to_owned()]).await?;
        let lock = dir.with_extension("lock");
        fs::remove_file(&lock).map_err(BuildrootError::io("remove", &lock))
    }

    /// Removes the directories of builds whose process is gone; what cannot be removed stays for the next time.
    async fn remove_leftovers(&self, builds: &Path) {
        for (dir, _lock) in stale(builds).unwrap_or_default() {
            let _ = self.remove_tree(&dir).await;
        }
    }

    /// Runs `plan` in a cage without network; its whole output goes to `each_line`.
    ///
    /// # Errors
    /// Those of entering and waiting.
    pub async fn run(
        &self,
        plan: &[Command],
        load: &[Digest],
        cancel: &CancellationToken,
        each_line: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Ended, BuildrootError> {
        let cage = enter(self.spec(plan, false, load)?, &self.ids).await?;
        cage.wait(sleep(Duration::from_hours(1)), cancel, each_line).await
    }

    /// Where a cage that loads bases sees a blob.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> String {
        format!("{}/{}", self.root(), blob_name(digest))
    }

    /// The block of ids in use.
    #[must_use]
    pub fn ids(&self) -> &Ids {
        &self.ids
    }
}

/// Writes a plan for the cage's init as `DIR/plan`: words that end with NUL, commands that end with an empty word. An
/// engine may have written to `dir` before: what it put there is taken away, not followed.
pub(super) fn write_plan(dir: &Path, plan: &[Command]) -> Result<(), BuildrootError> {
    let mut bytes = Vec::new();
    for command in plan {
        for word in command {
            bytes.extend_from_slice(word.as_bytes());
            bytes.push(0);
        }
        bytes.push(0);
    }
    let path = dir.join("plan");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BuildrootError::io("remove", &path)(error));
        }
        _ => {}
    }
    let mut file = File::create_new(&path).map_err(BuildrootError::io("create", &path))?;
    let written =
        file.set_permissions(fs::Permissions::from_mode(0o644)).and_then(|()| file.write_all(&bytes));
    written.map_err(BuildrootError::io("write", path))
}

/// What a blob is called in a cage that loads bases.
fn blob_name(digest: &Digest) -> String {
    format!("blob-{}", digest.hex())
}

/// Where a cage's root can be put together.
pub(super) fn mount_point() -> Result<PathBuf, BuildrootError> {
    let found = MOUNTS.iter().map(PathBuf::from).find(|path| path.is_dir());
    found.ok_or_else(|| BuildrootError::Cage("none of /mnt, /media, /srv, /opt exists".into()))
}

/// The shim's file in `engine_dir`, written if it is not there yet.
pub(super) fn install_shim(engine_dir: &Path) -> Result<PathBuf, BuildrootError> {
    let path = engine_dir.join(format!("shim-{}", Digest::of(SHIM).short()));
    if path.exists() {
        return Ok(path);
    }
    let fail = |error| BuildrootError::io("install the shim as", &path)(error);
    let mut file = tempfile::NamedTempFile::new_in(engine_dir).map_err(fail)?;
    file.write_all(SHIM).map_err(fail)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o755)).map_err(fail)?;
    file.into_temp_path().persist(&path).map_err(|error| fail(error.error))?;
    Ok(path)
}

/// A new build's directory and its lock. Nobody looks for leftovers between the two.
fn claim(builds: &Path) -> Result<(PathBuf, File), BuildrootError> {
    let _all = locked(&builds.with_extension("lock"), FlockOperation::LockExclusive)?;
    let made = tempfile::Builder::new().prefix("b-").tempdir_in(builds);
    let dir = made.map_err(BuildrootError::io("create a directory in", builds))?.keep();
    let lock = locked(&dir.with_extension("lock"), FlockOperation::NonBlockingLockExclusive)?;
    Ok((dir, lock))
}

/// Directories and locks that no process holds, now locked by us.
fn stale(builds: &Path) -> Result<Vec<(PathBuf, File)>, BuildrootError> {
    let _all = lock_claims(builds)?;
    Ok(unheld(builds)?.0)
}

/// While this lives, no build begins.
pub(super) fn lock_claims(builds: &Path) -> Result<File, BuildrootError> {
    locked(&builds.with_extension("lock"), FlockOperation::LockExclusive)
}

/// Directories and locks that no process holds, now locked by us, and how many are held; under [`lock_claims`].
pub(super) fn unheld(builds: &Path) -> Result<(Vec<(PathBuf, File)>, usize), BuildrootError> {
    let entries = fs::read_dir(builds).map_err(BuildrootError::io("read", builds))?;
    let dirs: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path().with_extension("")).collect();
    let count = dirs.len();
    let lock = |dir: PathBuf| {
        let lock = locked(&dir.with_extension("lock"), FlockOperation::NonBlockingLockExclusive);
        lock.ok().map(|lock| (dir, lock))
    };
    let unheld: Vec<_> = dirs.into_iter().filter_map(lock).collect();
    let held = count - unheld.len();
    Ok((unheld, held))
}

pub(super) fn locked(path: &Path, how: FlockOperation) -> Result<File, BuildrootError> {
    let file =
        File::options().create(true).append(true).open(path).map_err(BuildrootError::io("open", path))?;
    rustix::fs::flock(&file, how).map_err(|error| BuildrootError::io("lock", path)(error.into()))?;
    Ok(file)
}

pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), BuildrootError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(BuildrootError::io("create", parent))?;
    }
    fs::write(path, bytes).map_err(BuildrootError::io("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(BuildrootError::io("set the mode of", path))
}

pub(super) fn chown(path: &Path, uid: u32, gid: u32, recursive: bool) -> io::Result<()> {
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(rustix::fs::CWD, path, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    if recursive && fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            chown(&entry?.path(), uid, gid, true)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_process_holds_is_stale() {
        let engine = tempfile::tempdir().unwrap();
        let builds = engine.path().join("builds");
        fs::create_dir(&builds).unwrap();
        let (mine, lock) = claim(&builds).unwrap();
        let (gone, killed) = claim(&builds).unwrap();
        drop(killed);
        fs::write(builds.join("b-orphan.lock"), "").unwrap();
        fs::create_dir(builds.join("b-unlocked")).unwrap();
        let found = || -> Vec<PathBuf> { stale(&builds).unwrap().into_iter().map(|(dir, _)| dir).collect() };
        let mut expected = vec![gone, builds.join("b-orphan"), builds.join("b-unlocked")];
        expected.sort();
        assert_eq!(found(), expected);
        drop(lock);
        assert!(found().contains(&mine));
    }
}
