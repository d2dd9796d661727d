//! What init does otherwise for a varied replay (docs/variation.md), before it runs anything; all that it starts
//! inherits it.

use std::os::raw::{c_int, c_ulong};

use super::answer::{self, Wanted};

unsafe extern "C" {
    fn sched_setaffinity(pid: c_int, size: usize, mask: *const u64) -> c_int;
    fn personality(persona: c_ulong) -> c_int;
}

/// Processors that a mask has room for, as glibc's `cpu_set_t`.
const CPUS_MAX: usize = 1024;
const ADDR_NO_RANDOMIZE: c_ulong = 0x0040_0000;
/// Asks [`personality`] what it is.
const ASK: c_ulong = 0xffff_ffff;

/// Does as the words say: `cpu=N` (run on that processor alone), `aslr` (addresses are not random), `order` and
/// `kernel=RELEASE=VERSION`, which are for [`super::answer`].
pub fn apply(words: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for word in words {
        let applied = match word.split_once('=').unwrap_or((word, "")) {
            ("cpu", number) => {
                number.parse().ok().and_then(mask).map_or(Err("it is no processor".into()), run_on)
            }
            ("aslr", "") => fix_addresses(),
            ("order", "") => {
                wanted.order = true;
                Ok(())
            }
            ("kernel", names) => match names.split_once('=') {
                Some((release, version)) => {
                    wanted.kernel = Some((release.to_owned(), version.to_owned()));
                    Ok(())
                }
                None => Err("it has no name and version".into()),
            },
            _ => Err("init does not know it".into()),
        };
        applied.map_err(|why: String| format!("cannot vary `{word}`: {why}"))?;
    }
    Ok(wanted)
}

fn mask(cpu: usize) -> Option<[u64; CPUS_MAX / 64]> {
    let mut mask = [0; CPUS_MAX / 64];
    *mask.get_mut(cpu / 64)? |= 1 << (cpu % 64);
    Some(mask)
}

fn run_on(mask: [u64; CPUS_MAX / 64]) -> Result<(), String> {
    // SAFETY: the kernel reads `size` bytes of a live mask; 0 is this thread, from which all others come.
    failed(unsafe { sched_setaffinity(0, size_of_val(&mask), mask.as_ptr()) })?;
    answer::keep_affinity()
}

fn fix_addresses() -> Result<(), String> {
    // SAFETY: no memory is involved.
    let before = unsafe { personality(ASK) };
    failed(before)?;
    // SAFETY: likewise.
    failed(unsafe { personality(before as c_ulong | ADDR_NO_RANDOMIZE) })
}

fn failed(result: c_int) -> Result<(), String> {
    if result < 0 { Err(std::io::Error::last_os_error().to_string()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_one_processor() {
        let set = |cpu| mask(cpu).map(|mask| mask.iter().map(|word| word.count_ones()).sum::<u32>());
        assert_eq!([set(0), set(65), set(1023), set(1024)], [Some(1), Some(1), Some(1), None]);
        assert_eq!(mask(65).unwrap()[1], 2);
    }

    #[test]
    fn what_init_does_not_know_is_an_error() {
        for word in ["x", "cpu", "cpu=x", "cpu=99999", "aslr=1", "kernel", "kernel=1", "order=1"] {
            assert!(apply(&[word.to_owned()]).is_err(), "{word}");
        }
    }
}
