//! Bundles with a certificate: whether an identity that is trusted made them.

use crate::{
    attest::SigstoreBundle,
    model::Digest,
    policy,
    signing::keyless::{Identity, Pattern, Signed, TrustedRoot},
    verify::{Candidate, Form, RootSigner, Roots},
};

/// Notes in `candidate` which of the identities among `roots` made it; and if none did, why not.
pub fn vouch(candidate: &mut Candidate, roots: &Roots, trusted: &TrustedRoot, subject: &Digest) {
    if candidate.form == Form::Bundle {
        (candidate.vouched, candidate.doubt) = vouching(&candidate.bytes, roots, trusted, subject);
    }
}

/// Which of the identities among `roots` made a bundle, by the certificate, logs and timestamps in it and what `trusted` says of
/// those; and of one that did not, why not.
pub(in crate::job) fn vouching(
    bundle: &[u8],
    roots: &Roots,
    trusted: &TrustedRoot,
    subject: &Digest,
) -> (Vec<usize>, Option<String>) {
    const CERTIFICATE: &[u8] = b"ertificate";
    let (mut vouched, mut doubt) = (Vec::new(), None);
    if !bundle.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
        return (vouched, doubt);
    }
    // The crate that judges is fed only with what was read strictly before.
    if let Err(error) = SigstoreBundle::parse(bundle) {
        return (vouched, Some(error.to_string()));
    }
    let text = String::from_utf8_lossy(bundle);
    for (index, root) in roots.0.iter().enumerate() {
        let RootSigner::Identity { identity, issuer } = &root.signer else { continue };
        let wanted = Identity { subject: pattern(identity), issuer: Pattern::Exact(issuer.clone()) };
        match trusted.verify(&text, &Signed::Digest("sha256", subject.bytes()), &wanted) {
            // The policy's own pattern decides: its `*` stays within a host.
            Ok(signer) if identity.matches(&signer.subject) => vouched.push(index),
            Ok(signer) => doubt = Some(format!("`{}` is another identity", signer.subject)),
            Err(refused) => doubt = Some(refused.message),
        }
    }
    (vouched, doubt)
}

fn pattern(identity: &policy::Pattern) -> Pattern {
    let text = identity.to_string();
    if text.contains('*') { Pattern::Like(text) } else { Pattern::Exact(text) }
}
