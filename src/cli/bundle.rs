//! `reprov verify --bundle`: a sigstore bundle on disk.

use std::path::PathBuf;

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::{
    host,
    job::bundle::{Found, Outcome, Request, Signers, Subject, judge},
    model::rfc3339,
    policy::Severity,
    report::verify as view,
    signing::{
        self,
        keyless::{Identity, Pattern},
    },
    verify::{Code, Finding, Status, Verdict},
};

/// Flags of `verify` that are about a bundle on disk.
#[derive(Debug, clap::Args)]
pub(super) struct BundleArgs {
    /// Judge this sigstore bundle on disk instead of an image; nothing is asked of any network
    #[arg(
        long,
        value_name = "FILE",
        requires = "subject",
        conflicts_with_all = ["policy", "as_of", "platform", "depth", "key", "layout"],
        env = "REPROV_VERIFY_BUNDLE",
        help_heading = "Bundles on disk"
    )]
    bundle: Option<PathBuf>,
    /// What the bundle must be about: a file, or its digest
    #[arg(
        long,
        value_name = "FILE|sha256:HEX",
        requires = "bundle",
        env = "REPROV_VERIFY_SUBJECT",
        help_heading = "Bundles on disk"
    )]
    subject: Option<String>,
    /// The kind of statement it must be [default: any, or a signature over the file]
    #[arg(
        long = "type",
        value_name = "PREDICATE",
        requires = "bundle",
        env = "REPROV_VERIFY_TYPE",
        help_heading = "Bundles on disk"
    )]
    predicate_type: Option<String>,
    /// Whose certificates, logs and timestamps to believe: sigstore's `trusted_root.json`
    #[arg(
        long,
        value_name = "FILE",
        requires = "bundle",
        env = "REPROV_VERIFY_TRUSTED_ROOT",
        help_heading = "Bundles on disk"
    )]
    trusted_root: Option<PathBuf>,
    /// Who must have signed: the certificate's subject alternative name, letter by letter
    #[arg(
        long,
        value_name = "SAN",
        requires = "trusted_root",
        env = "REPROV_VERIFY_IDENTITY",
        help_heading = "Bundles on disk"
    )]
    identity: Option<String>,
    /// The same, with `*` for any letters, from beginning to end
    #[arg(
        long,
        value_name = "PATTERN",
        requires = "trusted_root",
        conflicts_with = "identity",
        env = "REPROV_VERIFY_IDENTITY_PATTERN",
        help_heading = "Bundles on disk"
    )]
    identity_pattern: Option<String>,
    /// Who must have vouched for the identity: the issuer's URL, letter by letter
    #[arg(
        long,
        value_name = "URL",
        requires = "trusted_root",
        env = "REPROV_VERIFY_ISSUER",
        help_heading = "Bundles on disk"
    )]
    issuer: Option<String>,
    /// The same, with `*` for any letters, from beginning to end
    #[arg(
        long,
        value_name = "PATTERN",
        requires = "trusted_root",
        conflicts_with = "issuer",
        env = "REPROV_VERIFY_ISSUER_PATTERN",
        help_heading = "Bundles on disk"
    )]
    issuer_pattern: Option<String>,
}

impl BundleArgs {
    /// Whether a bundle is to be judged.
    pub(super) fn given(&self) -> bool {
        self.bundle.is_some()
    }

