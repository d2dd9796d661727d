//! Certificates that the build issued.

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
    let ours = |own_key: bool| own_key || !view.path().starts_with(TRUSTED) || view.siblings.has_new_key();
    if a.first() == Some(&0x30) {
        let same = reissued(b"CERTIFICATE", a, b) || reissued(b"CERTIFICATE REQUEST", a, b);
        return (same && ours(false)).then(|| found(a, b));
    }
    let (one, other) = (pem::blocks(a)?, pem::blocks(b)?);
    let mut keys = 0;
    if one.len() != other.len() || one.is_empty() {
        return None;
    }
    for (one, other) in one.iter().zip(&other) {
        if one.label != other.label {
            return None;
        }
        if secret::is_new_key(one, other) {
            keys += 1;
        } else if !reissued(one.label, &one.bytes, &other.bytes) {
            return None;
        }
    }
    // Several certificates and no key of them: a bundle, whose members are others'.
    (keys < one.len() && (one.len() == 1 || keys > 0) && ours(keys > 0)).then(|| {
        let certificate = one.iter().zip(&other).find(|(block, _)| block.label.starts_with(b"CERTIFICATE"));
        certificate.map_or_else(|| Finding::likely(Cause::Certificate), |(a, b)| found(&a.bytes, &b.bytes))
    })
}

fn found(a: &[u8], b: &[u8]) -> Finding {
    let renamed = names(a) != names(b);
    let more = if renamed { ", and a container's name in the subject" } else { "" };
    Finding::likely(Cause::Certificate)
        .shown(format!("issued anew: serial number, validity, key or signature{more}"))
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
    a.fixed == b.fixed && same_names(&a, &b) && a.holds && b.holds
}

/// A tag, and what is in it.
type Text<'a> = (u8, &'a [u8]);

/// Whether all names are the same, but for a container's in the place of a container's.
fn same_names(a: &Issued<'_>, b: &Issued<'_>) -> bool {
    let same = |(one, other): (&&[u8], &&[u8])| {
        let (Some(one), Some(other)) = (der::texts(one), der::texts(other)) else { return one == other };
        let text = |(one, other): (&Text<'_>, &Text<'_>)| {
            one.0 == other.0
                && (one.1 == other.1 || token::kind(one.1, other.1) == Some(token::Kind::Container))
        };
        one.len() == other.len() && one.iter().zip(&other).all(text)
    };
    a.names.len() == b.names.len() && a.names.iter().zip(&b.names).all(same)
}
