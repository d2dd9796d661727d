//! What a build answers with.

use crate::{
    job::{
        build::{Outcome, Request},
        execute::Execution,
        inputs::InputsTo,
    },
    model::{Descriptor, DiffId, Repository},
    report::{self, build as view},
};

/// What the gateway calls the repository of a fetch that only `--learn` allowed.
const LEARNED: &str = "learned";

/// What `--learn` let through though no repository allows it.
fn learned(execution: &Execution) -> Vec<Repository> {
    let exchanges = execution.closed.transcript.exchanges();
    let learned = exchanges.filter(|exchange| exchange.repository == LEARNED && exchange.via.is_none());
    report::learned::repositories(learned.map(|exchange| exchange.url.as_str()))
}

/// The answer, before a check or tests add to it.
pub(super) fn answer(request: &Request, outcome: &Outcome) -> view::Build {
    let execution = &outcome.execution;
    let assembled = execution.outcome.as_ref().ok();
    let layers = assembled.map(|assembled| {
        let ids = assembled.image.manifest.layers().iter().zip(assembled.image.config.diff_ids());
        let layer =
            |((layer, diff_id), made_by): ((&Descriptor, &DiffId), &Option<(u32, String)>)| view::Layer {
                digest: layer.digest,
                diff_id: *diff_id,
                size: layer.size,
                instruction: made_by.clone().map(|(line, text)| report::Instruction { line, text }),
            };
        ids.zip(&assembled.instructions).map(layer).collect()
    });
    view::Build {
        schema: "reprov.build/v1",
        image: assembled.map(|assembled| request.to.at(assembled.manifest.digest).to_string()),
        manifest: assembled.map(|assembled| assembled.manifest.digest),
        config: assembled.map(|assembled| assembled.image.manifest.config().digest),
        layers: layers.unwrap_or_default(),
        provenance: outcome.provenance.map(|(digest, _)| view::Provenance { digest, signed: outcome.signed }),
        statement: outcome.provenance.map(|(_, digest)| report::Named { digest }),
        inputs: inputs(request, outcome),
        build: Some(execution.build.clone()),
        events: Some(view::Events {
            digest: execution.events.digest,
            size: execution.events.size,
            path: None,
        }),
        left: None,
        log: Some(view::Log {
            digest: execution.log.digest,
            size: execution.log.size,
            path: None,
            truncated: execution.log_truncated,
        }),
        normalized: assembled
            .iter()
            .flat_map(|assembled| &assembled.normalized)
            .map(|count| view::Normalized { rule: count.rule.clone(), entries: count.entries })
            .collect(),
        check: None,
        tests: None,
        engine: Some(execution.engine.clone()),
        limits: Some(execution.limits(true)),
        steps_run: execution.steps_run,
        definition: Some(outcome.definition),
        repositories: outcome.repositories.clone(),
        learned: if request.overrides.learn { learned(execution) } else { Vec::new() },
        error: execution.outcome.as_ref().err().map(|failure| view::BuildFailure {
            reason: failure.reason.clone(),
            instruction: failure
                .instruction
                .as_ref()
                .map(|step| report::Instruction { line: step.line, text: step.text.clone() }),
            tail: failure.tail.clone(),
            hints: failure.hints.clone(),
        }),
        seconds: execution.finished_s - execution.started_s,
    }
}

fn inputs(request: &Request, outcome: &Outcome) -> view::Inputs {
    let closed = &outcome.execution.closed;
    let refused = closed.refused.iter().map(|refusal| report::Refused {
        method: refusal.method.clone(),
        url: refusal.url.clone(),
        reason: refusal.reason.clone(),
        because: refusal.because.clone(),
        line: refusal.line,
    });
    let mut refused: Vec<_> = refused.collect();
    refused.sort_by_key(|refused| refused.line); // Stable: within a line as the gateway has them.
    let local = &outcome.bodies.local;
    view::Inputs {
        count: closed.transcript.exchanges().len(),
        bytes: closed.transcript.bodies().values().sum(),
        refused,
        tainted: !closed.transcript.tainted().is_empty(),
        to: match &request.inputs_to {
            InputsTo::Same => "same".to_owned(),
            InputsTo::Nowhere => "none".to_owned(),
            InputsTo::Place(place) => place.to_string(),
        },
        local: view::Local { count: local.len(), bytes: local.values().sum() },
    }
}
