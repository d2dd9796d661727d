//! `reprov audit`.

use std::{
    fs::{File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context,
    console::Console,
    failure::{Exit, Failure},
    ledger::LedgerArgs,
    live,
    notify::Told,
    policy,
    sign::SignArgs,
    size::parse_maximum,
};
use crate::{
    host,
    inventory::{Group, Inventory, Rebuild, Span},
    job::{
        audit::{Attach, AuditError, News, Request, Rules, audit},
        evidence::Trust,
    },
    ledger::{Ledger, LedgerError},
    model::{
        Maxima,
        limits::{FILES_MIN, INVENTORY_SIZE_BYTES_MAX, read_bounded},
        names,
    },
    policy::starter,
    progress::Progress,
    recipe::Buildroot,
    report::{
        audit::{Ended, Weight},
        metrics::metrics,
    },
    verify::RootSigner,
};

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which images, how and how often (docs/inventory.md)
    #[arg(value_name = "INVENTORY")]
    inventory: PathBuf,
    /// Say what would be done and why, and do nothing
    #[arg(long)]
    list: bool,
    /// Do what is not due, too
    #[arg(long, conflicts_with = "list")]
    force: bool,
    /// Most images rebuilt at the same time; fewer while memory is short [default: one a core]
    #[arg(short, long, value_name = "N", env = "REPROV_AUDIT_JOBS")]
    jobs: Option<usize>,
    /// Begin nothing that cannot be expected to end within this time (90m, 6h)
    #[arg(long = "for", value_name = "TIME", env = "REPROV_AUDIT_FOR")]
    within: Option<Span>,
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Write metrics to this file too, for node-exporter's textfile collector
    #[arg(long, value_name = "FILE", env = "REPROV_AUDIT_METRICS")]
    metrics: Option<PathBuf>,
    /// Keep a report of each image that is not reproduced in this directory (HTML and JSON)
    #[arg(long, value_name = "DIR", env = "REPROV_AUDIT_KEEP")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
    /// When an outcome is signed and attached (with --key)
    #[arg(long, value_enum, default_value = "always", requires = "key", env = "REPROV_AUDIT_ATTACH")]
    attach: When,
    /// verifier.id in signed summaries, and who verified in the ledger
    #[arg(long, value_name = "URI", default_value = names::VERIFIER_LOCAL, env = "REPROV_AUDIT_VERIFIER_ID")]
    verifier_id: String,
    /// rebuilder.id in signed verdicts, and who rebuilt in the ledger
    #[arg(long, value_name = "URI", default_value = names::BUILDER_LOCAL, env = "REPROV_AUDIT_REBUILDER_ID")]
    rebuilder_id: String,
    /// Most memory of each rebuild (512M, 4G) [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_AUDIT_MAX_MEMORY")]
    max_memory: Option<u64>,
    /// Most disk of each rebuild (20G) [default: all but 1 GiB of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_AUDIT_MAX_DISK")]
    max_disk: Option<u64>,
    /// Most files and directories of each rebuild (2000000) [default: what the disk can take, but for a reserve]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(FILES_MIN..), env = "REPROV_AUDIT_MAX_FILES")]
    max_files: Option<u64>,
    /// Most that a live rebuild may fetch (2G) [default: 64G]
    #[arg(long, value_name = "SIZE", value_parser = parse_maximum, env = "REPROV_AUDIT_MAX_INPUTS")]
    max_inputs: Option<u64>,
}

