//! Where two contents of one path differ.

/// Runs of differing bytes that are kept.
const RUNS_MAX: usize = 64;
/// Bytes kept of each.
const RUN_SIZE_BYTES: usize = 16;
/// Equal bytes between two differences that are one run.
const GAP_BYTES: u64 = 4;

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

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// How many bytes it is long.
    pub bytes: u64,
    /// The first of them, in both.
    pub a: Vec<u8>,
    /// Likewise.
    pub b: Vec<u8>,
}

impl Delta {
    pub(super) fn new() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Holds what lies at `at` of both against each other.
    pub(super) fn add(&mut self, at: u64, a: &[u8], b: &[u8]) {
        const STRIDE: usize = 256;
        for (index, (a, b)) in a.chunks(STRIDE).zip(b.chunks(STRIDE)).enumerate() {
            if a == b {
                continue;
            }
            let from = at + (index * STRIDE) as u64;
            if !self.complete {
                self.bytes += a.iter().zip(b).map(|(a, b)| u64::from(a != b)).sum::<u64>();
                continue;
            }
            for (offset, (a, b)) in (from..).zip(a.iter().zip(b)).filter(|(_, (a, b))| a != b) {
                self.byte(offset, *a, *b);
            }
        }
    }

    /// Only one has `bytes` from `at` on.
    pub(super) fn rest(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.complete &= bytes == 0;
    }

    fn byte(&mut self, offset: u64, a: u8, b: u8) {
        self.bytes += 1;
        let full = self.runs.len() >= RUNS_MAX;
        let near = |run: &&mut Run| offset - (run.offset + run.bytes) <= GAP_BYTES;
        match self.runs.last_mut().filter(near) {
            Some(run) => {
                let next = run.offset + run.bytes;
                run.bytes = offset + 1 - run.offset;
                // Shown is what lies together.
                if next == offset && run.a.len() < RUN_SIZE_BYTES && run.a.len() as u64 == offset - run.offset
                {
                    run.a.push(a);
                    run.b.push(b);
                }
            }
            None if full => self.complete = false,
            None => self.runs.push(Run { offset, bytes: 1, a: vec![a], b: vec![b] }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_places() {
        let (mut a, mut b) = (vec![0; 1000], vec![0; 1000]);
        for at in [3, 4, 9, 700] {
            a[at] = 1;
            b[at] = 2;
        }
        let mut delta = Delta::new();
        delta.add(1 << 40, &a, &b);
        let runs: Vec<_> =
            delta.runs.iter().map(|run| (run.offset - (1 << 40), run.bytes, run.a.len())).collect();
        assert_eq!((delta.bytes, runs, delta.complete), (4, vec![(3, 7, 2), (700, 1, 1)], true));
        let (ones, twos) = (vec![1; 100_000], [1, 1, 1, 1, 1, 1, 2].repeat(20_000));
        let mut delta = Delta::new();
        delta.add(0, &ones, &twos[..100_000]);
        delta.rest(5);
        assert_eq!((delta.bytes, delta.runs.len(), delta.complete), (14_285 + 5, RUNS_MAX, false));
    }
}
