//! `--ledger`, and `reprov ledger`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context, audit,
    failure::{Exit, Failure},
    global::image_name,
    policy::{load, trusted_root},
};
use crate::{
    entry::Entry,
    job::{
        Ports,
        remember::{By, Group, RememberError, listed, remember},
    },
    ledger::{Ledger, LedgerError, Place, PlaceError},
    model::{Digest, names},
    progress::Silent,
    report::ledger as view,
    verify::Roots,
};

/// The ledger's name beside the store.
const FILE_NAME: &str = "ledger.sqlite";

/// Where the ledger is.
#[derive(Debug, clap::Args)]
pub(super) struct LedgerArgs {
    /// The ledger: a file, or `postgres://USER@HOST/DATABASE` [default: ledger.sqlite beside the store]
    #[arg(long, value_name = "PATH|URL", value_parser = Places, env = "REPROV_LEDGER", hide_env_values = true)]
    pub(super) ledger: Option<Place>,
}

/// Reads a place; one that cannot be one is not shown, as clap would, since it may hold a password.
#[derive(Debug, Clone)]
pub(super) struct Places;

impl clap::builder::TypedValueParser for Places {
    type Value = Place;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Place, clap::Error> {
        let no = |why: String| {
            let text = format!("--ledger: {why}\n");
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| no("it is not UTF-8".to_owned()))?;
        text.parse().map_err(|error: PlaceError| no(error.to_string()))
    }
}

/// Opens the ledger at `place`, if one is given.
pub(super) async fn opened(place: Option<&Place>) -> Result<Option<Ledger>, Failure> {
    Ok(match place {
        Some(place) => Some(Ledger::open(place).await?),
        None => None,
    })
}

/// Adds `entry`, if there is something to note and somewhere to note it, and closes the ledger. What was done stands: only
/// that it is not noted is said.
pub(super) async fn note(context: &Context<'_>, ledger: Option<Ledger>, entry: Option<Entry>) -> Exit {
    let Some(ledger) = ledger else { return Exit::Ok };
    let noted = match &entry {
        Some(entry) => ledger.append(entry).await.map(drop),
        None => Ok(()),
    };
    ledger.close().await;
    match noted.map_err(Failure::from) {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            context.console.complain(&failure);
            failure.exit
        }
    }
}

impl LedgerArgs {
    /// Where it is.
    pub(super) fn place(&self, context: &Context<'_>) -> Result<Place, Failure> {
        if let Some(place) = &self.ledger {
            return Ok(place.clone());
        }
        let store = context.global.store_dir()?;
        let beside = store.parent().unwrap_or(&store);
        Ok(Place::File(beside.join(FILE_NAME)))
    }

    /// Opens it, and makes it if need be.
    pub(super) async fn open(&self, context: &Context<'_>) -> Result<Ledger, Failure> {
        let place = self.place(context)?;
        if let Place::File(path) = &place
            && self.ledger.is_none()
            && let Some(dir) = path.parent()
        {
            std::fs::create_dir_all(dir).map_err(Failure::unavailable)?;
        }
        Ok(Ledger::open(&place).await?)
    }

    /// Opens it if it is there: for those who only read.
    pub(super) async fn open_existing(&self, context: &Context<'_>) -> Result<Ledger, Failure> {
        Ok(Ledger::open_existing(&self.place(context)?).await?)
    }
}

impl From<RememberError> for Failure {
    fn from(error: RememberError) -> Self {
        match error {
            RememberError::Inventory(error) => error.into(),
            error => Self::unavailable(error),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let hint = match &error {
            LedgerError::Newer { .. } => Some("use the reprov that made it, or a newer one"),
            LedgerError::Absent(_) => Some("name it with --ledger PATH|URL, or REPROV_LEDGER"),
            LedgerError::Damaged { .. } => {
                Some("bring back a copy, or make it again with `reprov ledger rebuild` from the registries")
            }
            LedgerError::Row { .. } => {
                Some("`reprov ledger check` says which rows are not as they were written")
            }
            _ => None,
        };
        let failure = if error.is_usage() { Self::usage(error) } else { Self::unavailable(error) };
        hint.into_iter().fold(failure, |failure, hint| failure.hint(hint.to_owned()))
    }
}

/// `ledger` has two commands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Looks at every row: whether one was changed, taken out or moved
    ///
    /// That rows at the end were cut off cannot be seen from the ledger alone. Note the head somewhere else, and give it
    /// with --head the next time.
    Check {
        #[command(flatten)]
        ledger: LedgerArgs,
        /// A head that was noted before, as `ledger check` prints it: its row must still be there
        #[arg(long, value_name = "NUMBER:DIGEST", value_parser = head, env = "REPROV_LEDGER_HEAD")]
        head: Option<(u64, Digest)>,
    },
    /// Makes a new ledger of the signed attestations in the registries
    ///
    /// What nobody signed does not come back: outcomes without --key, images that could not be reached, and which
    /// findings a verification had.
    Rebuild(Box<Rebuild>),
}

