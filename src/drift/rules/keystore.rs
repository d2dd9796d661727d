//! Java's own keystore form, JKS (`sun.security.provider.JavaKeyStore`): a time for each entry, and a digest at the end.

use sha1::{Digest as _, Sha1};

use super::{Cause, Finding};
use crate::drift::view::View;

const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// The SHA-1 over password and content that ends the file.
const DIGEST: usize = 20;

/// What Java's tools protect a keystore of certificates with, if nobody chooses.
const PASSWORD: &str = "changeit";

/// The entries' times, and so the digest, alone differ; or private keys, made anew under the same names.
pub(super) fn timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (one, other) = (Store::of(a)?, Store::of(b)?);
    // A digest that is not of the content is of another password on both sides.
    if is_sealed(a) != is_sealed(b) {
        return None;
    }
    if one.masked == other.masked {
        return (one.keys == 0).then(|| Finding::certain(Cause::KeystoreTimestamp));
    }
    let made = one.keys > 0 && one.without_keys == other.without_keys;
    made.then(|| Finding::likely(Cause::KeyMaterial).shown("a private key and its certificates in a Java keystore"))
}

/// Whether the digest at the end is of what is before it, under the usual password (`JavaKeyStore.getPreKeyedHash`).
fn is_sealed(bytes: &[u8]) -> bool {
    let Some((content, digest)) = bytes.split_last_chunk::<DIGEST>() else { return false };
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let sum = Sha1::new().chain_update(password).chain_update(b"Mighty Aphrodite").chain_update(content).finalize();
    sum[..] == digest[..]
}

/// A keystore, read.
struct Store {
    /// All of it, with every time and the digest zeroed.
    masked: Vec<u8>,
    /// The same without private keys and the certificates of these.
    without_keys: Vec<u8>,
    keys: usize,
}

impl Store {
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut rest = Cursor { bytes: bytes.strip_prefix(&MAGIC)?, at: MAGIC.len() };
        let mut store = Self { masked: bytes.to_vec(), without_keys: Vec::new(), keys: 0 };
        let version = rest.number()?;
        for _ in 0..rest.number()? {
            let start = rest.at;
            let kind = rest.number()?;
            let alias = rest.short()?;
            rest.take(alias)?;
            let named = rest.at;
            store.masked.get_mut(named..named + 8)?.fill(0);
            rest.take(8)?;
            if kind == 1 {
                store.keys += 1;
                let size = rest.number()?;
                rest.take(usize::try_from(size).ok()?)?;
                let chain = rest.number()?;
                store.without_keys.extend_from_slice(&bytes[start..named]);
                store.without_keys.extend_from_slice(&chain.to_be_bytes());
                for _ in 0..chain {
                    rest.certificate(version)?;
                }
            } else {
                (kind == 2).then_some(())?;
                rest.certificate(version)?;
                store.without_keys.extend_from_slice(&store.masked[start..rest.at]);
            }
        }
        (rest.bytes.len() == DIGEST).then(|| store.masked[rest.at..].fill(0))?;
        Some(store)
    }
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

    fn certificate(&mut self, version: u32) -> Option<()> {
        if version == 2 {
            let kind = self.short()?;
            self.take(kind)?;
        }
        let size = self.number()?;
        self.take(usize::try_from(size).ok()?).map(|_| ())
    }

    fn short(&mut self) -> Option<usize> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?).into())
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}
