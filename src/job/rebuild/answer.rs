//! What a rebuild answers.

use std::collections::BTreeMap;

use super::{Outcome, Tried, Varied, live, verdict::layer_pairs};
use crate::{
    attest::{
        Clock,
        rebuilt::{LayerId, LayerPair},
    },
    drift::InstructionRef,
    engine::Hint,
    job::execute::Execution,
    model::{ImageName, limits::VARY_PLACES_MAX},
    report::{
        self,
        rebuild::{self as view, Image, Rebuild},
    },
};

const TRY_CLOCK: Hint = Hint {
    code: "try-clock",
    text: "times of the build drift; `reprov rebuild --try clock=commit` shows in two more replays which of them a standing clock cures",
    see: "docs/clock.md#which-drift-it-cures",
};

/// The answer about an image of which nobody can tell, for this reason.
#[must_use]
pub fn unknown(name: &ImageName, error: String) -> Image {
    Image {
        image: name.to_string(),
        verdict: None,
        dockerfile: None,
        layers: Vec::new(),
        config: Vec::new(),
        drifts: Vec::new(),
        logs: Vec::new(),
        undeclared_inputs: Vec::new(),
        upstream_requests: 0,
        replayed_requests: 0,
        inputs: 0,
        refused: 0,
        secrets_missing: Vec::new(),
        steps_run: 0,
        engine: None,
        limits: None,
        rebuilt: None,
        builder_changed: None,
        variations: None,
        tried: None,
        inputs_compared: None,
        attestation: None,
        build: None,
        log: None,
        events: None,
        error: Some(error),
        tail: None,
        hints: Vec::new(),
        seconds: 0,
    }
}

/// The answer about an image.
#[must_use]
pub fn image(name: &ImageName, outcome: &Outcome) -> Image {
    let mut image = unknown(&name.at(outcome.manifest.digest), String::new());
    image.verdict = Some(outcome.verdict);
    image.error.clone_from(&outcome.error);
    let definition = outcome.provenance.as_ref().map(|believed| &believed.provenance.definition);
    image.dockerfile = definition.map(|definition| definition.external.dockerfile.clone());
    image.layers = layer_pairs(outcome).into_iter().map(pair).collect();
    image.inputs = outcome.inputs;
    image.builder_changed.clone_from(&outcome.builder_changed);
    image.variations = outcome.varied.as_ref().map(variations);
    image.tried = outcome.tried.as_ref().map(tried);
    image.attestation = outcome.attestation;
    image.secrets_missing.clone_from(&outcome.secrets_missing);
    image.hints.extend(hint(outcome));
    if let Some(explained) = &outcome.explained {
        image.drifts.clone_from(&explained.drifts);
        image.config.clone_from(&explained.config);
        image.logs.clone_from(&outcome.logs);
    }
    if let Some(execution) = &outcome.execution {
        ran(&mut image, execution, outcome.started_s);
        if let Some(lived) = &outcome.lived {
            image.inputs_compared = Some(live::answer(lived, outcome));
            image.limits = Some(execution.limits(true));
        }
    }
    image
}

/// Where times drift that a standing clock may cure, and nobody tried it.
fn hint(outcome: &Outcome) -> Option<Hint> {
    let definition = &outcome.provenance.as_ref()?.provenance.definition;
    let stands = definition.external.clock == Clock::Commit;
    let drifts = &outcome.explained.as_ref()?.drifts;
    let holds_time = drifts.iter().any(|drift| drift.cause.of_the_clock());
    (holds_time && !stands && outcome.tried.is_none()).then_some(TRY_CLOCK)
}

/// Adds what is known of a run, whatever came of it.
pub fn ran(image: &mut Image, execution: &Execution, started_s: i64) {
    let closed = &execution.closed;
    let undeclared = closed.undeclared.iter();
    image.undeclared_inputs = undeclared
        .map(|(method, url)| view::Undeclared { method: method.clone(), url: url.clone() })
        .collect();
    image.upstream_requests = closed.upstream_requests;
    image.replayed_requests = closed.answered;
    image.refused = closed.refused.len();
    image.steps_run = execution.steps_run;
    image.build = Some(execution.build.clone());
    image.log = Some(report::Named { digest: execution.log.digest });
    image.events = Some(report::Named { digest: execution.events.digest });
    image.engine = Some(execution.engine.clone());
    image.limits = Some(execution.limits(false));
    image.rebuilt = execution.outcome.as_ref().ok().map(|assembled| assembled.manifest.digest);
    if let Err(failure) = &execution.outcome {
        image.tail = Some(failure.tail.clone());
        image.hints.extend(&failure.hints);
    }
    image.seconds = execution.finished_s - started_s;
}

fn tried(tried: &Tried) -> view::Tried {
    let Tried { replays, cured, left, error } = tried.clone();
    view::Tried { remedy: "clock=commit", replays, cured, left, error }
}

fn variations(varied: &Varied) -> view::Variations {
    let on = varied.on.iter();
    view::Variations {
        on: on
            .map(|variation| view::Variation {
                name: variation.name(),
                written: variation.to_string(),
                changes: variation.about().changes,
            })
            .collect(),
        not_possible: varied
            .not_possible
            .iter()
            .map(|(variation, reason)| view::NotPossible { name: variation.name(), reason: reason.clone() })
            .collect(),
        control: varied.control,
        replays: varied
            .replays
            .iter()
            .map(|replay| view::Replay { on: replay.on.names(), verdict: replay.verdict })
            .collect(),
        blamed: varied
            .blamed
            .iter()
            .map(|blame| view::Blame {
                together: blame.together.names(),
                certainty: blame.certainty.name(),
                count: blame.places.len(),
                places: blame.places.iter().take(VARY_PLACES_MAX).cloned().collect(),
            })
            .collect(),
    }
}

fn pair(pair: LayerPair) -> report::LayerPair {
    let id = |id: LayerId| report::LayerId { digest: id.digest, diff_id: id.diff_id };
    report::LayerPair {
        index: pair.index,
        instruction: pair
            .instruction
            .map(|made_by| InstructionRef { line: Some(made_by.line), text: made_by.text }),
        original: pair.original.map(id),
        rebuilt: pair.rebuilt.map(id),
        equal: pair.equal,
    }
}

/// The whole answer about one image, as it is kept beside it (WIRE.md §2).
pub(super) fn kept(name: &ImageName, outcome: &Outcome) -> Vec<u8> {
    let image = image(name, outcome);
    let summary = BTreeMap::from([(outcome.verdict.name().to_owned(), 1)]);
    let answer = Rebuild { schema: "reprov.rebuild/v1", images: vec![image], summary, accepted: Vec::new() };
    report::json(&answer).into_bytes()
}
