//! Bundles with a certificate: whether an identity that is trusted made them.

use crate::{
    attest::SigstoreBundle,
    model::Digest,
    policy,
    signing::keyless::{Identity, Pattern, Signed, TrustedRoot},
    verify::{Candidate, Form, RootSigner, Roots},
};

/// Notes in `candidate` which of the identities among `roots` made it, by the certificate, logs and timestamps in it and
/// what `trusted` says of those; and if none did, why not.
pub fn vouch(candidate: &mut Candidate, roots: &Roots, trusted: &TrustedRoot, subject: &Digest) {
    const CERTIFICATE: &[u8] = b"ertificate";
    let brings = candidate.bytes.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE);
    if candidate.form != Form::Bundle || !brings {
        return;
    }
    // The crate that judges is fed only with what was read strictly before.
    if let Err(error) = SigstoreBundle::parse(&candidate.bytes) {
        candidate.doubt = Some(error.to_string());
        return;
    }
    let text = String::from_utf8_lossy(&candidate.bytes).into_owned();
    for (index, root) in roots.0.iter().enumerate() {
        let RootSigner::Identity { identity, issuer } = &root.signer else { continue };
        let wanted = Identity { subject: pattern(identity), issuer: Pattern::Exact(issuer.clone()) };
        match trusted.verify(&text, &Signed::Digest("sha256", subject.bytes()), &wanted) {
            // The policy's own pattern decides: its `*` stays within a host.
            Ok(signer) if identity.matches(&signer.subject) => candidate.vouched.push(index),
            Ok(signer) => candidate.doubt = Some(format!("`{}` is another identity", signer.subject)),
            Err(refused) => candidate.doubt = Some(refused.message),
        }
    }
}

fn pattern(identity: &policy::Pattern) -> Pattern {
    let text = identity.to_string();
    if text.contains('*') { Pattern::Like(text) } else { Pattern::Exact(text) }
}
