//! The Dockerfile for an engine that lacks heredocs and some flags (buildah 1.28), by splices.

use std::collections::BTreeSet;

use super::{
    Dockerfile, DockerfileError, Edit, EditKind, Fault, Flag, Heredoc, Instruction, Keyword, Pin, Scope,
    expand::Mode,
    heredoc,
    references::image_tokens,
    splice::Splice,
    walk::{Visit, walk},
    words,
};
use crate::model::Digest;

/// The build context that holds the `copy` directory of the lowered files.
pub const HEREDOC_CONTEXT: &str = "reprov-heredoc";
/// Where the `run` directory of the lowered files is during the build.
pub const RUN_FILES_DIR: &str = "/dev/.gw/run";
/// The engine's parser reads lines up to 64 KiB; flags need some of it.
const COMMAND_SIZE_BYTES_MAX: usize = 60_000;

/// What the engine gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// The source with the edits made.
    pub text: Vec<u8>,
    /// The edits, in the order of the source.
    pub edits: Vec<Edit>,
    /// Files that take the place of heredocs.
    pub files: Vec<LoweredFile>,
    /// What the engine will not check, so that others can.
    pub checksums: Vec<Checksum>,
}

/// A file that takes the place of a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredFile {
    /// `run/N/NAME` or `copy/N/NAME`; N is the index of the instruction.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// What `ADD --checksum=` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// The URL after expansion.
    pub url: String,
    /// What its body must be.
    pub digest: Digest,
    /// Physical line of the ADD.
    pub line: usize,
}

/// What becomes of a flag.
#[derive(PartialEq, Eq)]
enum Treatment {
    Keep,
    Cut,
    Checksum,
    Newer(&'static str),
}

impl Dockerfile {
    /// Rewrites what the engine cannot read in the stages up to the target, and puts `pins` in their places:
    /// 1. heredocs of RUN become an exec form with the shell of the stage (or a file, if they begin with `#!`);
    /// 2. heredocs of COPY and ADD become files copied from [`HEREDOC_CONTEXT`];
    /// 3. `--link`, `--network=default` and `--checksum=` are cut, the last one recorded;
    /// 4. later stages are cut if they hold heredocs, whose bodies the engine would take for instructions.
    ///
    /// Every other byte stays, and every instruction stays on its line.
    ///
    /// # Errors
    /// For what needs a newer engine, for words that cannot be expanded, and for pins that fit nowhere.
    pub fn lower(&self, scope: &Scope, pins: &[Pin]) -> Result<Lowered, DockerfileError> {
        let mut lowering =
            Lowering { file: self, splices: Vec::new(), files: Vec::new(), checksums: Vec::new() };
        walk(self, scope, |visit| lowering.instruction(visit))?;
        lowering.check_line_ends(scope.target)?;
        lowering.cut_later_stages(scope.target);
        for pin in pins {
            lowering.splices.push(Splice::pin(self, pin)?);
        }
        let Lowering { splices, files, checksums, .. } = lowering;
        let (text, edits) = self.spliced(splices)?;
        Ok(Lowered { text, edits, files, checksums })
    }
}

struct Lowering<'a> {
    file: &'a Dockerfile,
    splices: Vec<Splice>,
    files: Vec<LoweredFile>,
    checksums: Vec<Checksum>,
}

