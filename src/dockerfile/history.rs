//! What each executed instruction is in the image's history, and whether it makes a layer.

use super::{
    Base, Dockerfile, DockerfileError, ImageReference, Keyword, Scope,
    expand::Mode,
    walk::{Visit, walk},
    words,
};

/// A stage as a build executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSteps {
    /// Number of the stage.
    pub stage: usize,
    /// What it is built on; an image by its index in [`Dockerfile::references`].
    pub base: Base,
    /// What follows the FROM: triggers of the base, then the stage's own instructions.
    pub steps: Vec<Step>,
}

/// An executed instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Index of the instruction in the Dockerfile: of the FROM for a trigger of a base image, of the ONBUILD for one
    /// of an earlier stage.
    pub instruction: usize,
    /// Physical line, from 1; that of the FROM for triggers.
    pub line: usize,
    /// Its name.
    pub keyword: Keyword,
    /// The instruction in one line for people.
    pub text: String,
    /// `created_by` of its history entry.
    pub created_by: String,
    /// The layer it makes.
    pub layer: Layer,
    /// The earlier stage that it copies from (`COPY --from`).
    pub from: Option<usize>,
}

/// Whether an instruction makes a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// RUN, COPY and ADD: one, even if empty.
    Always,
    /// WORKDIR: one if this absolute path is not there yet.
    WorkdirMaybe(String),
    /// Only configuration.
    None,
}

impl Dockerfile {
    /// The steps of every stage up to the target.
    ///
    /// # Errors
    /// If a word cannot be expanded, or an image is not named.
    pub fn steps(&self, scope: &Scope) -> Result<Vec<StageSteps>, DockerfileError> {
        let references = self.references(scope.target, &scope.args)?;
        let mut stages: Vec<StageSteps> = Vec::new();
        walk(self, scope, |visit| {
            if visit.instruction.keyword == Keyword::From {
                let base = base(visit, &references);
                stages.push(StageSteps { stage: visit.stage.index, base, steps: Vec::new() });
                return Ok(());
            }
            let step = Step { from: self.copied_from(visit)?, ..step(visit)? };
            if let Some(stage) = stages.last_mut() {
                stage.steps.push(step);
            }
            Ok(())
        })?;
        Ok(stages)
    }
}

fn base(visit: &Visit<'_>, references: &[ImageReference]) -> Base {
    match references.iter().position(|reference| reference.instruction == visit.index) {
        Some(index) => Base::External(index),
        None => visit.base.clone(),
    }
}

fn step(visit: &Visit<'_>) -> Result<Step, DockerfileError> {
    let instruction = visit.instruction;
    Ok(Step {
        instruction: visit.index,
        line: visit.line,
        keyword: instruction.keyword,
        text: instruction.text(),
        created_by: created_by(visit)?,
        layer: match instruction.keyword {
            Keyword::Run | Keyword::Copy | Keyword::Add => Layer::Always,
            Keyword::Workdir => {
                let path = visit.expand(&instruction.arguments, Mode::Value)?;
                Layer::WorkdirMaybe(visit.state.directory(&path))
            }
            _ => Layer::None,
        },
        from: None,
    })
}

fn created_by(visit: &Visit<'_>) -> Result<String, DockerfileError> {
    let instruction = visit.instruction;
    if instruction.keyword == Keyword::Run {
        return run_created_by(visit);
    }
    let written = format!("{} {}", instruction.flags_text, instruction.arguments);
    let arguments = match instruction.keyword {
        Keyword::Env
        | Keyword::Label
        | Keyword::Copy
        | Keyword::Add
        | Keyword::Workdir
        | Keyword::Expose
        | Keyword::User
        | Keyword::Volume
        | Keyword::Stopsignal => visit.expand(&written, Mode::Shown)?,
        _ => written,
    };
    Ok(words::squeezed(&format!("#(nop) {} {arguments}", instruction.keyword)))
}

/// `RUN`, the flags, the shell unless the command is in exec form, the command, the heredocs.
fn run_created_by(visit: &Visit<'_>) -> Result<String, DockerfileError> {
    let instruction = visit.instruction;
    let mut parts = vec!["RUN".to_owned(), words::squeezed(&instruction.flags_text)];
    let bodies = instruction.heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.raw, heredoc.name));
    let command = instruction.arguments.clone() + &bodies.collect::<String>();
    match instruction.exec {
        Some(_) => parts.push(command),
        None => parts.extend(visit.with_shell(command)?),
    }
    parts.retain(|part| !part.is_empty());
    Ok(parts.join(" "))
}
