//! `reprov promote`.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use futures_util::{StreamExt as _, stream};

use super::{
    Context, audit,
    failure::{Exit, Failure},
    global::image_name,
    ledger::{Places, opened},
    policy::{load, trusted_root},
    sign::SignArgs,
    verify::parse_time,
};
use crate::{
    entry::Entry,
    job::{
        Ports, copy,
        promote::{
            Committed, Outcome, Planned, PromoteError, Request, Template, Weighing, commit, entry, planned,
            weigh,
        },
        verify::{self, Room, counter, now_s},
    },
    ledger::{Ledger, Place},
    model::{Digest, ImageName, limits, names, rfc3339},
    report::{
        copy::{Blobs, Left},
        promote as view,
    },
    signing::Signer,
    verify::{
        Verdict,
        promotion::{Expected, Gate},
    },
};

/// Arguments of `promote`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image or index: HOST/REPOSITORY:TAG, oci:DIR:TAG, each also by @sha256:…
    #[arg(value_name = "SRC", required_unless_present = "undo", conflicts_with = "undo")]
    from: Option<String>,
    /// Where it goes, likewise; its tag (latest if none is named) is written last
    #[arg(value_name = "DST", required_unless_present_any = ["undo", "from_inventory"], conflicts_with = "from_inventory")]
    to: Option<String>,
    /// Instead: moves this target's tag back to what it named before its last promotion
    #[arg(long, value_name = "DST")]
    undo: Option<String>,
    /// Promotes every image of this inventory; DST, then the only image named, has {name}, {path} and {tag} of each
    #[arg(long, value_name = "FILE", conflicts_with = "undo", env = "REPROV_PROMOTE_FROM_INVENTORY")]
    from_inventory: Option<PathBuf>,
    /// Of the inventory, only this group
    #[arg(long, value_name = "NAME", requires = "from_inventory", env = "REPROV_PROMOTE_GROUP")]
    group: Option<String>,
    /// What must be true: a file, or slsa-l1, slsa-l2, slsa-l3, release (`reprov policy print NAME`)
    #[arg(long, value_name = "FILE", env = "REPROV_PROMOTE_POLICY")]
    policy: String,
    /// Whose attestations to believe (repeat for several); a policy's [[trust]] may name more
    #[arg(long, value_name = "KEY.pub", env = "REPROV_PROMOTE_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    /// Prints the decision with every finding, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Refuses if the decision is not this one: a digest that --dry-run printed, or its answer with --format json
    #[arg(
        long,
        value_name = "DIGEST|FILE",
        conflicts_with = "from_inventory",
        env = "REPROV_PROMOTE_EXPECT"
    )]
    expect: Option<String>,
    /// Lets an older build follow a newer one
    #[arg(long)]
    allow_downgrade: bool,
    /// With --dry-run: judge as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "dry_run", env = "REPROV_PROMOTE_AS_OF")]
    as_of: Option<i64>,
    /// promoter.id in the statement
    #[arg(long, value_name = "URI", default_value = names::PROMOTER_LOCAL, env = "REPROV_PROMOTE_PROMOTER")]
    promoter: String,
    /// Note it in this ledger too: a file, or `postgres://USER@HOST/DATABASE`
    #[arg(long, value_name = "PATH|URL", value_parser = Places, env = "REPROV_LEDGER", hide_env_values = true)]
    ledger: Option<Place>,
    #[command(flatten)]
    sign: SignArgs,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let started = Instant::now();
        let key = self.sign.signer()?;
        if key.is_none() && !self.dry_run {
            let text = "promoting is signed for: give --key, or --dry-run to see the decision".to_owned();
            return Err(Failure::usage_text(text));
        }
        if self.promoter.trim().is_empty() {
            return Err(Failure::usage_text("--promoter is empty; write a URI".to_owned()));
        }
        let (policy, roots, applied) = load(Some(&self.policy), &self.trust)?;
        if roots.0.is_empty() {
            let text = "nobody is trusted: give --trust KEY.pub, or a policy with [[trust]]".to_owned();
            return Err(Failure::usage_text(text));
        }
        let now_s = self.as_of.unwrap_or_else(now_s);
        let verify = verify::Request {
            roots: Arc::new(roots),
            trusted_root: trusted_root(&policy, Some(&self.policy))?,
            policy: Arc::new(policy),
            now_s,
            platform: None,
            room: Room::default(),
            visited: counter(),
        };
        let gate = Gate { allow_downgrade: self.allow_downgrade, expected: self.expected()? };
        // A ledger that cannot be used is known before there is something to note.
        let ledger = if self.dry_run { None } else { opened(self.ledger.as_ref()).await? };
        let ports = context.ports(context.console.job("promote"))?;
        let planned = self.planned(&ports).await?;
        let request = |one: &Planned| Request {
            verify: verify.clone(),
            from: one.from.clone(),
            to: one.to.clone(),
            gate: gate.clone(),
            key: key.as_ref().map(Signer::public),
        };
        let asked: Vec<(Planned, Request)> =
            planned.into_iter().map(|one| (one.clone(), request(&one))).collect();
        let (promotions, exit) = self.all(context, &ports, asked, key.as_ref(), ledger.as_ref()).await;
        if let Some(ledger) = ledger {
            ledger.close().await;
        }
        let answer = view::Promote {
            schema: "reprov.promote/v1",
            policy: applied,
            as_of: rfc3339(now_s),
            dry_run: self.dry_run,
            promotions,
            seconds: i64::try_from(started.elapsed().as_secs()).unwrap_or(i64::MAX),
        };
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        Ok(exit)
    }

    /// Several at a time, each for itself, the answers in their order.
    async fn all(
        &self,
        context: &Context<'_>,
        ports: &Ports,
        asked: Vec<(Planned, Request)>,
        key: Option<&Signer>,
        ledger: Option<&Ledger>,
    ) -> (Vec<view::Promotion>, Exit) {
        let each: Vec<_> = asked
            .into_iter()
            .map(|(planned, request)| async move {
                let (promotion, exit, entry) = Box::pin(self.one(context, ports, &request, key)).await;
                let entry = entry.map(|entry| Entry { group: planned.group, owner: planned.owner, ..entry });
                (promotion, exit.worse(noted(context, ledger, entry.as_ref()).await))
            })
            .collect();
        let done: Vec<(view::Promotion, Exit)> =
            stream::iter(each).buffered(limits::PROMOTED_AT_ONCE_MAX).collect().await;
        let exit = done.iter().fold(Exit::Ok, |exit, (_, code)| exit.worse(*code));
        (done.into_iter().map(|(promotion, _)| promotion).collect(), exit)
    }

    /// What is promoted where.
    async fn planned(&self, ports: &Ports) -> Result<Vec<Planned>, Failure> {
        let (Some(file), Some(to)) = (&self.from_inventory, &self.from) else {
            let from = self.from.as_deref().map(|from| image_name("", from)).transpose()?;
            let to = target(self.undo.as_ref().or(self.to.as_ref()).map_or("", String::as_str))?;
            return Ok(vec![Planned { from, to, group: None, owner: None }]);
        };
        let inventory = audit::read(file)?;
        let template = to.parse::<Template>().map_err(Failure::usage_text)?;
        let dir = file.parent().unwrap_or(Path::new(""));
        Ok(planned(ports, &inventory, dir, self.group.as_deref(), &template).await?)
    }

    /// The decision that is expected: its digest, or an answer that has it.
    fn expected(&self) -> Result<Option<Expected>, Failure> {
        let Some(text) = &self.expect else { return Ok(None) };
        if let Ok(decision) = text.parse::<Digest>() {
            return Ok(Some(Expected { decision, image: None, policy: None }));
        }
        let failed = |error: std::io::Error| {
            let hint = format!("--expect {text}: write sha256:… or the file with the dry run's JSON");
            Failure::usage(error).hint(hint)
        };
        let file = File::open(text).map_err(failed)?;
        let bytes = limits::read_bounded(file, limits::STATEMENT_SIZE_BYTES_MAX, "answer").map_err(failed)?;
        let answer: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| failed(std::io::Error::other(error)))?;
        let digest = |pointer: &str| answer.pointer(pointer)?.as_str()?.parse::<Digest>().ok();
        let several = answer.pointer("/promotions/1").is_some();
        match digest("/promotions/0/decision").filter(|_| !several) {
            Some(decision) => Ok(Some(Expected {
                decision,
                image: digest("/promotions/0/digest"),
                policy: digest("/policy/digest"),
            })),
            None => Err(failed(std::io::Error::other("no answer of one `reprov promote`"))),
        }
    }

    /// One promotion, with what the process ends with.
    async fn one(
        &self,
        context: &Context<'_>,
        ports: &Ports,
        request: &Request,
        key: Option<&Signer>,
    ) -> (view::Promotion, Exit, Option<Entry>) {
        let from = request.from.as_ref().map(ToString::to_string);
        let mut promotion = view::Promotion::asked(from, request.to.to_string());
        let weighing = match weigh(ports, request).await {
            Ok(weighing) => weighing,
            Err(error) => return failed(context, promotion, error),
        };
        let remembered =
            |committed: Option<&Committed>| entry(request, &weighing, committed, &self.promoter, now_s());
        weighed(&mut promotion, &weighing);
        let Some(key) = key.filter(|_| !self.dry_run && weighing.decision.verdict == Verdict::Passed) else {
            let (outcome, exit) = match weighing.decision.verdict {
                Verdict::Passed => (view::Outcome::Allowed, Exit::Ok),
                Verdict::Failed => (view::Outcome::Refused, Exit::Findings),
                Verdict::Unknown => (view::Outcome::Unknown, Exit::Unavailable),
            };
            promotion.outcome = outcome;
            if exit != Exit::Ok {
                complain(context, &promotion);
            }
            return (promotion, exit, remembered(None));
        };
        match commit(ports, request, &weighing, &self.promoter, key).await {
            Ok(committed) => {
                let exit = carried_out(&mut promotion, &weighing, &committed);
                if exit != Exit::Ok {
                    complain(context, &promotion);
                }
                (promotion, exit, remembered(Some(&committed)))
            }
            Err(error) => failed(context, promotion, error),
        }
    }
}

