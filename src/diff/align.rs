//! Which layer of one image stands beside which of the other.

use crate::model::Digest;

/// Pairs what is the same in both, in order (a longest common subsequence), and what lies between one by one; who is left over
/// stands alone. By index where that pairs as many that are the same.
pub(super) fn align(a: &[Digest], b: &[Digest]) -> Vec<[Option<usize>; 2]> {
    let equal = |(one, other): &(&Digest, &Digest)| one == other;
    let by_index = a.iter().zip(b).filter(equal).count();
    // `lengths[i][j]`: how many are the same in `a[i..]` and `b[j..]`.
    let mut lengths = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            let skipped = lengths[i + 1][j].max(lengths[i][j + 1]);
            lengths[i][j] = if a[i] == b[j] { skipped.max(lengths[i + 1][j + 1] + 1) } else { skipped };
        }
    }
    if a.len() == b.len() && lengths[0][0] == by_index {
        return (0..a.len()).map(|index| [Some(index); 2]).collect();
    }
    let (mut pairs, mut i, mut j) = (Vec::new(), 0, 0);
    let mut gap = [0, 0];
    while i < a.len() && j < b.len() && lengths[i][j] > 0 {
        if a[i] == b[j] && lengths[i][j] == lengths[i + 1][j + 1] + 1 {
            between(&mut pairs, gap, [i, j]);
            pairs.push([Some(i), Some(j)]);
            (i, j) = (i + 1, j + 1);
            gap = [i, j];
        } else if lengths[i + 1][j] == lengths[i][j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    between(&mut pairs, gap, [a.len(), b.len()]);
    pairs
}

fn between(pairs: &mut Vec<[Option<usize>; 2]>, from: [usize; 2], to: [usize; 2]) {
    let counts = [to[0] - from[0], to[1] - from[1]];
    for at in 0..counts[0].max(counts[1]) {
        pairs.push([0, 1].map(|side| (at < counts[side]).then_some(from[side] + at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, expected: &str) {
        let digests = |text: &str| text.bytes().map(|byte| Digest::of(&[byte])).collect::<Vec<_>>();
        let letter = |text: &str, at: Option<usize>| at.map_or('-', |at| text.as_bytes()[at].into());
        let pairs = align(&digests(a), &digests(b));
        let shown: Vec<_> =
            pairs.iter().map(|pair| format!("{}{}", letter(a, pair[0]), letter(b, pair[1]))).collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn pairs() {
        check("abc", "abc", "aa bb cc");
        check("abc", "axc", "aa bx cc");
        check("abc", "abcd", "aa bb cc -d");
        check("abc", "xabc", "-x aa bb cc");
        check("abcd", "acd", "aa b- cc dd");
        check("abc", "bcx", "a- bb cc -x");
        check("ab", "xyz", "ax by -z");
        check("", "x", "-x");
        check("aab", "ab", "aa a- bb");
    }
}
