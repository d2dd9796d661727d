//! Variables and other state that instructions leave to those after them.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use super::{
    Dockerfile, DockerfileError, Fault, Instruction, Keyword,
    expand::{self, Mode, Variables},
    words,
};
use crate::model::limits::{ENVIRONMENT_SIZE_BYTES_MAX, EXPANDED_SIZE_BYTES_MAX, PATH_SIZE_BYTES_MAX};

/// What the caller of a build sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildArgs {
    /// `--build-arg` by name; counts only where ARG declares it.
    pub values: BTreeMap<String, String>,
    /// Platform built for and on, `OS/ARCH[/VARIANT]`.
    pub platform: String,
}

/// What the config of a base image gives to the stage on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseConfig {
    /// `config.Env`.
    pub env: BTreeMap<String, String>,
    /// `config.Shell`.
    pub shell: Option<Vec<String>>,
    /// `config.OnBuild`.
    pub onbuild: Vec<String>,
    /// `config.WorkingDir`; empty means `/`.
    pub working_dir: String,
}

/// All that a Dockerfile's meaning depends on besides its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Last stage that is built; all before it are, too.
    pub target: usize,
    /// What the caller sets.
    pub args: BuildArgs,
    /// By number of the stage on it; a base that is missing here has an empty config.
    pub bases: BTreeMap<usize, BaseConfig>,
}

/// The variables before the first FROM: predefined ones and global ARGs.
#[derive(Debug)]
pub(super) struct Globals<'a> {
    args: &'a BuildArgs,
    escape: char,
    pub(super) values: BTreeMap<String, String>,
    /// Bytes made of the Dockerfile so far.
    spent_bytes: Cell<usize>,
}

/// What instructions of a stage have set so far.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    env: Rc<BTreeMap<String, String>>,
    args: Rc<BTreeMap<String, String>>,
    shell: Option<Vec<String>>,
    working_dir: String,
    triggers: Vec<usize>,
}

impl Variables for State {
    fn value(&self, name: &str) -> Option<&str> {
        self.env.get(name).or_else(|| self.args.get(name)).map(String::as_str)
    }
}

impl<'a> Globals<'a> {
    pub(super) fn new(file: &Dockerfile, args: &'a BuildArgs) -> Result<Self, DockerfileError> {
        let values = platform_values(&args.platform);
        let mut globals = Self { args, escape: file.escape, values, spent_bytes: Cell::new(0) };
        let end = file.stages.first().map_or(0, |stage| stage.instructions.start);
        for instruction in &file.instructions[..end] {
            globals.declare(instruction).map_err(|fault| fault.at(instruction.first_line))?;
        }
        Ok(globals)
    }

    fn declare(&mut self, instruction: &Instruction) -> Result<(), Fault> {
        for (name, default) in arg_pairs(&instruction.arguments, self.escape) {
            if let Some(value) = self.arg(&name, default.as_deref(), &self.values)? {
                self.values.insert(name, value);
            }
        }
        check_size(&self.values, &BTreeMap::new())
    }

    /// Expands `text`; quotes and the escape token count as `mode` says.
    pub(super) fn expand(&self, text: &str, mode: Mode, variables: &dyn Variables) -> Result<String, Fault> {
        let escape = if mode == Mode::Document { '\\' } else { self.escape }; // As BuildKit does.
        let expanded = expand::expand(text, escape, mode, variables)
            .map_err(|problem| Fault::Expand { word: words::display(text), problem })?;
        self.spend(expanded.len())?;
        Ok(expanded)
    }

    /// Counts `size_bytes` more that were made of the Dockerfile.
    pub(super) fn spend(&self, size_bytes: usize) -> Result<(), Fault> {
        self.spent_bytes.set(self.spent_bytes.get().saturating_add(size_bytes));
        if self.spent_bytes.get() > EXPANDED_SIZE_BYTES_MAX {
            return Err(Fault::limit("bytes by expansion", EXPANDED_SIZE_BYTES_MAX));
        }
        Ok(())
    }

    /// The value of an ARG: what the caller set, its default, or the global of the same name.
    fn arg(
        &self,
        name: &str,
        default: Option<&str>,
        variables: &dyn Variables,
    ) -> Result<Option<String>, Fault> {
        match (self.args.values.get(name), default) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(default)) => self.expand(default, Mode::Value, variables).map(Some),
            (None, None) => Ok(self.values.get(name).cloned()),
        }
    }
}

