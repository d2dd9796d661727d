//! What a replay does otherwise on purpose (docs/variation.md), as far as the cage does it, and what of it can be done
//! here.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use rustix::thread::{CpuSet, sched_getaffinity};

use super::{BuildrootError, Ids, cage::Place, sys};
use crate::model::{Variation, Variations, vary};

/// Where the build's directories are if their path is varied; as with [`super::tree::ROOT`], no image has it.
pub(super) const ROOT: &str = "/.reprov-elsewhere";

/// What is changed of one build's cage.
#[derive(Debug, Clone, Default)]
pub(super) struct Varied {
    /// Its names.
    pub(super) place: Place,
    /// Words for init (`src/shim/vary.rs`).
    pub(super) init: Vec<String>,
    /// What steps see instead of the kernel's files: name in the profile's `views`, text (`src/shim/view.rs`).
    pub(super) views: Vec<(&'static str, String)>,
    /// The engine's language.
    pub(super) lang: Option<&'static str>,
}

impl Varied {
    /// What of `variations` the cage does.
    ///
    /// # Errors
    /// If the kernel's own files cannot be read.
    pub(super) fn of(variations: &Variations) -> Result<Self, BuildrootError> {
        let mut varied = Self::default();
        for variation in variations.iter() {
            match variation {
                Variation::Hostname => vary::HOSTNAME.clone_into(&mut varied.place.hostname),
                Variation::Path => ROOT.clone_into(&mut varied.place.root),
                Variation::Locale => varied.lang = Some(vary::LANG),
                Variation::Cpus => {
                    let cpu = one_of(&cpus());
                    varied.init.push(format!("cpu={cpu}"));
                    let read = |path: &'static str| {
                        fs::read_to_string(path).map_err(BuildrootError::io("read", path))
                    };
                    varied.views = vec![
                        ("cpuinfo", cpuinfo_of(&read("/proc/cpuinfo")?, cpu)),
                        ("stat", stat_of(&read("/proc/stat")?, cpu)),
                        ("cpus", format!("{cpu}\n")),
                    ];
                }
                Variation::Time(_) | Variation::Uid => {} // Of the steps' profile; of the workspace's ids.
                Variation::Kernel => {
                    varied.init.push(format!("kernel={}={}", vary::RELEASE, vary::VERSION));
                }
                Variation::Order | Variation::Aslr => varied.init.push(variation.name().to_owned()),
            }
        }
        Ok(varied)
    }
}

/// Whether this machine and user can do `variation` in the store at `store`; if not, why.
///
/// # Errors
/// The reason, a sentence without the user's name.
pub fn possible(variation: Variation, store: &Path) -> Result<(), String> {
    let refuse = |refused: bool, why: &str| if refused { Err(why.to_owned()) } else { Ok(()) };
    match variation {
        Variation::Hostname | Variation::Locale | Variation::Path | Variation::Time(_) => Ok(()),
        Variation::Cpus => {
            refuse(cpus().len() < 2, "this machine has one processor, or gives one to this process")
        }
        Variation::Uid => Ids::another(store).map(drop).map_err(|error| super::with_causes(&error)),
        Variation::Order | Variation::Kernel => match sys::can_answer_for_calls() {
            Ok(()) => Ok(()),
            Err(error) => Err(format!(
                "the kernel lets no process answer for another's system calls (seccomp_unotify, Linux 5.19): {error}"
            )),
        },
        Variation::Aslr => {
            let text = fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap_or_default();
            refuse(text.trim() == "0", "this machine's addresses are not random (kernel.randomize_va_space)")
        }
    }
}

/// The processors this process may use.
fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_: rustix::io::Errno| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Replays at the same time take turns, not all the same one.
fn one_of(cpus: &[usize]) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Relaxed).checked_rem(cpus.len());
    next.map_or(0, |index| cpus[index])
}

/// `/proc/cpuinfo` with one processor.
fn cpuinfo_of(text: &str, cpu: usize) -> String {
    let named = |block: &&str| {
        let first = block.lines().next().and_then(|line| line.split_once(':'));
        first.is_some_and(|(key, value)| key.trim() == "processor" && value.trim().parse() == Ok(cpu))
    };
    let numbered = |block: &&str| block.starts_with("processor");
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let kept: Vec<&str> = blocks.filter(|block| !numbered(block) || named(block)).collect();
    kept.iter().map(|block| format!("{}\n\n", block.trim_end())).collect()
}

/// `/proc/stat` with one processor; a moment that stands still.
fn stat_of(text: &str, cpu: usize) -> String {
    let other = |line: &&str| {
        let name = line.split(' ').next().and_then(|name| name.strip_prefix("cpu"));
        name.is_some_and(|number| !number.is_empty() && number.parse() != Ok(cpu))
    };
    text.lines().filter(|line| !other(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_processor_is_shown() {
        let text =
            "processor\t: 0\nmodel\t: a\n\nprocessor\t: 1\nmodel\t: b\n\nprocessor\t: 10\n\nHardware\t: x\n";
        assert_eq!(cpuinfo_of(text, 1), "processor\t: 1\nmodel\t: b\n\nHardware\t: x\n\n");
        assert_eq!(stat_of("cpu  9\ncpu0 4\ncpu1 5\ncpu10 5\nintr 0\n", 1), "cpu  9\ncpu1 5\nintr 0\n");
        let machine = fs::read_to_string("/proc/cpuinfo").unwrap();
        assert_eq!(cpuinfo_of(&machine, cpus()[0]).matches("processor\t").count(), 1);
    }

    #[test]
    fn turns_are_taken() {
        let taken: std::collections::BTreeSet<usize> = (0..64).map(|_| one_of(&[3, 5])).collect();
        assert_eq!(taken, [3, 5].into());
        assert_eq!(one_of(&[]), 0);
    }

    #[test]
    fn what_is_not_possible_says_why() {
        let store = tempfile::tempdir().unwrap();
        for variation in Variation::all() {
            if let Err(why) = possible(variation, store.path()) {
                assert!(!why.is_empty() && !why.contains('\n'), "{variation}: {why}");
            }
        }
        assert_eq!(possible(Variation::Hostname, store.path()), Ok(()));
    }

    #[test]
    fn init_is_told_what_is_its_part() {
        let varied = Varied::of(&"all".parse().unwrap()).unwrap();
        assert_eq!(varied.place.hostname, vary::HOSTNAME);
        assert_eq!((varied.place.root.as_str(), varied.lang), (ROOT, Some(vary::LANG)));
        let names: Vec<_> = varied.init.iter().map(|word| word.split('=').next().unwrap()).collect();
        assert_eq!(names, ["cpu", "order", "kernel", "aslr"]);
        let plain = Varied::of(&Variations::default()).unwrap();
        assert!(
            plain.init.is_empty() && plain.views.is_empty() && plain.place.root == super::super::tree::ROOT
        );
    }
}
