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
    verify::{Dependency, Evidence, Judgement, Unread, Verdict, below},
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
    let mut known: BTreeMap<String, Looked> = BTreeMap::new();
    for (at, named) in named {
        let key = format!("{} {:?}", named.uri, named.sha256());
        let looked = if let Some(looked) = known.get(&key) {
            looked.clone()
        } else {
            let looked = one(ports, &inner, &named).await;
            known.insert(key, looked.clone());
            looked
        };
        let unread = match &looked {
            Looked::At(judgement) => (judgement.verdict == Verdict::Unknown)
                .then(|| format!("nobody can tell of `{}`", judgement.image)),
            Looked::Not(_) => None,
            Looked::Unread(why) => Some(why.clone()),
        };
        evidence.unread.extend(unread.map(|why| Unread { at: named.sha256(), why }));
        let role = if named.role() == "buildroot" { "buildroot" } else { "base" }.to_owned();
        let outcome = match looked {
            Looked::At(judgement) => Ok(judgement),
            Looked::Not(why) | Looked::Unread(why) => Err(why),
        };
        evidence.dependencies.entry(at).or_default().push(Dependency { role, named, outcome });
    }
}

/// What came of looking at one.
#[derive(Clone)]
enum Looked {
    /// It was judged.
    At(Box<Judgement>),
    /// It is nowhere, or nobody says where.
    Not(String),
    /// Nobody can tell.
    Unread(String),
}

async fn one(ports: &Ports, request: &Request, named: &ResourceDescriptor) -> Looked {
    let name = match place(named) {
        Ok(name) => name,
        Err(why) => return Looked::Not(why),
    };
    if request.visited.fetch_add(1, Ordering::Relaxed) >= limits::DEPENDENCIES_MAX {
        let most = limits::DEPENDENCIES_MAX;
        return Looked::Unread(format!("`{name}`: more than {most} images below one are not verified"));
    }
    let gathered: Result<Evidence, VerifyError> = Box::pin(super::gather(ports, request, &name)).await;
    match gathered {
        Ok(evidence) => Looked::At(Box::new(judged(request, evidence).await)),
        Err(error @ VerifyError::Registry { .. }) if error.is_not_found() => {
            Looked::Not(printable(&chain(&error)))
        }
        Err(error) => Looked::Unread(printable(&chain(&error))),
    }
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
