//! The limits of a build on this machine: what the caller chose, else a share of what there is.

use std::path::Path;

use super::{BuildrootError, enter::Ended};
use crate::{
    host::memory,
    model::{
        Allowance, Exceeded, Limit, Maxima,
        limits::{
            DISK_RESERVE_BYTES, FILES_RESERVE, INPUTS_SIZE_BYTES_MAX, MEMORY_RESERVE_BYTES, PROCESSES_MAX,
            RESERVE_SHARE,
        },
    },
};

/// What a build in the store at `store` may use: of memory three quarters of the machine's if nothing is chosen, of
/// disk all but a reserve.
///
/// # Errors
/// If the disk does not say what there is.
pub fn allowance(store: &Path, chosen: &Maxima) -> Result<Allowance, BuildrootError> {
    let memory_bytes = memory().total_bytes;
    let space = rustix::fs::statvfs(store);
    let space = space.map_err(|error| BuildrootError::io("measure the disk of", store)(error.into()))?;
    let disk_bytes = space.f_blocks.saturating_mul(space.f_frsize);
    Ok(Allowance {
        memory_bytes: chosen.memory_bytes.unwrap_or(memory_bytes / 4 * 3),
        memory_reserve_bytes: MEMORY_RESERVE_BYTES.min(memory_bytes / RESERVE_SHARE),
        disk_bytes: chosen.disk_bytes,
        disk_reserve_bytes: DISK_RESERVE_BYTES.min(disk_bytes / RESERVE_SHARE),
        files: chosen.files,
        // A disk that makes them as it needs says that it has none.
        files_reserve: FILES_RESERVE.min(space.f_files / RESERVE_SHARE),
        inputs_bytes: chosen.inputs_bytes.unwrap_or(INPUTS_SIZE_BYTES_MAX),
        processes: PROCESSES_MAX,
    })
}

/// The bounds as the cage's init reads them.
pub(super) fn bounds(allowance: &Allowance) -> String {
    let or_none = |bound: Option<u64>| bound.map_or_else(|| "-".to_owned(), |bound| bound.to_string());
    let of_machine =
        [allowance.memory_reserve_bytes, allowance.disk_reserve_bytes, allowance.files_reserve].map(Some);
    let of_build =
        [Some(allowance.memory_bytes), Some(allowance.processes), allowance.disk_bytes, allowance.files];
    [of_build.as_slice(), &of_machine].concat().into_iter().map(or_none).collect::<Vec<_>>().join(",")
}

/// What init said of the bound that was passed, after its `X`.
pub(super) fn exceeded(said: &str) -> Option<Ended> {
    let mut words = said.lines().next()?.split(' ');
    let name = words.next()?;
    let limit = Limit::ALL.into_iter().find(|limit| limit.name() == name)?;
    let (allowed, found) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Ended::Exceeded(Exceeded { limit, allowed, found }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_wins_over_the_share() {
        let chosen =
            Maxima { memory_bytes: Some(1), disk_bytes: Some(2), files: Some(4), inputs_bytes: Some(3) };
        let store = Path::new("/");
        let found = allowance(store, &chosen).unwrap();
        assert_eq!((found.memory_bytes, found.disk_bytes, found.inputs_bytes), (1, Some(2), 3));
        assert_eq!(found.files, Some(4));
        assert!(found.memory_reserve_bytes > 0 && found.disk_reserve_bytes > 0);
        let found = allowance(store, &Maxima::default()).unwrap();
        assert_eq!((found.disk_bytes, found.files, found.inputs_bytes), (None, None, INPUTS_SIZE_BYTES_MAX));
        assert!(found.memory_bytes > found.memory_reserve_bytes, "{found:?}");
    }

    #[test]
    fn init_and_reprov_understand_each_other() {
        let chosen = Maxima { memory_bytes: Some(1), ..Maxima::default() };
        let allowance = allowance(Path::new("/"), &chosen).unwrap();
        let with_disk = Allowance { disk_bytes: Some(7), files: Some(8), ..allowance };
        for allowance in [allowance, with_disk] {
            assert!(super::super::shim::watch::Bounds::parse(&bounds(&allowance)).is_some());
        }
        let expected = Exceeded { limit: Limit::MemoryReserve, allowed: 1, found: 2 };
        assert_eq!(exceeded("memory-reserve 1 2\nmemory 3 4\n"), Some(Ended::Exceeded(expected)));
        for said in ["", "memory 1", "memory 1 x", "love 1 2"] {
            assert_eq!(exceeded(said), None, "{said}");
        }
    }
}
