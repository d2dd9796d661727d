//! `reprov verify`.

use std::{path::PathBuf, sync::Arc};

use super::{
    Context,
    bundle::BundleArgs,
    failure::{Exit, Failure},
    global::image_name,
    layout,
    policy::{load, trusted_root},
    sign::SignArgs,
};
use crate::{
    job::verify::{Identity, Request, Room, VerifyError, attest, counter, each, now_s},
    model::{ImageName, names, rfc3339, time::parse_rfc3339},
    policy::Policy,
    progress::Silent,
    report::verify as view,
    verify::{Judgement, Roots, Verdict, layout::Judged},
};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images, by tag or digest
    #[arg(required_unless_present_any = ["bundle", "subject", "layout"], conflicts_with = "bundle", value_name = "IMAGE")]
    images: Vec<String>,
    /// Whose attestations to believe (repeat for several); a policy's [[trust]] may name more
    #[arg(long, value_name = "KEY.pub", env = "REPROV_VERIFY_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    /// What must be true: a file, or slsa-l1, slsa-l2, slsa-l3, release (`reprov policy print NAME`)
    #[arg(long, value_name = "FILE", env = "REPROV_VERIFY_POLICY")]
    policy: Option<String>,
    /// Judge as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time, env = "REPROV_VERIFY_AS_OF")]
    as_of: Option<i64>,
    /// Which manifest of a multi-platform image; without it the index itself is judged
    #[arg(long, env = "REPROV_VERIFY_PLATFORM")]
    platform: Option<String>,
    /// Verify base images and buildroots too, so deep [default: as the policy says, else 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=16), env = "REPROV_VERIFY_DEPTH")]
    depth: Option<u8>,
    #[command(flatten)]
    sign: SignArgs,
    /// verifier.id in the summary
    #[arg(long, value_name = "URI", default_value = names::VERIFIER_LOCAL, env = "REPROV_VERIFY_VERIFIER_ID")]
    verifier_id: String,
    /// resourceUri in the summary [default: the image as it was named, without its digest]
    #[arg(long, value_name = "URI", requires = "key", env = "REPROV_VERIFY_RESOURCE_URI")]
    resource_uri: Option<String>,
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    layout: layout::Flags,
}

pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).ok_or_else(|| "write it as 2026-11-30T12:00:00Z".to_owned())
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        if self.bundle.given() {
            return self.bundle.run(context, &self.trust).await;
        }
        let key = self.signer()?;
        let (policy, roots, applied) = self.loaded(key.is_some())?;
        let now_s = self.as_of.unwrap_or_else(now_s);
        let layout = self.layout.judged(now_s).await?;
        if roots.0.is_empty()
            && self.policy.is_none()
            && self.depth.is_none()
            && let Some((shown, judged)) = layout
        {
            return self.products(context, shown, &judged, now_s).await;
        }
        if roots.0.is_empty() {
            let text = "nobody is trusted: give --trust KEY.pub, or a policy with [[trust]]".to_owned();
            return Err(Failure::usage_text(text));
        }
        let names = self.images.iter().map(|image| image_name("", image));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let request = Request {
            roots: Arc::new(roots),
            trusted_root: trusted_root(&policy, self.policy.as_deref())?,
            policy: Arc::new(policy),
            now_s,
            platform: self.platform.clone(),
            room: Room::default(),
            visited: counter(),
        };
        let ports = context.ports(Arc::new(Silent))?;
        let answers = each(&ports, &request, &names).await.map_err(Failure::unavailable)?;
        let mut exit = Exit::Ok;
        let mut images = Vec::new();
        for (name, answer) in names.iter().zip(answers) {
            let digest = answer.as_ref().ok().map(|judgement| judgement.descriptor.digest);
            let summary = match (&answer, &key) {
                (Ok(judgement), Some(key)) => {
                    let resource = self.resource_uri.clone();
                    let identity = Identity { verifier: self.verifier_id.clone(), resource };
                    attest(&ports, &request, name, judgement, &identity, key).await
                }
                _ => Ok(None),
            };
            let (mut image, mut code) = answered(context, name, answer);
            match summary {
                Ok(digest) => image.attestation = digest,
                Err(error) => {
                    let failure = Failure::unavailable(error);
                    context.console.complain(&failure);
                    code = code.worse(failure.exit);
                    image.error =
                        Some(format!("the summary is not attached: {}", failure.messages().join(": ")));
                }
            }
            exit = exit.worse(code);
            if let Some((_, judged)) = &layout {
                exit = exit.worse(layout::beside(&mut image, digest, judged));
            }
            images.push(image);
        }
        let (layout, refused) = layout.map(|(shown, judged)| (shown, judged.refused())).unzip();
        if refused == Some(true) {
            exit = exit.worse(Exit::Findings);
        }
        let as_of = rfc3339(now_s);
        let answer = view::Verify { schema: "reprov.verify/v1", policy: applied, as_of, images, layout };
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        Ok(exit)
    }

    /// Who is trusted and what for, and how deep; who `signs` says that the policy was applied, all of it.
    fn loaded(&self, signs: bool) -> Result<(Policy, Roots, Option<view::Policy>), Failure> {
        let (mut policy, roots, applied) = load(self.policy.as_deref(), &self.trust)?;
        if signs && self.depth.is_some_and(|depth| usize::from(depth) < policy.depth) {
            let text =
                "--key signs that the policy was applied, and --depth is less than it asks for".to_owned();
            return Err(Failure::usage_text(text));
        }
        policy.depth = self.depth.map_or(policy.depth, usize::from);
        Ok((policy, roots, applied))
    }

    /// Who signs a summary, if anybody.
    fn signer(&self) -> Result<Option<crate::signing::Signer>, Failure> {
        let key = self.sign.signer()?;
        match (&key, &self.policy, self.as_of) {
            (Some(_), None, _) => Err(Failure::usage_text(
                "--key signs a summary of what a policy asked: give --policy".to_owned(),
            )),
            (Some(_), _, Some(_)) => Err(Failure::usage_text(
                "--key signs what is true now, not what was: leave out --as-of".to_owned(),
            )),
            (Some(_), ..) if self.layout.layout.is_some() => Err(Failure::usage_text(
                "--key signs a summary of what a policy asked, and that says nothing of a --layout: verify twice".to_owned(),
            )),
            _ => Ok(key),
        }
    }

    /// Judges by a layout alone: nobody is trusted for attestations, so none is looked at.
    async fn products(
        &self,
        context: &Context<'_>,
        shown: layout::Answer,
        judged: &Judged,
        now_s: i64,
    ) -> Result<Exit, Failure> {
        let mut images = Vec::new();
        let mut refused = judged.refused();
        for image in &self.images {
            let name = image_name("", image)?;
            let answer = layout::product(context, &name, self.platform.as_deref(), judged).await?;
            refused |= answer.verdict != Verdict::Passed;
            images.push(answer);
        }
        let (as_of, layout) = (rfc3339(now_s), Some(shown));
        let answer = view::Verify { schema: "reprov.verify/v1", policy: None, as_of, images, layout };
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        Ok(if refused { Exit::Findings } else { Exit::Ok })
    }
}

/// The answer about one image, and what it makes the process end with.
fn answered(
    context: &Context<'_>,
    name: &ImageName,
    answer: Result<Judgement, VerifyError>,
) -> (view::Image, Exit) {
    match answer {
        Ok(judgement) => ((&judgement).into(), exit(judgement.verdict)),
        Err(error) => {
            let failure = Failure::unavailable(error);
            let text = failure.messages().join(": ");
            context.console.line(&format!("error: {}", crate::model::path::printable(&text)));
            (view::Image::unknown(name.to_string(), text), failure.exit)
        }
    }
}

fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Ok,
        Verdict::Failed => Exit::Findings,
        Verdict::Unknown => Exit::Unavailable,
    }
}
