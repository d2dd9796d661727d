//! What a policy asks for beyond attestations: logs, transcripts, whether evidence is still there, what the image
//! stands on.

use std::sync::Arc;

use super::Request;
use crate::{
    job::{Ports, evidence::chain},
    model::{Digest, ImageName, limits, path::printable},
    registry::RegistryError,
    transcript::Transcript,
    verify::{Evidence, Presence, Unread},
};

/// Looks at what the believed provenances name, as far as the policy asks; what cannot be read is part of the evidence.
pub(super) async fn deepen(ports: &Ports, request: &Request, name: &ImageName, evidence: &mut Evidence) {
    let policy = &request.policy;
    let mut named: Vec<(String, Digest)> = Vec::new();
    for (_, _, view) in evidence.provenances() {
        let byproducts = view.byproducts.iter().filter(|named| named.name != "inputs");
        named.extend(byproducts.filter_map(|named| Some((named.name.clone(), named.sha256()?))));
    }
    named.sort_unstable();
    named.dedup();
    let transcripts = policy.hermetic || !policy.refused.is_empty();
    for (kind, digest) in named {
        let looked = if kind == "log" && policy.log {
            let checked = ports.registries.check_blob(name, &digest, limits::LOG_SIZE_BYTES_MAX).await;
            Some(presence(checked.map(|_| true)))
        } else if policy.evidence {
            Some(presence(ports.registries.blob_exists(name, &digest).await))
        } else {
            None
        };
        if let Some(presence) = looked {
            if let Presence::Unread(why) = &presence {
                evidence.unread.push(Unread { at: Some(digest), why: why.clone() });
            }
            evidence.presence.insert(digest, presence);
        }
        if kind == "transcript" && transcripts {
            let read = transcript(ports, name, &digest, &mut evidence.size_bytes).await;
            if let Err((why, true)) = &read {
                evidence.unread.push(Unread { at: Some(digest), why: why.clone() });
            }
            evidence.transcripts.insert(digest, read.map(Arc::new).map_err(|(why, _)| why));
        }
    }
}

fn presence(found: Result<bool, RegistryError>) -> Presence {
    match found {
        Ok(true) => Presence::There,
        Ok(false) => Presence::Gone,
        Err(error) if error.is_not_found() => Presence::Gone,
        Err(
            error @ (RegistryError::Mismatch { .. }
            | RegistryError::TooLarge { .. }
            | RegistryError::Answer { .. }),
        ) => Presence::Altered(printable(&chain(&error))),
        Err(error) => Presence::Unread(printable(&chain(&error))),
    }
}

/// The transcript, whose size is added to `size_bytes`; why not, and whether another look may say more.
async fn transcript(
    ports: &Ports,
    name: &ImageName,
    digest: &Digest,
    size_bytes: &mut u64,
) -> Result<Transcript, (String, bool)> {
    let said =
        |error: &dyn std::error::Error| printable(&format!("the transcript {digest}: {}", chain(error)));
    let read = ports.registries.read_named(name, digest, limits::TRANSCRIPT_JUDGED_SIZE_BYTES_MAX).await;
    // What is larger than is ever judged was not looked at either.
    let unread =
        |error: &RegistryError| error.is_unavailable() || matches!(error, RegistryError::TooLarge { .. });
    let bytes = read.map_err(|error| (said(&error), unread(&error)))?;
    *size_bytes += bytes.len() as u64;
    Transcript::parse(&bytes).map_err(|error| (said(&error), false))
}
