//! What a build draws from entropy on purpose: keys, certificates, the machine's id.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    diff::{Change, ChangeKind},
    drift::{der, pem, token, view::View},
    layer::Kind,
    model::path::{encode, printable},
};

const CERTIFICATES: &[u8] = b"etc/ssl/certs/";

/// `machine-id`: 32 hex digits and a newline.
pub(super) fn machine_id(view: &View<'_>) -> Option<Finding> {
    let known = matches!(view.path(), b"etc/machine-id" | b"var/lib/dbus/machine-id");
    let (a, b) = known.then(|| view.contents())??;
    // Also as a UUID is written, which systemd reads too (sd-id128(3)).
    let id = |bytes: &[u8]| {
        let digits = bytes.strip_suffix(b"\n").unwrap_or_default();
        let plain = digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit);
        plain || token::is_uuid(digits)
    };
    let other: &[u8] =
        if view.path().starts_with(b"etc/") { b"var/lib/dbus/machine-id" } else { b"etc/machine-id" };
    // Within one build there is one id.
    let held = view.siblings.content(other).and_then(Change::read);
    let one_id = held.is_none_or(|(one, other)| *one == *a && *other == *b);
    (id(a) && id(b) && one_id).then(|| Finding::certain(Cause::MachineId))
}

/// Private keys of one form, or what is drawn like them. The evidence is the form, never the key.
pub(super) fn key_material(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    if let Some(label) = private(a, b) {
        return Some(Finding::certain(Cause::KeyMaterial).shown(printable(&label.to_str_lossy())));
    }
    let bag = der::is_pkcs12(a) && der::is_pkcs12(b) && a.len().abs_diff(b.len()) <= BAG_BYTES_DIFFERING_MAX;
    bag.then(|| Finding::likely(Cause::KeyMaterial).shown("PKCS #12"))
}

/// By how many bytes two PKCS #12 files of the same certificates and keys may differ in size: numbers have no fixed length.
const BAG_BYTES_DIFFERING_MAX: usize = 64;

/// The form of two private keys, if it is one and nothing else differs; also of parameters drawn for a key exchange.
pub(super) fn private(a: &[u8], b: &[u8]) -> Option<&'static [u8]> {
    let (one, other) = (pem::blocks(a)?, pem::blocks(b)?);
    let mut form = None;
    for (one, other) in one.iter().zip(&other) {
        if one.label != other.label || one.encrypted != other.encrypted {
            return None;
        }
        if one.bytes != other.bytes {
            form = FORMS.into_iter().find(|form| *form == one.label).filter(|_| is_new_key(one, other));
            form?;
        }
    }
    form.filter(|_| one.len() == other.len())
}

/// Whether two blocks of one label are two keys.
pub(super) fn is_new_key(a: &pem::Block<'_>, b: &pem::Block<'_>) -> bool {
    FORMS.contains(&a.label) && a.bytes != b.bytes && is_key(a) && is_key(b)
}

/// Labels of what is drawn (RFC 7468, 5915, 8017; OpenSSH's PROTOCOL.key).
const FORMS: [&[u8]; 8] = [
    b"PRIVATE KEY",
    b"ENCRYPTED PRIVATE KEY",
    b"RSA PRIVATE KEY",
    b"EC PRIVATE KEY",
    b"DSA PRIVATE KEY",
    b"OPENSSH PRIVATE KEY",
    b"DH PARAMETERS",
    b"X9.42 DH PARAMETERS",
];

/// Whether a block holds what its label says, as far as that can be seen.
fn is_key(block: &pem::Block<'_>) -> bool {
    const KEY_BYTES_MIN: usize = 32;
    let bytes = &block.bytes;
    let whole = match block.label {
        b"OPENSSH PRIVATE KEY" => openssh(bytes).is_some(),
        // Of an old encrypted form nothing is seen but whole blocks of a cipher.
        _ if block.encrypted => bytes.len().is_multiple_of(8),
        _ => der::is_sequence(bytes),
    };
    whole && bytes.len() >= KEY_BYTES_MIN
}

/// Whether an OpenSSH key is whole: cipher, derivation and its options, one key's public half, and the private one.
fn openssh(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    let string = |rest: &mut &[u8]| {
        let (size, behind) = rest.split_first_chunk::<4>()?;
        let (_, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
        *rest = behind;
        Some(())
    };
    for _ in 0..3 {
        string(&mut rest)?;
    }
    rest = rest.strip_prefix(&[0, 0, 0, 1])?;
    string(&mut rest)?;
    string(&mut rest)?;
    rest.is_empty().then_some(())
}

/// The public half of a key, beside the private one that holds it.
pub(super) fn public_half(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let of_openssh = || {
        let (one, other) = (ssh_public(a)?, ssh_public(b)?);
        let named = one.kind == other.kind && same_comment(one.comment, other.comment);
        Some([one.half, other.half]).filter(|_| named)
    };
    let of_pem = || {
        let (one, other) = (pem::blocks(a)?, pem::blocks(b)?);
        let public = |blocks: &[pem::Block<'_>]| {
            let [block] = blocks else { return None };
            let number = der::public_number(&block.bytes).filter(|_| block.label == b"PUBLIC KEY")?;
            Some(Half { number: number.to_vec(), whole: None })
        };
        Some([public(&one)?, public(&other)?])
    };
    let halves = of_openssh().or_else(of_pem)?;
    // Without a new private half it is somebody else's key.
    let holds = |text: &[u8], half: &Half| {
        let of = |block: &pem::Block<'_>| match (&half.whole, block.label) {
            (Some(whole), b"OPENSSH PRIVATE KEY") => block.bytes.contains_str(whole),
            _ => half.number.len() >= NUMBER_BYTES_MIN && block.bytes.contains_str(&half.number),
        };
        pem::blocks(text).unwrap_or_default().iter().any(of)
    };
    let directory = &view.path()[..view.path().rfind_byte(b'/').map_or(0, |at| at + 1)];
    let small =
        |change: &&Change| change.a.as_ref().is_some_and(|entry| entry.size_bytes <= PRIVATE_SIZE_BYTES_MAX);
    let half = view.siblings.contents_in(directory).filter(small).find(|change| {
        change.read().is_some_and(|(one, other)| {
            private(&one, &other).is_some() && holds(&one, &halves[0]) && holds(&other, &halves[1])
        })
    })?;
    Some(Finding { consequence_of: Some(encode(&half.path).0), ..Finding::certain(Cause::KeyMaterial) })
}

