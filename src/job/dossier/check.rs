//! Opening an archive, and judging again what it holds.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::{
    EvidenceArchiveError, below_counts, judged, recorded,
    terms::{FLAG, terms, unfit},
};
use crate::{
    attest::PublicKey,
    dossier::{self, Contents, Judged, Opened},
    job::Ports,
    model::Digest,
};

/// What came of an archive that is whole.
#[derive(Debug)]
pub struct Checked {
    /// Of the archive.
    pub digest: Digest,
    /// What it says.
    pub contents: Contents,
    /// The same images, judged now from what is in the archive; in the same order.
    pub judged: Vec<Judged>,
    /// What is otherwise than it was recorded, or not as the caller wants it; empty: nothing.
    pub differs: Vec<String>,
}

/// What an archive must have been judged by; it brings signers and policy itself, and anybody can make one.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Each of its keys must be one of these, and a signer must have said something of the image; none: any keys will do.
    /// Identities must then be those of [`Wanted::policy`].
    pub trust: Option<Vec<PublicKey>>,
    /// By whose word certificates may be believed; none: by that of any trusted root.
    pub trusted_root: Option<Digest>,
    /// None: any policy will do.
    pub policy: Option<WantedPolicy>,
}

/// The policy that an archive must have been judged by. Its text names the identities.
#[derive(Debug)]
pub struct WantedPolicy {
    /// Of its text.
    pub digest: Digest,
    /// Fingerprints of the keys of its `[[trust]]`, in order.
    pub keys: Vec<Digest>,
    /// Of the trusted root that it names, if it trusts an identity.
    pub trusted_root: Option<Digest>,
}

/// Reads the archive `from`, holds every byte against its lists, and judges its images again: by its signers, its policy and as of
/// its time, which must be as they are `wanted`.
///
/// # Errors
/// [`EvidenceArchiveError`]; those that refuse say so by [`EvidenceArchiveError::refuses`].
pub async fn check(ports: &Ports, from: impl Read, wanted: &Wanted) -> Result<Checked, EvidenceArchiveError> {
    let dir = tempfile::tempdir()?;
    let Opened { contents, digest } =
        dossier::read(from, |member, body| keep(dir.path(), &member.path, body))?;
    let terms = terms(&contents, dir.path())?;
    let mut again = Vec::new();
    let mut differs = Vec::new();
    if contents.judged.first().is_none_or(|first| first.digest != contents.digest) {
        return Err(unfit("it does not begin with the image that it is about"));
    }
    let names = contents.judged.iter().map(|one| (&one.name, one.digest));
    for (name, digest) in names.chain([(&contents.image, contents.digest)]) {
        if !name.ends_with(&format!("@{digest}")) {
            return Err(unfit("it names an image by another digest than the one that is judged"));
        }
    }
    let mut silent = true;
    for (index, one) in contents.judged.iter().enumerate() {
        let (judgement, evidence) = judged(ports, &terms, dir.path(), one.digest, index == 0).await?;
        silent &= index > 0 || evidence.believed().next().is_none();
        again.push(recorded(&one.role, &one.name, &judgement));
    }
    below_counts(&mut again, terms.policy.depth);
    let said = |one: &Judged| {
        let (level, source) = (one.level, one.source_level);
        format!("{} (build level {level}, source level {source}) with {:?}", one.verdict, one.codes)
    };
    for (one, now) in contents.judged.iter().zip(&again).filter(|(one, now)| one != now) {
        differs.push(format!(
            "{} {}: recorded as {}, judged now as {}",
            one.role,
            one.digest,
            said(one),
            said(now)
        ));
    }
    differs.extend(wanted.differs(&contents, silent));
    Ok(Checked { digest, contents, judged: again, differs })
}

impl Wanted {
    /// What of the archive's own signers and policy is not as wanted; `silent`: none of the signers said anything of the image.
    fn differs(&self, contents: &Contents, silent: bool) -> Vec<String> {
        let mut differs = Vec::new();
        if let Some(policy) = &self.policy {
            differs.extend(policy.differs(contents));
        }
        let root = contents.trusted_root.as_ref().map(|root| root.digest);
        match (self.trusted_root, root) {
            (Some(wanted), Some(own)) if own != wanted => {
                differs.push(format!("its trusted root {own} is not the one given with --trusted-root"));
            }
            (Some(_), None) => {
                differs.push(
                    "it was judged by keys alone, not by the trusted root given with --trusted-root"
                        .to_owned(),
                );
            }
            _ => {}
        }
        let Some(trust) = &self.trust else {
            // A policy that names nobody leaves it to whoever made the archive, as no policy does.
            let named = self.policy.as_ref().is_some_and(WantedPolicy::names_signers);
            for key in contents.keys.iter().filter(|key| named && key.by == FLAG) {
                let print = key.fingerprint;
                differs.push(format!("the key {print} was believed beside the policy; --trust may name it"));
            }
            return differs;
        };
        if silent {
            differs.push("none of its signers has said anything about the image".to_owned());
        }
        let own = |key: &&dossier::Key| !trust.iter().any(|one| one.fingerprint() == key.fingerprint);
        for key in contents.keys.iter().filter(own) {
            differs.push(format!("the key {} is none of those given with --trust", key.fingerprint));
        }
        for one in contents.identities.iter().filter(|_| self.policy.is_none()) {
            differs.push(format!(
                "the identity {} ({}) is no key given with --trust; a policy given with --policy may name it",
                one.identity, one.issuer
            ));
        }
        differs
    }
}

impl WantedPolicy {
    /// Whether it says who is believed.
    fn names_signers(&self) -> bool {
        !self.keys.is_empty() || self.trusted_root.is_some()
    }

    fn differs(&self, contents: &Contents) -> Option<String> {
        let own = contents.keys.iter().filter(|key| key.by != FLAG).map(|key| key.fingerprint);
        if contents.policy.as_ref().is_none_or(|policy| policy.digest != self.digest) {
            return Some(format!("it was not judged by the policy {} given with --policy", self.digest));
        }
        if own.collect::<Vec<_>>() != self.keys {
            return Some("its keys are not those that the policy given with --policy names".to_owned());
        }
        let root = contents.trusted_root.as_ref().map(|root| root.digest);
        (root != self.trusted_root)
            .then(|| "its trusted root is not the one that the policy given with --policy names".to_owned())
    }
}

/// Names of members were held against the form of names before: none leads elsewhere.
fn keep(dir: &Path, name: &str, body: &mut dyn Read) -> io::Result<()> {
    let path = dir.join(name);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    io::copy(body, &mut File::create_new(path)?).map(drop)
}
