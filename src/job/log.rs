//! The build log in the making: the engine's lines, kept and told.

#![expect(clippy::disallowed_methods, reason = "reads what it wrote")]

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

use super::{Ports, bases::Tail, execute::Kept, track::Tracker};
use crate::{
    engine::{Hint, LogLine, hints},
    host,
    model::{Digest, limits},
    progress::Update,
    store::{Store, StoreError, Writer},
    transcript::Event,
};

/// How much of a log's end is looked through for what tools say.
const HINTS_SIZE_BYTES: u64 = 256 << 10;

/// The log in the making.
pub(super) struct Log {
    writer: Option<Writer>,
    pub(super) kept: Kept,
    pub(super) tail: Tail,
    pub(super) events: Vec<Event>,
    full: bool,
}

impl Log {
    pub(super) fn start(store: &Store) -> Result<Self, StoreError> {
        let kept = Kept { digest: Digest::of(b""), size: 0 };
        Ok(Self {
            writer: Some(store.writer()?),
            kept,
            tail: Tail::default(),
            events: Vec::new(),
            full: false,
        })
    }

    pub(super) fn line(&mut self, line: &[u8], tracker: &Tracker, ports: &Ports) -> io::Result<()> {
        self.tail.push(line);
        let text = String::from_utf8_lossy(line);
        match tracker.line(text.trim_end()) {
            LogLine::Step { number, count, text, .. } => {
                // The engine's text names local bases and lowered lines; the Dockerfile's own is what people know.
                let step = tracker.current();
                let text = step.as_ref().map_or(text, |step| &step.text);
                ports.progress.update(Update::Step { number, count, text });
                self.events.push(Event {
                    time: host::now(),
                    kind: "step".to_owned(),
                    step: Some(text.to_owned()),
                    line: step.as_ref().map(|step| step.line),
                    ..Event::default()
                });
            }
            _ => ports.progress.update(Update::Output(line)),
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.size_bytes() + line.len() as u64 > limits::LOG_SIZE_BYTES_MAX {
            if !std::mem::replace(&mut self.full, true) {
                writer.write_all(b"reprov: the log is full; the rest was not kept\n")?;
            }
            return Ok(());
        }
        writer.write_all(line)
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

    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        if let Some(writer) = self.writer.take() {
            let (digest, size) = writer.finish()?;
            self.kept = Kept { digest, size };
        }
        Ok(())
    }
}
