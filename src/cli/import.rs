//! `reprov import`.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    sign::SignArgs,
};
use crate::{
    attest::ImportParameters,
    job::import::{ImportError, Outcome, Request, import},
    model::{ImageName, names, rfc3339},
    report::{
        Named,
        build::{Normalized, Provenance},
        import as view,
    },
};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("key", |key| key.required_unless_present("no_sign").conflicts_with("no_sign")))]
pub(super) struct Args {
    /// A tar archive (plain, gzip, zstd or xz), or a directory
    #[arg(value_name = "ROOTFS")]
    rootfs: PathBuf,
    /// Where the image goes: HOST/REPOSITORY:TAG or oci:DIR:TAG
    #[arg(short, long, value_name = "DEST", env = "REPROV_IMPORT_TAG")]
    tag: String,
    /// Where the root file system came from; recorded as claimed, nobody looks
    #[arg(long, value_name = "URL", env = "REPROV_IMPORT_SOURCE")]
    source: Option<String>,
    /// linux/ARCH, if no program in it tells (another than theirs is refused)
    #[arg(long, env = "REPROV_IMPORT_PLATFORM")]
    platform: Option<String>,
    /// The image's time, seconds since 1970; no file is younger [default: the newest time in it]
    #[arg(long, value_name = "SECONDS", env = "REPROV_IMPORT_EPOCH", value_parser = clap::value_parser!(i64).range(0..=253_402_207_199))]
    epoch: Option<i64>,
    #[command(flatten)]
    sign: SignArgs,
    /// Attach the provenance unsigned: nobody can trust it
    #[arg(long)]
    no_sign: bool,
    /// builder.id in the provenance
    #[arg(long, value_name = "URI", default_value = names::BUILDER_LOCAL, env = "REPROV_IMPORT_BUILDER_ID")]
    builder_id: String,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.tried(context).await {
            Err(failure) if matches!(failure.exit, Exit::Findings | Exit::Unavailable) => {
                context.console.complain(&failure);
                context.console.answer(&view::Import::failed(failure.messages().join(": ")), "");
                Ok(failure.exit)
            }
            tried => tried,
        }
    }

    async fn tried(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let request = Request {
            rootfs: self.rootfs.clone(),
            external: ImportParameters {
                source: self.source.as_deref().map(source).transpose()?,
                platform: self.platform.as_deref().map(platform).transpose()?,
                epoch: self.epoch,
            },
            to: self.to()?,
            key: self.sign.signer()?,
            builder_id: self.builder_id.clone(),
        };
        if self.no_sign {
            context.console.warn("--no-sign: the provenance is not signed; nobody can trust it");
        }
        let ports = context.ports(context.console.job("import"))?;
        let outcome = import(&ports, &request).await?;
        if let Some(owner) = outcome.made.owner {
            context.console.warn(&format!("the directory belongs to user {owner}, not to root: the image has its owners as they are here, and another user's copy makes another image; a tar archive made in the root's own namespace does not"));
        }
        let answer = answer(&request, &outcome);
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }

    fn to(&self) -> Result<ImageName, Failure> {
        let to = image_name("--tag ", &self.tag)?;
        if to.selector.digest.is_some() {
            let text = format!("--tag `{}` names a digest; the root file system decides that", self.tag);
            return Err(Failure::usage_text(text));
        }
        Ok(to)
    }
}

/// A URL without a password: it is published with the image.
fn source(text: &str) -> Result<String, Failure> {
    let url =
        url::Url::parse(text).map_err(|error| Failure::usage_text(format!("--source `{text}`: {error}")))?;
    if url.password().is_some() {
        return Err(Failure::usage_text(
            "--source has a password in it, and is published; leave it out".to_owned(),
        ));
    }
    Ok(text.to_owned())
}

fn platform(text: &str) -> Result<String, Failure> {
    let parts: Vec<_> = text.split('/').collect();
    let word =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if (2..=3).contains(&parts.len()) && parts[0] == "linux" && parts.iter().all(word) {
        return Ok(text.to_owned());
    }
    Err(Failure::usage_text(format!("--platform `{text}` is not linux/ARCH or linux/ARCH/VARIANT")))
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match &error {
            ImportError::Refused { .. } | ImportError::Entry { .. } => Self::findings(error),
            ImportError::NoPlatform(_) | ImportError::OtherPlatform { .. } => Self::usage(error),
            ImportError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::usage(error).hint("ROOTFS is a tar archive or a directory on this machine".to_owned())
            }
            ImportError::Image(_) => Self::internal(error),
            _ => Self::unavailable(error),
        }
    }
}

fn answer(request: &Request, outcome: &Outcome) -> view::Import {
    let made = &outcome.made;
    let mut kinds = BTreeMap::new();
    for package in &made.packages.list {
        *kinds.entry(package.kind.to_owned()).or_default() += 1;
    }
    let dropped = made.dropped.iter();
    view::Import {
        schema: "reprov.import/v1",
        image: Some(request.to.at(made.manifest.digest).to_string()),
        manifest: Some(made.manifest.digest),
        config: Some(made.image.manifest.config().digest),
        layer: Some(view::Layer {
            digest: made.layer.digest,
            diff_id: made.archive.diff_id,
            size: made.layer.size,
            entries: made.entries,
        }),
        platform: Some(made.platform.clone()),
        created: Some(rfc3339(made.epoch_s)),
        rootfs: Some(view::Rootfs {
            digest: Some(made.rootfs),
            size: Some(made.rootfs_bytes),
            form: made.form.to_owned(),
            compression: made.compression.to_owned(),
            source: request.external.source.clone(),
        }),
        dropped: dropped
            .map(|count| Normalized { rule: count.rule.clone(), entries: count.entries })
            .collect(),
        packages: Some(view::Packages {
            count: made.packages.list.len() as u64,
            kinds,
            unread: made.packages.unread.clone(),
            digest: outcome.packages.digest,
        }),
        provenance: Some(Provenance { digest: outcome.provenance.0, signed: request.key.is_some() }),
        statement: Some(Named { digest: outcome.provenance.1 }),
        error: None,
        seconds: outcome.finished_s - outcome.started_s,
    }
}