/// When outcomes are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// Each
    Always,
    /// Those that are not as the one before, by the ledger
    OnChange,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let inventory = read(&self.inventory)?;
        let dir = self.inventory.parent().unwrap_or(Path::new("")).to_owned();
        let rules = inventory.groups.iter().map(|group| rules(group, &dir)).collect::<Result<Vec<_>, _>>()?;
        let told = Told::of(&inventory, &self.inventory)?;
        let ledger = self.ledger(context).await?;
        let (after, groups) = (ledger.clone().filter(|_| !self.list), inventory.clone());
        let trust = rules.iter().flat_map(|rules| &rules.roots.0).filter_map(|root| match &root.signer {
            RootSigner::Key(key) => Some(key.clone()),
            RootSigner::Identity { .. } => None,
        });
        let request = Request {
            name: self.inventory.display().to_string(),
            dir,
            credentials: live::credentials(&Trust::Keys(trust.collect())),
            rules,
            ledger,
            listed: self.list,
            force: self.force,
            jobs: self.jobs.unwrap_or_else(host::cores),
            maxima: Maxima {
                memory_bytes: self.max_memory,
                disk_bytes: self.max_disk,
                files: self.max_files,
                inputs_bytes: self.max_inputs,
            },
            within: self.within,
            key: self.sign.signer()?.map(Arc::new),
            attach: if self.attach == When::OnChange { Attach::OnChange } else { Attach::Always },
            keep: self.keep.as_deref().map(directory).transpose()?,
            verifier_id: self.verifier_id.clone(),
            rebuilder_id: self.rebuilder_id.clone(),
            env: context.global.git_environment()?,
            news: news(context.console),
            inventory,
        };
        let ports = context.ports(context.console.job("audit"))?;
        let answer = audit(&ports, request).await?;
        let written = self.metrics.as_deref().filter(|_| !self.list).map(|path| {
            write(path, &metrics(&answer, host::now_s())).map_err(|error| {
                Failure::unavailable(error)
                    .hint(format!("--metrics {}: it could not be written", path.display()))
            })
        });
        // Who is stopped tells nobody; the next audit tells what this one found.
        let ended = match after {
            _ if answer.ended == Ended::Cancelled => Exit::Unavailable,
            Some(ledger) => told.after(context, &ports, &ledger, &groups).await,
            None => Exit::Ok,
        };
        drop(ports); // Its line on the terminal goes before the answer.
        context.console.answer(&answer, &answer.text(context.console.verbose()));
        let exit = answer.weights().map(exit).fold(ended, Exit::worse);
        match written {
            Some(Err(failure)) => {
                context.console.complain(&failure);
                Ok(exit.worse(failure.exit))
            }
            _ => Ok(exit),
        }
    }

    /// The ledger; none where nothing is to be done and none is there.
    async fn ledger(&self, context: &Context<'_>) -> Result<Option<Ledger>, Failure> {
        if !self.list {
            return self.ledger.open(context).await.map(Some);
        }
        match Ledger::open_existing(&self.ledger.place(context)?).await {
            Ok(ledger) => Ok(Some(ledger)),
            Err(LedgerError::Absent(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn exit(weight: Weight) -> Exit {
    match weight {
        Weight::Yes => Exit::Ok,
        Weight::Untold => Exit::Unavailable,
        Weight::No => Exit::Findings,
        Weight::Bug => Exit::Internal,
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Ledger(error) => error.into(),
            error if error.is_usage() => Self::usage(error),
            error => Self::unavailable(error),
        }
    }
}

/// Who hears of each image.
fn news(console: &Console) -> News {
    let jobs = console.jobs();
    News(Arc::new(move |name| -> Arc<dyn Progress> { jobs(name) }))
}

/// Reads the inventory.
pub(super) fn read(path: &Path) -> Result<Inventory, Failure> {
    let named = |failure: Failure| failure.hint(format!("the inventory: {}", path.display()));
    let read = File::open(path).and_then(|file| read_bounded(file, INVENTORY_SIZE_BYTES_MAX, "inventory"));
    let bytes = read.map_err(|error| named(Failure::usage(error)))?;
    let text = String::from_utf8(bytes).map_err(|error| named(Failure::usage(error)))?;
    Inventory::parse(&text)
        .map_err(|error| Failure::usage_text(format!("inventory `{}`: {error}", path.display())))
}

/// By what a group's images are judged; files are named from the inventory's directory.
pub(super) fn rules(group: &Group, dir: &Path) -> Result<Rules, Failure> {
    let named = |failure: Failure| failure.hint(format!("group `{}` of the inventory names it", group.name));
    let keys: Vec<PathBuf> = group.trust.iter().map(|key| dir.join(key)).collect();
    let name = group.policy.as_ref().map(|policy| {
        let path = dir.join(policy);
        let built_in = starter(policy).is_some() && !path.exists();
        if built_in { policy.clone() } else { path.display().to_string() }
    });
    let (policy, roots, _) = policy::load(name.as_deref(), &keys).map_err(named)?;
    let trusted_root = policy::trusted_root(&policy, name.as_deref()).map_err(named)?;
    if roots.0.is_empty() {
        return Err(Failure::usage_text(format!(
            "group `{}` trusts nobody: give it `trust = [\"KEY.pub\"]`, or a policy with [[trust]]",
            group.name
        )));
    }
    let key = roots
        .0
        .iter()
        .any(|root| matches!(root.signer, RootSigner::Key(_)) && root.may_say(names::SLSA_PROVENANCE));
    if group.rebuild != Rebuild::No && !key {
        return Err(Failure::usage_text(format!(
            "group `{}` is rebuilt, and no key is trusted for provenance: give it `trust = [\"KEY.pub\"]`, or write `rebuild = \"none\"`",
            group.name
        )));
    }
    let buildroot = group.buildroot.as_ref().map(|text| {
        text.parse::<Buildroot>().map_err(|error| {
            Failure::usage_text(format!("group `{}`: `buildroot = \"{text}\"`: {error}", group.name))
        })
    });
    Ok(Rules {
        policy: Arc::new(policy),
        roots: Arc::new(roots),
        trusted_root,
        buildroot: buildroot.transpose()?,
    })
}

/// A directory for reports, made if need be, by its whole path: the ledger names what lies in it.
fn directory(path: &Path) -> Result<PathBuf, Failure> {
    let made = std::fs::create_dir_all(path).and_then(|()| std::fs::canonicalize(path));
    made.map_err(|source| AuditError::Keep { path: path.to_owned(), source }.into())
}

/// Writes the file under another name first: whoever collects it finds all of it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    let mode = Permissions::from_mode(0o666); // Less what the umask takes: the collector is another user.
    let mut part = tempfile::Builder::new().prefix(".reprov-").permissions(mode).tempfile_in(dir)?;
    part.write_all(text.as_bytes())?;
    part.persist(path).map(drop).map_err(|error| error.error)
}
