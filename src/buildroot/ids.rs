//! Subordinate ids: which 65,536 user and group ids the cage's ids are mapped to.

use std::{fs, io, path::Path};

use super::BuildrootError;

/// How many ids a container has: 0 to 65,535.
pub const IDS: u32 = 65_536;

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
        /// Whether these are not the ones that [`Ids::find`] finds.
        another: bool,
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
            let find = |all: &[Line]| blocks(all, &name, uid).next();
            return match (find(&uids), find(&gids)) {
                (Some(uid_start), Some(gid_start)) => {
                    Ok(Self::User { uid, gid, uid_start, gid_start, another: false })
                }
                _ => Err(no_subids(name, &uids, &gids)),
            };
        }
        let first = blocks(&uids, "root", 0).next().zip(blocks(&gids, "root", 0).next());
        if let Some((start, _)) = first.filter(|(uid_start, gid_start)| uid_start == gid_start) {
            return Ok(Self::Root { start });
        }
        free_block(&uids, &gids, &store.join(RECORD)).map(|start| Self::Root { start })
    }

    /// Another block than [`Ids::find`]'s: the caller's next one; for root else a free one, recorded in the store too.
    ///
    /// # Errors
    /// [`BuildrootError::OneBlock`] with the line that fixes it; those of [`Ids::find`].
    pub fn another(store: &Path) -> Result<Self, BuildrootError> {
        let (mut uids, gids) = (lines(Path::new("/etc/subuid")), lines(Path::new("/etc/subgid")));
        match Self::find(store)? {
            Self::User { uid, gid, .. } => {
                let name = user_name(uid);
                let second = |all: &[Line]| blocks(all, &name, uid).nth(1);
                match (second(&uids), second(&gids)) {
                    (Some(uid_start), Some(gid_start)) => {
                        Ok(Self::User { uid, gid, uid_start, gid_start, another: true })
                    }
                    _ => Err(one_block(&uids, &gids)),
                }
            }
            Self::Root { start } => {
                let of_groups: Vec<u32> = blocks(&gids, "root", 0).collect();
                let other = |found: &u32| *found != start && of_groups.contains(found);
                if let Some(start) = blocks(&uids, "root", 0).find(other) {
                    return Ok(Self::Root { start });
                }
                uids.push(Line { owner: "root".into(), start, count: IDS });
                free_block(&uids, &gids, &store.join(ANOTHER_RECORD)).map(|start| Self::Root { start })
            }
        }
    }

    /// Every block the caller's builds in the store at `store` may have used.
    #[must_use]
    pub fn all(store: &Path) -> Vec<Self> {
        [Self::find(store), Self::another(store)].into_iter().flatten().collect()
    }

    /// Names the block in the store: what builds share belongs to its ids.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::User { uid, uid_start, another: true, .. } => format!("{uid}.{uid_start}"),
            ids => ids.root().0.to_string(),
        }
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
            Self::User { uid, gid, uid_start, gid_start, .. } => {
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

/// First ids of the blocks that a user's lines have room for.
fn blocks<'a>(all: &'a [Line], name: &'a str, uid: u32) -> impl Iterator<Item = u32> + 'a {
    let uid = uid.to_string();
    let own = all.iter().filter(move |line| line.owner == name || line.owner == uid);
    own.flat_map(|line| (0..line.count / IDS).map_while(|index| line.start.checked_add(index * IDS)))
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

fn no_subids(user: String, uids: &[Line], gids: &[Line]) -> BuildrootError {
    match free_start(FIRST_OF_USERS, uids, gids) {
        Some(start) => BuildrootError::NoSubids { user, free: format!("{start}-{}", start + (IDS - 1)) },
        None => no_free_ids(),
    }
}

fn one_block(uids: &[Line], gids: &[Line]) -> BuildrootError {
    match free_start(FIRST_OF_USERS, uids, gids) {
        Some(start) => BuildrootError::OneBlock { free: format!("{start}-{}", start + (IDS - 1)) },
        None => no_free_ids(),
    }
}

fn no_free_ids() -> BuildrootError {
    BuildrootError::Cage("/etc/subuid and /etc/subgid leave no block of 65,536 ids free".into())
}

/// Where useradd(8) starts.
const FIRST_OF_USERS: u32 = 100_000;
/// Above what useradd(8) gives to people on any but huge machines.
const FIRST_OF_ROOT: u32 = 524_288;

/// In the store: root's block, and the one of varied replays.
const RECORD: &str = "engine/subids";
const ANOTHER_RECORD: &str = "engine/subids-another";

/// A block nobody else has; remembered, since the store's files belong to it, for as long as nobody is given it.
fn free_block(uids: &[Line], gids: &[Line], file: &Path) -> Result<u32, BuildrootError> {
    let fail = |source: io::Error| BuildrootError::Io {
        action: "record subordinate ids in",
        path: file.to_owned(),
        source,
    };
    let recorded = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    if let Some(start) = recorded.filter(|start| *start >= FIRST_OF_ROOT && is_free(*start, uids, gids)) {
        return Ok(start);
    }
    let start = free_start(FIRST_OF_ROOT, uids, gids).ok_or_else(no_free_ids)?;
    fs::create_dir_all(file.parent().unwrap_or(file)).map_err(fail)?;
    fs::write(file, format!("{start}\n")).map_err(fail)?;
    Ok(start)
}

fn free_start(first: u32, uids: &[Line], gids: &[Line]) -> Option<u32> {
    let blocks = std::iter::successors(Some(first), |start| start.checked_add(IDS));
    blocks.take_while(|start| *start < LAST_START).find(|start| is_free(*start, uids, gids))
}

/// Ids from 2³¹ on trouble programs that take them for negative numbers.
const LAST_START: u32 = (1 << 31) - IDS;

fn is_free(start: u32, uids: &[Line], gids: &[Line]) -> bool {
    let end = u64::from(start) + u64::from(IDS);
    let apart = |line: &Line| {
        end <= u64::from(line.start) || u64::from(line.start) + u64::from(line.count) <= u64::from(start)
    };
    uids.iter().chain(gids).all(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(start: u32, count: u32) -> Line {
        Line { owner: "somebody".into(), start, count }
    }

    #[test]
    fn a_free_block_is_between_or_above_what_others_have() {
        let check = |lines: &[(u32, u32)], expected: Option<u32>| {
            let lines: Vec<_> = lines.iter().map(|(start, count)| line(*start, *count)).collect();
            assert_eq!(free_start(FIRST_OF_ROOT, &lines, &[]), expected);
            assert_eq!(free_start(FIRST_OF_ROOT, &[], &lines), expected);
        };
        check(&[], Some(524_288));
        check(&[(100_000, 65_536)], Some(524_288));
        check(&[(524_287, 1)], Some(524_288));
        check(&[(524_287, 2)], Some(589_824));
        check(&[(524_288, 65_536), (655_360, 65_536)], Some(589_824));
        check(&[(4_294_900_000, 67_295)], Some(524_288));
        check(&[(100_000, u32::MAX)], None);
    }

    #[test]
    fn a_recorded_block_stays_until_somebody_is_given_it() {
        let store = tempfile::tempdir().unwrap();
        let free = |uids: &[Line]| free_block(uids, &[], &store.path().join(RECORD)).unwrap();
        assert_eq!(free(&[line(524_288, 65_536)]), 589_824);
        assert_eq!(free(&[]), 589_824);
        assert_eq!(free(&[line(600_000, 65_536)]), 524_288);
        fs::write(store.path().join("engine/subids"), "0\n").unwrap();
        assert_eq!(free(&[]), 524_288);
    }

    #[test]
    fn a_user_has_as_many_blocks_as_lines_have_room_for() {
        let line = |owner: &str, start, count| Line { owner: owner.into(), start, count };
        let all = [
            line("a", 100_000, 65_536),
            line("b", 165_536, 65_536),
            line("7", 300_000, 140_000),
            line("a", 9, 65_535),
        ];
        assert_eq!(blocks(&all, "a", 7).collect::<Vec<_>>(), [100_000, 300_000, 365_536]);
        assert_eq!(blocks(&all, "b", 8).collect::<Vec<_>>(), [165_536]);
        assert_eq!(blocks(&all, "c", 9).count(), 0);
    }
}
