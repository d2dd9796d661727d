//! What a build leaves that made no image: its log, all that happened, and a statement about both, in the store, and
//! where else the caller wants it.

use std::path::PathBuf;

use super::{BuildError, Planned, Request, descriptor, inputs, run_details};
use crate::{
    attest::{Failed, FailedStep, PassedLimit, Provenance, rebuilt::Instruction},
    host,
    job::{
        Ports,
        execute::Execution,
        failure::Failure,
        inputs::{Bodies, InputsTo},
        publish::{PublishError, push_failure, written},
    },
    model::{Descriptor, Digest, ImageName, names},
    progress::Update,
    signing::SignError,
    store::{LogDir, StoreError},
};

/// Where it lies.
#[derive(Debug)]
pub struct Left {
    /// The statement's digest.
    pub statement: Digest,
    /// Whether it is signed.
    pub signed: bool,
    /// Why it is not, though it was asked for.
    pub unsigned: Option<SignError>,
    /// The statement's file: in `--log-dir`, else in the store. The log and the events lie beside it.
    pub path: PathBuf,
    /// The log's file there.
    pub log: PathBuf,
    /// The events' file there.
    pub events: PathBuf,
    /// What was pushed, with `--push-log`.
    pub pushed: Option<ImageName>,
    /// Why it was not, though it was asked for.
    pub unpushed: Option<PublishError>,
    /// Why nothing is in `--log-dir`, though it was asked for; the store has it then.
    pub uncopied: Option<StoreError>,
}

/// Keeps what `execution` left, for the `reason`, from `dir`.
pub(super) async fn leave(
    ports: &Ports,
    request: &Request,
    planned: &Planned,
    execution: &Execution,
    (dir, reason): (LogDir, &str),
) -> Result<Left, BuildError> {
    let statement = failed(request, planned, execution, reason).statement();
    // A signer that fails must not cost the log.
    let (unsigned, (media_type, bytes)) = match written(&statement, request.key.as_ref()).await {
        Ok(written) => (None, written),
        Err(error) => (Some(error), (names::IN_TOTO_JSON, statement.to_bytes())),
    };
    let signed = request.key.is_some() && unsigned.is_none();
    let name = if signed { LogDir::STATEMENT } else { LogDir::UNSIGNED };
    dir.write(name, &bytes)?;
    let build = execution.build.get(..12).unwrap_or(&execution.build).to_owned();
    let (mut place, mut names) =
        (dir.path().to_owned(), [LogDir::LOG, LogDir::EVENTS, name].map(str::to_owned));
    let mut uncopied = None;
    if let Some(to) = &request.log_dir {
        let new = names.clone().map(|name| name_in(&build, &name));
        let pairs: Vec<_> = names.iter().map(String::as_str).zip(new.clone()).collect();
        match dir.copy_to(to, &pairs) {
            Ok(()) => (place, names) = (to.clone(), new),
            Err(error) => uncopied = Some(error),
        }
    }
    let failure = execution.outcome.as_ref().err();
    dir.keep(failure.map_or("failed", Failure::outcome), reason, &host::now())?;
    let [log, events, path] = names.map(|name| place.join(name));
    let pushed = if request.push_log {
        ports.progress.update(Update::Phase("push", "the log"));
        ports.store.put(&bytes)?;
        let kept = [(names::LOG, execution.log), (names::EVENTS, execution.events)];
        let kept = kept.map(|(media_type, kept)| Descriptor::new(media_type, kept.digest, kept.size));
        let layers: Vec<_> = kept.into_iter().chain([Descriptor::of(media_type, &bytes)]).collect();
        Some(push_failure(ports, &request.to, &execution.build, &layers).await)
    } else {
        None
    };
    let (pushed, unpushed) = match pushed {
        Some(Err(error)) => (None, Some(error)),
        pushed => (pushed.and_then(Result::ok), None),
    };
    Ok(Left {
        statement: Digest::of(&statement.to_bytes()),
        signed,
        unsigned,
        path,
        log,
        events,
        pushed,
        unpushed,
        uncopied,
    })
}

/// What a file of the store's is called in `--log-dir`.
fn name_in(build: &str, name: &str) -> String {
    match name {
        LogDir::LOG => format!("build-{build}.log"),
        LogDir::EVENTS => format!("build-{build}.events.jsonl"),
        statement => format!("build-{build}.{statement}"),
    }
}

fn failed(request: &Request, planned: &Planned, execution: &Execution, reason: &str) -> Failed {
    let bodies = Bodies::sort(execution.closed.transcript.bodies(), &InputsTo::Nowhere, |_| true);
    let byproducts = [("log", names::LOG, execution.log), ("events", names::EVENTS, execution.events)];
    let byproducts = byproducts.into_iter().map(descriptor).collect();
    let run = run_details(request, planned, execution, inputs(execution, &bodies), byproducts);
    let failure = execution.outcome.as_ref().err();
    let instruction = failure.and_then(|failure| failure.instruction.clone());
    let exceeded = failure.and_then(|failure| failure.exceeded);
    Failed {
        build: Provenance { definition: planned.definition.clone(), run },
        failure: FailedStep {
            reason: reason.to_owned(),
            to: request.to.to_string(),
            instruction: instruction.map(|step| Instruction { line: step.line, text: step.text }),
            exit_code: execution.exit_code,
            limit: exceeded.map(|exceeded| PassedLimit {
                name: exceeded.limit.name().to_owned(),
                allowed: exceeded.allowed,
                found: exceeded.found,
            }),
            refused: execution.closed.refused.len() as u64,
        },
    }
}
