//! What builds share and leave behind in `STORE/engine`: measured and removed, whoever owns it.
//!
//! An ordinary user's builds leave files of subordinate ids, some in directories closed to everybody else. Such trees
//! are reached from inside a cage that maps these ids.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Bind, BuildrootError, Ids,
    cage::{Place, Spec, Task},
    enter::{Ended, enter},
    tools::PATH,
    tree::ROOT,
    workspace::{chown, install_shim, lock_claims, mount_point, unheld, write_plan},
};
use crate::{
    engine::Command,
    store::{Piece, size_of},
};

/// How long measuring or removing may take.
const TIMEOUT: Duration = Duration::from_mins(30);
/// Most of what is kept of what programs say.
const SAID_SIZE_BYTES_MAX: usize = 1 << 20;

/// `STORE/engine`, in which no build begins as long as this lives.
#[derive(Debug)]
pub struct Quarters {
    engine_dir: PathBuf,
    ids: Vec<Ids>,
    _claims: Option<File>,
    leftovers: Vec<(PathBuf, File)>,
    running: usize,
}

impl Quarters {
    /// Looks at the builds in the store at `store`; the directory need not exist.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(store: &Path) -> Result<Self, BuildrootError> {
        let engine_dir = store.join("engine");
        let builds = engine_dir.join("builds");
        let (claims, (leftovers, running)) = if builds.is_dir() {
            (Some(lock_claims(&builds)?), unheld(&builds)?)
        } else {
            (None, (Vec::new(), 0))
        };
        // Root reaches everything; a user without subordinate ids has made nothing that needs them.
        let root = rustix::process::geteuid().is_root();
        let ids = if root { Vec::new() } else { Ids::all(store) };
        Ok(Self { engine_dir, ids, _claims: claims, leftovers, running })
    }

    /// How many builds run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether `build` is the directory of a build whose process is gone.
    #[must_use]
    pub fn is_leftover(&self, build: &Path) -> bool {
        self.leftovers.iter().any(|(dir, _)| dir == build)
    }

    /// Directories of all builds, running or not.
    ///
    /// # Errors
    /// If they cannot be measured.
    pub async fn builds(&self) -> Result<Vec<Piece>, BuildrootError> {
        let dirs = names(&self.engine_dir.join("builds"), |name| name.starts_with("b-"))?;
        self.measure(dirs.into_iter().filter(|path| path.is_dir()).collect()).await
    }

    /// Stores of base images, and unpacked buildroots.
    ///
    /// # Errors
    /// If they cannot be measured.
    pub async fn bases(&self) -> Result<Vec<Piece>, BuildrootError> {
        let dirs = names(&self.engine_dir, |name| name.starts_with("bases-") || name.starts_with("roots-"))?;
        self.measure(dirs.into_iter().filter(|path| path.is_dir()).collect()).await
    }

    /// The shim, of this release and of others.
    ///
    /// # Errors
    /// If they cannot be measured.
    pub async fn shims(&self) -> Result<Vec<Piece>, BuildrootError> {
        self.measure(names(&self.engine_dir, |name| name.starts_with("shim-"))?).await
    }

    /// Removes pieces found here, and their locks.
    ///
    /// # Errors
    /// If one cannot be removed; what came before it is gone.
    pub async fn remove(&self, pieces: &[Piece]) -> Result<(), BuildrootError> {
        let paths: Vec<PathBuf> = pieces.iter().map(|piece| piece.path.clone()).collect();
        remove_trees(&self.engine_dir, &self.ids, &paths).await?;
        for path in paths {
            gone(fs::remove_file(path.with_extension("lock"))).map_err(BuildrootError::io("remove", path))?;
        }
        Ok(())
    }

    /// Removes the directory itself, once nothing but locks and the record of ids is left; other files stay.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn remove_rest(&self) -> Result<(), BuildrootError> {
        let builds = self.engine_dir.join("builds");
        let mut files =
            names(&builds, |name| name.starts_with("b-") && name.strip_suffix(".lock").is_some())?;
        files.extend(names(&self.engine_dir, |name| {
            name == "subids"
                || name == "subids-another"
                || name == "builds.lock"
                || (name.starts_with("bases-") || name.starts_with("roots-"))
                    && name.strip_suffix(".lock").is_some()
        })?);
        for file in files {
            gone(fs::remove_file(&file)).map_err(BuildrootError::io("remove", file))?;
        }
        // What was cut off while it wrote the shim or a plan.
        remove_trees(&self.engine_dir, &[], &names(&self.engine_dir, |name| name.starts_with(".tmp"))?)
            .await?;
        for dir in [builds, self.engine_dir.clone()] {
            let _ = fs::remove_dir(dir); // Not empty: there is something in it that is not ours.
        }
        Ok(())
    }

    async fn measure(&self, paths: Vec<PathBuf>) -> Result<Vec<Piece>, BuildrootError> {
        let sized = paths.clone();
        let sizing = tokio::task::spawn_blocking(move || sized.iter().map(|path| size_of(path)).collect());
        let sizes: io::Result<Vec<u64>> =
            sizing.await.map_err(|error| BuildrootError::Cage(error.to_string()))?;
        let sizes = match sizes {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !self.ids.is_empty() => {
                self.measure_inside(&paths).await?
            }
            sizes => sizes.map_err(BuildrootError::io("measure", &self.engine_dir))?,
        };
        Ok(paths.into_iter().zip(sizes).map(|(path, size_bytes)| Piece { path, size_bytes }).collect())
    }

    async fn measure_inside(&self, paths: &[PathBuf]) -> Result<Vec<u64>, BuildrootError> {
        if let Ok(sizes) = self.measure_with_any(paths).await {
            return Ok(sizes);
        }
        let mut sizes = Vec::new();
        for path in paths {
            sizes.extend(self.measure_with_any(std::slice::from_ref(path)).await?);
        }
        Ok(sizes)
    }

    /// With the first block of ids that reaches all of `paths`.
    async fn measure_with_any(&self, paths: &[PathBuf]) -> Result<Vec<u64>, BuildrootError> {
        let mut failed = None;
        for ids in &self.ids {
            match self.measure_with(ids, paths).await {
                Err(error) => failed = Some(error),
                sizes => return sizes,
            }
        }
        failed.map_or(Ok(Vec::new()), Err)
    }

    async fn measure_with(&self, ids: &Ids, paths: &[PathBuf]) -> Result<Vec<u64>, BuildrootError> {
        let words = ["du", "-s", "-b", "--"].map(str::to_owned).into_iter();
        let command = words.chain(paths.iter().map(|path| inside(&self.engine_dir, path))).collect();
        let said = run_here(&self.engine_dir, ids, &[command]).await?;
        let sizes =
            said.lines().map_while(|line| line.split('\t').next()?.parse().ok()).collect::<Vec<u64>>();
        if sizes.len() == paths.len() { Ok(sizes) } else { Err(BuildrootError::Cage(said)) }
    }
}

