//! What git notes of the machine it ran on: the index's copy of each file's status (gitformat-index(5)), times in reflogs.

use bstr::ByteSlice as _;
use sha1::{Digest as _, Sha1};

/// Largest index that is read.
pub(super) const INDEX_SIZE_BYTES_MAX: u64 = 64 << 20;
const HEADER: usize = 12;
/// Of an entry, up to its name: times of change and modification, device, inode, mode, owner, group, size, id, flags.
const ENTRY: usize = 62;
const SUM: usize = 20;
/// Extensions that hold nothing of the machine: trees, resolved conflicts, offsets.
const PLAIN: [&[u8]; 4] = [b"TREE", b"REUC", b"EOIE", b"IEOT"];

/// An index without the times of change, devices and inodes of files, with their times of modification clamped.
///
/// They tell git which files it need not read again. In an unpacked image none is right any more, whatever they say.
pub(super) fn index_clamped(_: &[u8], file: &[u8], epoch_s: i64) -> Option<Vec<u8>> {
    let (content, sum) = file.split_at_checked(file.len().checked_sub(SUM)?)?;
    if content.get(..4)? != b"DIRC" || Sha1::digest(content)[..] != *sum {
        return None;
    }
    let word = |at: usize| Some(u32::from_be_bytes(content.get(at..at + 4)?.try_into().ok()?));
    let extended = match word(4)? {
        2 => false,
        3 => true,
        _ => return None,
    };
    let epoch = u32::try_from(epoch_s).ok()?;
    let (mut out, mut at) = (content.to_vec(), HEADER);
    for _ in 0..word(8)? {
        out.get_mut(at..at + 8)?.fill(0);
        out.get_mut(at + 16..at + 24)?.fill(0);
        if word(at + 8)? > epoch {
            out[at + 8..at + 12].copy_from_slice(&epoch.to_be_bytes());
            out[at + 12..at + 16].fill(0);
        }
        let more = content.get(at + 60)? & 0x40 != 0;
        if more && !extended {
            return None;
        }
        let name_at = at + ENTRY + if more { 2 } else { 0 };
        let name = content.get(name_at..)?.find_byte(0)?;
        // One to eight NULs, to a multiple of eight bytes.
        at += (name_at - at + name + 8) / 8 * 8;
    }
    while at < content.len() {
        if !PLAIN.contains(&content.get(at..at + 4)?) {
            return None;
        }
        at = at.checked_add(8)?.checked_add(usize::try_from(word(at + 4)?).ok()?)?;
    }
    let sum = Sha1::digest(&out);
    out.extend_from_slice(&sum);
    (at == content.len()).then_some(out)
}

/// A reflog with its times clamped: lines of `ID ID NAME <MAIL> SECONDS ZONE`, a tab and what happened.
pub(super) fn reflog_clamped(_: &[u8], file: &[u8], epoch_s: i64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for line in file.lines_with_terminator() {
        let ids = line.get(..82)?;
        let hex = |id: &[u8]| id[..40].iter().all(u8::is_ascii_hexdigit) && id[40] == b' ';
        let who = line.split(|byte| *byte == b'\t').next()?;
        let from = who.rfind(b"> ")? + 2;
        let digits = line[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let time: i64 = str::from_utf8(&line[from..from + digits]).ok()?.parse().ok()?;
        if !hex(&ids[..41]) || !hex(&ids[41..]) || line.get(from + digits) != Some(&b' ') {
            return None;
        }
        out.extend_from_slice(&line[..from]);
        out.extend_from_slice(time.min(epoch_s).to_string().as_bytes());
        out.extend_from_slice(&line[from + digits..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of version 2 with one file, and an extension.
    fn index(stat: [u32; 6], extension: &[u8; 4]) -> Vec<u8> {
        let word = |word: u32| word.to_be_bytes();
        let mut out = [b"DIRC", &word(2)[..], &word(1)].concat();
        stat.iter().for_each(|field| out.extend(word(*field)));
        [0o100_644, 0, 0, 5].iter().for_each(|field| out.extend(word(*field)));
        out.extend([9; 20]);
        out.extend([0, 3]);
        out.extend(b"a/b\0\0\0\0\0\0\0");
        assert_eq!((out.len() - HEADER) % 8, 0);
        out.extend([&extension[..], &word(2), b"xy"].concat());
        let sum = Sha1::digest(&out);
        out.extend(&sum[..]);
        out
    }

    #[test]
    fn an_index() {
        let clamped = |bytes: &[u8]| index_clamped(b"", bytes, 100);
        let built = index([7, 8, 1_795_953_720, 9, 2049, 4711], b"TREE");
        assert_eq!(clamped(&built).unwrap(), index([0, 0, 100, 0, 0, 0], b"TREE"));
        assert_eq!(
            clamped(&index([7, 8, 99, 9, 1, 1], b"TREE")).unwrap(),
            index([0, 0, 99, 9, 0, 0], b"TREE")
        );
        assert_eq!(clamped(&index([7, 8, 99, 9, 1, 1], b"FSMN")), None);
        let mut wrong = built.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(clamped(&wrong), None);
        assert_eq!(clamped(&built[..40]), None);
        assert_eq!(clamped(b""), None);
    }

    #[test]
    fn a_reflog() {
        let (from, to) = ("0".repeat(40), "a1".repeat(20));
        let line = |time: &str| format!("{from} {to} A <b> C <a@b> {time} +0100\tclone: from 1795953720\n");
        let clamped = |text: &str| reflog_clamped(b"", text.as_bytes(), 1_000_000_000);
        assert_eq!(clamped(&line("1795953720")).unwrap(), line("1000000000").as_bytes());
        assert_eq!(clamped(&line("999999999")).unwrap(), line("999999999").as_bytes());
        assert_eq!(clamped(&line("x")), None);
        assert_eq!(clamped("mine\n"), None);
        assert_eq!(clamped("").unwrap(), b"");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let sum = Sha1::digest(&bytes);
            index_clamped(b"", &[&bytes[..], &sum].concat(), 5);
            let _ = reflog_clamped(b"", &bytes, 5);
        }

        #[test]
        fn never_panics_on_what_looks_alike(at in 12_usize..90, value: u8) {
            let mut bytes = index([7, 8, 9, 9, 1, 1], b"TREE");
            bytes[at] = value;
            let end = bytes.len() - SUM;
            let sum = Sha1::digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&sum);
            index_clamped(b"", &bytes, 5);
        }
    }
}
