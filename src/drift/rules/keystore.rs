//! Java's own keystore form, JKS (`sun.security.provider.JavaKeyStore`): a time for each entry, and a digest at the end.

use super::{Cause, Finding};
use crate::drift::view::View;

const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// The SHA-1 over password and content that ends the file.
const DIGEST: usize = 20;

/// The entries' times, and so the digest, alone differ.
pub(super) fn timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    (without_times(a)? == without_times(b)?).then(|| Finding::certain(Cause::KeystoreTimestamp))
}

/// The keystore with every time and the digest zeroed; nothing if it is none, or holds more than trusted certificates.
fn without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Cursor { bytes: bytes.strip_prefix(&MAGIC)?, at: MAGIC.len() };
    let mut out = bytes.to_vec();
    let version = rest.number()?;
    for _ in 0..rest.number()? {
        let certificate = rest.number()? == 2;
        let alias = usize::from(u16::from_be_bytes(rest.take(2)?.try_into().ok()?));
        rest.take(alias)?;
        out.get_mut(rest.at..rest.at + 8)?.fill(0);
        rest.take(8)?;
        if !certificate {
            return None; // A private key is encrypted anew each time.
        }
        if version == 2 {
            let kind = usize::from(u16::from_be_bytes(rest.take(2)?.try_into().ok()?));
            rest.take(kind)?;
        }
        let size = rest.number()?;
        rest.take(usize::try_from(size).ok()?)?;
    }
    (rest.bytes.len() == DIGEST).then(|| out[rest.at..].fill(0))?;
    Some(out)
}

/// What is left to read, and where that is in the file.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        (self.bytes, self.at) = (rest, self.at + count);
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}
