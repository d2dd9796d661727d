//! Buildroot images, unpacked once each: `STORE/engine/roots-N/HEX`, for one block of ids and one manifest.

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Bind, BuildrootError, Ids, Tool, Tools,
    allowance::{allowance, bounds},
    cage::{Place, Spec, Task},
    enter::{Ended, enter},
    keep::{remove_trees, run},
    tools::{PATH, new_enough, version},
    tree::ROOT,
    unpack::Unpack,
    workspace::{chown, locked, mount_point},
};
use crate::model::{Descriptor, Digest, Maxima};

/// How long unpacking may take.
const UNPACK_TIMEOUT: Duration = Duration::from_mins(30);

/// An image to build in; its layers are in the store.
#[derive(Debug)]
pub struct RootImage<'a> {
    /// For people.
    pub name: &'a str,
    /// Digest of its manifest: its identity.
    pub manifest: Digest,
    /// Lowest first.
    pub layers: &'a [Descriptor],
}

impl Tools {
    /// Whether the store at `store` has the image unpacked.
    ///
    /// # Errors
    /// Those of finding the ids it is unpacked for.
    pub fn is_unpacked(store: &Path, image: &RootImage<'_>) -> Result<bool, BuildrootError> {
        Ok(Roots::of(store)?.paths(image).0.is_dir())
    }

    /// Engine and runtime of a buildroot image, which is unpacked into the store at `store` (blobs in `blobs`) unless
    /// it is there already.
    ///
    /// # Errors
    /// [`BuildrootError::Image`] if the image cannot be unpacked or holds no engine that can be used.
    pub async fn of_image(
        store: &Path,
        blobs: &Path,
        image: &RootImage<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self, BuildrootError> {
        let roots = Roots::of(store)?;
        let (root, known) = roots.paths(image);
        if let Ok(bytes) = fs::read(&known)
            && let Ok(tools) = serde_json::from_slice::<Self>(&bytes)
            && new_enough(&tools.engine.version).is_ok()
            && root.is_dir()
        {
            return Ok(Self { root: Some(root), ..tools });
        }
        roots.prepare()?;
        let lock = roots.dir.with_extension("lock");
        let locking = tokio::task::spawn_blocking(move || locked(&lock, FlockOperation::LockExclusive));
        let _lock = locking.await.map_err(|error| BuildrootError::Cage(error.to_string()))??;
        if !root.is_dir() {
            roots.unpack(blobs, image, &root, cancel).await?;
        }
        let tools = roots.identify(image, &root, cancel).await?;
        let failed = || BuildrootError::io("write", &known);
        let mut file = tempfile::NamedTempFile::new_in(&roots.engine_dir).map_err(failed())?;
        serde_json::to_writer(&mut file, &tools).map_err(|error| failed()(error.into()))?;
        file.into_temp_path().persist(&known).map_err(|error| failed()(error.error))?;
        Ok(tools)
    }
}

struct Roots {
    engine_dir: PathBuf,
    dir: PathBuf,
    ids: Ids,
}

impl Roots {
    fn of(store: &Path) -> Result<Self, BuildrootError> {
        let (ids, engine_dir) = (Ids::find(store)?, store.join("engine"));
        Ok(Self { dir: engine_dir.join(format!("roots-{}", ids.root().0)), engine_dir, ids })
    }

    /// Of the unpacked image, and of what is known of its programs.
    fn paths(&self, image: &RootImage<'_>) -> (PathBuf, PathBuf) {
        let root = self.dir.join(image.manifest.hex());
        (root.clone(), root.with_extension("json"))
    }

    fn prepare(&self) -> Result<(), BuildrootError> {
        fs::create_dir_all(&self.dir).map_err(BuildrootError::io("create", &self.dir))?;
        self.open_up(&self.dir)
    }

    /// Lets the cage's root write there and everybody of the cage read.
    fn open_up(&self, dir: &Path) -> Result<(), BuildrootError> {
        let public = fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
        public.map_err(BuildrootError::io("open up", dir))?;
        if let Ids::Root { start } = self.ids {
            chown(dir, start, start, false).map_err(BuildrootError::io("give to the buildroot", dir))?;
        }
        Ok(())
    }

