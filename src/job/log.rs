//! The build's log in the making: the engine's output as it is, and all that happened as events, in one order.
//!
//! The shim's announcements come by another way than the output, so their place among its lines is found: a step's
//! begin stands where the engine says that it comes to it, its end before the engine's next word.

#![expect(clippy::disallowed_methods, reason = "reads what it wrote")]

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    sync::Arc,
};

use super::{
    bases::Tail,
    events::Events,
    execute::{Kept, Secrets},
    follow::Pace,
    masks::Masks,
    track::{Instruction, Tracker},
};
use crate::{
    buildroot::{Announced, Announcements, Strays},
    engine::{Hint, LogLine, hints},
    host,
    model::{limits::EVENT_STEP_SIZE_BYTES_MAX, path::printable},
    progress::{Progress, Update},
    store::{LogDir, Store, StoreError, Writer},
    transcript::Event,
};

/// How much of a log's end is looked through for what tools say.
const HINTS_SIZE_BYTES: u64 = 256 << 10;
/// The last line of a log that was cut.
const FULL: &[u8] = b"reprov: the log is full; the rest was not kept\n";

/// The log in the making.
pub(super) struct Log {
    writer: Option<Writer>,
    size_bytes_max: u64,
    events: Option<Events>,
    masks: Masks,
    tracker: Arc<Tracker>,
    announcements: Announcements,
    /// Hears at once what is announced.
    pace: Pace,
    /// Announced, but what was printed before may be still to come.
    pending: Vec<Announced>,
    /// What went astray before the step that runs.
    before: Strays,
    /// Where something is mounted in any step.
    pub(super) mounts: BTreeSet<String>,
    /// What the commit's clock does not reach, printable, and the step that began with it.
    pub(super) unreached: Vec<(Option<Instruction>, String)>,
    /// How many steps began.
    pub(super) steps_run: usize,
    pub(super) kept: Kept,
    pub(super) tail: Tail,
    /// Why an event could not be written.
    broken: Option<io::Error>,
    /// Whether lines came that were not kept.
    pub(super) truncated: bool,
}

impl Log {
    /// A log that keeps `size_bytes_max` bytes of output at most, and then says so. Both files grow in `dir`.
    pub(super) fn start(
        (store, dir): (&Store, &LogDir),
        size_bytes_max: u64,
        (tracker, announcements): (Arc<Tracker>, Announcements),
        secrets: &Secrets,
    ) -> Result<Self, StoreError> {
        let (output, events) = (store.writer()?, store.writer()?);
        dir.grow(&output, LogDir::LOG)?;
        dir.grow(&events, LogDir::EVENTS)?;
        Ok(Self {
            writer: Some(output),
            size_bytes_max,
            events: Some(Events::start(events)),
            masks: Masks::of(secrets),
            tracker,
            announcements,
            pace: Pace::Own,
            pending: Vec::new(),
            before: Strays::default(),
            mounts: BTreeSet::new(),
            unreached: Vec::new(),
            steps_run: 0,
            kept: Kept::default(),
            tail: Tail::default(),
            broken: None,
            truncated: false,
        })
    }

    /// Tells `pace` how far the run is.
    pub(super) fn pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Takes a line of output, or a piece of a long one.
    pub(super) fn line(&mut self, line: &[u8], progress: &dyn Progress) -> io::Result<()> {
        let shown = self.masks.output(line);
        if shown.is_empty() { Ok(()) } else { self.shown(&shown, progress) }
    }

    fn shown(&mut self, line: &[u8], progress: &dyn Progress) -> io::Result<()> {
        self.tail.push(line);
        self.hear()?;
        self.settle_begun()?;
        let text = String::from_utf8_lossy(line);
        if self.tracker.may_follow(text.trim_end()) {
            self.settle_ended()?; // The engine prints such lines between steps.
        }
        let reached = if let LogLine::Step { number, count, text, .. } = self.tracker.line(text.trim_end()) {
            // The engine's text names local bases and lowered lines; the Dockerfile's own is what people know.
            let step = self.tracker.current();
            let text = step.as_ref().map_or(text, |step| &step.text);
            progress.update(Update::Step { number, count, text });
            Some(Event {
                step: Some(text.to_owned()),
                line: step.as_ref().map(|step| step.line),
                ..now("step")
            })
        } else {
            progress.update(Update::Output(line));
            None
        };
        // What looks like the engine's while a RUN runs is the RUN's.
        if let Some(reached) = reached.filter(|_| !self.tracker.is_running()) {
            self.write(&reached)?;
        }
        let output = of(self.tracker.at_work(), Event::output(host::now(), line));
        self.write(&output)?;
        self.settle_begun()?;
        self.keep(line)
    }

    fn keep(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if self.truncated {
            return Ok(()); // Shorter lines would fit, and leave gaps that nobody sees.
        }
        self.truncated = writer.size_bytes() + line.len() as u64 > self.size_bytes_max;
        writer.write_all(if self.truncated { FULL } else { line })
    }

    /// The instruction that is at work.
    pub(super) fn at_work(&self) -> Option<Instruction> {
        self.tracker.at_work()
    }

    /// Takes an event that happens now; false if there is no room for it. A disk that fails is told by the next tick.
    pub(super) fn event(&mut self, event: &Event) -> bool {
        if !self.settle_all() {
            return true; // What came behind half a line would be none.
        }
        self.write(event).unwrap_or_else(|error| {
            self.broken = Some(error);
            true
        })
    }

