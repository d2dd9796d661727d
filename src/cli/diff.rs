//! `reprov diff`.

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    ignore::Ignore,
    report::{self as reports, Report},
};
use crate::{
    compute, diff,
    drift::{self, InstructionRef},
    job::{
        Ports, accepted,
        archive::{self, ArchiveName, Unpacked},
        bases::Base,
        compare::{self, Beside},
        lineage,
    },
    model::{ImageName, Verdict},
    oci::Config,
    report::{self, Compares as _, diff as view},
};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first image, which may also be oci-archive:FILE[:TAG] or docker-archive:FILE[:REFERENCE]
    a: String,
    /// The second, likewise
    b: String,
    #[command(flatten)]
    ignore: Ignore,
    /// Which manifest of multi-platform images [default: every one, side by side]
    #[arg(long, env = "REPROV_DIFF_PLATFORM")]
    platform: Option<String>,
    /// Write a report to this file too; its ending says which: .html, .md, .json, .xml (for those who show tests), .sarif, .txt
    #[arg(long, value_name = "FILE", value_parser = reports::parse, env = "REPROV_DIFF_REPORT", value_delimiter = '\n')]
    report: Vec<Report>,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let ports = context.ports(context.console.job("diff"))?;
        let (one, other) = (Named::of(&ports, &self.a).await?, Named::of(&ports, &self.b).await?);
        let all = compare::fetch(&ports, [&one.name, &other.name], self.platform.as_deref()).await?;
        let (mut compared, mut absent) = (Vec::new(), Vec::new());
        for beside in all {
            let Beside { platform, a, b } = beside;
            match (a, b) {
                (Some(a), Some(b)) => compared.push(self.compare(&ports, platform, &a, &b).await?),
                (a, _) => absent.push(view::Absent {
                    platform: platform.unwrap_or_default(),
                    only_in: if a.is_some() { "a" } else { "b" },
                }),
            }
        }
        for (image, named) in compared
            .iter_mut()
            .flat_map(|one: &mut view::Compared| [(&mut one.images.a, &self.a), (&mut one.images.b, &self.b)])
        {
            // A layout that was unpacked for this has a name that says nothing.
            if ArchiveName::parse(named).is_some() {
                let digest =
                    image.rsplit_once('@').map(|(_, digest)| format!("@{digest}")).unwrap_or_default();
                *image = format!("{named}{digest}");
            }
        }
        let names = view::Images { a: self.a.clone(), b: self.b.clone() };
        let answer = view::Diff::new(compared, absent, names);
        let exit = if answer.verdict == Verdict::Reproduced { Exit::Ok } else { Exit::Findings };
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        match reports::write(&self.report, &answer) {
            Ok(()) => Ok(exit),
            Err(failure) => {
                context.console.complain(&failure);
                Ok(exit.worse(failure.exit))
            }
        }
    }

    async fn compare(
        &self,
        ports: &Ports,
        platform: Option<String>,
        a: &Base,
        b: &Base,
    ) -> Result<view::Compared, Failure> {
        let inherited = view::Inherited { a: inherited(ports, a).await, b: inherited(ports, b).await };
        let (store, one, two) = (ports.store.clone(), a.image.clone(), b.image.clone());
        let compared = compute::run(move || {
            let comparison = diff::images(&store, &one, &two)?;
            let [a, b] = [&one, &two].map(|image| made_by(&image.config));
            let instructions = comparison.by_pair(&a, &b);
            let context = drift::Context { instructions: instructions.clone(), ..drift::Context::default() };
            Ok::<_, diff::DiffError>((drift::explain(&comparison, &context)?, instructions))
        });
        let (mut explained, instructions) = compared.await.map_err(Failure::unavailable)?;
        accepted::mark(ports.progress.as_ref(), &mut explained.drifts, &self.ignore.acceptances());
        let ids = |base: &Base| -> Vec<report::LayerId> {
            let layers = base.image.manifest.layers().iter().zip(base.image.config.diff_ids());
            layers
                .map(|(layer, diff_id)| report::LayerId { digest: layer.digest, diff_id: *diff_id })
                .collect()
        };
        let (ids_a, ids_b) = (ids(a), ids(b));
        let layers = explained.layers.iter().enumerate().map(|(index, [one, other])| {
            let of = |ids: &[report::LayerId], at: &Option<usize>| at.and_then(|at| ids.get(at).copied());
            let (original, rebuilt) = (of(&ids_a, one), of(&ids_b, other));
            let instruction = instructions.get(index).cloned().flatten();
            report::LayerPair { index, instruction, original, rebuilt, equal: original == rebuilt }
        });
        let mut compared = view::Compared {
            platform,
            images: view::Images {
                a: a.name.at(a.manifest.digest).to_string(),
                b: b.name.at(b.manifest.digest).to_string(),
            },
            verdict: explained.verdict,
            inherited,
            layers: layers.collect(),
            config: explained.config,
            drifts: explained.drifts,
        };
        compared.leave_out_bases();
        Ok(compared)
    }
}

/// An image by the name it is read by.
struct Named {
    name: ImageName,
    /// What it was unpacked into, which is gone with it.
    _unpacked: Option<Unpacked>,
}

impl Named {
    async fn of(ports: &Ports, text: &str) -> Result<Self, Failure> {
        let Some(archive) = ArchiveName::parse(text) else {
            return Ok(Self { name: image_name("", text)?, _unpacked: None });
        };
        let store = ports.store.clone();
        let unpacked = compute::run(move || archive::unpack(&store, &archive)).await;
        let unpacked = unpacked.map_err(Failure::unavailable)?;
        Ok(Self { name: unpacked.name(), _unpacked: Some(unpacked) })
    }
}

/// The instruction of each layer, as far as the image's own history tells.
fn made_by(config: &Config) -> Vec<Option<InstructionRef>> {
    let made_by = config.made_by().into_iter();
    made_by.map(|text| text.map(|text| InstructionRef { line: None, text })).collect()
}

/// What an image has of the base that its provenance, whoever wrote it, names: the digests of the layers decide.
async fn inherited(ports: &Ports, image: &Base) -> Option<view::OfBase> {
    let layers = lineage::digests(&image.image.manifest);
    let (base, layers) = lineage::inherited(ports, &image.name, image.manifest.digest, &layers).await?;
    Some(view::OfBase { base, layers })
}
