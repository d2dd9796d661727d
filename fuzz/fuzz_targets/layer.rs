//! A layer from anywhere; the first byte chooses the compression. Read strictly, it is the same read leniently; and beside
//! another, which the next bytes make of it, it is what it is alone.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use reprov::layer::{Archive, Beside, Reading, index, inflate, pass_twins};

const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];
const SIZE_BYTES_MAX: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some(([choice, at, to], blob)) = bytes.split_first_chunk() else { return };
    let tar = inflate(MEDIA_TYPES[usize::from(*choice) % MEDIA_TYPES.len()], blob).expect("known");
    let mut one = Vec::new();
    if tar.take(SIZE_BYTES_MAX).read_to_end(&mut one).is_err() {
        return;
    }
    let alone = paths(&one);
    if let Ok(entries) = index(&one[..]) {
        let strict: Vec<Vec<u8>> = entries.into_iter().map(|entry| entry.path.into()).collect();
        assert_eq!(Ok(&strict), alone.as_ref().map_err(|_| ()), "strictly, and leniently");
    }
    let mut other = one.clone();
    let place = usize::from(*at) * one.len() / 256;
    if let Some(byte) = other.get_mut(place) {
        *byte = *to;
    }
    let expected = [alone, paths(&other)];
    for (side, (found, expected)) in beside([&one, &other]).into_iter().zip(expected).enumerate() {
        let (Ok(expected) | Err(expected)) = expected;
        assert_eq!(found, expected, "{side}");
    }
});

/// The paths in an archive; of one that cannot be read those before that.
fn paths(tar: &[u8]) -> Result<Vec<Vec<u8>>, Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    match rest(&mut Archive::new(tar, Reading::Lenient), &mut paths) {
        true => Ok(paths),
        false => Err(paths),
    }
}

/// Reads an archive on; false if that cannot be done to its end.
fn rest(archive: &mut Archive<&[u8]>, paths: &mut Vec<Vec<u8>>) -> bool {
    loop {
        match archive.entry() {
            Ok(Some(entry)) => paths.push(entry.path.into()),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The paths in two archives that are read side by side, until one of them ends.
fn beside([a, b]: [&[u8]; 2]) -> [Vec<Vec<u8>>; 2] {
    let (mut a, mut b) = (Archive::new(a, Reading::Lenient), Archive::new(b, Reading::Lenient));
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        let passed = pass_twins([&mut a, &mut b], |path| {
            of_a.push(path.to_vec());
            of_b.push(path.to_vec());
        });
        // A content may be cut short in one of them.
        let one = match passed {
            Ok(()) => a.entry().ok().flatten(),
            Err((0, _)) => None,
            Err(_) => {
                rest(&mut a, &mut of_a);
                return [of_a, of_b];
            }
        };
        let Some(one) = one else {
            rest(&mut b, &mut of_b);
            return [of_a, of_b];
        };
        of_a.push(one.path.to_vec());
        let header = a.header().cloned();
        match b.entry_beside(header.as_ref().map(|header| (&one, header))) {
            Ok(Beside::Own(other)) => of_b.push(other.path.into()),
            Ok(Beside::Twin { .. }) => of_b.push(one.path.into()),
            Ok(Beside::End) | Err(_) => {
                rest(&mut a, &mut of_a);
                return [of_a, of_b];
            }
        }
    }
}
