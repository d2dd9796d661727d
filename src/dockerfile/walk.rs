//! The one order in which a build executes instructions.

use super::{
    Base, BaseConfig, Dockerfile, DockerfileError, Fault, Instruction, Scope, Stage,
    expand::Mode,
    parse,
    scope::{Globals, State},
    words,
};

/// One instruction on its way through [`walk`].
pub(super) struct Visit<'a> {
    pub(super) stage: &'a Stage,
    pub(super) base: &'a Base,
    /// Index in the Dockerfile: of the FROM for a trigger of a base image, of the ONBUILD for one of a stage.
    pub(super) index: usize,
    /// The line to report: the FROM's for triggers.
    pub(super) line: usize,
    pub(super) instruction: &'a Instruction,
    /// Whether its spans lie outside the source: it is a trigger of a base image.
    pub(super) is_foreign: bool,
    pub(super) globals: &'a Globals<'a>,
    /// What the instructions before it have set.
    pub(super) state: &'a State,
}

impl Visit<'_> {
    /// Expands `text` by what was set before this instruction.
    pub(super) fn expand(&self, text: &str, mode: Mode) -> Result<String, DockerfileError> {
        self.globals.expand(text, mode, self.state).map_err(|fault| fault.at(self.line))
    }

    /// The stage's shell and `command`.
    pub(super) fn with_shell(&self, command: String) -> Result<Vec<String>, DockerfileError> {
        let mut words = self.state.shell();
        words.push(command);
        let size_bytes = words.iter().map(String::len).sum();
        self.globals.spend(size_bytes).map_err(|fault| fault.at(self.line))?;
        Ok(words)
    }
}

/// Visits each instruction of the stages up to the target: the FROM, triggers, the rest.
///
/// # Errors
/// Those of `visit`, and words that cannot be expanded.
pub(super) fn walk(
    file: &Dockerfile,
    scope: &Scope,
    mut visit: impl FnMut(&Visit<'_>) -> Result<(), DockerfileError>,
) -> Result<(), DockerfileError> {
    let globals = Globals::new(file, &scope.args)?;
    let no_config = BaseConfig::default();
    let mut states: Vec<State> = Vec::new();
    for stage in file.stages.iter().take(scope.target.saturating_add(1)) {
        let base = file.base_of(stage, &globals).map_err(|fault| fault.at(stage.line))?;
        let (config, (mut state, own)) = match base {
            Base::External(_) => {
                let config = scope.bases.get(&stage.index).unwrap_or(&no_config);
                (config, (State::on(config), Vec::new()))
            }
            Base::Stage(parent) => (&no_config, states[parent].child()),
            Base::Scratch => (&no_config, (State::on(&no_config), Vec::new())),
        };
        let foreign = foreign(config, stage.line)?;
        for (index, instruction, is_foreign) in queue(file, stage, &foreign, &own) {
            let is_own = file.instructions.get(index).is_some_and(|own| std::ptr::eq(own, instruction));
            let line = if is_own { instruction.first_line } else { stage.line };
            let place = |fault: Fault| fault.at(line);
            if !is_own {
                globals.spend(instruction.arguments.len()).map_err(place)?;
            }
            let (base, globals) = (&base, &globals);
            visit(&Visit { stage, base, index, line, instruction, is_foreign, globals, state: &state })?;
            state.apply(index, instruction, globals).map_err(place)?;
        }
        states.push(state);
    }
    Ok(())
}

/// What a stage executes: (index, instruction, whether it is a trigger of a base image).
fn queue<'a>(
    file: &'a Dockerfile,
    stage: &Stage,
    foreign: &'a [Instruction],
    own: &'a [usize],
) -> impl Iterator<Item = (usize, &'a Instruction, bool)> {
    let from = stage.instructions.start;
    let triggers =
        own.iter().filter_map(|&index| Some((index, file.instructions[index].trigger.as_deref()?, false)));
    std::iter::once((from, &file.instructions[from], false))
        .chain(foreign.iter().map(move |trigger| (from, trigger, true)))
        .chain(triggers)
        .chain(stage.instructions.clone().skip(1).map(|index| (index, &file.instructions[index], false)))
}

fn foreign(config: &BaseConfig, line: usize) -> Result<Vec<Instruction>, DockerfileError> {
    let parse = |text: &String| {
        let refuse =
            |fault: Fault| Fault::BaseTrigger { trigger: words::display(text), problem: fault.to_string() };
        parse::trigger(text).map_err(|fault| refuse(fault).at(line))
    };
    config.onbuild.iter().map(parse).collect()
}
