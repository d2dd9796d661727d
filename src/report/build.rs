//! `reprov.build/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Instruction, Limits, Named, Refused, columns::line, learned, rebuild, size, test};
use crate::{
    engine::Hint,
    model::{DiffId, Digest, Repository, path::printable},
};

/// The answer of `build`.
#[derive(Debug, Serialize)]
pub struct Build {
    /// `reprov.build/v1`.
    pub schema: &'static str,
    /// The pushed image, by digest; none if the build failed.
    pub image: Option<String>,
    /// Its manifest's digest.
    pub manifest: Option<Digest>,
    /// Its config's digest.
    pub config: Option<Digest>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// The attached provenance.
    pub provenance: Option<Provenance>,
    /// The statement in it.
    pub statement: Option<Named>,
    /// What came through the gateway.
    pub inputs: Inputs,
    /// Names the build; none if nothing ran.
    pub build: Option<String>,
    /// The build log; none if nothing ran.
    pub log: Option<Log>,
    /// All that happened; none if nothing ran.
    pub events: Option<Events>,
    /// What a build left that made no image; none if nothing ran.
    pub left: Option<Left>,
    /// Applications of the rules profile.
    pub normalized: Vec<Normalized>,
    /// With `--check`: what the replay came to, if there was something to check.
    pub check: Option<Check>,
    /// With `--test`: what came of the tests; if one failed, the tag is where it was.
    pub tests: Option<test::Results>,
    /// The engine and its version.
    pub engine: Option<String>,
    /// The limits in force; none if nothing ran.
    pub limits: Option<Limits>,
    /// How many RUN steps the runtime shim started.
    pub steps_run: usize,
    /// Digest of the build definition.
    pub definition: Option<Digest>,
    /// What the build was allowed to fetch.
    pub repositories: Vec<Repository>,
    /// With `--learn`: what would allow everything that was fetched beside that.
    pub learned: Vec<Repository>,
    /// Why there is no image.
    pub error: Option<BuildFailure>,
    /// Whole seconds from start to end.
    pub seconds: i64,
}

/// What `--check` came to: an image of `rebuild`'s answer, and what this one says more.
#[derive(Debug, Serialize)]
pub struct Check {
    /// As `rebuild` would answer.
    #[serde(flatten)]
    pub image: rebuild::Image,
    /// Whether the verdict was taken for a yes because of `--accept`.
    pub accepted: bool,
    /// What it took.
    pub cost: CheckCost,
}

/// What a check took.
#[derive(Debug, Serialize)]
pub struct CheckCost {
    /// From the start of the replay to its end, its waits for the recording included, in seconds.
    pub replay_seconds: f64,
    /// From the pushed and tagged image to the verdict, in seconds: how much longer the build took.
    pub added_seconds: f64,
}

impl Check {
    fn write(&self, out: &mut String, verbose: bool) {
        let CheckCost { replay_seconds, added_seconds } = self.cost;
        let accepted = if self.accepted { ", taken for a yes (--accept)" } else { "" };
        let took =
            format!("the replay took {replay_seconds:.1} s, and the build {added_seconds:.1} s longer");
        line(out, 0, 12, &format!("check       {}{accepted}; {took}", self.image.said()));
        self.image.pair().write_findings(out, verbose);
    }
}

/// Applications of one rule.
#[derive(Debug, Serialize)]
pub struct Normalized {
    /// Its stable name.
    pub rule: String,
    /// Entries it dropped or changed.
    pub entries: u64,
}

/// One layer.
#[derive(Debug, Serialize)]
pub struct Layer {
    /// Of the blob.
    pub digest: Digest,
    /// Of what is in it.
    pub diff_id: DiffId,
    /// In bytes.
    pub size: u64,
    /// What made it; none for the base's.
    pub instruction: Option<Instruction>,
}

/// The attached provenance.
#[derive(Debug, Serialize)]
pub struct Provenance {
    /// Of the referrer's manifest.
    pub digest: Digest,
    /// Whether it is signed.
    pub signed: bool,
}

/// What came through the gateway.
#[derive(Debug, Serialize)]
pub struct Inputs {
    /// Different answers.
    pub count: usize,
    /// Their bytes, each body once.
    pub bytes: u64,
    /// What was not let through.
    pub refused: Vec<Refused>,
    /// Whether the transcript may not be the whole truth.
    pub tainted: bool,
    /// `--inputs-to`: `same`, `none` or a repository.
    pub to: String,
    /// What this machine alone keeps.
    pub local: Local,
}

