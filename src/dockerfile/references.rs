//! Which images a target needs.

use std::ops::Range;

use super::{
    BuildArgs, Dockerfile, DockerfileError, Fault, Flag, Instruction, Keyword, Scope, Stage,
    expand::Mode,
    scope::Globals,
    walk::{Visit, walk},
};

/// A place in the Dockerfile that names an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Number of the stage that needs it.
    pub stage: usize,
    /// Index of the instruction in the Dockerfile.
    pub instruction: usize,
    /// Physical line of the instruction.
    pub line: usize,
    /// The token as written, continuations joined and quotes taken off.
    pub written: String,
    /// The token after expansion.
    pub used: String,
    /// Where the token is in the source.
    pub span: Range<usize>,
    /// Whether the bytes at `span` are `used` as it is.
    pub literal: bool,
    /// `--platform` of a FROM, after expansion.
    pub platform: Option<String>,
}

/// What a stage is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An image; in [`super::StageSteps`] the index of its [`ImageReference`].
    External(usize),
    /// An earlier stage.
    Stage(usize),
    /// Nothing.
    Scratch,
}

/// What a name in FROM or `from=` means.
enum Meaning {
    Stage(usize),
    Scratch,
    Image,
}

impl Dockerfile {
    /// Every image that the stages up to `target` need, in the order of execution: FROM, `COPY --from=`,
    /// `ADD --from=`, `RUN --mount=…,from=`, and those in triggers of stages that other stages are built on.
    /// Earlier stages and `scratch` are not images.
    ///
    /// # Errors
    /// If a word cannot be expanded, or does not name an image after it was.
    pub fn references(
        &self,
        target: usize,
        args: &BuildArgs,
    ) -> Result<Vec<ImageReference>, DockerfileError> {
        let scope = Scope { target, args: args.clone(), ..Scope::default() };
        let mut found = Vec::new();
        walk(self, &scope, |visit| {
            let place = |fault: Fault| fault.at(visit.line);
            let (instruction, stage) = (visit.instruction, visit.stage);
            if instruction.keyword == Keyword::From {
                found.extend(self.reference_of_from(stage, instruction, visit.globals).map_err(place)?);
                return Ok(());
            }
            let line = self.instructions[visit.index].first_line;
            for (written, span) in image_tokens(instruction).map_err(place)? {
                let used = visit.expand(&written, Mode::Value)?;
                if matches!(self.meaning(&used, stage.index).map_err(place)?, Meaning::Image) {
                    let literal = self.source().get(span.clone()) == Some(&used);
                    found.push(ImageReference {
                        stage: stage.index,
                        instruction: visit.index,
                        line,
                        written,
                        used,
                        span,
                        literal,
                        platform: None,
                    });
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The earlier stage that the files of a COPY or ADD come from.
    pub(super) fn copied_from(&self, visit: &Visit<'_>) -> Result<Option<usize>, DockerfileError> {
        if !matches!(visit.instruction.keyword, Keyword::Copy | Keyword::Add) {
            return Ok(None);
        }
        let place = |fault: Fault| fault.at(visit.line);
        let Some((written, _)) = image_tokens(visit.instruction).map_err(place)?.pop() else {
            return Ok(None);
        };
        let used = visit.expand(&written, Mode::Value)?;
        match self.meaning(&used, visit.stage.index).map_err(place)? {
            Meaning::Stage(stage) => Ok(Some(stage)),
            Meaning::Scratch | Meaning::Image => Ok(None),
        }
    }

    /// What `stage` is built on; an image's index is that of its stage.
    pub(super) fn base_of(&self, stage: &Stage, globals: &Globals<'_>) -> Result<Base, Fault> {
        let used = globals.expand(&stage.base, Mode::Value, &globals.values)?;
        Ok(match self.meaning(&used, stage.index)? {
            Meaning::Stage(index) => Base::Stage(index),
            Meaning::Scratch => Base::Scratch,
            Meaning::Image => Base::External(stage.index),
        })
    }

    fn reference_of_from(
        &self,
        stage: &Stage,
        from: &Instruction,
        globals: &Globals<'_>,
    ) -> Result<Option<ImageReference>, Fault> {
        let value = |text: &str| globals.expand(text, Mode::Value, &globals.values);
        let used = value(&stage.base)?;
        if !matches!(self.meaning(&used, stage.index)?, Meaning::Image) {
            return Ok(None);
        }
        let platform = from.flags_named("platform").next().map(|flag| value(flag.value())).transpose()?;
        Ok(Some(ImageReference {
            stage: stage.index,
            instruction: stage.instructions.start,
            line: stage.line,
            written: stage.base.clone(),
            literal: self.source().get(stage.base_span.clone()) == Some(&used),
            used,
            span: stage.base_span.clone(),
            platform: platform.filter(|platform| !platform.is_empty()),
        }))
    }

    /// What `name` means in stage `stage`: an earlier stage by name, then by number, `scratch`, or an image.
    fn meaning(&self, name: &str, stage: usize) -> Result<Meaning, Fault> {
        if let Some(index) = self.stage_named(name, stage) {
            return Ok(Meaning::Stage(index));
        }
        match name.parse::<usize>() {
            Ok(number) if number < stage => return Ok(Meaning::Stage(number)),
            Ok(_) => {
                let known = (0..stage).map(|number| number.to_string()).collect();
                return Err(Fault::NoStage { wanted: name.to_owned(), known });
            }
            Err(_) if name == "scratch" => return Ok(Meaning::Scratch),
            Err(_) => {}
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | '$' | ',');
        if name.is_empty() || name.starts_with('-') || name.contains(odd) {
            return Err(Fault::NotAnImage(name.chars().take(100).collect()));
        }
        Ok(Meaning::Image)
    }
}

/// The tokens of flags that may name an image, unexpanded, and where they are.
pub(super) fn image_tokens(instruction: &Instruction) -> Result<Vec<(String, Range<usize>)>, Fault> {
    match instruction.keyword {
        Keyword::Copy | Keyword::Add => {
            let whole = |flag: &Flag| (flag.value().to_owned(), flag.value_span(0..flag.value().len()));
            Ok(instruction.flags_named("from").map(whole).collect())
        }
        Keyword::Run => {
            instruction.flags_named("mount").filter_map(|flag| mount_token(flag).transpose()).collect()
        }
        _ => Ok(Vec::new()),
    }
}

fn mount_token(flag: &Flag) -> Result<Option<(String, Range<usize>)>, Fault> {
    let value = flag.value();
    let mut token = None;
    let mut at = 0;
    for field in value.split(',') {
        if let Some((key, from)) = field.split_once('=')
            && key.trim().eq_ignore_ascii_case("from")
        {
            token = Some((from.to_owned(), flag.value_span(at + key.len() + 1..at + field.len())));
        }
        at += field.len() + 1;
    }
    // `"from=x"` in quotes of its own is CSV, which no edit here understands.
    if value.contains('"') && value.to_ascii_lowercase().contains("from") {
        return Err(Fault::QuotedMount);
    }
    Ok(token)
}
