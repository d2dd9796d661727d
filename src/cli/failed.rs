//! Builds that made no image: where what is left of one lies, and what `trace` says of it.

use std::path::Path;

use super::{
    Context,
    console::Console,
    failure::{Exit, Failure},
    trace::{Shown, buildroot, source},
};
use crate::{
    job::{
        Ports,
        build::{BuildError, Left},
        evidence::{Trust, chain},
        remains::{self, Remains},
    },
    model::{ImageName, path::printable, rfc3339},
    report::{self, build as view, failed as answer},
};

/// Says where `left` lies, in words and in the `answer` of the build.
pub(super) fn place(console: &Console, answer: &mut view::Build, left: Option<Result<Left, BuildError>>) {
    let left = match left {
        Some(Ok(left)) => left,
        Some(Err(error)) => {
            return console.warn(&format!("the log of the failed build is not kept: {}", chain(&error)));
        }
        None => return,
    };
    let shown = |path: &Path| path.display().to_string();
    if let Some(log) = &mut answer.log {
        log.path = Some(shown(&left.log));
        let cut = if log.truncated { " (truncated: the limit of a log)" } else { "" };
        console.line(&format!("log: {}{cut}", left.log.display()));
    }
    if let Some(events) = &mut answer.events {
        events.path = Some(shown(&left.events));
    }
    let signed = if left.signed { "" } else { " (NOT SIGNED)" };
    console.line(&format!("statement: {}{signed}", left.path.display()));
    if let Some(pushed) = &left.pushed {
        console.line(&format!("pushed: {pushed}"));
    }
    if let Some(error) = &left.unsigned {
        console.warn(&format!("the statement is not signed: {}", chain(error)));
    }
    if let Some(error) = &left.uncopied {
        console.warn(&format!("--log-dir: {}; what is left is in the store", chain(error)));
    }
    if let Some(error) = &left.unpushed {
        console.warn(&format!("the log of the failed build is not pushed: {}", chain(error)));
    }
    answer.left = Some(view::Left {
        statement: left.statement,
        signed: left.signed,
        path: shown(&left.path),
        pushed: left.pushed.map(|name| name.to_string()),
    });
}

/// `trace --failed`: a statement's file, a pushed one, or the latest of what was to be built to that name.
pub(super) async fn latest(
    context: &Context<'_>,
    ports: &Ports,
    (text, trust): (&str, &Trust),
    shown: Shown,
) -> Result<Exit, Failure> {
    let remains = if Path::new(text).is_file() {
        remains::in_files(&ports.store, text.as_ref(), trust)?
    } else {
        let name = super::global::image_name("", text)?;
        remains::pushed(ports, &remains::latest(&name), trust).await?
    };
    tell(context, ports, &remains, shown)
}

/// `trace` of a name that is a failed build's.
pub(super) async fn pushed(
    context: &Context<'_>,
    ports: &Ports,
    (name, trust): (&ImageName, &Trust),
    shown: Shown,
) -> Result<Exit, Failure> {
    tell(context, ports, &remains::pushed(ports, name, trust).await?, shown)
}

fn tell(context: &Context<'_>, ports: &Ports, remains: &Remains, shown: Shown) -> Result<Exit, Failure> {
    match shown {
        Shown::Log => super::log::print_log(context, ports, &remains.log),
        Shown::Events { line } => super::log::print_events(context, ports, &remains.events, line),
        Shown::Inputs => {
            let text = format!("{} is a failed build, whose inputs are not kept", printable(&remains.place));
            Err(Failure::usage_text(text).hint("--events lists what it fetched".to_owned()))
        }
        Shown::Answer => {
            let answer = about(remains);
            context.console.answer(&answer, &answer.text());
            Ok(Exit::Ok)
        }
    }
}

fn about(remains: &Remains) -> answer::Failed {
    let Remains { failed, statement, signed, verified, log, events, place } = remains;
    let (definition, run, failure) = (&failed.build.definition, &failed.build.run, &failed.failure);
    let instruction = failure.instruction.as_ref();
    answer::Failed {
        schema: "reprov.failed/v1",
        place: place.clone(),
        build: run.invocation_id.clone(),
        to: failure.to.clone(),
        statement: *statement,
        signed: *signed,
        verified: *verified,
        builder: run.builder_id.clone(),
        started_on: rfc3339(run.started_on_s),
        finished_on: rfc3339(run.finished_on_s),
        source: source(definition),
        buildroot: buildroot(definition),
        reason: failure.reason.clone(),
        instruction: instruction.map(|step| report::Instruction { line: step.line, text: step.text.clone() }),
        exit_code: failure.exit_code,
        limit: failure.limit.as_ref().map(|limit| answer::Passed {
            limit: limit.name.clone(),
            allowed: limit.allowed,
            found: limit.found,
        }),
        refused: failure.refused,
        log: *log,
        events: *events,
        tainted: run.tainted.clone(),
        definition: definition.digest(),
    }
}
