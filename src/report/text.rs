//! Text shared by the answers.

use std::fmt::Write as _;

use crate::{
    drift::{Accepted, Drift, FromStage, InstructionRef},
    model::path::printable,
};

/// How many drifts are listed for people; JSON has all.
const SHOWN_MAX: usize = 20;

/// Drifts for people: place, cause, evidence, remedy; what concerns security first, what is accepted last. Consequences are
/// only counted.
#[must_use]
pub fn drift_lines(drifts: &[Drift]) -> String {
    let mut out = String::new();
    let mut own: Vec<_> = drifts.iter().filter(|drift| drift.consequence_of.is_none()).collect();
    // Stable: each kind stays in order of layers and paths.
    own.sort_by_key(|drift| (drift.accepted.is_some(), !drift.security));
    for drift in own.iter().take(SHOWN_MAX) {
        let place = match &drift.instruction {
            Some(InstructionRef { line: Some(line), text }) => format!("line {line}: {}", printable(text)),
            Some(InstructionRef { line: None, text }) => {
                format!("layer {}: {}", drift.layer, printable(text))
            }
            None => format!("layer {}", drift.layer),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {place}");
        let _ = writeln!(out, "    file      {}", printable(&drift.path));
        if let Some(from) = &drift.from {
            let _ = writeln!(out, "    begins    {}", in_stage(from));
        }
        let fields: Vec<_> = drift.fields.iter().map(|field| printable(&field.name)).collect();
        if !fields.is_empty() {
            let _ = writeln!(out, "    differs   {}", fields.join(", "));
        }
        if let Some(kind) = drift.security_kind {
            let _ = writeln!(out, "    security  {}", kind.words());
        }
        let (cause, class) = (drift.cause.code(), drift.class.name());
        let class = if cause == class { String::new() } else { format!(" ({class})") };
        let _ = writeln!(out, "    cause     {cause}{class}");
        if let Some(origin) = drift.origin {
            let _ = writeln!(out, "    origin    {}", origin.name());
        }
        if !drift.evidence.is_empty() {
            let _ = writeln!(out, "    evidence  {}", printable(&drift.evidence));
        }
        match &drift.accepted {
            Some(accepted) => {
                let _ = writeln!(out, "    accepted  {}", shown(accepted));
            }
            None => {
                let _ = writeln!(out, "    remedy    {}", drift.remedy);
            }
        }
    }
    if own.len() > SHOWN_MAX {
        let security = own.iter().skip(SHOWN_MAX).filter(|drift| drift.security).count();
        let security = if security > 0 { format!(", {security} of them of security") } else { String::new() };
        let more = own.len() - SHOWN_MAX;
        let _ = writeln!(out, "  and {more} more{security}; --format json lists all");
    }
    let accepted = own.iter().filter(|drift| drift.accepted.is_some()).count();
    if accepted > 0 {
        let _ = writeln!(out, "  {accepted} of {} drift(s) accepted; the verdict stays", own.len());
    }
    let folded = drifts.len() - own.len();
    if folded > 0 {
        let _ = writeln!(out, "  and {folded} consequences of these");
    }
    out
}

/// An instruction of another stage.
fn in_stage(FromStage { stage, name, instruction }: &FromStage) -> String {
    let name = name.as_ref().map_or_else(|| stage.to_string(), |name| format!("`{}`", printable(name)));
    let line = instruction.line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("in stage {name}{line}: {}", printable(&instruction.text))
}

fn shown(accepted: &Accepted) -> String {
    let until = accepted.until.as_ref().map(|until| format!(", until {}", printable(until)));
    let owner = accepted.owner.as_ref().map(|owner| format!(" ({})", printable(owner)));
    [Some(printable(&accepted.because)), until, owner].into_iter().flatten().collect()
}