/// Whose tag is moved.
fn target(text: &str) -> Result<ImageName, Failure> {
    let to = image_name("", text)?;
    if to.selector.digest.is_some() {
        let text = format!("`{text}` has a digest: a promotion moves a tag, so name that alone");
        return Err(Failure::usage_text(text));
    }
    Ok(to)
}

/// Every refusal stands on standard error too.
fn complain(context: &Context<'_>, promotion: &view::Promotion) {
    let own = promotion.findings.iter().filter(|finding| finding.severity == "deny");
    let of_images = promotion.images.iter().flat_map(|judged| &judged.image.findings);
    let denied = of_images.filter(|finding| finding.severity == "deny" && finding.waived_by.is_none());
    let mut codes: Vec<&str> = own.chain(denied).map(|finding| finding.code).collect();
    codes.dedup();
    let name = promotion.outcome.name();
    context.console.line(&format!(
        "{name}: {}: {}",
        crate::model::path::printable(&promotion.to),
        codes.join(", ")
    ));
}

fn failed(
    context: &Context<'_>,
    mut promotion: view::Promotion,
    error: PromoteError,
) -> (view::Promotion, Exit, Option<Entry>) {
    let failure = Failure::from(error);
    context.console.complain(&failure);
    promotion.outcome = view::Outcome::Unknown;
    promotion.error = Some(failure.messages().join(": "));
    (promotion, failure.exit, None)
}

