//! Where two contents of one path differ.

use std::ops::Range;

/// Runs of differing words that are kept.
const RUNS_MAX: usize = 256;
/// Bytes kept of each.
const RUN_SIZE_BYTES: usize = 32;
const WORD: usize = 8;

/// Where two contents differ that are too large to be held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// How many bytes differ, byte by byte; what only one has counts.
    pub bytes: u64,
    /// The first places, in order; all of them if `complete`.
    pub runs: Vec<Run>,
    /// Whether `runs` has every place.
    pub complete: bool,
}

/// One place: whole words of eight bytes, one after the other, at most 32 bytes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Bytes from the start of the file, a multiple of eight.
    pub offset: u64,
    /// What is there in the first; shorter than eight only at the end of the file.
    pub a: Vec<u8>,
    /// In the second.
    pub b: Vec<u8>,
}

impl Run {
    /// Where in it the first byte differs.
    pub fn first(&self) -> usize {
        self.a.iter().zip(&self.b).take_while(|(a, b)| a == b).count()
    }

    /// The bytes that differ, from the first to the last of them, as a range of `a` and `b`.
    pub fn differing(&self) -> Range<usize> {
        let same = self.a.iter().rev().zip(self.b.iter().rev()).take_while(|(a, b)| a == b).count();
        self.first()..self.a.len() - same
    }
}

impl Delta {
    pub(super) fn new() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Holds what lies at `at`, a multiple of eight, of both against each other.
    pub(super) fn add(&mut self, at: u64, a: &[u8], b: &[u8]) {
        const STRIDE: usize = 32 * WORD;
        for (index, (a, b)) in a.chunks(STRIDE).zip(b.chunks(STRIDE)).enumerate() {
            if a == b {
                continue;
            }
            let from = at + (index * STRIDE) as u64;
            if self.complete {
                let words = (from..).step_by(WORD).zip(a.chunks(WORD).zip(b.chunks(WORD)));
                words.filter(|(_, (a, b))| a != b).for_each(|(offset, (a, b))| self.word(offset, a, b));
            }
            self.bytes += a.iter().zip(b).map(|(a, b)| u64::from(a != b)).sum::<u64>();
        }
    }

    /// Only one has `bytes` from here on.
    pub(super) fn rest(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.complete &= bytes == 0;
    }

    fn word(&mut self, offset: u64, a: &[u8], b: &[u8]) {
        let full = self.runs.len() >= RUNS_MAX;
        let goes_on = |run: &&mut Run| {
            run.offset + run.a.len() as u64 == offset && run.a.len() + a.len() <= RUN_SIZE_BYTES
        };
        match self.runs.last_mut().filter(goes_on) {
            Some(run) => {
                run.a.extend_from_slice(a);
                run.b.extend_from_slice(b);
            }
            None if full => self.complete = false,
            None => self.runs.push(Run { offset, a: a.to_vec(), b: b.to_vec() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_places() {
        let (mut a, mut b) = (vec![0; 1003], vec![0; 1003]);
        for at in [3, 4, 9, 700, 1002] {
            a[at] = 1;
            b[at] = 2;
        }
        let mut delta = Delta::new();
        delta.add(1 << 40, &a, &b);
        let runs = delta.runs.iter().map(|run| (run.offset - (1 << 40), run.a.len(), run.differing()));
        let runs: Vec<_> = runs.collect();
        assert_eq!(runs, [(0, 16, 3..10), (696, 8, 4..5), (1000, 3, 2..3)]);
        assert_eq!((delta.bytes, delta.complete), (5, true));
        let (ones, twos) = (vec![1; 100_000], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2].repeat(20_000));
        let mut delta = Delta::new();
        delta.add(0, &ones, &twos[..100_000]);
        delta.rest(5);
        assert_eq!((delta.bytes, delta.runs.len(), delta.complete), (9_090 + 5, RUNS_MAX, false));
    }
}
