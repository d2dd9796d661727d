//! `reprov evidence`.

use std::{
    fs::{self, File, Permissions},
    io::{BufReader, BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    policy::{load, text, trusted_root, trusted_root_text},
    verify::parse_time,
};
use crate::{
    job::{
        Ports,
        dossier::{Checked, EvidenceArchiveError, Request, Terms, Wanted, WantedPolicy, check, make},
        verify::now_s,
    },
    model::Digest,
    progress::Silent,
    report::dossier::Answer,
    signing,
    store::Store,
    verify::RootSigner,
};

/// Arguments of `evidence`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The image
    #[arg(required = true)]
    image: Option<String>,
    /// The archive to write
    #[arg(long, value_name = "FILE.tar", required = true)]
    out: Option<PathBuf>,
    /// Whose attestations to believe (repeat for several); a policy's [[trust]] may name more
    #[arg(long, value_name = "KEY.pub", env = "REPROV_EVIDENCE_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    /// What must be true: a file, or slsa-l1, slsa-l2, slsa-l3, release
    #[arg(long, value_name = "FILE", env = "REPROV_EVIDENCE_POLICY")]
    policy: Option<String>,
    /// Judge as of this time (RFC 3339) instead of now; the same evidence as of the same time is the same archive
    #[arg(long, value_name = "TIME", value_parser = parse_time, env = "REPROV_EVIDENCE_AS_OF")]
    as_of: Option<i64>,
    /// Which manifest of a multi-platform image
    #[arg(long, default_value = "linux/amd64", env = "REPROV_EVIDENCE_PLATFORM")]
    platform: String,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Holds every byte of an archive against its lists, and judges what is in it again; needs nothing else
    Verify {
        /// The archive
        #[arg(value_name = "FILE.tar")]
        file: PathBuf,
        /// Keys of which each in the archive must be one; without it, compare the fingerprints that are printed
        #[arg(long, value_name = "KEY.pub", env = "REPROV_EVIDENCE_VERIFY_TRUST", value_delimiter = '\n')]
        trust: Vec<PathBuf>,
        /// The trusted root by whose word certificates must have been believed
        #[arg(long, value_name = "FILE", env = "REPROV_EVIDENCE_VERIFY_TRUSTED_ROOT")]
        trusted_root: Option<PathBuf>,
        /// The policy it must have been judged by, with the signers of its [[trust]] and the trusted root it names
        #[arg(long, value_name = "FILE", env = "REPROV_EVIDENCE_VERIFY_POLICY")]
        policy: Option<String>,
    },
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match (&self.command, &self.image, &self.out) {
            (Some(Command::Verify { file, trust, trusted_root, policy }), ..) => {
                let wanted = wanted(trust, trusted_root.as_deref(), policy.as_deref())?;
                verify(context, file, &wanted).await
            }
            (None, Some(image), Some(out)) => self.make(context, image, out).await,
            _ => Err(Failure::usage_text("give an IMAGE and --out FILE.tar".to_owned())), // clap asks for both.
        }
    }

    async fn make(&self, context: &Context<'_>, image: &str, out: &Path) -> Result<Exit, Failure> {
        let image = image_name("", image)?;
        let (mut policy, roots, _) = load(self.policy.as_deref(), &self.trust)?;
        if let Some((_, file)) = policy.name.rsplit_once('/') {
            // A policy without a name is called by its file, and where that lies is nobody's business either.
            policy.name = file.to_owned();
        }
        let policy_text = self.policy.as_deref().map(text).transpose()?.map(|(text, _)| text);
        let mut roots = roots.0;
        if roots.is_empty() {
            let text = "nobody is trusted: give --trust KEY.pub, or a policy with [[trust]]".to_owned();
            return Err(Failure::usage_text(text));
        }
        for root in &mut roots {
            // Where the key's file lies on this machine is nobody's business.
            if let RootSigner::Key(key) = &root.signer {
                root.name = format!("key {}", key.fingerprint());
            }
        }
        let now_s = self.as_of.unwrap_or_else(now_s);
        let (trusted_root, root_text) = trusted_root_text(&policy, self.policy.as_deref())?.unzip();
        let terms = Terms { roots, trusted_root, policy, now_s };
        let (platform, given) = (self.platform.clone(), self.trust.len());
        let request = Request { image, platform, terms, given, policy_text, root_text };
        let ports = context.ports(Arc::new(Silent))?;
        let named = |error: std::io::Error| {
            Failure::usage(error).hint(format!("--out {}: where may a file be written?", out.display()))
        };
        let parent = out.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".reprov-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(parent)
            .map_err(named)?;
        let mut to = BufWriter::new(file.as_file_mut());
        let made = make(&ports, &request, &mut to).await.map_err(failure)?;
        to.flush().map_err(named)?;
        drop(to);
        file.persist(out).map_err(|error| named(error.error))?;
        let answer = Answer::made(out.display().to_string(), &made.contents, made.written, &made.index);
        context.console.answer(&answer, &answer.text());
        Ok(exit(&answer))
    }
}