impl State {
    pub(super) fn on(config: &BaseConfig) -> Self {
        Self {
            env: Rc::new(config.env.clone()),
            shell: config.shell.clone(),
            working_dir: config.working_dir.clone(),
            ..Self::default()
        }
    }

    /// What a stage on this one begins with, and the triggers it runs first.
    pub(super) fn child(&self) -> (Self, Vec<usize>) {
        (Self { triggers: Vec::new(), ..self.clone() }, self.triggers.clone())
    }

    /// The words before a command in shell form.
    pub(super) fn shell(&self) -> Vec<String> {
        self.shell.clone().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    /// The absolute path that WORKDIR `path` leads to.
    pub(super) fn directory(&self, path: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        let base = if path.starts_with('/') { "" } else { self.working_dir.as_str() };
        for part in base.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    pub(super) fn apply(
        &mut self,
        index: usize,
        instruction: &Instruction,
        globals: &Globals<'_>,
    ) -> Result<(), Fault> {
        let value = |text: &str, state: &Self| globals.expand(text, Mode::Value, state);
        match instruction.keyword {
            Keyword::Arg => {
                for (name, default) in arg_pairs(&instruction.arguments, globals.escape) {
                    if let Some(value) = globals.arg(&name, default.as_deref(), self)? {
                        Rc::make_mut(&mut self.args).insert(name, value);
                    }
                }
            }
            Keyword::Env => {
                let pairs = words::pairs(Keyword::Env, &instruction.arguments, globals.escape)?;
                let pairs = pairs.iter().map(|(name, text)| Ok((value(name, self)?, value(text, self)?)));
                let pairs = pairs.collect::<Result<Vec<_>, Fault>>()?;
                Rc::make_mut(&mut self.env).extend(pairs);
            }
            Keyword::Shell => self.shell.clone_from(&instruction.exec),
            Keyword::Workdir => {
                self.working_dir = self.directory(&value(&instruction.arguments, self)?);
                if self.working_dir.len() > PATH_SIZE_BYTES_MAX {
                    return Err(Fault::limit("bytes of a path", PATH_SIZE_BYTES_MAX));
                }
            }
            Keyword::Onbuild => self.triggers.push(index),
            _ => return Ok(()),
        }
        check_size(&self.env, &self.args)
    }
}

/// `NAME` and `NAME=default` of an ARG, quotes taken off the names only.
fn arg_pairs(text: &str, escape: char) -> Vec<(String, Option<String>)> {
    let unquoted = |name: &str| name.replace(['"', '\''], "");
    let pair = |word: String| match word.split_once('=') {
        // A quote may open before the name: `ARG "A=b c"`.
        Some((name, value)) if name.starts_with(['"', '\'']) => {
            (unquoted(name), Some(format!("{}{value}", &name[..1])))
        }
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (unquoted(&word), None),
    };
    words::quoted_words(text, escape).into_iter().map(pair).collect()
}

fn check_size(env: &BTreeMap<String, String>, args: &BTreeMap<String, String>) -> Result<(), Fault> {
    const ENTRY_SIZE_BYTES: usize = 64; // So that many short variables count, too.
    let size = |(name, value): (&String, &String)| ENTRY_SIZE_BYTES + name.len() + value.len();
    let size_bytes: usize = env.iter().chain(args).map(size).sum();
    if size_bytes > ENVIRONMENT_SIZE_BYTES_MAX {
        return Err(Fault::limit("bytes of variables", ENVIRONMENT_SIZE_BYTES_MAX));
    }
    Ok(())
}

/// TARGETPLATFORM and its like: reprov builds on the platform it builds for.
fn platform_values(platform: &str) -> BTreeMap<String, String> {
    let mut parts = platform.splitn(3, '/').map(ToOwned::to_owned);
    let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let variant = parts.next().unwrap_or_default();
    let of = |side: &str| {
        [("PLATFORM", platform), ("OS", &os), ("ARCH", &arch), ("VARIANT", &variant)]
            .map(|(name, value)| (format!("{side}{name}"), value.to_owned()))
    };
    of("TARGET").into_iter().chain(of("BUILD")).collect()
}