/// Arguments of `ledger rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct Rebuild {
    /// Images, by tag or digest; or an inventory (a file that ends in .toml), whose groups say whom to believe
    #[arg(required = true, value_name = "IMAGE|INVENTORY")]
    images: Vec<String>,
    /// The new ledger: a file that is not there yet, or `postgres://USER@HOST/DATABASE` without entries
    #[arg(long, value_name = "PATH|URL", value_parser = Places)]
    ledger: Place,
    /// Whose attestations about images to believe (repeat for several); a policy's [[trust]] may name more
    #[arg(long, value_name = "KEY.pub", env = "REPROV_LEDGER_TRUST", value_delimiter = '\n')]
    trust: Vec<PathBuf>,
    /// Whose summaries the --trust keys, and keys of an inventory, may sign (repeat for several); [[trust]] says it for the others
    #[arg(long, value_name = "URI", default_value = names::VERIFIER_LOCAL, env = "REPROV_LEDGER_VERIFIER_ID")]
    verifier_id: Vec<String>,
    /// A policy whose [[trust]] says whom to believe
    #[arg(long, value_name = "FILE", env = "REPROV_LEDGER_POLICY")]
    policy: Option<String>,
}

fn head(text: &str) -> Result<(u64, Digest), String> {
    let parsed =
        text.split_once(':').and_then(|(number, digest)| Some((number.parse().ok()?, digest.parse().ok()?)));
    parsed
        .filter(|(number, _)| *number > 0)
        .ok_or_else(|| "write it as `ledger check` does: 42:sha256:…".to_owned())
}

impl Command {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Check { ledger, head } => {
                let ledger = ledger.open_existing(context).await?;
                let checked = ledger.check(*head).await?;
                let answer = view::Ledger {
                    schema: "reprov.ledger/v1",
                    command: "check",
                    ledger: ledger.place().to_string(),
                    rows: checked.rows,
                    head: view::Head { number: checked.head.0, digest: checked.head.1 },
                    faults_count: checked.faults_count,
                    faults: checked.faults.iter().map(view::Line::from).collect(),
                    images: Vec::new(),
                };
                ledger.close().await;
                context.console.answer(&answer, &answer.text());
                Ok(if answer.faults_count == 0 { Exit::Ok } else { Exit::Findings })
            }
            Self::Rebuild(args) => args.run(context).await,
        }
    }
}

impl Rebuild {
    async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let ports = context.ports(Arc::new(Silent))?;
        // An old ledger is not written to, and that is said before anything is fetched.
        self.is_new().await?;
        let remembered = remember(&ports, &self.groups(&ports).await?).await?;
        let (number, digest) = Ledger::make(&self.ledger, &remembered.entries).await?;
        let answer = view::Ledger {
            schema: "reprov.ledger/v1",
            command: "rebuild",
            ledger: self.ledger.to_string(),
            rows: number,
            head: view::Head { number, digest },
            faults_count: 0,
            faults: Vec::new(),
            images: remembered.images.iter().map(ToString::to_string).collect(),
        };
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }

    /// The images that were named, and those of each inventory.
    async fn groups(&self, ports: &Ports) -> Result<Vec<Group>, Failure> {
        let is_inventory =
            |text: &&String| Path::new(text.as_str()).extension().is_some_and(|end| end == "toml");
        let (inventories, images): (Vec<_>, Vec<_>) = self.images.iter().partition(is_inventory);
        let mut groups = Vec::new();
        if images.is_empty() && (!self.trust.is_empty() || self.policy.is_some()) {
            let text = "--trust and --policy are for images that are named; an inventory's groups say whom to believe";
            return Err(Failure::usage_text(text.to_owned()));
        }
        if !images.is_empty() {
            let (policy, mut roots, _) = load(self.policy.as_deref(), &self.trust)?;
            if roots.0.is_empty() {
                let text = "nobody is trusted: give --trust KEY.pub, or a policy with [[trust]]".to_owned();
                return Err(Failure::usage_text(text));
            }
            self.speak(&mut roots, self.trust.len());
            let images = images.iter().map(|image| image_name("", image)).collect::<Result<Vec<_>, _>>()?;
            let trusted_root = trusted_root(&policy, self.policy.as_deref())?;
            let by = By { roots: Arc::new(roots), trusted_root };
            groups.push(Group { by, images, name: None, owner: None });
        }
        for path in inventories.into_iter().map(Path::new) {
            let inventory = audit::read(path)?;
            let dir = path.parent().unwrap_or(Path::new(""));
            let listed = listed(ports, &inventory, dir).await?;
            for (group, images) in inventory.groups.iter().zip(listed) {
                let rules = audit::rules(group, dir)?;
                let mut roots = rules.roots.as_ref().clone();
                self.speak(&mut roots, group.trust.len());
                let by = By { roots: Arc::new(roots), trusted_root: rules.trusted_root };
                let (name, owner) = (Some(group.name.clone()), group.owner.clone());
                groups.push(Group { by, images, name, owner });
            }
        }
        Ok(groups)
    }

    /// Lets the first `count` of `roots`, which are bare keys, speak for the verifiers that were named.
    fn speak(&self, roots: &mut Roots, count: usize) {
        for root in roots.0.iter_mut().take(count) {
            root.verifiers.extend(self.verifier_id.iter().cloned());
        }
    }

    async fn is_new(&self) -> Result<(), Failure> {
        let rows = match Ledger::open_existing(&self.ledger).await {
            Err(LedgerError::Absent(_)) => return Ok(Ledger::nothing_left(&self.ledger)?),
            Err(error) => return Err(error.into()),
            Ok(ledger) => {
                let (number, _) = ledger.head().await?;
                ledger.close().await;
                number
            }
        };
        if rows == 0 {
            return Ok(());
        }
        let text = format!("`{}` has {rows} rows already; `ledger rebuild` writes a new one", self.ledger);
        Err(Failure::usage_text(text).hint("name another place, or move the old ledger away".to_owned()))
    }
}
