//! `reprov policy`, and how `verify` reads one.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::{
    model::limits::{POLICY_SIZE_BYTES_MAX, read_bounded},
    policy::{Policy, STARTERS, Signer, starter},
    report::{policy as view, verify},
    signing::{self, keyless::TrustedRoot},
    verify::{Code, Root, RootSigner, Roots},
};

/// `policy …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Says whether a policy can be read, and where not
    Check {
        /// The policy, or the name of one that is built in
        #[arg(value_name = "FILE")]
        policy: String,
    },
    /// Prints a policy that is built in, to start from
    Print {
        /// Its name
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(STARTERS.iter().map(|(name, _)| *name)))]
        name: String,
    },
}

impl Command {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Check { policy } => {
                let name = policy;
                let (policy, roots, _) = load(Some(name), &[])?;
                trusted_root(&policy, Some(name))?;
                let answer = view::Checked::of(&policy, roots.0.len());
                context.console.answer(&answer, &answer.text());
            }
            Self::Print { name } => {
                let text = starter(name).unwrap_or_default(); // clap asks for one of them.
                let answer =
                    view::Printed { schema: "reprov.policy/v1", name: name.clone(), text: text.to_owned() };
                context.console.answer(&answer, text);
            }
        }
        Ok(Exit::Ok)
    }
}

/// The policy of `--policy`, or none, and the roots of trust that it and `--trust` make.
pub(super) fn load(
    policy: Option<&str>,
    trust: &[PathBuf],
) -> Result<(Policy, Roots, Option<verify::Policy>), Failure> {
    let keys = signing::load_trust(trust).map_err(Failure::usage)?;
    let (mut policy, dir) = match policy {
        None => (Policy::none(), PathBuf::new()),
        Some(name) => read(name)?,
    };
    let mut roots: Vec<Root> =
        keys.into_iter().map(|key| Root::key(key, policy.builders.clone(), policy.level)).collect();
    for (entry, path) in roots.iter_mut().zip(trust) {
        entry.name = format!("{} ({})", entry.name, path.display());
    }
    for entry in &policy.trust {
        roots.push(root(entry, &dir)?);
    }
    if policy.name.is_empty() {
        "policy".clone_into(&mut policy.name);
    }
    let applied = policy.digest.map(|digest| verify::Policy { name: policy.name.clone(), digest });
    Ok((policy, Roots(roots), applied))
}

/// The trusted root that a policy names, if it names one.
pub(super) fn trusted_root(policy: &Policy, name: Option<&str>) -> Result<Option<Arc<TrustedRoot>>, Failure> {
    Ok(trusted_root_text(policy, name)?.map(|(root, _)| root))
}

/// [`trusted_root`], and its text.
pub(super) fn trusted_root_text(
    policy: &Policy,
    name: Option<&str>,
) -> Result<Option<(Arc<TrustedRoot>, String)>, Failure> {
    let Some(file) = &policy.trusted_root else { return Ok(None) };
    let dir = name.map(Path::new).and_then(Path::parent).unwrap_or(Path::new(""));
    let (root, text) = signing::load_root_text(&dir.join(file)).map_err(Failure::usage)?;
    Ok(Some((Arc::new(root), text)))
}

/// The text of a policy by its name or path, and the directory its key files are named from.
pub(super) fn text(name: &str) -> Result<(String, PathBuf), Failure> {
    let path = Path::new(name);
    if let Some(text) = starter(name).filter(|_| !path.exists()) {
        return Ok((text.to_owned(), PathBuf::new()));
    }
    let failed = |error: std::io::Error| {
        let hint = format!("--policy {name}: a file, or one of {}", names());
        Failure::usage(error).hint(hint)
    };
    let file = File::open(path).map_err(failed)?;
    let bytes = read_bounded(file, POLICY_SIZE_BYTES_MAX, "policy").map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| failed(std::io::Error::other(error)))?;
    Ok((text, path.parent().unwrap_or(Path::new("")).to_owned()))
}

fn read(name: &str) -> Result<(Policy, PathBuf), Failure> {
    let (text, dir) = text(name)?;
    let mut policy = Policy::parse(&text, &Code::of_policies())
        .map_err(|error| Failure::usage_text(format!("policy `{name}`: {error}")))?;
    if policy.name.is_empty() {
        name.clone_into(&mut policy.name);
    }
    Ok((policy, dir))
}

fn names() -> String {
    STARTERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn root(trust: &crate::policy::Trust, dir: &Path) -> Result<Root, Failure> {
    match &trust.signer {
        Signer::Key(file) => {
            let path = dir.join(file);
            let key = signing::load_public(&path).map_err(Failure::usage)?;
            let mut root = Root::of(trust, RootSigner::Key(key));
            root.name = format!("{} ({})", root.name, path.display());
            Ok(root)
        }
        Signer::Identity { identity, issuer } => {
            let signer = RootSigner::Identity { identity: identity.clone(), issuer: issuer.clone() };
            Ok(Root::of(trust, signer))
        }
    }
}