/// Removes `paths`, which lie in `engine_dir`; an ordinary user's with the ids of the cage, one block after the other.
pub(super) async fn remove_trees(
    engine_dir: &Path,
    ids: &[Ids],
    paths: &[PathBuf],
) -> Result<(), BuildrootError> {
    let here: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    let mut refused = None;
    for ids in ids.iter().filter(|ids| matches!(ids, Ids::User { .. })) {
        let dirs = here.iter().filter(|path| path.is_dir()).map(|path| inside(engine_dir, path));
        let words: Vec<String> = ["rm", "-rf", "--"].map(str::to_owned).into_iter().chain(dirs).collect();
        if words.len() > 3 {
            refused = run_here(engine_dir, ids, &[words]).await.err();
        }
    }
    if let Some(error) = refused.filter(|_| here.iter().any(|path| path.is_dir())) {
        return Err(error);
    }
    for path in here {
        let removed = path.clone();
        let removing = tokio::task::spawn_blocking(move || {
            if removed.is_dir() { fs::remove_dir_all(removed) } else { fs::remove_file(removed) }
        });
        let removed = removing.await.map_err(io::Error::other).and_then(gone);
        removed.map_err(BuildrootError::io("remove", path))?;
    }
    Ok(())
}

/// Nothing to remove is as good as removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The name that `path` has in a cage of [`run`].
fn inside(engine_dir: &Path, path: &Path) -> String {
    let rest = path.strip_prefix(engine_dir).unwrap_or(path);
    format!("{ROOT}/engine/{}", rest.display())
}

/// Runs `plan` with the host's programs in a cage that sees all of `engine_dir`; what it said.
async fn run_here(engine_dir: &Path, ids: &Ids, plan: &[Command]) -> Result<String, BuildrootError> {
    let binds = vec![Bind::writable(engine_dir, "engine")];
    run(engine_dir, ids, Path::new("/"), binds, None, &CancellationToken::new(), plan).await
}

/// Runs `plan` with the programs of the root `programs` in a cage without network, within `bounds`; the first it said.
pub(super) async fn run(
    engine_dir: &Path,
    ids: &Ids,
    programs: &Path,
    mut binds: Vec<Bind>,
    bounds: Option<String>,
    cancel: &CancellationToken,
    plan: &[Command],
) -> Result<String, BuildrootError> {
    let work =
        tempfile::tempdir_in(engine_dir).map_err(BuildrootError::io("create a directory in", engine_dir))?;
    write_plan(work.path(), plan)?;
    if let Ids::Root { start } = ids {
        let given = chown(work.path(), *start, *start, true);
        given.map_err(BuildrootError::io("give to the buildroot", work.path()))?;
    }
    let shim = install_shim(engine_dir)?;
    binds.extend([Bind::readonly(shim, "shim"), Bind::readonly(work.path(), "work")]);
    let spec = Spec {
        unprivileged: matches!(ids, Ids::User { .. }),
        mount: mount_point()?,
        place: Place::default(),
        programs: programs.to_owned(),
        binds,
        listen: false,
        loopback: false,
        task: Task::Run(PathBuf::from(format!("{ROOT}/work/plan"))),
        bounds,
        varied: Vec::new(),
        env: vec![("PATH".to_owned(), PATH.to_owned()), ("LC_ALL".to_owned(), "C".to_owned())],
    };
    let mut said = String::new();
    let ended = enter(spec, ids).await?.wait(sleep(TIMEOUT), cancel, |line| {
        if said.len() < SAID_SIZE_BYTES_MAX {
            said.push_str(&String::from_utf8_lossy(line));
        }
        Ok(())
    });
    match ended.await? {
        Ended::Exited(0) => Ok(said),
        Ended::Cancelled => Err(BuildrootError::Cancelled),
        Ended::Exceeded(exceeded) => Err(BuildrootError::Cage(exceeded.to_string())),
        _ => Err(BuildrootError::Cage(said.trim().to_owned())),
    }
}

/// Paths in `dir` whose names are wanted, in order; none if there is no such directory.
fn names(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, BuildrootError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(BuildrootError::io("read", dir))?,
    };
    let names = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&wanted));
    Ok(names.map(|entry| entry.path()).collect::<BTreeSet<_>>().into_iter().collect())
}
