//! The output of drifting steps, then and now.

use std::{collections::BTreeMap, io::BufReader};

use super::Outcome;
use crate::{
    compute,
    drift::{self, InstructionRef, LogDrift},
    job::Ports,
    model::{Blobs as _, Digest},
    progress::Update,
};

/// Which drifting steps of `outcome` said something else than in the original build, whose `events` are in the store.
/// Without them the verdict is the same, so what cannot be read is told and no more.
pub(in crate::job) async fn said_otherwise(
    ports: &Ports,
    events: Digest,
    outcome: &Outcome,
) -> Vec<LogDrift> {
    let steps = drifting(outcome);
    let Some(now) = outcome.execution.as_ref().map(|execution| execution.events.digest) else {
        return Vec::new();
    };
    if steps.is_empty() {
        return Vec::new();
    }
    let store = ports.store.clone();
    let read = compute::run(move || {
        let open = |digest| store.open(&digest).map(BufReader::new);
        drift::logs(open(events)?, open(now)?, &steps)
    });
    read.await.unwrap_or_else(|error| {
        ports.progress.update(Update::Warning(&format!("the output of steps is not compared: {error}")));
        Vec::new()
    })
}

/// Instructions of the Dockerfile whose layers drift.
pub(super) fn drifting(outcome: &Outcome) -> BTreeMap<u32, InstructionRef> {
    let drifts = outcome.explained.iter().flat_map(|explained| &explained.drifts);
    let instructions = drifts.filter_map(|drift| drift.instruction.clone());
    instructions.filter_map(|instruction| Some((instruction.line?, instruction))).collect()
}
