//! Subordinate ids: which 65,536 user and group ids the cage's ids are mapped to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::BuildrootError;

/// How many ids a container has: 0 to 65,535.
pub(super) const IDS: u32 = 65_536;

/// A block of ids, and how it is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Started by root: all of the cage's ids are subordinate; real root is not among them.
    Root {
        /// First host id of the block (users and groups alike).
        start: u32,
    },
    /// Started by an ordinary user: the cage's root is the user, the rest subordinate.
    User {
        /// The user.
        uid: u32,
        /// The user's group.
        gid: u32,
        /// First subordinate user id.
        uid_start: u32,
        /// First subordinate group id.
        gid_start: u32,
    },
}

impl Ids {
    /// Finds the block for the calling user; for root: root's line in /etc/subuid, else a free block recorded in the
    /// store.
    ///
    /// # Errors
    /// [`BuildrootError::NoSubids`] with the line that fixes it.
    pub fn find(store: &Path) -> Result<Self, BuildrootError> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let uids = lines(Path::new("/etc/subuid"));
        let gids = lines(Path::new("/etc/subgid"));
        let name = user_name(uid);
        if uid != 0 {
            let find = |all: &[Line]| own(all, &name, uid).map(|line| line.start);
            return match (find(&uids), find(&gids)) {
                (Some(uid_start), Some(gid_start)) => Ok(Self::User { uid, gid, uid_start, gid_start }),
                _ => Err(BuildrootError::NoSubids { user: name }),
            };
        }
        let same = own(&uids, "root", 0).zip(own(&gids, "root", 0)).filter(|(u, g)| u.start == g.start);
        if let Some((line, _)) = same {
            return Ok(Self::Root { start: line.start });
        }
        free_block(&uids, &gids, store).map(|start| Self::Root { start })
    }

    /// The host user and group ids of the cage's root.
    #[must_use]
    pub fn root(&self) -> (u32, u32) {
        match self {
            Self::Root { start } => (*start, *start),
            Self::User { uid, gid, .. } => (*uid, *gid),
        }
    }

    /// Lines of `uid_map` and `gid_map`: (inside, outside, count).
    #[must_use]
    pub fn maps(&self) -> [Vec<(u32, u32, u32)>; 2] {
        match self {
            Self::Root { start } => [vec![(0, *start, IDS)], vec![(0, *start, IDS)]],
            Self::User { uid, gid, uid_start, gid_start } => {
                [vec![(0, *uid, 1), (1, *uid_start, IDS - 1)], vec![(0, *gid, 1), (1, *gid_start, IDS - 1)]]
            }
        }
    }
}

struct Line {
    owner: String,
    start: u32,
    count: u32,
}

fn lines(path: &Path) -> Vec<Line> {
    let parse = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?.to_owned();
        Some(Line { owner, start: fields.next()?.parse().ok()?, count: fields.next()?.trim().parse().ok()? })
    };
    fs::read_to_string(path).unwrap_or_default().lines().filter_map(parse).collect()
}

fn own<'a>(all: &'a [Line], name: &str, uid: u32) -> Option<&'a Line> {
    let uid = uid.to_string();
    all.iter().find(|line| (line.owner == name || line.owner == uid) && line.count >= IDS)
}

/// The name of `uid` in /etc/passwd, else the number.
pub(super) fn user_name(uid: u32) -> String {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let wanted = uid.to_string();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    });
    found.unwrap_or(wanted)
}

/// A block above every block somebody else has; remembered, since the store's files belong to it.
fn free_block(uids: &[Line], gids: &[Line], store: &Path) -> Result<u32, BuildrootError> {
    let file: PathBuf = store.join("engine/subids");
    let fail = |source: io::Error| BuildrootError::Io {
        action: "record subordinate ids in",
        path: file.clone(),
        source,
    };
    if let Ok(text) = fs::read_to_string(&file)
        && let Ok(start) = text.trim().parse()
    {
        return Ok(start);
    }
    let end = uids.iter().chain(gids).map(|line| line.start.saturating_add(line.count)).max().unwrap_or(0);
    let start = end.max(524_288).next_multiple_of(IDS);
    fs::create_dir_all(store.join("engine")).map_err(fail)?;
    fs::write(&file, format!("{start}\n")).map_err(fail)?;
    Ok(start)
}
