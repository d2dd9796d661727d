//! What an archive was judged by, read back from it: its policy, and for each `[[trust]]` of that, in order, what the archive
//! holds of the signer.

use std::{fs::File, io, path::Path, sync::Arc};

use super::{EvidenceArchiveError, Terms};
use crate::{
    attest::PublicKey,
    dossier::{self, Contents},
    model::{
        Digest,
        limits::{KEY_SIZE_BYTES_MAX, POLICY_SIZE_BYTES_MAX, TRUSTED_ROOT_SIZE_BYTES_MAX, read_bounded},
        path::printable,
        time::parse_rfc3339,
    },
    policy::{Policy, Signer},
    signing::keyless::TrustedRoot,
    verify::{Code, Root, RootSigner},
};

/// The member with the policy.
const POLICY: &str = "policy.toml";
/// Who named a key that is not the policy's.
pub(super) const FLAG: &str = "flag";

pub(super) fn unfit(why: &str) -> EvidenceArchiveError {
    EvidenceArchiveError::Unfit(format!("the archive cannot be judged: {why}"))
}

/// What the archive was judged by; its members lie in `dir`.
pub(super) fn terms(contents: &Contents, dir: &Path) -> Result<Terms, EvidenceArchiveError> {
    let now_s = parse_rfc3339(&contents.as_of).ok_or_else(|| unfit("its time is none"))?;
    let policy = policy(contents, dir)?;
    let roots = roots(contents, &policy, dir)?;
    let trusted_root = trusted_root(contents, dir)?.map(Arc::new);
    Ok(Terms { roots, trusted_root, policy, now_s })
}

/// The text of the member `path`, which `what` is.
fn text(
    contents: &Contents,
    dir: &Path,
    path: &str,
    (what, size_bytes_max): (&'static str, u64),
) -> Result<String, EvidenceArchiveError> {
    if !contents.members.iter().any(|member| member.path == path) {
        return Err(unfit(&format!("{what} is missing")));
    }
    let read = File::open(dir.join(path)).and_then(|file| read_bounded(file, size_bytes_max, what));
    let bytes = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unfit(&format!("{what} is missing")));
        }
        Err(error) => return Err(unfit(&error.to_string())),
        Ok(bytes) => bytes,
    };
    String::from_utf8(bytes).map_err(|_| unfit(&format!("{what} is no text")))
}

fn policy(contents: &Contents, dir: &Path) -> Result<Policy, EvidenceArchiveError> {
    let Some(named) = &contents.policy else { return Ok(Policy::none()) };
    let text = text(contents, dir, POLICY, ("its policy", POLICY_SIZE_BYTES_MAX))?;
    if Digest::of(text.as_bytes()) != named.digest {
        return Err(unfit("its policy is another than the one it names"));
    }
    let mut policy = Policy::parse(&text, &Code::of_policies())
        .map_err(|error| unfit(&format!("its policy cannot be read: {error}")))?;
    policy.name.clone_from(&named.name);
    Ok(policy)
}

/// Keys that were given beside the policy, then the signers of its `[[trust]]`: each as it stands there, none missing, none more.
fn roots(contents: &Contents, policy: &Policy, dir: &Path) -> Result<Vec<Root>, EvidenceArchiveError> {
    let mut keys = contents.keys.iter().peekable();
    let mut identities = contents.identities.iter();
    let mut roots = Vec::new();
    while let Some(key) = keys.next_if(|key| key.by == FLAG) {
        roots.push(Root::key(public(contents, key, dir)?, policy.builders.clone(), policy.level));
    }
    for trust in &policy.trust {
        let signer = match &trust.signer {
            Signer::Key(_) => {
                let key = keys.next().filter(|key| key.by != FLAG);
                let key = key.ok_or_else(|| unfit("a key of its policy is missing"))?;
                RootSigner::Key(public(contents, key, dir)?)
            }
            Signer::Identity { identity, issuer } => {
                let named = identities.next();
                let named = named.ok_or_else(|| unfit("an identity of its policy is missing"))?;
                if named.identity != identity.to_string() || named.issuer != *issuer {
                    return Err(stranger(named));
                }
                RootSigner::Identity { identity: identity.clone(), issuer: issuer.clone() }
            }
        };
        roots.push(Root::of(trust, signer));
    }
    if keys.next().is_some() {
        return Err(unfit("it has a key that its policy does not name"));
    }
    if let Some(more) = identities.next() {
        return Err(stranger(more));
    }
    if roots.is_empty() {
        return Err(unfit("nobody is believed by it"));
    }
    Ok(roots)
}

fn stranger(named: &dossier::Identity) -> EvidenceArchiveError {
    let shown = printable(&format!("{} ({})", named.identity, named.issuer));
    unfit(&format!("the identity {shown} is not the one that its policy names in this place"))
}

fn public(contents: &Contents, key: &dossier::Key, dir: &Path) -> Result<PublicKey, EvidenceArchiveError> {
    let pem = text(contents, dir, &key.member, ("a key", KEY_SIZE_BYTES_MAX))?;
    let public =
        PublicKey::from_pem(&pem).map_err(|error| unfit(&format!("a key cannot be read: {error}")))?;
    if public.fingerprint() != key.fingerprint {
        return Err(unfit("a key is another than the one that is named"));
    }
    Ok(public)
}

/// The trusted root, which is there if and only if there are identities.
fn trusted_root(contents: &Contents, dir: &Path) -> Result<Option<TrustedRoot>, EvidenceArchiveError> {
    let named = match (&contents.trusted_root, contents.identities.is_empty()) {
        (None, true) => return Ok(None),
        (Some(_), true) => return Err(unfit("it has a trusted root, and believes no identity")),
        (None, false) => {
            return Err(unfit("it believes identities, and no trusted root says whose certificates count"));
        }
        (Some(named), false) => named,
    };
    let text = text(contents, dir, &named.member, ("its trusted root", TRUSTED_ROOT_SIZE_BYTES_MAX))?;
    if Digest::of(text.as_bytes()) != named.digest {
        return Err(unfit("its trusted root is another than the one it names"));
    }
    let root = TrustedRoot::parse(&text);
    root.map(Some).map_err(|error| {
        unfit(&format!("its trusted root cannot be read: {}", printable(&error.to_string())))
    })
}
