//! A `.git` of one commit and its tags, for tools in the build that ask git what they build.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use git2::Repository;
use rustix::fs::{Timespec, Timestamps, futimens};

use super::{Checkout, SourceError, export::components, index};

/// Nothing of the machine: no user, no remote, no upkeep. Of a file's state only size and seconds are compared, as the
/// others change whenever it is copied.
const CONFIG: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = false
\tcheckStat = minimal
\ttrustctime = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
";
/// Files are exported as they are, so they are compared as they are.
const ATTRIBUTES: &str = "* -text -eol -ident -filter -working-tree-encoding\n";

impl Checkout {
    /// Writes a `.git` directory to `dest`, inside the build context that [`Checkout::export`] wrote: the commit
    /// without history, HEAD detached at it, the tags that were taken ([`Checkout::take_tags`]), and an index by which
    /// the context is unchanged. All times are the commit's, those of the directory `dest` is in too; equal commits
    /// and tags give equal bytes.
    ///
    /// So `git rev-parse HEAD`, `git status`, `git describe --tags` and what is built on them work; a tag of an earlier
    /// commit is not found, as the history between is not there. Files that `.dockerignore` leaves out count as not
    /// checked out. git refuses a repository of another user; the job sets `safe.directory`
    /// in the environment of the steps.
    ///
    /// # Errors
    /// [`SourceError::GitDirectory`] if the context is not the whole repository, or `.dockerignore` leaves out `.git`;
    /// [`SourceError`].
    pub fn export_git(&self, dest: &Path, context: &str, dockerfile: &str) -> Result<(), SourceError> {
        if components(&self.subdir).chain(components(context)).next().is_some() {
            let reason =
                "the build context is a part of the repository; make it the whole (`context = \".\"`)";
            return Err(SourceError::GitDirectory { reason });
        }
        let ignore = self.ignore(context, dockerfile)?;
        let index = index::index(&self.repository, self.tree, &ignore, self.epoch_s)?;
        let commit = format!("{}\n", self.commit);
        let mut files = vec![
            ("HEAD", commit.as_bytes()),
            ("config", CONFIG.as_bytes()),
            ("index", &index),
            ("info/attributes", ATTRIBUTES.as_bytes()),
        ];
        let found = self.repository.find_commit(self.commit).map_err(SourceError::git("read the commit"))?;
        // From its bytes: in a clone without history libgit2 counts no parents.
        if found.raw_header_bytes().split(|byte| *byte == b'\n').any(|line| line.starts_with(b"parent ")) {
            files.push(("shallow", commit.as_bytes()));
        }
        let tags = self.packed_refs();
        if !self.tags.is_empty() {
            files.push(("packed-refs", tags.as_bytes()));
        }
        let inner = files.iter().map(|(name, _)| *name).chain(["objects/pack/pack-0.pack", "refs/x"]);
        if inner.map(|name| format!(".git/{name}")).any(|path| ignore.excludes(path.as_bytes())) {
            let reason = "`.dockerignore` leaves out `.git` or a part of it; end it with the line `!.git`";
            return Err(SourceError::GitDirectory { reason });
        }
        for dir in ["", "info", "objects", "objects/pack", "objects/info", "refs", "refs/heads", "refs/tags"]
        {
            let dir = dest.join(dir);
            fs::create_dir(&dir).map_err(SourceError::io("create", &dir))?;
        }
        for (name, bytes) in files {
            let path = dest.join(name);
            fs::write(&path, bytes).map_err(SourceError::io("write", &path))?;
        }
        self.write_objects(dest)?;
        self.settle_all(dest)?;
        dest.parent().map_or(Ok(()), |above| self.settle_time(above))
    }

    /// The commit and its tags as one pack with its index.
    fn write_objects(&self, dest: &Path) -> Result<(), SourceError> {
        let failed = SourceError::git;
        let repository = Repository::open_bare(dest).map_err(failed("open the new `.git`"))?;
        let odb = repository.odb().map_err(failed("open the new `.git`"))?;
        let mut writer = odb.packwriter().map_err(failed("write the new `.git`"))?;
        self.pack_alone(&mut writer)?;
        writer.commit().map(|_| ()).map_err(failed("write the new `.git`"))
    }

    fn packed_refs(&self) -> String {
        let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
        for (name, id) in &self.tags {
            text += &format!("{id} refs/tags/{name}\n");
            if *id != self.commit {
                text += &format!("^{}\n", self.commit);
            }
        }
        text
    }

    /// Gives everything in `dir`, and itself, fixed modes and the commit's time.
    fn settle_all(&self, dir: &Path) -> Result<(), SourceError> {
        for entry in fs::read_dir(dir).map_err(SourceError::io("read", dir))? {
            let path = entry.map_err(SourceError::io("read", dir))?.path();
            if path.is_dir() {
                self.settle_all(&path)?;
            } else {
                settle_mode(&path, 0o644)?;
                self.settle_time(&path)?;
            }
        }
        settle_mode(dir, 0o755)?;
        self.settle_time(dir)
    }

    fn settle_time(&self, path: &Path) -> Result<(), SourceError> {
        let seconds = Timespec { tv_sec: self.epoch_s, tv_nsec: 0 };
        let times = Timestamps { last_access: seconds, last_modification: seconds };
        let file = File::open(path).map_err(SourceError::io("open", path))?;
        futimens(file, &times).map_err(SourceError::io("set the time of", path))
    }
}

fn settle_mode(path: &Path, mode: u32) -> Result<(), SourceError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(SourceError::io("set the mode of", path))
}
