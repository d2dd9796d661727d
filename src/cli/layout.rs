//! `verify --layout`.

use std::{collections::BTreeSet, fs::File, path::PathBuf};

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::{
    attest::Functionary,
    job::layout::{inspect, links},
    model::{
        ImageName,
        limits::{BUNDLE_SIZE_BYTES_MAX, read_bounded},
    },
    report::{layout as view, verify},
    signing,
    verify::{
        Verdict,
        layout::{Judged, LayoutCode, LayoutFinding, inspected, judge},
    },
};

pub(super) use crate::report::layout::Layout as Answer;

/// Flags of `verify` about in-toto layouts.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// An in-toto layout that a supply chain must satisfy; an IMAGE must be a product of its last step
    #[arg(long, value_name = "FILE", requires = "layout_key", env = "REPROV_VERIFY_LAYOUT")]
    pub(super) layout: Option<PathBuf>,
    /// A key that must have signed the layout (repeat for several: each must)
    #[arg(
        long,
        value_name = "KEY.pub",
        requires = "layout",
        env = "REPROV_VERIFY_LAYOUT_KEY",
        value_delimiter = '\n'
    )]
    layout_key: Vec<PathBuf>,
    /// Where the layout's links lie
    #[arg(long, value_name = "DIR", default_value = ".", env = "REPROV_VERIFY_LINKS")]
    links: PathBuf,
    /// Run the commands that the layout asks for, in the current directory, which must hold the product
    #[arg(long, requires = "layout")]
    run_inspections: bool,
}

impl Flags {
    /// Judges the layout as of `now_s`, if there is one.
    pub(super) async fn judged(&self, now_s: i64) -> Result<Option<(view::Layout, Judged)>, Failure> {
        let Some(path) = &self.layout else { return Ok(None) };
        let named =
            |error: std::io::Error| Failure::usage(error).hint(format!("--layout {}", path.display()));
        let file = File::open(path).map_err(named)?;
        let bytes = read_bounded(file, BUNDLE_SIZE_BYTES_MAX, "layout").map_err(named)?;
        let keys = signing::load_trust(&self.layout_key).map_err(Failure::usage)?;
        let owners: Vec<Functionary> = keys.into_iter().map(Functionary::of).collect();
        let files = links(&self.links).map_err(Failure::unavailable)?;
        let mut judged = judge(&bytes, &owners, &files, now_s);
        let ran = if judged.refused() { Vec::new() } else { self.inspections(&mut judged).await? };
        Ok(Some((view::Layout::of(path.display().to_string(), &judged, ran), judged)))
    }

    /// Runs what the layout asks for, or says that it did not run.
    async fn inspections(&self, judged: &mut Judged) -> Result<Vec<String>, Failure> {
        if !self.run_inspections {
            let not_run = judged.inspections.iter().map(|inspection| {
                let message = format!("`{}` was not run", inspection.run.join(" "));
                LayoutFinding::new(LayoutCode::InspectionNotRun, &inspection.name, &message)
            });
            judged.findings.extend(not_run);
            return Ok(Vec::new());
        }
        let here = std::env::current_dir().map_err(Failure::unavailable)?;
        let (recorded, failed) = inspect(&judged.inspections, &here).await.map_err(Failure::unavailable)?;
        judged.findings.extend(failed);
        judged.findings.extend(inspected(&judged.inspections, &recorded, &judged.links));
        let ran: BTreeSet<&String> = recorded.keys().collect();
        let names = judged.inspections.iter().map(|inspection| &inspection.name);
        Ok(names.filter(|name| ran.contains(name)).cloned().collect())
    }
}

/// The answer about `image` where only a layout was asked about: whether it is its product.
pub(super) async fn product(
    context: &Context<'_>,
    image: &ImageName,
    platform: Option<&str>,
    judged: &Judged,
) -> Result<verify::Image, Failure> {
    let registries = context.global.registries()?;
    let found = match platform {
        Some(platform) => registries.platform_manifest(image, platform).await,
        None => registries.manifest(image).await,
    };
    let digest = found.map_err(Failure::unavailable)?.0.digest;
    let mut answer = verify::Image::unknown(image.at(digest).to_string(), String::new());
    answer.error = None;
    answer.findings = judged.product(&digest).iter().map(line).collect();
    let refused = judged.refused() || !answer.findings.is_empty();
    answer.verdict = if refused { Verdict::Failed } else { Verdict::Passed };
    Ok(answer)
}

/// Adds to the answer about an image, which was judged by its attestations too, what the layout says of it.
pub(super) fn beside(
    answer: &mut verify::Image,
    digest: Option<crate::model::Digest>,
    judged: &Judged,
) -> Exit {
    let Some(digest) = digest else { return Exit::Ok };
    let found: Vec<_> = judged.product(&digest).iter().map(line).collect();
    if found.is_empty() && !judged.refused() {
        return Exit::Ok;
    }
    answer.verdict = Verdict::Failed;
    answer.findings.splice(0..0, found);
    Exit::Findings
}

fn line(finding: &LayoutFinding) -> verify::Line {
    verify::Line {
        code: finding.code.name(),
        severity: "deny",
        message: finding.message.clone(),
        remedy: finding.code.remedy(),
        waived_by: None,
        evidence: None,
    }
}
