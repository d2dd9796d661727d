//! The images that one stands on, each verified like it, down to where the policy says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Request, VerifyError, judged};
use crate::{
    job::{Ports, evidence::chain},
    model::{Digest, ImageName, ResourceDescriptor, limits, path::printable, reference},
    verify::{Dependency, Evidence, Judgement, Unread, below},
};

/// Verifies what the believed provenances stand on; what cannot be looked at is told, and makes the verdict unknown.
pub(super) async fn dependencies(ports: &Ports, request: &Request, evidence: &mut Evidence) {
    let depth = request.policy.depth;
    if depth == 0 {
        return;
    }
    let inner =
        Request { policy: Arc::new(request.policy.below(depth - 1)), platform: None, ..request.clone() };
    let named: Vec<(Digest, ResourceDescriptor)> = evidence
        .provenances()
        .flat_map(|(opened, _, view)| {
            let at = opened.at.digest();
            below(view).into_iter().map(move |named| (at, named.clone()))
        })
        .collect();
    let mut known: BTreeMap<String, Result<Box<Judgement>, String>> = BTreeMap::new();
    for (at, named) in named {
        let key = format!("{} {:?}", named.uri, named.sha256());
        let outcome = match known.get(&key) {
            Some(outcome) => outcome.clone(),
            None => {
                let outcome = one(ports, &inner, &named).await;
                known.insert(key, outcome.clone());
                outcome
            }
        };
        if let Err(why) = &outcome {
            evidence.unread.push(Unread { at: named.sha256(), why: why.clone() });
        }
        let role = if named.role() == "buildroot" { "buildroot" } else { "base" }.to_owned();
        evidence.dependencies.entry(at).or_default().push(Dependency { role, named, outcome });
    }
}

async fn one(ports: &Ports, request: &Request, named: &ResourceDescriptor) -> Result<Box<Judgement>, String> {
    let name = place(named)?;
    if request.visited.fetch_add(1, Ordering::Relaxed) >= limits::DEPENDENCIES_MAX {
        return Err(format!(
            "`{name}`: more than {} images below one are not verified",
            limits::DEPENDENCIES_MAX
        ));
    }
    let gathered: Result<Evidence, VerifyError> = Box::pin(super::gather(ports, request, &name)).await;
    let evidence = gathered.map_err(|error| printable(&chain(&error)))?;
    Ok(Box::new(judged(request, evidence).await))
}

/// Where an image is that provenance names, by its digest.
fn place(named: &ResourceDescriptor) -> Result<ImageName, String> {
    let shown = printable(&named.uri);
    let digest = named.sha256().ok_or_else(|| format!("`{shown}` is named without a digest"))?;
    let uri = named.uri.strip_prefix("oci://").unwrap_or(&named.uri);
    let name = reference::from_uri(uri).map_err(|error| format!("`{shown}`: {error}"))?;
    Ok(name.at(digest))
}

/// A count that all the images below one share.
#[must_use]
pub fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}
