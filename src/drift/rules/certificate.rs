//! Certificates that the build issued.

use bstr::ByteSlice as _;

use super::{Cause, Finding, secret};
use crate::drift::{
    der::{self, Issued},
    pem, token,
    view::View,
};

const TRUSTED: &[u8] = b"etc/ssl/certs/";

/// One certificate, or request for one, issued anew: subject, issuer and extensions are the same (but for names of
/// containers), and only serial number, validity, key and signature differ. Also with its private key beside it in one file.
/// Where programs look for whom to trust, only beside a private key that was made anew: else it is somebody else's.
pub(super) fn certificate(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let new_key = || view.siblings.contents().any(|(a, b)| secret::private(a, b).is_some());
    let ours = |own_key: bool| own_key || !view.path().starts_with(TRUSTED) || new_key();
    if a.first() == Some(&0x30) {
        let same = reissued(b"CERTIFICATE", a, b) || reissued(b"CERTIFICATE REQUEST", a, b);
        return (same && ours(false)).then(|| found(a, b));
    }
    let (one, other) = (pem::blocks(a)?, pem::blocks(b)?);
    let mut keys = 0;
    if one.len() != other.len() || one.is_empty() {
        return None;
    }
    for ((label_a, der_a), (label_b, der_b)) in one.iter().zip(&other) {
        if label_a != label_b {
            return None;
        }
        if label_a.ends_with(pem::PRIVATE) && der_a != der_b {
            keys += 1;
        } else if !reissued(label_a, der_a, der_b) {
            return None;
        }
    }
    // Several certificates and no key of them: a bundle, whose members are others'.
    (keys < one.len() && (one.len() == 1 || keys > 0) && ours(keys > 0)).then(|| {
        let certificate = one.iter().zip(&other).find(|((label, _), _)| !label.ends_with(pem::PRIVATE));
        certificate.map_or_else(|| Finding::likely(Cause::Certificate), |((_, a), (_, b))| found(a, b))
    })
}

fn found(a: &[u8], b: &[u8]) -> Finding {
    let renamed = names(a) != names(b);
    let more = if renamed { ", and a container's name in the subject" } else { "" };
    Finding::likely(Cause::Certificate).shown(format!("issued anew: serial number, validity, key or signature{more}"))
}

fn names(der: &[u8]) -> Option<Vec<&[u8]>> {
    der::certificate(der).or_else(|| der::request(der)).map(|issued| issued.names)
}

fn reissued(label: &[u8], a: &[u8], b: &[u8]) -> bool {
    let read = match label {
        b"CERTIFICATE" => der::certificate,
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => der::request,
        _ => return false,
    };
    let (Some(a), Some(b)) = (read(a), read(b)) else { return false };
    a.fixed == b.fixed && same_names(&a, &b)
}

/// Whether all names are the same, but for a container's in the place of a container's.
fn same_names(a: &Issued<'_>, b: &Issued<'_>) -> bool {
    let same = |(one, other): (&&[u8], &&[u8])| {
        let (Some(one), Some(other)) = (der::texts(one), der::texts(other)) else { return one == other };
        let text = |((tag, one), (other_tag, other)): (&(u8, &[u8]), &(u8, &[u8]))| {
            tag == other_tag && (one == other || token::kind(one, other) == Some(token::Kind::Container))
        };
        one.len() == other.len() && one.iter().zip(&other).all(text)
    };
    a.names.len() == b.names.len() && a.names.iter().zip(&b.names).all(same)
}

/// The public half of a key that OpenSSH made, beside the private one; the comment may name another container.
pub(super) fn ssh_public(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let half = view.path().strip_suffix(b".pub")?;
    let (one, other) = (public(a)?, public(b)?);
    let comment = |one: &[u8], other: &[u8]| {
        one == other
            || token::differing(one, other)
                .is_some_and(|pairs| pairs.iter().all(|(a, b)| token::kind(a, b) == Some(token::Kind::Container)))
    };
    // Without a new private half it is somebody else's key.
    let (whole_a, whole_b) = view.siblings.content(half)?.contents.as_ref()?;
    secret::private(whole_a, whole_b)?;
    (one[0] == other[0] && comment(one[2], other[2])).then(|| Finding {
        consequence_of: Some(crate::model::path::encode(half).0),
        ..Finding::certain(Cause::KeyMaterial)
    })
}

/// Kind, key and comment of the one line.
fn public(text: &[u8]) -> Option<[&[u8]; 3]> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let (kind, rest) = line.split_once_str(" ")?;
    let (key, comment) = rest.split_once_str(" ").unwrap_or((rest, b""));
    let known = kind.starts_with(b"ssh-") || kind.starts_with(b"ecdsa-sha2-") || kind.starts_with(b"sk-");
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    (known && !line.contains(&b'\n') && key.iter().all(base64)).then_some([kind, key, comment])
}
