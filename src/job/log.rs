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
/// The last line of a log that was cut.
const FULL: &[u8] = b"reprov: the log is full; the rest was not kept\n";

/// The log in the making.
pub(super) struct Log {
    writer: Option<Writer>,
    size_bytes_max: u64,
    pub(super) kept: Kept,
    pub(super) tail: Tail,
    pub(super) events: Vec<Event>,
    /// Whether lines came that were not kept.
    pub(super) truncated: bool,
}

impl Log {
    /// A log that keeps `size_bytes_max` bytes at most, and then says so.
    pub(super) fn start(store: &Store, size_bytes_max: u64) -> Result<Self, StoreError> {
        let kept = Kept { digest: Digest::of(b""), size: 0 };
        Ok(Self {
            writer: Some(store.writer()?),
            size_bytes_max,
            kept,
            tail: Tail::default(),
            events: Vec::new(),
            truncated: false,
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
                // A step can print such lines without end.
                if self.events.len() < limits::EVENTS_MAX {
                    self.events.push(Event {
                        time: host::now(),
                        kind: "step".to_owned(),
                        step: Some(text.to_owned()),
                        line: step.as_ref().map(|step| step.line),
                        ..Event::default()
                    });
                }
            }
            _ => ports.progress.update(Update::Output(line)),
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if self.truncated {
            return Ok(()); // Shorter lines would fit, and leave gaps that nobody sees.
        }
        self.truncated = writer.size_bytes() + line.len() as u64 > self.size_bytes_max;
        writer.write_all(if self.truncated { FULL } else { line })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{progress::Silent, registry::Registries};

    #[test]
    fn a_full_log_says_so_and_keeps_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let registries = Arc::new(Registries::new(crate::registry::Options::default()));
        let (progress, cancel) = (Arc::new(Silent), CancellationToken::new());
        let network = crate::model::Network::default();
        let ports = Ports { store: store.clone(), registries, network, progress, cancel };
        let tracker = Tracker::new(Vec::new());
        let written = |size_bytes_max: u64, lines: &[&str]| {
            let mut log = Log::start(&store, size_bytes_max).unwrap();
            for line in lines {
                log.line(line.as_bytes(), &tracker, &ports).unwrap();
            }
            log.finish().unwrap();
            let text = store.read(&log.kept.digest, 1 << 20).unwrap();
            assert_eq!(text.len() as u64, log.kept.size);
            (String::from_utf8(text).unwrap(), log.truncated, log.tail.text())
        };
        let lines = ["twelve bytes\n", "and twelve more\n", "c\n"];
        assert_eq!(written(100, &lines), (lines.concat(), false, lines.concat().trim().to_owned()));
        let cut = format!("{}reprov: the log is full; the rest was not kept\n", lines[0]);
        assert_eq!(written(20, &lines), (cut, true, lines.concat().trim().to_owned()));
    }
}
