//! `reprov trace --follow`: the log of a build that runs in this store, or that ended there without an image.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Context,
    failure::{Exit, Failure},
    global::Format,
    log,
};
use crate::{
    model::path::printable,
    report::events::shown,
    store::{KeptLog, LogDir},
    transcript::Event,
};

/// How often it is looked for news.
const POLL: Duration = Duration::from_millis(100);
/// Bytes read at once.
const PIECE_SIZE_BYTES: usize = 64 << 10;

/// What the store says of a build.
#[derive(Debug, Default, Deserialize)]
struct About {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    began_on: String,
}

impl About {
    fn of(log: &KeptLog) -> Self {
        log.about().ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

/// Prints what the build named `wanted` says, from its beginning until it ends.
pub(super) async fn follow(context: &Context<'_>, wanted: &str) -> Result<Exit, Failure> {
    let logs = context.global.open_store()?.logs().map_err(Failure::unavailable)?;
    let found: Vec<_> =
        logs.iter().filter(|log| !wanted.is_empty() && log.build.starts_with(wanted)).collect();
    let [log] = found[..] else { return Err(unknown(&logs, wanted, found.len())) };
    let mut following = Following::new(context);
    loop {
        // Asked before the last look: what it wrote before it ended is read.
        let runs = log.is_running();
        if let Err(error) = following.read_on(log).await {
            return log::printed(Err(error));
        }
        if context.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if !runs {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = context.cancel.cancelled() => return Err(Failure::cancelled()),
        }
    }
    if following.ended || !log.was_killed() {
        return Ok(Exit::Ok);
    }
    Err(Failure::unavailable(format!("build {} was killed: it ended without a word", log.build)))
}

/// No build, or several; says which there are.
fn unknown(logs: &[KeptLog], wanted: &str, found: usize) -> Failure {
    let text = match (wanted, found) {
        ("", _) => "--follow needs the name of a build".to_owned(),
        (_, 0) => format!("no build in this store is called `{wanted}`"),
        _ => format!("several builds in this store are called `{wanted}…`"),
    };
    let running: Vec<_> = logs.iter().filter(|log| log.is_running()).collect();
    let failure = Failure::usage_text(text);
    if running.is_empty() {
        return failure.hint("no build runs in this store (--store DIR names another)".to_owned());
    }
    running.into_iter().fold(failure, |failure, log| {
        let About { kind, image, source, began_on } = About::of(log);
        let source = source.unwrap_or_else(|| "a local source".to_owned());
        let build = log.build.get(..12).unwrap_or(&log.build);
        failure.hint(format!("{build} runs: {kind} of {image} from {source}, since {began_on}"))
    })
}

/// Reads events as they are written.
struct Following<'a> {
    context: &'a Context<'a>,
    /// None as long as the build has not come to where something can happen.
    events: Option<File>,
    /// A line that is not whole yet.
    line: Vec<u8>,
    /// Whether the build said that it ended.
    ended: bool,
    terminal: bool,
}

impl<'a> Following<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Self { context, events: None, line: Vec::new(), ended: false, terminal: io::stdout().is_terminal() }
    }

    /// Prints all that is there by now, piece by piece: whoever has had enough is heard between two.
    async fn read_on(&mut self, log: &KeptLog) -> io::Result<()> {
        let mut piece = vec![0; PIECE_SIZE_BYTES];
        while !self.context.cancel.is_cancelled() {
            self.events = self.events.take().or_else(|| log.open(LogDir::EVENTS).ok());
            let Some(events) = &mut self.events else { return Ok(()) };
            let count = events.read(&mut piece)?;
            if count == 0 {
                break;
            }
            for part in piece[..count].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(part);
                if self.line.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.line);
                    self.print(&line)?;
                }
            }
            tokio::task::yield_now().await;
        }
        io::stdout().flush()
    }

    fn print(&mut self, line: &[u8]) -> io::Result<()> {
        let Ok(event) = Event::parse(line) else { return Ok(()) };
        self.ended = event.kind == "ended";
        let mut out = io::stdout().lock();
        match self.context.global.format {
            Format::Json => log::write(&mut out, line, self.terminal),
            _ if self.terminal => writeln!(out, "{}", printable(&shown(&event))),
            _ => writeln!(out, "{}", shown(&event)),
        }
    }
}
