//! What came of verifying, signed and attached: a verification summary (SLSA 1.2).

use std::collections::BTreeMap;

use super::Request;
use crate::{
    attest::{Subject, Summary, Verifier},
    job::{
        Ports,
        publish::{PublishError, Publisher},
    },
    model::{Digest, ImageName, ResourceDescriptor, reference},
    policy::Policy,
    signing::Signer,
    verify::{Judgement, Verdict},
};

/// Who verifies, and what it calls things.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `verifier.id`.
    pub verifier: String,
    /// `resourceUri`; the image's name if none is given.
    pub resource: Option<String>,
}

/// Attaches the summary of `judgement` to the image; the digest of its referrer. Nothing where nobody could tell, nor where
/// another summary stood in for judging: it would be renewed without anybody having looked.
///
/// # Errors
/// Those of pushing.
pub async fn attest(
    ports: &Ports,
    request: &Request,
    image: &ImageName,
    judgement: &Judgement,
    identity: &Identity,
    key: &Signer,
) -> Result<Option<Digest>, PublishError> {
    if judgement.verdict == Verdict::Unknown || judgement.summary.is_some() {
        return Ok(None);
    }
    let summary = summary(&request.policy, request.now_s, image, judgement, identity);
    let subject = Subject::new(image.repository(), &judgement.descriptor.digest);
    let publisher = Publisher::new(ports, image, judgement.descriptor.clone());
    let attached = publisher.statement(&summary.statement(subject), Some(key)).await?;
    Ok(Some(attached.digest))
}

/// The fields of SLSA 1.2. Levels are what the policy grants; that rebuilders agree is a property of our own, and only
/// where the policy asks for two or more.
fn summary(
    policy: &Policy,
    now_s: i64,
    image: &ImageName,
    judgement: &Judgement,
    identity: &Identity,
) -> Summary {
    let passed = judgement.verdict == Verdict::Passed;
    let mut levels = vec![if passed {
        format!("SLSA_BUILD_LEVEL_{}", judgement.level)
    } else {
        Summary::FAILED.to_owned()
    }];
    let quorum = policy.rebuild.as_ref().map_or(0, |rebuild| rebuild.quorum);
    if passed && quorum >= 2 && judgement.reproduced_by >= quorum {
        levels.push(format!("REPROV_REPRODUCED_BY_{}", judgement.reproduced_by));
    }
    let input = |digest: &Digest| ResourceDescriptor {
        uri: reference::uri(&image.at(*digest)),
        digest: sha256(digest),
        ..ResourceDescriptor::default()
    };
    let mut summary = Summary {
        verifier: Verifier {
            id: identity.verifier.clone(),
            version: BTreeMap::from([("reprov".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        },
        time_verified: None,
        resource_uri: identity.resource.clone().unwrap_or_else(|| named(image)),
        policy: ResourceDescriptor {
            uri: policy.uri.clone().unwrap_or_else(|| format!("reprov:policy/{}", policy.name)),
            digest: policy.digest.as_ref().map(sha256).unwrap_or_default(),
            ..ResourceDescriptor::default()
        },
        input_attestations: judgement.used.iter().map(input).collect(),
        verification_result: if passed { Summary::PASSED } else { Summary::FAILED }.to_owned(),
        verified_levels: levels,
        dependency_levels: (policy.depth > 0).then(|| below(judgement)),
        slsa_version: Some("1.2".to_owned()),
    };
    summary.set_time(now_s);
    summary
}

fn sha256(digest: &Digest) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), digest.hex())])
}

/// The name somebody pulls it by: with its tag, without its digest.
fn named(image: &ImageName) -> String {
    let mut name = image.clone();
    name.selector.digest = None;
    reference::uri(&name)
}

/// How many of all images below have which level.
fn below(judgement: &Judgement) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut open: Vec<&Judgement> = judgement.dependencies.iter().map(|(_, below)| below).collect();
    while let Some(judgement) = open.pop() {
        let level = if judgement.verdict == Verdict::Passed { judgement.level } else { 0 };
        *counts.entry(format!("SLSA_BUILD_LEVEL_{level}")).or_default() += 1;
        open.extend(judgement.dependencies.iter().map(|(_, below)| below));
    }
    counts
}