    /// Judges it, and answers.
    pub(super) async fn run(&self, context: &Context<'_>, trust: &[PathBuf]) -> Result<Exit, Failure> {
        let (Some(bundle), Some(subject)) = (&self.bundle, &self.subject) else {
            return Err(Failure::usage_text("--bundle and --subject belong together".to_owned()));
        };
        let request = Request {
            bundle: bundle.clone(),
            subject: Subject::parse(subject),
            signers: self.signers(trust)?,
            predicate_type: self.predicate_type.clone(),
        };
        let judged = tokio::task::spawn_blocking(move || judge(&request)).await.map_err(Failure::internal)?;
        let (image, exit) = match judged {
            Ok(outcome) => {
                let exit = match verdict(&outcome) {
                    Verdict::Passed => Exit::Ok,
                    Verdict::Failed => Exit::Findings,
                    Verdict::Unknown => Exit::Unavailable,
                };
                (answered(subject, &outcome), exit)
            }
            Err(error) => {
                let failure = Failure::unavailable(error);
                context.console.complain(&failure);
                (view::Image::unknown(subject.clone(), failure.messages().join(": ")), failure.exit)
            }
        };
        let answer = view::Verify {
            schema: "reprov.verify/v1",
            policy: None,
            as_of: rfc3339(host::now_s()),
            images: vec![image],
            layout: None,
        };
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        Ok(exit)
    }

    fn signers(&self, trust: &[PathBuf]) -> Result<Signers, Failure> {
        let root =
            self.trusted_root.as_deref().map(signing::load_root).transpose().map_err(Failure::usage)?;
        let identity = pattern(self.identity.as_ref(), self.identity_pattern.as_ref());
        let issuer = pattern(self.issuer.as_ref(), self.issuer_pattern.as_ref());
        match (trust, root, identity, issuer) {
            ([], Some(root), Some(subject), Some(issuer)) => {
                if subject.is_anything() || issuer.is_anything() {
                    let text = "a pattern of `*` alone would believe anybody; write a part of the identity that only yours has";
                    return Err(Failure::usage_text(text.to_owned()));
                }
                Ok(Signers::Identity(root, Identity { subject, issuer }))
            }
            ([], ..) => {
                let text = "nobody is trusted: give --trust KEY.pub, or --trusted-root FILE with --identity SAN and --issuer URL";
                Err(Failure::usage_text(text.to_owned()))
            }
            (keys, root, None, None) => {
                Ok(Signers::Keys(signing::load_trust(keys).map_err(Failure::usage)?, root))
            }
            _ => {
                let text = "--trust is for bundles signed by a key, --identity and --issuer for those with a certificate; give one of both";
                Err(Failure::usage_text(text.to_owned()))
            }
        }
    }
}

fn pattern(exact: Option<&String>, like: Option<&String>) -> Option<Pattern> {
    exact.cloned().map(Pattern::Exact).or_else(|| like.cloned().map(Pattern::Like))
}

/// As an answer has it. What is refused here is refused for good: there is no other attestation that could say otherwise.
fn line(found: &Found, severity: Severity) -> view::Line {
    (&Finding::new(found.code, &found.message).counting(severity)).into()
}

/// Where the bytes that were signed are not at hand, nobody can tell.
fn verdict(outcome: &Outcome) -> Verdict {
    match &outcome.refused {
        None => Verdict::Passed,
        Some(found) if found.code == Code::SubjectUnheld => Verdict::Unknown,
        Some(_) => Verdict::Failed,
    }
}

fn answered(subject: &str, outcome: &Outcome) -> view::Image {
    let refused = outcome.refused.iter().map(|found| line(found, Severity::Deny));
    let times = outcome.times_s.iter().map(|time_s| view::Fact {
        name: "signed",
        value: rfc3339(*time_s),
        status: Status::Checked,
    });
    let attestation = view::Attestation {
        predicate_type: outcome.predicate_type.clone(),
        digest: outcome.bundle,
        statement: outcome.statement,
        signer: outcome.signer.clone(),
        verified: outcome.refused.is_none(),
    };
    view::Image {
        judged: Some("bundle"),
        verdict: verdict(outcome),
        findings: refused
            .chain(outcome.notes.iter().map(|found| line(found, found.code.severity())))
            .collect(),
        attestations: vec![attestation],
        facts: times.collect(),
        error: None,
        ..view::Image::unknown(subject.to_owned(), String::new())
    }
}
