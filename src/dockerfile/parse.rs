//! Text to instructions and stages.

use std::{collections::BTreeSet, ops::Range};

use super::{
    Directive, DockerfileError, Fault, Flag, Heredoc, Keyword, heredoc,
    lex::{self, Lines, Logical},
    words,
};
use crate::model::limits::{DOCKERFILE_SIZE_BYTES_MAX, INSTRUCTIONS_MAX, STAGES_MAX};

/// A Dockerfile that was read, with its source.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    source: String,
    directives: Vec<Directive>,
    pub(super) escape: char,
    line_starts: Vec<usize>,
    /// In the order of the file.
    pub instructions: Vec<Instruction>,
    /// In the order of the file; never empty.
    pub stages: Vec<Stage>,
}

/// One instruction.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Its name.
    pub keyword: Keyword,
    /// Where it is in the source: keyword to last byte, heredocs included, without the last line end.
    pub span: Range<usize>,
    /// Physical line of the keyword, from 1.
    pub first_line: usize,
    /// Physical line of its end, heredocs included.
    pub last_line: usize,
    /// The flags, in order; a name may come several times.
    pub flags: Vec<Flag>,
    /// What follows the flags, with continuations joined and comments removed, trimmed.
    pub arguments: String,
    /// Where the arguments are in the source; heredocs are not included.
    pub arguments_span: Range<usize>,
    /// Its heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// The arguments if they are a JSON array.
    pub exec: Option<Vec<String>>,
    /// What ONBUILD is to trigger.
    pub trigger: Option<Box<Instruction>>,
    /// Where the keyword is in the source.
    pub(super) keyword_span: Range<usize>,
    /// The flags as written, joined.
    pub(super) flags_text: String,
    /// Where the first blank-separated argument is in the source.
    first_word_span: Range<usize>,
}

/// A FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// From 0.
    pub index: usize,
    /// What `AS` calls it, as written.
    pub name: Option<String>,
    /// Its instructions; the first is the FROM.
    pub instructions: Range<usize>,
    /// Physical line of the FROM.
    pub line: usize,
    /// What it is built from, as written.
    pub base: String,
    /// Where `base` is in the source.
    pub base_span: Range<usize>,
}

impl Dockerfile {
    /// Reads a Dockerfile by BuildKit's grammar, in this order: size, UTF-8, directives, instructions, stages.
    ///
    /// # Errors
    /// At the first line that BuildKit would refuse, past a bound of `limits`, or if `# syntax=` names another
    /// frontend than `docker/dockerfile`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerfileError> {
        if bytes.len() as u64 > DOCKERFILE_SIZE_BYTES_MAX {
            let max = usize::try_from(DOCKERFILE_SIZE_BYTES_MAX).unwrap_or(usize::MAX);
            return Err(Fault::limit("bytes", max).at(1));
        }
        let source = str::from_utf8(bytes).map_err(|error| {
            let valid = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n');
            Fault::NotUtf8.at(valid.count())
        })?;
        let (directives, escape) = lex::directives(source)?;
        let mut lines = Lines::new(source);
        let mut instructions = Vec::new();
        while let Some(instruction) = next_instruction(&mut lines, escape)? {
            if instructions.len() == INSTRUCTIONS_MAX {
                return Err(Fault::limit("instructions", INSTRUCTIONS_MAX).at(instruction.first_line));
            }
            instructions.push(instruction);
        }
        let stages = stages(&instructions)?;
        let line_starts = source.match_indices('\n').map(|(at, _)| at + 1).collect();
        Ok(Self { source: source.to_owned(), directives, escape, line_starts, instructions, stages })
    }

    /// The source, byte for byte.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The directives at the top.
    #[must_use]
    pub fn directives(&self) -> &[Directive] {
        &self.directives
    }

    /// The physical line, from 1, of a byte of the source.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.line_starts.partition_point(|&start| start <= offset)
    }

    /// The stage that `--target` means, by name (in any case) or number; the last one if `None`.
    ///
    /// # Errors
    /// If there is no such stage; the error lists those there are.
    pub fn target(&self, wanted: Option<&str>) -> Result<usize, DockerfileError> {
        let Some(wanted) = wanted else { return Ok(self.stages.len() - 1) };
        let number = wanted.parse().ok().filter(|&number| number < self.stages.len());
        self.stage_named(wanted, self.stages.len()).or(number).ok_or_else(|| {
            let shown = |stage: &Stage| match &stage.name {
                Some(name) => format!("{} ({name})", stage.index),
                None => stage.index.to_string(),
            };
            let known = self.stages.iter().map(shown).collect();
            Fault::NoStage { wanted: wanted.to_owned(), known }.at(self.stages[0].line)
        })
    }

    /// The stage of this name before stage `end`.
    pub(super) fn stage_named(&self, name: &str, end: usize) -> Option<usize> {
        let named =
            |stage: &Stage| stage.name.as_ref().is_some_and(|own| own.to_lowercase() == name.to_lowercase());
        self.stages[..end].iter().position(named)
    }
}