/// Adds the entry. What was done stands: only that it is not noted is said; the next run, which finds the tag where it is
/// to be, notes it then. Of one statement there is one entry.
async fn noted(context: &Context<'_>, ledger: Option<&Ledger>, entry: Option<&Entry>) -> Exit {
    let (Some(ledger), Some(entry)) = (ledger, entry) else { return Exit::Ok };
    let noted = match entry.evidence {
        Some(evidence) => ledger.append_once(&Entry::promotion_name(&evidence), entry).await,
        None => ledger.append(entry).await,
    };
    let Err(error) = noted else { return Exit::Ok };
    let failure = Failure::from(error);
    context.console.complain(&failure);
    failure.exit
}

fn weighed(promotion: &mut view::Promotion, weighing: &Weighing) {
    promotion.to = weighing.to.to_string();
    if promotion.undo {
        promotion.from = weighing.from.as_ref().map(ToString::to_string);
    }
    promotion.digest = weighing.root.as_ref().map(|root| root.digest);
    promotion.before = weighing.before;
    promotion.decided(&weighing.decision);
    promotion.index = weighing.index.as_ref().map(Into::into);
    promotion.images = weighing.images.iter().map(Into::into).collect();
}

fn carried_out(promotion: &mut view::Promotion, weighing: &Weighing, committed: &Committed) -> Exit {
    let copy::Blobs { count, existing, mounted, sent, sent_bytes } = committed.blobs;
    promotion.blobs = Blobs { count, existing, mounted, sent, sent_bytes };
    promotion.manifests = committed.manifests as u64;
    promotion.attestation = committed.attestation;
    let left = committed.left.iter();
    promotion.left = left.map(|(what, why)| Left { what: what.clone(), why: why.clone() }).collect();
    let (outcome, exit) = match &committed.outcome {
        Outcome::Moved => (view::Outcome::Promoted, Exit::Ok),
        Outcome::Completed => (view::Outcome::Completed, Exit::Ok),
        Outcome::Unchanged => (view::Outcome::Unchanged, Exit::Ok),
        Outcome::Refused(objection) => {
            let mut decision = weighing.decision.clone();
            decision.object(objection.clone());
            promotion.decided(&decision);
            (view::Outcome::Refused, Exit::Findings)
        }
    };
    promotion.outcome = outcome;
    exit
}

impl From<PromoteError> for Failure {
    fn from(error: PromoteError) -> Self {
        match error {
            PromoteError::Copy(error) => error.into(),
            PromoteError::List(error) => error.into(),
            PromoteError::Inventory(text) => Self::usage_text(text),
            error => Self::unavailable(error),
        }
    }
}
