//! Making an archive.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    EvidenceArchiveError, Terms, below_counts,
    collect::{Collected, collect},
    judged, recorded, terms,
};
use crate::{
    dossier::{self, Contents, Identity, Judged, Key, Member, TrustedRoot, Written},
    job::{
        Ports,
        evidence::Trust,
        tree::{Looking, tree},
    },
    model::{Digest, ImageName, rfc3339},
    report::{
        self,
        dossier::{Facts, Finding, Index, Rebuilt, page, requirements},
        tree::Node,
        verify as view,
    },
    verify::{Evidence, Judgement, RootSigner, Said},
};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The image.
    pub image: ImageName,
    /// Which manifest of a multi-platform image.
    pub platform: String,
    /// What to judge by.
    pub terms: Terms,
    /// Of [`Terms::roots`], how many were given beside the policy; the others are its own.
    pub given: usize,
    /// The policy's text, if there is one.
    pub policy_text: Option<String>,
    /// The trusted root's text, if there is one.
    pub root_text: Option<String>,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// Everything but the members' bytes.
    pub contents: Contents,
    /// The archive.
    pub written: Written,
    /// What of the requirements is met, partly, unmet.
    pub index: Index,
}

/// Writes the archive about an image to `to`.
///
/// # Errors
/// [`EvidenceArchiveError`]: the image or what stands beside it cannot be read, or the disk says no.
pub async fn make(
    ports: &Ports,
    request: &Request,
    to: &mut (dyn Write + Send),
) -> Result<Made, EvidenceArchiveError> {
    let failed = |source| EvidenceArchiveError::Registry { image: request.image.to_string(), source };
    let found = ports.registries.platform_manifest(&request.image, &request.platform).await;
    let (manifest, bytes) = found.map_err(failed)?;
    let image = request.image.at(manifest.digest);
    let dir = tempfile::tempdir()?;
    let trust = Trust::of(&request.terms.roots, request.terms.trusted_root.as_ref());
    let collected = collect(ports, &image, manifest.digest, &trust, dir.path()).await?;
    let looking = Looking { trust, inputs: true, deep: false };
    let tree = tree(ports, &image, manifest.digest, &bytes, &looking).await;
    let (parts, judgement, evidence) = all(ports, request, &collected, dir.path()).await?;
    let contents = Contents {
        schema: Contents::SCHEMA.to_owned(),
        image: image.to_string(),
        digest: manifest.digest,
        reprov: env!("CARGO_PKG_VERSION").to_owned(),
        as_of: rfc3339(request.terms.now_s),
        policy: policy(request),
        keys: put_keys(request, dir.path())?,
        identities: identities(&request.terms),
        trusted_root: put_root(request, dir.path())?,
        judged: parts,
        gaps: collected.gaps.into_iter().collect(),
        members: Vec::new(),
    };
    let index = index(&contents, &judgement, &evidence, &tree);
    texts(request, dir.path(), (&contents, &judgement), (&index, &tree))?;
    let contents = Contents { members: members(dir.path())?, ..contents };
    let open = |member: &Member| File::open(dir.path().join(&member.path));
    let written = dossier::write(&contents, to, open)?;
    Ok(Made { contents, written, index })
}

/// The signers by certificate, as they are written down.
fn identities(terms: &Terms) -> Vec<Identity> {
    let identity = |root: &crate::verify::Root| match &root.signer {
        RootSigner::Key(_) => None,
        RootSigner::Identity { identity, issuer } => {
            Some(Identity { identity: identity.to_string(), issuer: issuer.clone() })
        }
    };
    terms.roots.iter().filter_map(identity).collect()
}

/// Judges every image of the archive, the first by the policy.
async fn all(
    ports: &Ports,
    request: &Request,
    collected: &Collected,
    dir: &Path,
) -> Result<(Vec<Judged>, Judgement, Evidence), EvidenceArchiveError> {
    let mut parts = Vec::new();
    let mut first = None;
    for part in &collected.parts {
        let (judgement, evidence) = judged(ports, &request.terms, dir, part.digest, first.is_none()).await?;
        parts.push(recorded(part.role, &part.name, &judgement));
        first.get_or_insert((judgement, evidence));
    }
    below_counts(&mut parts, request.terms.policy.depth);
    let (judgement, evidence) = first.expect("the image itself was collected");
    Ok((parts, judgement, evidence))
}

fn policy(request: &Request) -> Option<dossier::Policy> {
    let digest = request.terms.policy.digest?;
    Some(dossier::Policy { name: request.terms.policy.name.clone(), digest })
}