impl Instruction {
    /// The instruction in one line for people: squeezed, cut at 120 characters.
    #[must_use]
    pub fn text(&self) -> String {
        words::display(&format!("{} {} {}", self.keyword, self.flags_text, self.arguments))
    }

    /// The arguments as COPY, ADD and FROM see them: JSON, or split at blanks.
    #[must_use]
    pub fn operands(&self) -> Vec<&str> {
        match &self.exec {
            Some(exec) => exec.iter().map(String::as_str).collect(),
            None => self.arguments.split(words::is_blank).filter(|word| !word.is_empty()).collect(),
        }
    }

    /// The flags of this name.
    pub fn flags_named(&self, name: &str) -> impl Iterator<Item = &Flag> {
        self.flags.iter().filter(move |flag| flag.name == name)
    }
}

/// Reads one trigger as a base image's config has it.
pub(super) fn trigger(text: &str) -> Result<Instruction, Fault> {
    let mut lines = Lines::new(text);
    let instruction = next_instruction(&mut lines, '\\').map_err(|error| error.fault)?;
    let instruction = instruction.ok_or_else(|| Fault::UnknownInstruction(String::new()))?;
    if matches!(instruction.keyword, Keyword::From | Keyword::Onbuild | Keyword::Maintainer) {
        return Err(Fault::Trigger(instruction.keyword));
    }
    match next_instruction(&mut lines, '\\').map_err(|error| error.fault)? {
        None => Ok(instruction),
        Some(_) => Err(Fault::limit("instructions in a trigger", 1)),
    }
}

fn next_instruction(lines: &mut Lines<'_>, escape: char) -> Result<Option<Instruction>, DockerfileError> {
    let Some(logical) = lex::next_logical(lines, escape) else { return Ok(None) };
    let line = logical.first_line;
    let mut instruction = instruction(&logical, 0, escape).map_err(|fault| fault.at(line))?;
    let holder = instruction.trigger.as_deref().unwrap_or(&instruction);
    if holder.keyword.takes_heredocs() && holder.exec.is_none() {
        let mut heredocs = heredoc::of_line(&logical.text).map_err(|fault| fault.at(line))?;
        for heredoc in &mut heredocs {
            let (last_line, end) = heredoc::read_body(heredoc, lines).map_err(|fault| fault.at(line))?;
            instruction.last_line = last_line;
            instruction.span.end = end;
        }
        instruction.heredocs = heredocs;
    }
    Ok(Some(instruction))
}

/// Reads the instruction that begins at byte `from` of the logical line.
fn instruction(logical: &Logical, from: usize, escape: char) -> Result<Instruction, Fault> {
    let start = from + logical.text[from..].len() - logical.text[from..].trim_start().len();
    let text = logical.text.trim_end();
    let rest = text.get(start..).unwrap_or_default();
    let name_end = start + rest.find(words::is_blank).unwrap_or(rest.len());
    let name = text.get(start..name_end).unwrap_or_default();
    let keyword =
        Keyword::parse(name).ok_or_else(|| Fault::UnknownInstruction(name.chars().take(60).collect()))?;
    let (flags, at) = words::flags(logical, name_end);
    let at = (at + logical.text[at..].len() - logical.text[at..].trim_start().len()).min(text.len());
    let arguments = &text[at..];
    let first_word = arguments.find(words::is_blank).unwrap_or(arguments.len());
    let instruction = Instruction {
        keyword,
        span: logical.source_span(start..text.len()).start..logical.end,
        first_line: logical.first_line,
        last_line: logical.last_line,
        flags_text: text.get(name_end..at).unwrap_or_default().trim().to_owned(),
        flags,
        arguments: arguments.to_owned(),
        arguments_span: logical.source_span(at..text.len()),
        heredocs: Vec::new(),
        exec: exec(keyword, arguments)?,
        trigger: trigger_at(logical, keyword, at, escape)?,
        keyword_span: logical.source_span(start..name_end),
        first_word_span: logical.source_span(at..at + first_word),
    };
    check(&instruction, escape)?;
    Ok(instruction)
}

