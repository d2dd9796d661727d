//! `reprov copy`.

use std::time::Instant;

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
};
use crate::{
    job::copy::{Brought, CopyError, Request, bring},
    model::Location,
    report::copy as view,
};

/// Arguments of `copy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image or index: HOST/REPOSITORY:TAG, oci:DIR:TAG, each also by @sha256:…
    #[arg(value_name = "SRC")]
    from: String,
    /// Where it goes, likewise; its tag (latest if none is named) is written last
    #[arg(value_name = "DST")]
    to: String,
    /// Only the manifest of this platform, and what refers to it; the index and what refers to that stay behind
    #[arg(long, env = "REPROV_COPY_PLATFORM")]
    platform: Option<String>,
    /// Keep a tag that names another image, and exit with 1
    #[arg(long)]
    no_overwrite: bool,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.tried(context).await {
            Err(failure) if matches!(failure.exit, Exit::Findings | Exit::Unavailable) => {
                context.console.complain(&failure);
                let reason = failure.messages().join(": ");
                context.console.answer(&view::Copy::failed(self.from.clone(), reason), "");
                Ok(failure.exit)
            }
            tried => tried,
        }
    }

    async fn tried(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let started = Instant::now();
        let request = Request {
            from: image_name("", &self.from)?,
            to: image_name("", &self.to)?,
            platform: self.platform.clone(),
            overwrite: !self.no_overwrite,
        };
        let nameless = request.to.selector.tag.is_none() && request.to.selector.digest.is_some();
        if nameless && matches!(request.to.location, Location::Layout(_)) {
            let text = format!("`{}` needs a tag: what has none in a directory is not found there", self.to);
            return Err(Failure::usage_text(text));
        }
        let ports = context.ports(context.console.job("copy"))?;
        let brought = bring(&ports, &request).await?;
        brought.tag(&ports).await?;
        let seconds = i64::try_from(started.elapsed().as_secs()).unwrap_or(i64::MAX);
        let answer = answer(&self.from, &brought, seconds);
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }
}

fn answer(from: &str, brought: &Brought, seconds: i64) -> view::Copy {
    let blobs = brought.blobs;
    let referrers = brought.referrers.iter();
    let left = brought.left.iter();
    view::Copy {
        schema: "reprov.copy/v1",
        from: from.to_owned(),
        image: Some(brought.image().to_string()),
        digest: Some(brought.root.digest),
        media_type: Some(brought.root.media_type.clone()),
        manifests: brought.manifests as u64,
        referrers: referrers
            .map(|(digest, subject)| view::Referrer { digest: *digest, subject: *subject })
            .collect(),
        tags: brought.tags.keys().cloned().collect(),
        blobs: view::Blobs {
            count: blobs.count,
            existing: blobs.existing,
            mounted: blobs.mounted,
            sent: blobs.sent,
            sent_bytes: blobs.sent_bytes,
        },
        left: left.map(|(what, why)| view::Left { what: what.clone(), why: why.clone() }).collect(),
        replaced: brought.before.filter(|before| *before != brought.root.digest),
        error: None,
        seconds,
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match &error {
            CopyError::OtherDigest { .. } | CopyError::Taken { .. } => Self::findings(error),
            _ => Self::unavailable(error),
        }
    }
}
