//! One try of one step: what the image is, or that nobody could tell.
#![expect(clippy::disallowed_methods, reason = "keeps reports of drift in files")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use super::{
    Attach, Request, TOOL,
    due::StepKind,
    hosts::{Hosts, is_down},
    plan::{Item, Planned},
};
use crate::{
    attest::rebuilt::InputsFrom,
    entry::{Entry, Kind, Waived},
    host,
    job::{
        Ports,
        evidence::{EvidenceError, Trust, chain},
        rebuild::{self, Outcome, RebuildError, answer, rebuild},
        verify::{self, Identity, Room, VerifyError, counter, verify},
    },
    model::{Digest, Selector, Verdict, names::SLSA_PROVENANCE, path::printable},
    registry::RegistryError,
    report::{self, Form, rebuild as view},
    signing::Signer,
    verify::{Judgement, RootSigner, Verdict as Judged},
};

/// What came of a try.
#[derive(Debug)]
pub(super) enum Tried {
    /// What the image is; beside it, why that could not be attached or kept.
    Told(Box<Entry>, Option<String>),
    /// The registry says that there is no such image.
    Gone(String),
    /// Nobody could tell; the entry that is written if it stays so.
    Untold {
        entry: Box<Entry>,
        /// Whether another try may go better.
        again: bool,
        /// Whether a bug of ours ended it.
        bug: bool,
    },
}

/// What all tries of a step share.
pub(super) struct Case<'a> {
    pub(super) ports: &'a Ports,
    pub(super) request: &'a Request,
    pub(super) hosts: &'a Hosts,
    pub(super) room: &'a Room,
    pub(super) item: &'a Item,
    pub(super) planned: &'a Planned,
}

