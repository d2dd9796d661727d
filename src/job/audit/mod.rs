//! `audit`: an inventory's images are resolved, what is due is verified and rebuilt under one budget, and each outcome
//! is written to the ledger as soon as it is known. Whoever is killed goes on there.

pub mod due;
mod hosts;
mod lease;
mod plan;
mod resolve;
mod run;
mod step;
mod tally;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

pub(in crate::job) use resolve::{named, unclear};

use hosts::Patience;

use super::{Ports, rebuild::Credentials};
use crate::{
    host,
    inventory::{Inventory, InventoryError, Span},
    ledger::{Ledger, LedgerError},
    model::{Maxima, rfc3339},
    policy::Policy,
    progress::Progress,
    recipe::Buildroot,
    report::audit::{Audit, Ended},
    signing::{Signer, keyless::TrustedRoot},
    verify::Roots,
};

/// The tool, as entries name it.
pub const TOOL: &str = concat!("reprov ", env!("CARGO_PKG_VERSION"));

/// By what a group's images are judged; the caller read the files.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What must be true.
    pub policy: Arc<Policy>,
    /// Whom to believe.
    pub roots: Arc<Roots>,
    /// Whose certificates to believe, where the policy trusts identities.
    pub trusted_root: Option<Arc<TrustedRoot>>,
    /// What is rebuilt with, if not with what was recorded.
    pub buildroot: Option<Buildroot>,
}

/// When outcomes are signed and attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Each.
    Always,
    /// Those that are not as the one before, by the ledger.
    OnChange,
}

type Hear = dyn Fn(&str) -> Arc<dyn Progress> + Send + Sync;

/// Makes who hears of one image.
#[derive(Clone)]
pub struct News(pub Arc<Hear>);

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("News")
    }
}

/// What to audit, and within which bounds.
#[derive(Debug, Clone)]
pub struct Request {
    /// What.
    pub inventory: Inventory,
    /// What the inventory is called in the ledger.
    pub name: String,
    /// Where files that it names are looked for.
    pub dir: PathBuf,
    /// One for each group.
    pub rules: Vec<Rules>,
    /// What was done before, and what is done now; none: nothing was, and it is only listed.
    pub ledger: Option<Ledger>,
    /// Only say what would be done.
    pub listed: bool,
    /// Do what is not due, too.
    pub force: bool,
    /// Rebuilds at a time.
    pub jobs: usize,
    /// What each may use of the machine.
    pub maxima: Maxima,
    /// Within which nothing is begun that cannot be expected to end.
    pub within: Option<Span>,
    /// Who signs; none: nothing is attached.
    pub key: Option<Arc<Signer>>,
    /// When.
    pub attach: Attach,
    /// Where reports of drift go.
    pub keep: Option<PathBuf>,
    /// `verifier.id` of summaries, and who verified by the ledger.
    pub verifier_id: String,
    /// `rebuilder.id` of verdicts, and who rebuilt by the ledger.
    pub rebuilder_id: String,
    /// What `git` may use of the caller's environment.
    pub env: Vec<(String, String)>,
    /// What repositories with `auth` are asked with, where inputs are live.
    pub credentials: Credentials,
    /// Who hears of each image.
    pub news: News,
}

/// Why there is no answer about the inventory.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file that it names.
    #[error("cannot read `{}`, which the inventory names", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What stands in it.
    #[error("`{}`, which the inventory names", path.display())]
    List {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: InventoryError,
    },
    /// All together.
    #[error("the inventory names more than {0} images")]
    TooMany(usize),
    /// A directory for reports that is none.
    #[error("cannot keep reports in `{}`", path.display())]
    Keep {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What was done could not be read or written down: nothing more is done then.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is none.
    #[error("an audit needs a ledger to write to")]
    NoLedger,
    /// The kernel gives no random bytes.
    #[error("cannot make a name for this audit")]
    Random(#[source] std::io::Error),
}

impl AuditError {
    /// Whether the inventory is wrong: otherwise nobody can tell.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::File { .. } | Self::List { .. } | Self::TooMany(_) | Self::Keep { .. } | Self::NoLedger => {
                true
            }
            Self::Ledger(error) => error.is_usage(),
            Self::Random(_) => false,
        }
    }
}

/// Audits the inventory, or says what would be done.
///
/// # Errors
/// [`AuditError`]. What became of single images is in the answer.
pub async fn audit(ports: &Ports, request: Request) -> Result<Audit, AuditError> {
    let (began, began_s) = (tokio::time::Instant::now(), host::now_s());
    let request = Arc::new(request);
    let hosts = Arc::new(hosts::Hosts::default());
    // What runs afterwards is to have most of the time; who only wants a list waits for nobody.
    let share = request.within.map_or(Duration::MAX, |within| within.duration() / 4);
    let patience = Patience::new(if request.listed { Duration::ZERO } else { share }, None);
    let resolved = resolve::resolve(ports, &request, &hosts, patience).await?;
    let plan = plan::plan(&request, resolved, began_s).await?;
    let noted = match (&request.ledger, request.listed) {
        (Some(ledger), false) => Some((ledger, ledger.begin_run(&request.name, began_s).await?)),
        _ => None,
    };
    let (images, notices, ended) = if request.listed {
        (plan.images(&request), plan.notices, Ended::Complete)
    } else {
        run::run(ports, &request, hosts, plan, began).await?
    };
    if let Some((ledger, run)) = noted {
        ledger.end_run(&run, host::now_s()).await?;
    }
    let mut audit = Audit {
        schema: "reprov.audit/v1",
        inventory: request.name.clone(),
        inventory_digest: request.inventory.digest,
        listed: request.listed,
        ended,
        began_on: rfc3339(began_s),
        seconds: began.elapsed().as_secs_f64(),
        images,
        notices,
        summary: std::collections::BTreeMap::new(),
        overdue: 0,
    };
    for image in &audit.images {
        if let Some(missed) = image.missed {
            *audit.summary.entry(missed.to_owned()).or_default() += 1;
        }
        for step in &image.steps {
            let outcome = step.outcome.as_deref().unwrap_or("never-judged");
            *audit.summary.entry(outcome.to_owned()).or_default() += 1;
            audit.overdue += u64::from(step.overdue());
        }
    }
    Ok(audit)
}