/// Largest file in which the private half of a key is looked for.
const PRIVATE_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Shortest public number that is looked for in a private key: an Ed25519 key's.
const NUMBER_BYTES_MIN: usize = 32;

/// What of a public key is in its private half.
struct Half {
    /// A modulus, a point.
    number: Vec<u8>,
    /// All of it, as OpenSSH writes it.
    whole: Option<Vec<u8>>,
}

/// A line of OpenSSH's.
struct SshPublic<'a> {
    kind: &'a [u8],
    half: Half,
    comment: &'a [u8],
}

fn ssh_public(text: &[u8]) -> Option<SshPublic<'_>> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let (kind, rest) = line.split_once_str(" ")?;
    let (key, comment) = rest.split_once_str(" ").unwrap_or((rest, b""));
    let known = kind.starts_with(b"ssh-") || kind.starts_with(b"ecdsa-sha2-");
    let blob = (known && !line.contains(&b'\n')).then(|| STANDARD.decode(key).ok())??;
    let (mut rest, mut number) = (&blob[..], &b""[..]);
    while !rest.is_empty() {
        let (size, behind) = rest.split_first_chunk::<4>()?;
        (number, rest) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
    }
    // The last field is the number that the private half has in any form.
    let number = number.to_vec();
    Some(SshPublic { kind, half: Half { number, whole: Some(blob) }, comment })
}

/// `user@host`, the host a container's on both sides, or the same.
fn same_comment(a: &[u8], b: &[u8]) -> bool {
    let container = |(one, other): &(&[u8], &[u8])| token::kind(one, other) == Some(token::Kind::Container);
    a == b || token::differing(a, b).is_some_and(|pairs| pairs.len() == 1 && pairs.iter().all(container))
}

/// What gpg keeps of a key that it made: files named after the key's grip or fingerprint, of which the other image has
/// another; and the ring and the trust in which that key is.
pub(super) fn gnupg(view: &View<'_>) -> Option<Finding> {
    let (home, name) = view.path().rsplit_once_str("/")?;
    let made = |path: &[u8]| {
        let (directory, name) = path.rsplit_once_str("/")?;
        let hex = match directory.rsplit_str("/").next()? {
            b"private-keys-v1.d" => name.strip_suffix(b".key")?,
            b"openpgp-revocs.d" => name.strip_suffix(b".rev")?,
            _ => return None,
        };
        (hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit)).then_some(directory.to_vec())
    };
    let entry = view.change.entry().filter(|entry| entry.kind == Kind::File)?;
    if let Some(directory) = made(view.path()) {
        let only = |kind| matches!(kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
        let begins = |text: &[u8]| entry.peek.starts_with(text);
        let known = begins(b"Created: ")
            || begins(b"Key: ")
            || begins(b"(")
            || begins(b"This is a revocation certificate");
        let partner = view.siblings.only_other(view.change.kind, &directory, |path| made(path).is_some());
        return (only(view.change.kind) && known && partner).then(|| Finding::likely(Cause::KeyMaterial));
    }
    let ring = matches!(name, b"pubring.kbx" | b"pubring.kbx~" | b"trustdb.gpg") && view.content_alone();
    let keys = [home, b"/private-keys-v1.d/"].concat();
    let drifted = ring.then(|| view.siblings.first_below(&keys))??;
    let consequence_of = Some(encode(drifted).0);
    Some(Finding { consequence_of, ..Finding::likely(Cause::KeyMaterial) })
}

/// `etc/ssl/certs/<8 hex>.0`, named after a certificate that was issued anew; the other image has another.
pub(super) fn hash_link(view: &View<'_>) -> Option<Finding> {
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let entry = view.change.entry().filter(|entry| only && entry.kind == Kind::Symlink)?;
    let (hash, number) = view.name().split_at_checked(8)?;
    let named =
        view.path().starts_with(CERTIFICATES) && hash.iter().all(u8::is_ascii_hexdigit) && number == b".0";
    let target =
        entry.link.strip_prefix(b"/").map_or_else(|| [CERTIFICATES, &entry.link].concat(), <[u8]>::to_vec);
    let drifted = *named.then(|| view.siblings.paths.get(target.as_bstr())).flatten()?;
    Some(Finding {
        consequence_of: Some(encode(drifted).0),
        ..Finding::likely(Cause::KeyMaterial).shown(format!("→ {}", printable(&entry.link.to_str_lossy())))
    })
}
