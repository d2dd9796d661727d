//! What a build draws from entropy on purpose: keys, certificates, the machine's id.

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::{pem, view::View},
    layer::Kind,
    model::path::{encode, printable},
};

const CERTIFICATES: &[u8] = b"etc/ssl/certs/";

/// `machine-id`: 32 hex digits and a newline.
pub(super) fn machine_id(view: &View<'_>) -> Option<Finding> {
    let known = matches!(view.path(), b"etc/machine-id" | b"var/lib/dbus/machine-id");
    let (a, b) = known.then(|| view.contents())??;
    let id = |bytes: &[u8]| {
        bytes.len() == 33 && bytes[32] == b'\n' && bytes[..32].iter().all(u8::is_ascii_hexdigit)
    };
    (id(a) && id(b)).then(|| Finding::certain(Cause::MachineId))
}

/// Private keys of one form. The evidence is the form, never the key.
pub(super) fn key_material(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let label = private(a, b)?;
    Some(Finding::certain(Cause::KeyMaterial).shown(printable(&label.to_str_lossy())))
}

/// The form of two private keys, if it is one.
pub(super) fn private<'a>(a: &'a [u8], b: &[u8]) -> Option<&'a [u8]> {
    pem::private_key(a).filter(|label| pem::private_key(b) == Some(label))
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