fn exec(keyword: Keyword, arguments: &str) -> Result<Option<Vec<String>>, Fault> {
    match arguments.split_once(char::is_whitespace) {
        Some((_, command)) if keyword == Keyword::Healthcheck => words::json(keyword, command.trim_start()),
        _ if keyword.takes_json() => words::json(keyword, arguments),
        _ => Ok(None),
    }
}

fn trigger_at(
    logical: &Logical,
    keyword: Keyword,
    at: usize,
    escape: char,
) -> Result<Option<Box<Instruction>>, Fault> {
    if keyword != Keyword::Onbuild {
        return Ok(None);
    }
    let name = logical.text[at..].split(words::is_blank).next().and_then(Keyword::parse);
    if let Some(inner @ (Keyword::Onbuild | Keyword::From | Keyword::Maintainer)) = name {
        return Err(Fault::Trigger(inner));
    }
    Ok(Some(Box::new(instruction(logical, at, escape)?)))
}

/// What BuildKit asks of the arguments before it builds anything.
fn check(instruction: &Instruction, escape: char) -> Result<(), Fault> {
    let keyword = instruction.keyword;
    let wrong = |problem| Err(Fault::arguments(keyword, problem));
    match keyword {
        Keyword::Cmd | Keyword::Entrypoint => Ok(()),
        _ if instruction.arguments.is_empty() => wrong("needs an argument"),
        Keyword::Shell if instruction.exec.as_ref().is_none_or(Vec::is_empty) => wrong("needs a JSON array"),
        Keyword::Copy | Keyword::Add if instruction.operands().len() < 2 => {
            wrong("needs a source and a destination")
        }
        Keyword::Env | Keyword::Label => words::pairs(keyword, &instruction.arguments, escape).map(|_| ()),
        Keyword::From => match instruction.operands().as_slice() {
            [_] => Ok(()),
            [_, word, _] if word.eq_ignore_ascii_case("as") => Ok(()),
            _ => wrong("must be `FROM IMAGE` or `FROM IMAGE AS NAME`"),
        },
        _ => Ok(()),
    }
}

fn stages(instructions: &[Instruction]) -> Result<Vec<Stage>, DockerfileError> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, instruction) in instructions.iter().enumerate() {
        let line = instruction.first_line;
        match (instruction.keyword, stages.last_mut()) {
            (Keyword::From, _) => {
                let stage = stage(stages.len(), index, instruction).map_err(|fault| fault.at(line))?;
                let lower = stage.name.as_ref().map(|name| name.to_lowercase());
                if let Some(name) = lower
                    && !names.insert(name.clone())
                {
                    return Err(Fault::StageTwice(name).at(line));
                }
                stages.push(stage);
                if stages.len() > STAGES_MAX {
                    return Err(Fault::limit("stages", STAGES_MAX).at(line));
                }
            }
            (Keyword::Arg, None) => {}
            (keyword, None) => return Err(Fault::BeforeFrom(keyword).at(line)),
            (_, Some(stage)) => stage.instructions.end = index + 1,
        }
    }
    if stages.is_empty() {
        return Err(Fault::NoFrom.at(instructions.last().map_or(1, |last| last.last_line)));
    }
    Ok(stages)
}

fn stage(index: usize, at: usize, from: &Instruction) -> Result<Stage, Fault> {
    let operands = from.operands();
    let name = operands.get(2).map(|name| (*name).to_owned());
    if let Some(name) = &name {
        let odd = name.starts_with(|c: char| c.is_ascii_digit()) || name.chars().any(char::is_control);
        if odd || [super::HEREDOC_CONTEXT, "scratch"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(Fault::StageName(name.clone()));
        }
    }
    Ok(Stage {
        index,
        name,
        instructions: at..at + 1,
        line: from.first_line,
        base: operands.first().map(|base| (*base).to_owned()).unwrap_or_default(),
        base_span: from.first_word_span.clone(),
    })
}