impl Case<'_> {
    /// An entry about this step, finished now.
    pub(super) fn entry(&self, kind: Kind, outcome: &str) -> Entry {
        let Item { found, .. } = self.item;
        let group = &self.request.inventory.groups[found.group];
        let by = match self.planned.step {
            StepKind::Verify => &self.request.verifier_id,
            StepKind::Replay | StepKind::Live => &self.request.rebuilder_id,
        };
        let policy = self.request.rules[found.group].policy.digest;
        Entry {
            at_s: host::now_s(),
            kind,
            repository: found.name.repository(),
            tag: found.tag().map(str::to_owned),
            digest: Some(found.digest),
            outcome: outcome.to_owned(),
            evidence: None,
            by: by.clone(),
            tool: TOOL.to_owned(),
            signer: None,
            policy: policy.filter(|_| self.planned.step == StepKind::Verify),
            conditions: Some(self.planned.conditions),
            group: Some(group.name.clone()),
            owner: group.owner.clone(),
            codes: BTreeMap::new(),
            waived: Vec::new(),
            from: None,
            before: None,
            took_ms: None,
            report: None,
            error: None,
        }
    }

    /// Nobody could tell, for this reason.
    pub(super) fn untold(&self, error: &str, again: bool) -> Tried {
        let mut entry = self.entry(Kind::Missed, "unreachable");
        entry.error = Some(shown(error));
        Tried::Untold { entry: Box::new(entry), again, bug: false }
    }

    /// It panicked.
    pub(super) fn bug(&self, panic: &str) -> Tried {
        let mut entry = self.entry(Kind::Missed, "unreachable");
        entry.error = Some(shown(&format!("a bug of ours ended it: {panic}")));
        Tried::Untold { entry: Box::new(entry), again: false, bug: true }
    }

    /// Tries once.
    pub(super) async fn attempt(&self) -> Tried {
        match self.planned.step {
            StepKind::Verify => self.verify().await,
            StepKind::Replay => Box::pin(self.rebuild(InputsFrom::Replay)).await,
            StepKind::Live => Box::pin(self.rebuild(InputsFrom::Live)).await,
        }
    }

    async fn verify(&self) -> Tried {
        let rules = &self.request.rules[self.item.found.group];
        let request = verify::Request {
            roots: Arc::clone(&rules.roots),
            trusted_root: rules.trusted_root.clone(),
            policy: Arc::clone(&rules.policy),
            now_s: host::now_s(),
            platform: None,
            room: self.room.clone(),
            visited: counter(),
        };
        let judged = verify(self.ports, &request, &self.item.found.name).await;
        self.hosts.asked(&self.item.found.name, !judged.as_ref().is_err_and(down_verify));
        let judgement = match judged {
            Ok(judgement) => judgement,
            Err(error) if error.is_not_found() => return Tried::Gone(shown(&chain(&error))),
            Err(error) => return self.untold(&chain(&error), true),
        };
        let mut entry = self.entry(Kind::Verified, judgement.verdict.name());
        entry.at_s = request.now_s;
        Self::found(&mut entry, &judgement);
        if judgement.verdict == Judged::Unknown {
            entry.error = Some("what could not be read may say otherwise".to_owned());
            return Tried::Untold { entry: Box::new(entry), again: true, bug: false };
        }
        let mut unattached = None;
        if rules.policy.digest.is_some()
            && let Some(key) = self.attaches(&mut entry)
        {
            let identity = Identity { verifier: self.request.verifier_id.clone(), resource: None };
            match verify::attest(self.ports, &request, &self.item.found.name, &judgement, &identity, key)
                .await
            {
                Ok(evidence) => {
                    entry.evidence = evidence;
                    entry.signer = evidence.map(|_| key.public().fingerprint().hex());
                }
                Err(error) => {
                    unattached = Some(format!("the summary is not attached: {}", shown(&chain(&error))));
                }
            }
        }
        Tried::Told(Box::new(entry), unattached)
    }

    /// Codes that count, and what was waived.
    fn found(entry: &mut Entry, judgement: &Judgement) {
        for finding in &judgement.findings {
            if finding.denies() {
                *entry.codes.entry(finding.code.name().to_owned()).or_default() += 1;
            }
            if let Some(owner) = &finding.waived_by {
                let (code, until) = (finding.code.name().to_owned(), finding.waived_until.clone());
                entry.waived.push(Waived { code, owner: owner.clone(), until: until.unwrap_or_default() });
            }
        }
        entry.waived.sort();
        entry.waived.dedup();
    }

    /// Who attaches what came of it; nobody where it was attached already and only changes are, then the entry names
    /// what says so.
    fn attaches(&self, entry: &mut Entry) -> Option<&Signer> {
        let key = self.request.key.as_deref()?;
        let same = |last: &&Entry| {
            last.outcome == entry.outcome
                && last.codes == entry.codes
                && last.conditions == entry.conditions
                && last.evidence.is_some()
                && last.signer.as_deref() == Some(&*key.public().fingerprint().hex())
        };
        match self.planned.last.as_ref().filter(same) {
            Some(last) if self.request.attach == Attach::OnChange => {
                entry.evidence = last.evidence;
                entry.signer.clone_from(&last.signer);
                None
            }
            _ => Some(key),
        }
    }

    async fn rebuild(&self, inputs: InputsFrom) -> Tried {
        let request = self.asked(inputs);
        let done = Box::pin(rebuild(self.ports, &request, None)).await;
        self.hosts.asked(&request.image, !done.as_ref().is_err_and(down_rebuild));
        let mut outcome = match done {
            Ok(outcome) => outcome,
            Err(RebuildError::Image { source, .. }) if source.is_not_found() => {
                return Tried::Gone(shown(&chain(&source)));
            }
            Err(error) => return self.untold(&chain(&error), may_go_better(&error)),
        };
        // Inputs lie in the registry: nobody knows whether they are missing while it does not answer.
        if outcome.verdict == Verdict::InputsMissing
            && let Err(error) = self.ports.registries.resolve(&request.image).await
        {
            self.hosts.asked(&request.image, !is_down(&error));
            if error.is_not_found() {
                return Tried::Gone(shown(&chain(&error)));
            }
            return self.untold(&chain(&error), true);
        }
        let mut entry = self.entry(self.planned.step.kind(), outcome.verdict.name());
        entry.codes = outcome.causes();
        entry.error = outcome.error.as_deref().map(shown);
        let mut trouble = Vec::new();
        if let Some(key) = self.attaches(&mut entry) {
            outcome.attach(self.ports, &request.image, &request.rebuilder_id, key).await;
            entry.evidence = outcome.attestation;
            entry.signer = outcome.attestation.map(|_| key.public().fingerprint().hex());
            trouble.extend(
                outcome
                    .unattached
                    .take()
                    .map(|error| format!("the verdict is not attached: {}", shown(&chain(&error)))),
            );
        }
        entry.at_s = outcome.attested_on_s.unwrap_or_else(host::now_s);
        match self.keep(&request, &outcome) {
            Ok(kept) => entry.report = kept,
            Err(error) => trouble.push(format!("the report is not kept: {error}")),
        }
        Tried::Told(Box::new(entry), (!trouble.is_empty()).then(|| trouble.join("; ")))
    }

    fn asked(&self, inputs: InputsFrom) -> rebuild::Request {
        let Item { found, .. } = self.item;
        let group = &self.request.inventory.groups[found.group];
        let rules = &self.request.rules[found.group];
        let provenance = rules.roots.0.iter().filter(|root| root.may_say(SLSA_PROVENANCE));
        let keys = provenance.filter_map(|root| match &root.signer {
            RootSigner::Key(key) => Some(key.clone()),
            RootSigner::Identity { .. } => None,
        });
        let vary = if inputs == InputsFrom::Replay {
            group.vary.clone()
        } else {
            crate::model::Variations::default()
        };
        rebuild::Request {
            image: found.name.clone(),
            trust: Trust::Keys(keys.collect()),
            source: None,
            provenance: None,
            keep: None,
            platform: group.platform.clone(),
            rebuilder_id: self.request.rebuilder_id.clone(),
            env: self.request.env.clone(),
            maxima: self.request.maxima,
            buildroot: rules.buildroot.clone(),
            secrets: BTreeMap::new(),
            vary,
            ignore: Vec::new(),
            inputs,
            credentials: self.request.credentials.clone(),
            try_commit_clock: false,
        }
    }

    /// Writes the report of what is not reproduced, for a browser and as JSON; where the former lies.
    fn keep(&self, request: &rebuild::Request, outcome: &Outcome) -> std::io::Result<Option<String>> {
        let Some(dir) = self.request.keep.as_ref().filter(|_| outcome.verdict != Verdict::Reproduced) else {
            return Ok(None);
        };
        let mut name = request.image.clone();
        name.selector = Selector { digest: None, ..name.selector };
        let image = answer::image(&name, outcome);
        let summary = BTreeMap::from([(outcome.verdict.name().to_owned(), 1)]);
        let rebuilt =
            view::Rebuild { schema: "reprov.rebuild/v1", images: vec![image], summary, accepted: Vec::new() };
        // The same image may lie in several repositories.
        let place = Digest::of(self.item.found.name.repository().as_bytes());
        let base = format!("{}-{}-{}", self.item.found.digest.hex(), place.short(), self.planned.step.name());
        for form in [Form::Json, Form::Html] {
            write(dir, &format!("{base}{}", form.ending()), &report::render(form, &rebuilt))?;
        }
        Ok(Some(dir.join(format!("{base}.html")).display().to_string()))
    }
}