/// What the caller wants an archive to have been judged by.
fn wanted(trust: &[PathBuf], root: Option<&Path>, policy: Option<&str>) -> Result<Wanted, Failure> {
    let keys = signing::load_trust(trust).map_err(Failure::usage)?;
    let trusted_root = match root {
        None => None,
        Some(file) => Some(signing::load_root(file).map_err(Failure::usage)?.digest()),
    };
    let policy = policy.map(wanted_policy).transpose()?;
    Ok(Wanted { trust: (!keys.is_empty()).then_some(keys), trusted_root, policy })
}

fn wanted_policy(name: &str) -> Result<WantedPolicy, Failure> {
    let (policy, roots, _) = load(Some(name), &[])?;
    let print = |root: &crate::verify::Root| match &root.signer {
        RootSigner::Key(key) => Some(key.fingerprint()),
        RootSigner::Identity { .. } => None,
    };
    let keys: Vec<_> = roots.0.iter().filter_map(print).collect();
    let certified = keys.len() < roots.0.len();
    let trusted_root = trusted_root(&policy, Some(name))?.filter(|_| certified).map(|root| root.digest());
    Ok(WantedPolicy { digest: Digest::of(text(name)?.0.as_bytes()), keys, trusted_root })
}

async fn verify(context: &Context<'_>, file: &Path, wanted: &Wanted) -> Result<Exit, Failure> {
    let named = |error: std::io::Error| Failure::usage(error).hint(file.display().to_string());
    let size = fs::metadata(file).map_err(named)?.len();
    let from = BufReader::with_capacity(1 << 20, File::open(file).map_err(named)?);
    let dir = tempfile::tempdir().map_err(Failure::unavailable)?;
    let ports = Ports {
        store: Store::open(dir.path()).map_err(Failure::unavailable)?,
        registries: Arc::new(context.global.registries()?),
        network: context.global.network()?,
        progress: Arc::new(Silent),
        cancel: context.cancel.clone(),
    };
    let name = file.display().to_string();
    let answer = match check(&ports, from, wanted).await {
        Ok(Checked { digest, contents, judged, differs }) => {
            Answer::checked(name, &contents, (digest, size), judged, differs)
        }
        Err(error) if error.refuses() => {
            let text = Failure::findings(error).messages().join(": ");
            context.console.line(&format!("error: {}", crate::model::path::printable(&text)));
            Answer::refused(name, text)
        }
        Err(error) => return Err(failure(error)),
    };
    context.console.answer(&answer, &answer.text());
    Ok(exit(&answer))
}

fn failure(error: EvidenceArchiveError) -> Failure {
    if error.refuses() { Failure::findings(error) } else { Failure::unavailable(error) }
}

fn exit(answer: &Answer) -> Exit {
    match (answer.verdict.as_str(), answer.differs.is_empty() && answer.error.is_none()) {
        ("passed", true) => Exit::Ok,
        ("unknown", true) => Exit::Unavailable,
        _ => Exit::Findings,
    }
}