    async fn unpack(
        &self,
        blobs: &Path,
        image: &RootImage<'_>,
        root: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), BuildrootError> {
        let part = root.with_extension("part");
        remove_trees(&self.engine_dir, std::slice::from_ref(&self.ids), std::slice::from_ref(&part)).await?;
        fs::create_dir(&part).map_err(BuildrootError::io("create", &part))?;
        self.open_up(&part)?;
        let layer = |layer: &Descriptor| {
            let file = format!("{ROOT}/blobs/{}", layer.digest.hex());
            (PathBuf::from(file), layer.media_type.clone())
        };
        let layers = image.layers.iter().map(layer).collect();
        let spec = Spec {
            unprivileged: matches!(self.ids, Ids::User { .. }),
            mount: mount_point()?,
            place: Place::default(),
            programs: PathBuf::from("/"),
            binds: vec![Bind::readonly(blobs, "blobs"), Bind::writable(&part, "root")],
            listen: false,
            loopback: false,
            task: Task::Unpack(Unpack { layers, into: PathBuf::from(format!("{ROOT}/root")) }),
            bounds: None,
            varied: Vec::new(),
            env: Vec::new(),
        };
        let mut said = String::new();
        let ended = enter(spec, &self.ids).await?.wait(sleep(UNPACK_TIMEOUT), cancel, |line| {
            said.push_str(&String::from_utf8_lossy(line));
            Ok(())
        });
        let ended = ended.await;
        if matches!(ended, Ok(Ended::Exited(0))) {
            return fs::rename(&part, root).map_err(BuildrootError::io("rename", part));
        }
        remove_trees(&self.engine_dir, std::slice::from_ref(&self.ids), std::slice::from_ref(&part)).await?;
        match ended? {
            _ if cancel.is_cancelled() => Err(BuildrootError::Cancelled),
            Ended::TimedOut => Err(unusable(image, "it is not unpacked after 30 minutes")),
            _ => Err(unusable(image, &format!("it cannot be unpacked: {said}"))),
        }
    }

    /// Finds the programs, and asks them which version they are.
    async fn identify(
        &self,
        image: &RootImage<'_>,
        root: &Path,
        cancel: &CancellationToken,
    ) -> Result<Tools, BuildrootError> {
        let limits = Some(bounds(&allowance(&self.engine_dir, &Maxima::default())?));
        let failed = BuildrootError::io("open", root);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut found = Vec::new();
        for name in ["buildah", "runc"] {
            let missing = || unusable(image, &format!("it has no `{name}` on the path {PATH}"));
            found.push((name, within(&fd, name).ok_or_else(missing)?));
        }
        let mut tools = Vec::new();
        for (name, (path, file)) in found {
            let plan = [vec![path.to_string_lossy().into_owned(), "--version".to_owned()]];
            let said = run(&self.engine_dir, &self.ids, root, Vec::new(), limits.clone(), cancel, &plan)
                .await
                .map_err(|error| unusable(image, &format!("its {name} does not run: {error}")))?;
            let digest = Digest::of_reader(file).map_err(BuildrootError::io("read", &path))?;
            tools.push(Tool { name: name.to_owned(), version: version(&said), path, digest });
        }
        let (Some(runtime), Some(engine)) = (tools.pop(), tools.pop()) else {
            return Err(unusable(image, "it has no engine"));
        };
        if let Err(required) = new_enough(&engine.version) {
            let why = format!("its buildah {} is too old; {required} or later is needed", engine.version);
            return Err(unusable(image, &why));
        }
        Ok(Tools { engine, runtime, root: Some(root.to_owned()) })
    }
}

fn unusable(image: &RootImage<'_>, why: &str) -> BuildrootError {
    BuildrootError::Image { image: image.name.to_owned(), why: why.trim().to_owned() }
}

/// The file of `program` on [`PATH`] in the root `fd`, as named there, and open; links do not lead out.
fn within(fd: &OwnedFd, program: &str) -> Option<(PathBuf, fs::File)> {
    PATH.split(':').find_map(|dir| {
        let path = Path::new(dir).join(program);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat2(fd, &path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
        let file = fs::File::from(file);
        file.metadata().is_ok_and(|found| found.is_file()).then_some((path, file))
    })
}