impl Lowering<'_> {
    fn instruction(&mut self, visit: &Visit<'_>) -> Result<(), DockerfileError> {
        let instruction = visit.instruction;
        let place = |fault: Fault| fault.at(visit.line);
        if visit.is_foreign {
            check_foreign(instruction).map_err(place)?;
        }
        if let Some(trigger) = &instruction.trigger
            && let Some(what) = lacking(trigger, &instruction.heredocs).map_err(place)?
        {
            return Err(Fault::OnbuildLowering(what).at(visit.line));
        }
        for flag in &instruction.flags {
            match treatment(instruction.keyword, flag).map_err(place)? {
                Treatment::Keep => continue,
                Treatment::Cut => {}
                Treatment::Checksum => self.checksum(visit, flag)?,
                Treatment::Newer(since) => return Err(newer(instruction.keyword, flag, since).at(visit.line)),
            }
            self.cut(flag);
        }
        match instruction.keyword {
            Keyword::Run if !instruction.heredocs.is_empty() => self.run(visit),
            Keyword::Copy | Keyword::Add if !instruction.heredocs.is_empty() => self.copy(visit),
            Keyword::Add => check_sources(visit),
            _ => Ok(()),
        }
    }

    /// Cuts a flag and one blank after it.
    fn cut(&mut self, flag: &Flag) {
        let mut span = flag.span.clone();
        if self.file.source()[span.end..].starts_with([' ', '\t']) {
            span.end += 1;
        }
        self.splices.push(Splice::within(self.file, span, EditKind::Flag, ""));
    }

    fn checksum(&mut self, visit: &Visit<'_>, flag: &Flag) -> Result<(), DockerfileError> {
        let fault = |problem: &str| Fault::Checksum(problem.to_owned()).at(visit.line);
        let [source, _] = visit.instruction.operands()[..] else {
            return Err(fault("needs exactly one source"));
        };
        let url = visit.expand(source, Mode::Value)?;
        if !["http://", "https://"].iter().any(|scheme| url.to_ascii_lowercase().starts_with(scheme)) {
            return Err(fault("is for one http or https URL"));
        }
        let text = visit.expand(flag.value(), Mode::Value)?;
        let digest = text.parse().map_err(|error| fault(&format!("is not a SHA-256: {error}")))?;
        self.checksums.push(Checksum { url, digest, line: visit.line });
        Ok(())
    }

    fn run(&mut self, visit: &Visit<'_>) -> Result<(), DockerfileError> {
        let instruction = visit.instruction;
        let place = |fault: Fault| fault.at(visit.line);
        let is_alone = heredoc::of_word(&instruction.arguments).map_err(place)?.is_some();
        let command = match instruction.heredocs.as_slice() {
            [script] if is_alone && script.raw.starts_with("#!") => {
                let name = file_name(script).map_err(place)?;
                self.add_file(format!("run/{}/{name}", visit.index), script.content(), 0o755);
                vec![format!("{RUN_FILES_DIR}/{}/{name}", visit.index)]
            }
            [script] if is_alone => visit.with_shell(script.content())?,
            heredocs => {
                let bodies = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.raw, heredoc.name));
                visit.with_shell(instruction.arguments.clone() + &bodies.collect::<String>())?
            }
        };
        let json = serde_json::json!(command).to_string();
        if json.len() > COMMAND_SIZE_BYTES_MAX {
            return Err(Fault::HeredocSize(COMMAND_SIZE_BYTES_MAX).at(visit.line));
        }
        let span = instruction.arguments_span.start..instruction.span.end;
        self.splices.push(Splice::to_end(self.file, span, EditKind::HeredocRun, &json));
        Ok(())
    }

    fn copy(&mut self, visit: &Visit<'_>) -> Result<(), DockerfileError> {
        let instruction = visit.instruction;
        let refuse = |problem| Err(Fault::HeredocCopy(problem).at(visit.line));
        let operands = instruction.operands();
        let (destination, sources) =
            operands.split_last().map_or(("", [].as_slice()), |(last, rest)| (*last, rest));
        if instruction.flags_named("from").next().is_some() {
            return refuse("`--from` with a heredoc takes nothing from there; leave it out");
        }
        let all = sources.iter().all(|source| matches!(heredoc::of_word(source), Ok(Some(_))));
        if !all || sources.len() != instruction.heredocs.len() {
            return refuse(
                "heredocs and other sources in one instruction are not supported; split it in two",
            );
        }
        let mut names = BTreeSet::new();
        for heredoc in &instruction.heredocs {
            let name = file_name(heredoc).map_err(|fault| fault.at(visit.line))?;
            if !names.insert(name) {
                return refuse("two heredocs of one name would be one file; rename one");
            }
            let mut content = heredoc.content();
            if heredoc.expand {
                content = visit.expand(&content, Mode::Document)?;
            }
            self.add_file(format!("copy/{}/{name}", visit.index), content, 0o644);
        }
        let sources = instruction.heredocs.iter().map(|heredoc| format!("{}/{} ", visit.index, heredoc.name));
        let text = format!("--from={HEREDOC_CONTEXT} {}{destination}", sources.collect::<String>());
        let span = instruction.arguments_span.start..instruction.span.end;
        self.splices.push(Splice::to_end(self.file, span, EditKind::HeredocCopy, &text));
        if instruction.keyword == Keyword::Add {
            let span = instruction.keyword_span.clone();
            self.splices.push(Splice::within(self.file, span, EditKind::HeredocCopy, "COPY"));
        }
        Ok(())
    }

    fn add_file(&mut self, path: String, content: String, mode: u32) {
        self.files.push(LoweredFile { path, bytes: content.into_bytes(), mode });
    }

    /// BuildKit takes `\\` at a line's end for itself, the engine for a continuation.
    fn check_line_ends(&self, target: usize) -> Result<(), DockerfileError> {
        let end = self.file.stages.get(target).map_or(0, |stage| stage.instructions.end);
        match self.file.instructions[..end].iter().find(|instruction| self.is_misread(instruction)) {
            Some(instruction) => Err(Fault::DoubledEscape.at(instruction.first_line)),
            None => Ok(()),
        }
    }

    fn is_misread(&self, instruction: &Instruction) -> bool {
        instruction.arguments.ends_with(self.file.escape)
    }

    /// The engine reads the whole file before it builds the target: bodies of later heredocs would be instructions.
    fn cut_later_stages(&mut self, target: usize) {
        let Some(next) = self.file.stages.get(target + 1) else { return };
        let later = &self.file.instructions[next.instructions.start..];
        if later.iter().any(|later| !later.heredocs.is_empty() || self.is_misread(later)) {
            let span = later[0].span.start..self.file.source().len();
            self.splices.push(Splice::to_end(self.file, span, EditKind::Stages, ""));
        }
    }
}