/// Bodies that were not pushed.
#[derive(Debug, Serialize)]
pub struct Local {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The build log.
#[derive(Debug, Serialize)]
pub struct Log {
    /// Its digest.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Where it can be read if nothing was pushed.
    pub path: Option<String>,
    /// Whether it was full, and is not all that was said.
    pub truncated: bool,
}

/// All that happened in the buildroot.
#[derive(Debug, Clone, Serialize)]
pub struct Events {
    /// Their digest.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Where they can be read if nothing was pushed.
    pub path: Option<String>,
}

/// What is kept of a build that made no image.
#[derive(Debug, Serialize)]
pub struct Left {
    /// Digest of the statement about it.
    pub statement: Digest,
    /// Whether that is signed.
    pub signed: bool,
    /// Its file.
    pub path: String,
    /// What was pushed, with `--push-log`.
    pub pushed: Option<String>,
}

/// Why there is no image.
#[derive(Debug, Serialize)]
pub struct BuildFailure {
    /// In a sentence.
    pub reason: String,
    /// Where.
    pub instruction: Option<Instruction>,
    /// The last lines of the log.
    pub tail: String,
    /// What the log says about limits of the buildroot.
    pub hints: Vec<Hint>,
}

impl BuildFailure {
    fn of(reason: String) -> Self {
        Self { reason, instruction: None, tail: String::new(), hints: Vec::new() }
    }
}

impl Build {
    /// The answer of a build that could not be tried, or not be pushed.
    #[must_use]
    pub fn failed(reason: String) -> Self {
        let inputs = Inputs {
            count: 0,
            bytes: 0,
            refused: Vec::new(),
            tainted: false,
            to: "none".to_owned(),
            local: Local { count: 0, bytes: 0 },
        };
        Self {
            schema: "reprov.build/v1",
            image: None,
            manifest: None,
            config: None,
            layers: Vec::new(),
            provenance: None,
            statement: None,
            inputs,
            build: None,
            log: None,
            events: None,
            left: None,
            normalized: Vec::new(),
            check: None,
            tests: None,
            engine: None,
            limits: None,
            steps_run: 0,
            definition: None,
            repositories: Vec::new(),
            learned: Vec::new(),
            error: Some(BuildFailure::of(reason)),
            seconds: 0,
        }
    }

    /// Turns it into the answer of a build without an image.
    pub fn fail(&mut self, reason: String) {
        (self.image, self.manifest, self.config) = (None, None, None);
        self.layers.clear();
        self.error.get_or_insert(BuildFailure::of(reason));
    }

    /// The answer for people; `verbose`: with all that a check found.
    #[must_use]
    pub fn text(&self, verbose: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let (Some(image), Some(manifest)) = (&self.image, &self.manifest) else {
            return out;
        };
        let _ = writeln!(out, "built       {image}");
        let own = self.layers.iter().filter(|layer| layer.instruction.is_some()).count();
        let _ = writeln!(out, "manifest    {manifest}");
        let _ = writeln!(out, "layers      {own} own on {} of the base", self.layers.len() - own);
        let engine = self.engine.as_deref().unwrap_or_default();
        let _ = writeln!(out, "engine      {engine}, {} RUN step(s) through the shim", self.steps_run);
        if let Some(limits) = &self.limits {
            let _ = writeln!(out, "limits      {}", limits.text());
        }
        let inputs = &self.inputs;
        let _ = writeln!(
            out,
            "inputs      {} recorded, {}, {} refused",
            inputs.count,
            size(inputs.bytes),
            inputs.refused.len()
        );
        if !matches!(inputs.to.as_str(), "same" | "none") {
            let _ = writeln!(out, "kept        in {}", printable(&inputs.to));
        }
        if inputs.local.count > 0 {
            let Local { count, bytes } = inputs.local;
            let _ = writeln!(out, "kept        {count}, {}, on this machine alone", size(bytes));
        }
        if inputs.tainted {
            let _ = writeln!(
                out,
                "tainted     the transcript may not be the whole truth; the provenance says why"
            );
        }
        for count in self.normalized.iter().filter(|count| count.entries > 0) {
            let _ = writeln!(out, "normalized  {} ({} entries)", printable(&count.rule), count.entries);
        }
        match &self.provenance {
            Some(provenance) if provenance.signed => {
                let _ = writeln!(out, "attested    {} (signed)", provenance.digest);
            }
            Some(provenance) => {
                let _ = writeln!(out, "attested    {} (NOT SIGNED)", provenance.digest);
            }
            None => {}
        }
        if let Some(log) = &self.log {
            let cut = if log.truncated { ", truncated: the limit of a log" } else { "" };
            let _ = writeln!(out, "log         {} ({}{cut})", log.digest, size(log.size));
        }
        if let Some(check) = &self.check {
            check.write(&mut out, verbose);
        }
        if let Some(tests) = &self.tests {
            tests.write(&mut out);
        }
        if !self.learned.is_empty() {
            let _ = writeln!(out, "learned     to allow exactly this, put into reprov.toml:\n");
            out.push_str(&learned::tables(&self.learned));
        }
        out
    }
}
