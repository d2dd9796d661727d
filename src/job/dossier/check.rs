//! Opening an archive, and judging again what it holds.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::{EvidenceArchiveError, Terms, below_counts, judged, recorded};
use crate::{
    attest::PublicKey,
    dossier::{self, Contents, Judged, Opened},
    job::Ports,
    model::{Digest, time::parse_rfc3339},
    policy::{Policy, Signer},
    verify::{Code, Root, RootSigner},
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

/// What an archive must have been judged by; it brings keys and policy itself, and anybody can make one.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Each of its keys must be one of these, and one of them must have said something of the image; none: any keys will do.
    pub trust: Option<Vec<PublicKey>>,
    /// The policy, and the fingerprints of the keys of its `[[trust]]`, in order; none: any policy will do.
    pub policy: Option<(Digest, Vec<Digest>)>,
}

/// Reads the archive `from`, holds every byte against its lists, and judges its images again: by its keys, its policy and as of its
/// time, which must be as they are `wanted`.
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
    for (one, now) in contents.judged.iter().zip(&again) {
        if now != one {
            differs.push(format!(
                "{} {}: recorded as {} with {:?}, judged now as {} with {:?}",
                one.role, one.digest, one.verdict, one.codes, now.verdict, now.codes
            ));
        }
    }
    if let Some((digest, keys)) = &wanted.policy {
        let own = contents.keys.iter().filter(|key| key.by != "flag").map(|key| key.fingerprint);
        if contents.policy.as_ref().is_none_or(|policy| policy.digest != *digest) {
            differs.push(format!("it was not judged by the policy {digest} given with --policy"));
        } else if own.collect::<Vec<_>>() != *keys {
            differs.push("its keys are not those that the policy given with --policy names".to_owned());
        }
    }
    if let Some(trust) = &wanted.trust {
        if silent {
            differs.push("none of its keys has signed anything about the image".to_owned());
        }
        let own = |key: &&dossier::Key| !trust.iter().any(|one| one.fingerprint() == key.fingerprint);
        for key in contents.keys.iter().filter(own) {
            differs.push(format!("the key {} is none of those given with --trust", key.fingerprint));
        }
    }
    Ok(Checked { digest, contents, judged: again, differs })
}

/// Names of members were held against the form of names before: none leads elsewhere.
fn keep(dir: &Path, name: &str, body: &mut dyn Read) -> io::Result<()> {
    let path = dir.join(name);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    io::copy(body, &mut File::create_new(path)?).map(drop)
}

fn unfit(why: &str) -> EvidenceArchiveError {
    EvidenceArchiveError::Unfit(format!("the archive cannot be judged: {why}"))
}

/// What the archive was judged by.
fn terms(contents: &Contents, dir: &Path) -> Result<Terms, EvidenceArchiveError> {
    let now_s = parse_rfc3339(&contents.as_of).ok_or_else(|| unfit("its time is none"))?;
    let policy = match &contents.policy {
        None => Policy::none(),
        Some(named) => {
            let text =
                fs::read_to_string(dir.join("policy.toml")).map_err(|_| unfit("its policy is missing"))?;
            if Digest::of(text.as_bytes()) != named.digest {
                return Err(unfit("its policy is another than the one it names"));
            }
            let mut policy = Policy::parse(&text, &Code::of_policies())
                .map_err(|error| unfit(&format!("its policy cannot be read: {error}")))?;
            policy.name.clone_from(&named.name);
            policy
        }
    };
    let mut roots = Vec::new();
    let mut own = policy.trust.iter();
    for key in &contents.keys {
        if !contents.members.iter().any(|member| member.path == key.member) {
            return Err(unfit("a key is missing"));
        }
        let pem = fs::read_to_string(dir.join(&key.member)).map_err(|_| unfit("a key is missing"))?;
        let public =
            PublicKey::from_pem(&pem).map_err(|error| unfit(&format!("a key cannot be read: {error}")))?;
        if public.fingerprint() != key.fingerprint {
            return Err(unfit("a key is another than the one that is named"));
        }
        roots.push(match key.by.as_str() {
            "flag" => Root::key(public, policy.builders.clone(), policy.level),
            _ => match own.next().filter(|trust| matches!(trust.signer, Signer::Key(_))) {
                Some(trust) => Root {
                    name: format!("key {}", public.fingerprint()),
                    signer: RootSigner::Key(public),
                    builders: trust.builders.clone(),
                    level: trust.level,
                    predicates: trust.predicates.clone(),
                    verifiers: trust.verifiers.clone(),
                    rebuilders: trust.rebuilders.clone(),
                },
                None => return Err(unfit("it has a key that its policy does not name")),
            },
        });
    }
    if own.next().is_some() || roots.is_empty() {
        return Err(unfit("a key of its policy is missing"));
    }
    Ok(Terms { roots, policy, now_s })
}
