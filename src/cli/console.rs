//! Data to standard output, talk to standard error: bars on a terminal, lines elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    failure::{Exit, Failure},
    global::{Color, Format, Global},
};
use crate::{
    model::path::printable,
    progress::{Progress, Update},
    report::size,
};

/// Where everything is printed.
#[derive(Debug)]
pub(super) struct Console {
    format: Format,
    quiet: bool,
    verbose: bool,
    color: bool,
    bars: Option<MultiProgress>,
}

/// Writes one JSON object and a line end to standard output.
pub(super) fn print(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        let _ = writeln!(io::stdout(), "{text}"); // A closed pipe is the reader's choice.
    }
}

impl Console {
    pub(super) fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal();
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        let quiet = global.quiet && !global.verbose;
        let bars = (terminal && !quiet && !global.verbose).then(MultiProgress::new);
        Self { format: global.format, quiet, verbose: global.verbose, color, bars }
    }

    /// The answer, in the format asked for.
    pub(super) fn answer(&self, value: &impl Serialize, text: &str) {
        let write = || match self.format {
            Format::Json => print(value),
            _ => {
                let _ = io::stdout().write_all(text.as_bytes()); // As in `print`.
            }
        };
        self.apart(write);
    }

    /// Does `write` while no bar is on the screen.
    pub(super) fn apart<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Whether everything is to be said.
    pub(super) fn verbose(&self) -> bool {
        self.verbose
    }

    /// A line of talk.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            self.line(line);
        }
    }

    /// A line that even `-q` does not silence.
    pub(super) fn line(&self, line: &str) {
        self.apart(|| {
            let _ = writeln!(io::stderr(), "{line}"); // Nothing is left to do if the terminal is gone.
        });
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// `error: a: b: c`, and hints.
    pub(super) fn complain(&self, failure: &Failure) {
        let text = printable(&failure.messages().join(": "));
        self.line(&format!("{}: {text}", self.paint("1;31", "error")));
        for hint in failure.hints() {
            self.line(&format!("{}: {}", self.paint("1;36", "hint"), printable(hint)));
        }
    }

    /// [`Console::complain`], and the error object where JSON was asked for.
    pub(super) fn failure(&self, failure: &Failure) -> Exit {
        self.complain(failure);
        if self.format == Format::Json {
            print(&failure.json());
        }
        failure.exit
    }

    /// A loud line.
    pub(super) fn warn(&self, text: &str) {
        self.line(&format!("{}: {}", self.paint("1;33", "warning"), printable(text)));
    }

    /// What a job called `name` tells goes here.
    pub(super) fn job(&self, name: &str) -> Arc<dyn Progress> {
        self.jobs()(name)
    }

    /// [`Console::job`], for whoever outlives this call.
    pub(super) fn jobs(&self) -> impl Fn(&str) -> Arc<dyn Progress> + Send + Sync + use<> {
        let (quiet, verbose, bars) = (self.quiet, self.verbose, self.bars.clone());
        move |name: &str| match &bars {
            _ if quiet => Arc::new(crate::progress::Silent),
            Some(bars) => Arc::new(Bar::new(bars, name)),
            None => Arc::new(Lines { name: name.to_owned(), verbose, last: Mutex::default() }),
        }
    }

    /// Takes the bars off the screen.
    pub(super) fn finish(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear(); // Cosmetic.
        }
    }
}

/// One line that moves.
#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    state: Mutex<(String, String)>,
}

impl Bar {
    fn new(bars: &MultiProgress, name: &str) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}");
        let bar = bars.add(ProgressBar::new_spinner().with_prefix(name.to_owned()));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, state: Mutex::default() }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn update(&self, update: Update<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match update {
            Update::Begun(build) => return self.bar.println(begun_line(build)),
            Update::Phase(phase, what) => *state = (phase_line(phase, what), String::new()),
            Update::Step { number, count, text } => {
                state.0 = format!("step {number}/{count} {}", printable(text));
            }
            Update::Traffic { count, bytes } => state.1 = format!(" · {count} answers, {}", size(bytes)),
            Update::Sent { count, bytes } => state.1 = format!(" · {count} sent, {}", size(bytes)),
            Update::Output(_) => return,
            Update::Warning(text) => return self.bar.println(format!("warning: {}", printable(text))),
        }
        self.bar.set_message(format!("{}{}", state.0, state.1));
    }
}

/// One line for each thing that happens.
#[derive(Debug)]
struct Lines {
    name: String,
    verbose: bool,
    last: Mutex<String>,
}

impl Progress for Lines {
    fn update(&self, update: Update<'_>) {
        let line = match update {
            Update::Begun(build) => begun_line(build),
            Update::Phase(phase, what) => phase_line(phase, what),
            Update::Step { number, count, text } => {
                let text: String = printable(text).chars().take(160).collect();
                format!("step {number}/{count} {text}")
            }
            Update::Warning(text) => format!("warning: {}", printable(text)),
            Update::Output(line) if self.verbose => {
                let text = String::from_utf8_lossy(line);
                format!("| {}", printable(text.trim_end_matches(['\n', '\r'])))
            }
            Update::Output(_) | Update::Traffic { .. } | Update::Sent { .. } => return,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            let _ = writeln!(io::stderr(), "{}: {line}", self.name); // Nothing is left to do if the terminal is gone.
            *last = line;
        }
    }
}

fn begun_line(build: &str) -> String {
    let short = build.get(..12).unwrap_or(build);
    format!("{short} (reprov trace --follow {short})")
}

fn phase_line(phase: &str, what: &str) -> String {
    if what.is_empty() { phase.to_owned() } else { format!("{phase} {}", printable(what)) }
}