fn treatment(keyword: Keyword, flag: &Flag) -> Result<Treatment, Fault> {
    Ok(match (keyword, flag.name.as_str()) {
        (Keyword::From, "platform")
        | (Keyword::Run, "mount")
        | (Keyword::Copy | Keyword::Add, "from" | "chown" | "chmod")
        | (Keyword::Healthcheck, "interval" | "timeout" | "start-period" | "retries") => Treatment::Keep,
        (Keyword::Copy | Keyword::Add, "link") => Treatment::Cut,
        (Keyword::Run, "network") if flag.value() == "default" => Treatment::Cut,
        (Keyword::Add, "checksum") => Treatment::Checksum,
        (Keyword::Run, "network") => Treatment::Newer("1.3"),
        (Keyword::Run, "device") => Treatment::Newer("1.14-labs"),
        (Keyword::Run, "security") | (Keyword::Copy | Keyword::Add, "parents") => Treatment::Newer("1.20"),
        (Keyword::Copy | Keyword::Add, "exclude") => Treatment::Newer("1.19"),
        (Keyword::Add, "keep-git-dir") => Treatment::Newer("1.1"),
        (Keyword::Add, "unpack") => Treatment::Newer("1.17"),
        (Keyword::Healthcheck, "start-interval") => Treatment::Newer("1.6"),
        (keyword, flag) => return Err(Fault::UnknownFlag { keyword, flag: flag.chars().take(60).collect() }),
    })
}

fn newer(keyword: Keyword, flag: &Flag, since: &'static str) -> Fault {
    let shown = match (flag.name.as_str(), &flag.value) {
        ("network" | "security", Some(value)) => format!("{}={value}", flag.name),
        (name, _) => name.to_owned(),
    };
    Fault::NewerEngine { keyword, flag: shown, since }
}

/// The first thing in a trigger that would have to be lowered.
fn lacking(trigger: &Instruction, heredocs: &[Heredoc]) -> Result<Option<String>, Fault> {
    if !heredocs.is_empty() {
        return Ok(Some("a heredoc".to_owned()));
    }
    for flag in &trigger.flags {
        if treatment(trigger.keyword, flag)? != Treatment::Keep {
            return Ok(Some(format!("`--{}`", flag.name)));
        }
    }
    Ok(None)
}

/// A base's trigger has no place in the source: it must need no edit.
fn check_foreign(trigger: &Instruction) -> Result<(), Fault> {
    let refuse = |problem: String| Err(Fault::BaseTrigger { trigger: trigger.text(), problem });
    if let Some(what) = lacking(trigger, &trigger.heredocs)? {
        return refuse(format!("has {what}, which needs a newer engine"));
    }
    match image_tokens(trigger)?.first() {
        Some((image, _)) => refuse(format!("takes files from `{image}`, which cannot be pinned")),
        None => Ok(()),
    }
}

fn check_sources(visit: &Visit<'_>) -> Result<(), DockerfileError> {
    let operands = visit.instruction.operands();
    for source in operands.split_last().map_or([].as_slice(), |(_, sources)| sources) {
        let source = visit.expand(source, Mode::Value)?;
        if is_git(&source) {
            return Err(Fault::Git(words::display(&source)).at(visit.line));
        }
    }
    Ok(())
}

/// Whether ADD would clone `source`.
fn is_git(source: &str) -> bool {
    let source = source.to_ascii_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| source.starts_with(start));
    let path = source.split(['#', '?']).next().unwrap_or_default();
    begins(&["git@", "git://", "ssh://"])
        || (begins(&["http://", "https://", "github.com/"]) && path.strip_suffix(".git").is_some())
}

fn file_name(heredoc: &Heredoc) -> Result<&str, Fault> {
    const NAME_SIZE_BYTES_MAX: usize = 100;
    let name = heredoc.name.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let odd = name.is_empty() || name.len() > NAME_SIZE_BYTES_MAX || name.starts_with(['.', '-']);
    if odd || !name.chars().all(plain) {
        return Err(Fault::HeredocName(name.chars().take(60).collect()));
    }
    Ok(name)
}
