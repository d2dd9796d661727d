//! `reprov.rebuild/v1`.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{LayerPair, Limits, Named, drift_lines};
use crate::{
    drift::{ConfigDrift, Drift},
    engine::Hint,
    model::{Digest, Verdict, path::printable},
};

/// The answer of `rebuild`.
#[derive(Debug, Serialize)]
pub struct Rebuild {
    /// `reprov.rebuild/v1`.
    pub schema: &'static str,
    /// One for each image asked for, in that order.
    pub images: Vec<Image>,
    /// How many of each verdict; `error` counts those without one.
    pub summary: BTreeMap<String, u64>,
    /// Verdicts that were taken for a yes because of `--accept`.
    pub accepted: Vec<Verdict>,
}

/// One image.
#[derive(Debug, Serialize)]
pub struct Image {
    /// As asked for, by digest once known.
    pub image: String,
    /// The answer; none if nobody can tell.
    pub verdict: Option<Verdict>,
    /// Layers side by side.
    pub layers: Vec<LayerPair>,
    /// What differs in config and manifest.
    pub config: Vec<ConfigDrift>,
    /// What differs in layers.
    pub drifts: Vec<Drift>,
    /// Requests of the rebuild that the transcript does not hold.
    pub undeclared_inputs: Vec<Undeclared>,
    /// Requests that went out: none in replay.
    pub upstream_requests: u64,
    /// Requests answered from the transcript.
    pub replayed_requests: u64,
    /// Recorded bodies at hand.
    pub inputs: usize,
    /// Requests refused during the rebuild.
    pub refused: usize,
    /// Ids of secrets that were not given: the steps found a dummy.
    pub secrets_missing: Vec<String>,
    /// How many RUN steps the runtime shim started.
    pub steps_run: usize,
    /// The engine that rebuilt.
    pub engine: Option<String>,
    /// The limits in force; none if nothing ran.
    pub limits: Option<Limits>,
    /// The rebuilt manifest.
    pub rebuilt: Option<Digest>,
    /// What is not the recorded builder, if anything.
    pub builder_changed: Option<String>,
    /// The signed verdict beside the image.
    pub attestation: Option<Digest>,
    /// Names the build; none if nothing ran.
    pub build: Option<String>,
    /// The log of the rebuild, in this machine's store; none if nothing ran.
    pub log: Option<Named>,
    /// All that happened in it, likewise.
    pub events: Option<Named>,
    /// Why there is no comparison.
    pub error: Option<String>,
    /// The last lines of a failed build's log.
    pub tail: Option<String>,
    /// What that log says about limits of the buildroot.
    pub hints: Vec<Hint>,
    /// Whole seconds.
    pub seconds: i64,
}

/// A request that nobody recorded.
#[derive(Debug, Serialize)]
pub struct Undeclared {
    /// HTTP method.
    pub method: String,
    /// Redacted URL.
    pub url: String,
}

impl Rebuild {
    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for image in &self.images {
            image.write(&mut out);
        }
        if self.images.len() > 1 {
            let counts: Vec<_> =
                self.summary.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
            let _ = writeln!(out, "{}", counts.join(", ")); // Writing to a String cannot fail.
        }
        for accepted in &self.accepted {
            let _ = writeln!(out, "taken for a yes (--accept): {accepted}");
        }
        out
    }
}

impl Image {
    /// The verdict in words.
    #[must_use]
    pub fn said(&self) -> &'static str {
        self.verdict.map_or("could not tell", Verdict::name)
    }

    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "{}  {}", self.said(), printable(&self.image)); // Writing to a String cannot fail.
        self.write_findings(out);
    }

    /// All but the first line.
    pub(super) fn write_findings(&self, out: &mut String) {
        // Writing to a String cannot fail.
        if let Some(error) = &self.error {
            let _ = writeln!(out, "  {}", printable(error));
        }
        if let Some(changed) = &self.builder_changed {
            let _ = writeln!(out, "  builder   {}", printable(changed));
        }
        if let Some(engine) = &self.engine {
            let _ = writeln!(out, "  engine    {engine}, {} RUN step(s) through the shim", self.steps_run);
            let _ = writeln!(
                out,
                "  inputs    {} recorded, {} request(s) replayed, {} upstream requests, {} refused",
                self.inputs, self.replayed_requests, self.upstream_requests, self.refused
            );
        }
        if !self.secrets_missing.is_empty() {
            let ids: Vec<_> = self.secrets_missing.iter().map(|id| printable(id)).collect();
            let _ = writeln!(out, "  secrets   not given, so a dummy: {} (--secret)", ids.join(", "));
        }
        if let Some(rebuilt) = &self.rebuilt {
            let equal = self.layers.iter().filter(|pair| pair.equal).count();
            let _ = writeln!(out, "  rebuilt   {rebuilt}, {equal} of {} layers equal", self.layers.len());
        }
        for undeclared in &self.undeclared_inputs {
            let _ = writeln!(out, "  undeclared input  {} {}", undeclared.method, printable(&undeclared.url));
        }
        for drift in &self.config {
            let _ = writeln!(out, "  {}", super::diff::config_line(drift));
        }
        out.push_str(&drift_lines(&self.drifts));
        if let Some(tail) = &self.tail {
            out.extend(
                tail.lines()
                    .rev()
                    .take(15)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .map(|line| format!("  | {}\n", printable(line))),
            );
        }
        for hint in &self.hints {
            let _ = writeln!(out, "  hint      {}", hint.shown());
        }
        if let Some(attestation) = &self.attestation {
            let _ = writeln!(out, "  attested  {attestation}");
        }
    }
}