/// Writes a file under another name first: who reads it finds all of it.
fn write(dir: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let part = dir.join(format!(".{name}.part"));
    fs::write(&part, text)?;
    fs::rename(part, dir.join(name))
}

/// Words from elsewhere, short and printable.
fn shown(text: &str) -> String {
    printable(&text.chars().take(1000).collect::<String>())
}

fn down_verify(error: &VerifyError) -> bool {
    match error {
        VerifyError::Registry { source, .. } => is_down(source),
        VerifyError::Evidence(error) => down_evidence(error),
    }
}

fn down_evidence(error: &EvidenceError) -> bool {
    matches!(error, EvidenceError::Registry { source, .. } if is_down(source))
}

fn down_rebuild(error: &RebuildError) -> bool {
    match error {
        RebuildError::Image { source, .. } | RebuildError::Layer { source, .. } => is_down(source),
        RebuildError::Evidence(error) => down_evidence(error),
        _ => false,
    }
}

/// Whether a rebuild that gave no verdict may give one the next time.
fn may_go_better(error: &RebuildError) -> bool {
    match error {
        RebuildError::Exceeded { .. }
        | RebuildError::NotVaried(_)
        | RebuildError::Credentials(_)
        | RebuildError::NotAnImage { .. } => false,
        RebuildError::Image { source, .. } => !matches!(source, RegistryError::Platform { .. }),
        RebuildError::Execute(error) => !error.of_definition(),
        _ => true,
    }
}