/// Writes each root's key.
fn put_keys(request: &Request, dir: &Path) -> Result<Vec<Key>, EvidenceArchiveError> {
    fs::create_dir_all(dir.join("keys"))?;
    let mut all = Vec::new();
    for (index, root) in request.terms.roots.iter().enumerate() {
        let RootSigner::Key(key) = &root.signer else { continue };
        let member = format!("keys/{index:02}.pub");
        fs::write(dir.join(&member), key.to_pem())?;
        let by = if index < request.given { terms::FLAG } else { "policy" };
        all.push(Key { fingerprint: key.fingerprint(), member, by: by.to_owned() });
    }
    Ok(all)
}

/// Writes the trusted root, if somebody is believed by certificate.
fn put_root(request: &Request, dir: &Path) -> Result<Option<TrustedRoot>, EvidenceArchiveError> {
    if identities(&request.terms).is_empty() {
        return Ok(None);
    }
    let Some(text) = &request.root_text else {
        let why = "signers by certificate are believed, and no trusted root says whose certificates";
        return Err(EvidenceArchiveError::Unfit(why.to_owned()));
    };
    let member = "roots/trusted_root.json";
    fs::create_dir_all(dir.join("roots"))?;
    fs::write(dir.join(member), text)?;
    Ok(Some(TrustedRoot { digest: Digest::of(text.as_bytes()), member: member.to_owned() }))
}

fn index(contents: &Contents, judgement: &Judgement, evidence: &Evidence, tree: &Node) -> Index {
    let mut believed = Vec::new();
    let mut rebuilt = Vec::new();
    for (_, one) in evidence.believed() {
        believed.push(one.statement.predicate_type.clone());
        if let Said::Rebuilt(verdict) = &one.said {
            rebuilt.push(Rebuilt {
                verdict: verdict.verdict.name().to_owned(),
                rebuilder: verdict.rebuilder.id.clone(),
                finished_on: rfc3339(verdict.finished_on_s),
            });
        }
    }
    let mut signers = vec!["image"];
    signers.extend((!contents.keys.is_empty()).then_some("keys"));
    signers.extend(contents.trusted_root.is_some().then_some("roots"));
    let facts = Facts {
        tree,
        signers: &signers,
        level: judgement.level,
        source_level: judgement.source_level,
        passed: contents.policy.is_some() && judgement.verdict == crate::verify::Verdict::Passed,
        believed: &believed,
        rebuilt: &rebuilt,
    };
    let finding = |finding: &crate::verify::Finding| Finding {
        severity: finding.severity.name(),
        code: finding.code.name(),
        message: finding.message.clone(),
        waived_by: finding.waived_by.clone(),
    };
    Index {
        schema: "reprov.evidence-index/v1",
        image: contents.image.clone(),
        as_of: contents.as_of.clone(),
        policy: contents.policy.as_ref().map(|policy| policy.name.clone()),
        keys: contents.keys.iter().map(|key| key.fingerprint.to_string()).collect(),
        identities: contents.identities.clone(),
        trusted_root: contents.trusted_root.as_ref().map(|root| root.digest),
        reprov: contents.reprov.clone(),
        judged: contents.judged.clone(),
        findings: judgement.findings.iter().map(finding).collect(),
        requirements: requirements(&facts),
        rebuilt,
        gaps: contents.gaps.clone(),
    }
}

/// Writes the members that people and other programs read.
fn texts(
    request: &Request,
    dir: &Path,
    (contents, judgement): (&Contents, &Judgement),
    (index, tree): (&Index, &Node),
) -> Result<(), EvidenceArchiveError> {
    let mut image = view::Image::from(judgement);
    image.image.clone_from(&contents.image);
    let answer = view::Verify {
        schema: "reprov.verify/v1",
        policy: contents
            .policy
            .as_ref()
            .map(|policy| view::Policy { name: policy.name.clone(), digest: policy.digest }),
        as_of: contents.as_of.clone(),
        images: vec![image],
        layout: None,
    };
    fs::write(dir.join("findings.json"), report::json(&answer))?;
    fs::write(dir.join("trace.json"), report::json(tree))?;
    fs::write(dir.join("index.json"), report::json(index))?;
    fs::write(dir.join("index.html"), page(index, tree))?;
    if let Some(text) = &request.policy_text {
        fs::write(dir.join("policy.toml"), text)?;
    }
    Ok(())
}

/// Every file below `dir`, by its path.
fn members(dir: &Path) -> Result<Vec<Member>, EvidenceArchiveError> {
    let mut members = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(below) = left.pop() {
        for entry in fs::read_dir(dir.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                left.push(path);
                continue;
            }
            let (size, digest) = (entry.metadata()?.len(), Digest::of_reader(File::open(entry.path())?)?);
            members.push(Member { path: path.to_string_lossy().into_owned(), size, digest });
        }
    }
    members.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(members)
}