    /// Writes an event without the values of secrets, and no more of its instruction than is needed to know it.
    fn write(&mut self, event: &Event) -> io::Result<bool> {
        let Some(events) = &mut self.events else { return Ok(false) };
        let mask = |text: &Option<String>| text.clone().map(|text| self.masks.text(text));
        let (url, reason, step) = (mask(&event.url), mask(&event.reason), event.step.as_deref().map(short));
        events.write(&Event { step, url, reason, ..event.clone() })
    }

    /// Called now and then: what was announced a while ago has its place.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        if let Some(error) = &self.broken {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        self.settle()?;
        self.hear()?;
        self.settle_begun()
    }

    /// Takes everything that was announced so far, at once; false if that fails, now or before. The next tick tells it.
    pub(super) fn settle_all(&mut self) -> bool {
        if self.broken.is_none() {
            self.broken = self.hear().and_then(|()| self.settle()).err();
        }
        self.broken.is_none()
    }

    fn hear(&mut self) -> io::Result<()> {
        let news = self.announcements.news().map_err(io::Error::other)?;
        for announced in &news {
            self.pace.hear(announced);
        }
        self.pending.extend(news);
        Ok(())
    }

    /// The next step, if it is the one that the engine said it comes to.
    fn settle_begun(&mut self) -> io::Result<()> {
        let expected = match self.pending.first() {
            Some(Announced::Began { command, .. }) => self.tracker.expects(command.as_deref()),
            _ => false,
        };
        self.settle_to(usize::from(expected))
    }

    fn settle_ended(&mut self) -> io::Result<()> {
        let ended = matches!(self.pending.first(), Some(Announced::Ended { .. }));
        self.settle_to(usize::from(ended))
    }

    fn settle(&mut self) -> io::Result<()> {
        self.settle_to(self.pending.len())
    }

    fn settle_to(&mut self, count: usize) -> io::Result<()> {
        let settled: Vec<_> = self.pending.drain(..count).collect();
        settled.into_iter().try_for_each(|announced| match announced {
            Announced::Began { command, mounts, strays, unreached } => {
                self.steps_run += 1;
                self.mounts.extend(mounts);
                self.before = strays;
                let step = self.tracker.began(command.as_deref());
                self.unreached.extend(unreached.map(|program| (step.clone(), printable(&program))));
                self.write(&of(step, now("step-began"))).map(drop)
            }
            Announced::Ended { .. } if !self.tracker.is_running() => Ok(()),
            Announced::Ended { strays } => {
                let step = self.tracker.ended();
                self.write_strays(step.as_ref(), strays)?;
                self.write(&of(step, now("step-ended"))).map(drop)
            }
        })
    }

    /// What the step sent around the proxy.
    fn write_strays(&mut self, step: Option<&Instruction>, after: Strays) -> io::Result<()> {
        let before = self.before;
        let counts = [
            ("ipv4", before.ipv4, after.ipv4),
            ("ipv6", before.ipv6, after.ipv6),
            ("udp", before.udp, after.udp),
        ];
        for (protocol, before, after) in counts.into_iter().filter(|(_, before, after)| after > before) {
            let (protocol, count) = (Some(protocol.to_owned()), Some(after - before));
            self.write(&of(step.cloned(), Event { protocol, count, ..now("cut-off") }))?;
        }
        Ok(())
    }

    /// What the end of the finished log says about limits of the buildroot.
    pub(super) fn hints(&self, store: &Store) -> Result<Vec<Hint>, StoreError> {
        let path = store.path(&self.kept.digest);
        let read = || -> io::Result<Vec<u8>> {
            let (mut file, mut end) = (File::open(&path)?, Vec::new());
            file.seek(SeekFrom::Start(self.kept.size.saturating_sub(HINTS_SIZE_BYTES)))?;
            file.take(HINTS_SIZE_BYTES).read_to_end(&mut end)?;
            Ok(end)
        };
        let end = read().map_err(|source| StoreError::Io { action: "read", path: path.clone(), source })?;
        Ok(hints(&end))
    }

    /// No more output comes.
    pub(super) fn finish(&mut self, progress: &dyn Progress) -> Result<(), StoreError> {
        let rest = self.masks.rest();
        let shown = if rest.is_empty() { Ok(()) } else { self.shown(&rest, progress) };
        let settled = shown.and_then(|()| self.hear()).and_then(|()| self.settle());
        let Some(writer) = self.writer.take() else { return Ok(()) };
        settled.map_err(|source| writer.failed(source))?;
        let (digest, size) = writer.finish()?;
        self.kept = Kept { digest, size };
        Ok(())
    }

    /// The build ended: the `last` event, and the digest of them all.
    pub(super) fn end(&mut self, last: &Event, progress: &dyn Progress) -> Result<Kept, StoreError> {
        self.finish(progress)?;
        let reason = last.reason.clone().map(|text| self.masks.text(text));
        let last = Event { step: last.step.as_deref().map(short), reason, ..last.clone() };
        match (self.events.take(), self.broken.take()) {
            (Some(events), Some(error)) => Err(events.failed(error)),
            (Some(events), None) => events.end(&last),
            (None, _) => Ok(Kept::default()),
        }
    }
}

/// The beginning of an instruction's text.
fn short(step: &str) -> String {
    let end = step.floor_char_boundary(EVENT_STEP_SIZE_BYTES_MAX);
    let rest = if end < step.len() { "…" } else { "" };
    format!("{}{rest}", &step[..end])
}

/// An event of now.
pub(super) fn now(kind: &str) -> Event {
    Event::new(host::now(), kind)
}

/// `event` of the instruction `step`.
pub(super) fn of(step: Option<Instruction>, event: Event) -> Event {
    let (step, line) = step.map(|step| (step.text, step.line)).unzip();
    Event { step, line, ..event }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
