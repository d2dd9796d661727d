//! Byte records in the order of their keys, which are paths. A sort holds one run in memory; if there are more, all lie in
//! a scratch file and are merged as they are read. So memory does not grow with their number.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fmt,
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::{LayerError, order};
use crate::model::{ReadWriteSeek, Scratch};

/// Bytes read of a run at once.
const READ_SIZE_BYTES: u64 = 64 << 10;

/// One record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Record<'a> {
    /// A path.
    pub(super) key: &'a [u8],
    /// What is to know about it.
    pub(super) value: &'a [u8],
    /// How many come before it.
    pub(super) ordinal: usize,
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`, and its size there, if it is whole: two lengths, key, value.
    fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let length = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
        let (key, rest) = rest.split_at_checked(length(key)?)?;
        let (value, rest) = rest.split_at_checked(length(value)?)?;
        Some((Self { key, value, ordinal: 0 }, bytes.len() - rest.len()))
    }

    fn compare(&self, other: &Self) -> Ordering {
        order::compare(self.key, other.key).then_with(|| order::compare(self.value, other.value))
    }
}

/// Sorts records by key, those of one key by value as if it were a path too.
#[derive(Debug)]
pub(super) struct Sorter<'a> {
    scratch: &'a dyn Scratch,
    /// The run in the making, and where in it records start.
    run: Vec<u8>,
    starts: Vec<u32>,
    in_order: bool,
    spilled: Option<Spilled>,
    count: usize,
}

/// Runs that were full.
struct Spilled {
    file: Box<dyn ReadWriteSeek>,
    runs: Vec<Range<u64>>,
    /// The last record written.
    last: Vec<u8>,
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spilled").field("runs", &self.runs).finish_non_exhaustive()
    }
}

impl<'a> Sorter<'a> {
    pub(super) fn new(scratch: &'a dyn Scratch) -> Self {
        Self { scratch, run: Vec::new(), starts: Vec::new(), in_order: true, spilled: None, count: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), LayerError> {
        self.add(key, value).map_err(LayerError::Sort)
    }

    /// All records, in order.
    pub(super) fn finish(mut self) -> Result<Records, LayerError> {
        if self.spilled.is_some() {
            self.spill().map_err(LayerError::Sort)?;
        } else if !self.in_order {
            self.sort();
            self.run = self.sorted().collect::<Vec<_>>().concat();
        }
        self.run.shrink_to_fit();
        let place = match self.spilled {
            Some(Spilled { file, runs, .. }) => Place::File(Mutex::new(file), runs),
            None => Place::Memory(self.run),
        };
        Ok(Records { place, count: self.count })
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let size_bytes = 8 + key.len() + value.len();
        if !self.run.is_empty() && self.run.len() + size_bytes > self.scratch.run_size_bytes() {
            self.spill()?;
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        let (start, lengths) = (length(&self.run)?, [length(key)?, length(value)?]);
        if let Some(last) = self.starts.last().filter(|_| self.in_order) {
            let new = Record { key, value, ordinal: 0 };
            self.in_order = record(&self.run, *last).compare(&new).is_le();
        }
        self.run.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
        self.run.extend_from_slice(key);
        self.run.extend_from_slice(value);
        self.starts.push(start);
        self.count += 1;
        Ok(())
    }

    fn sort(&mut self) {
        let run = &self.run;
        self.starts.sort_unstable_by(|a, b| record(run, *a).compare(&record(run, *b)));
        self.in_order = true;
    }

    /// The run's records, as they lie there.
    fn sorted(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().map(|start| raw(&self.run, *start))
    }

    /// Writes the run to the file, as part of the last one if it goes on there.
    fn spill(&mut self) -> io::Result<()> {
        if !self.in_order {
            self.sort();
        }
        let mut spilled = match self.spilled.take() {
            Some(spilled) => spilled,
            None => Spilled { file: self.scratch.file()?, runs: Vec::new(), last: Vec::new() },
        };
        let start = spilled.runs.last().map_or(0, |run| run.end);
        spilled.file.seek(SeekFrom::Start(start))?;
        let mut out = BufWriter::with_capacity(256 << 10, &mut spilled.file);
        self.sorted().try_for_each(|record| out.write_all(record))?;
        out.flush()?;
        drop(out);
        let run = start..start + self.run.len() as u64;
        let first = self.starts.first().map(|start| record(&self.run, *start)).unwrap_or_default();
        match spilled.runs.last_mut().filter(|_| record(&spilled.last, 0).compare(&first).is_le()) {
            Some(last) => last.end = run.end,
            None => spilled.runs.push(run),
        }
        spilled.last = self.sorted().last().unwrap_or_default().to_vec();
        self.spilled = Some(spilled);
        self.run.clear();
        self.starts.clear();
        Ok(())
    }
}

fn record(run: &[u8], start: u32) -> Record<'_> {
    Record::first(&run[start as usize..]).unwrap_or_default().0
}

fn raw(run: &[u8], start: u32) -> &[u8] {
    let rest = &run[start as usize..];
    &rest[..Record::first(rest).unwrap_or_default().1]
}

/// Records in order.
#[derive(Debug)]
pub(super) struct Records {
    place: Place,
    count: usize,
}

enum Place {
    /// One run.
    Memory(Vec<u8>),
    /// Where the runs are in the file.
    File(Mutex<Box<dyn ReadWriteSeek>>, Vec<Range<u64>>),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(run) => write!(f, "{} bytes in memory", run.len()),
            Self::File(_, runs) => write!(f, "{} runs in a file", runs.len()),
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Self { place: Place::Memory(Vec::new()), count: 0 }
    }
}

impl Records {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of them that are in memory.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        match &self.place {
            Place::Memory(run) => run.capacity(),
            Place::File(..) => 0,
        }
    }

    /// From the first on.
    pub(super) fn read(&self) -> Result<Reader<'_>, LayerError> {
        let runs = match &self.place {
            Place::Memory(run) => vec![Run { buffer: Cow::Borrowed(run), ..Run::default() }],
            Place::File(file, runs) => {
                let run = |left: &Range<u64>| Run { file: Some(file), left: left.clone(), ..Run::default() };
                runs.iter().map(run).collect()
            }
        };
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for mut run in runs {
            if run.advance().map_err(LayerError::Sort)? {
                heap.push(run);
            }
        }
        Ok(Reader { runs: heap, kept: None, given: 0, next: 0 })
    }
}

/// Gives records in order, one at a time.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    runs: BinaryHeap<Run<'a>>,
    kept: Option<&'a [bool]>,
    /// How many were given.
    given: usize,
    /// How many of all were gone over.
    next: usize,
}

impl<'a> Reader<'a> {
    /// Only those whose flag is set.
    pub(super) fn only(self, kept: Option<&'a [bool]>) -> Self {
        Self { kept, ..self }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, LayerError> {
        loop {
            if self.next > 0 {
                self.skip().map_err(LayerError::Sort)?;
            }
            self.next += 1;
            if self.runs.is_empty() || self.kept.is_none_or(|kept| kept.get(self.next - 1) == Some(&true)) {
                break;
            }
        }
        self.given += 1;
        Ok(self.current())
    }

    /// The one given last.
    pub(super) fn current(&self) -> Option<Record<'_>> {
        let run = self.runs.peek()?;
        Some(Record { ordinal: self.given.saturating_sub(1), ..run.record() })
    }

    fn skip(&mut self) -> io::Result<()> {
        if let Some(mut run) = self.runs.peek_mut()
            && !run.advance()?
        {
            PeekMut::pop(run);
        }
        Ok(())
    }
}

/// One run as it is read; the least record is the greatest run, since the heap gives the greatest.
#[derive(Default)]
struct Run<'a> {
    file: Option<&'a Mutex<Box<dyn ReadWriteSeek>>>,
    /// What is still in the file.
    left: Range<u64>,
    buffer: Cow<'a, [u8]>,
    /// Where the record at hand is in the buffer.
    at: usize,
    size_bytes: usize,
}

impl Run<'_> {
    fn record(&self) -> Record<'_> {
        Record::first(&self.buffer[self.at..]).unwrap_or_default().0
    }

    /// Goes to the next record, if there is one.
    fn advance(&mut self) -> io::Result<bool> {
        self.at += self.size_bytes;
        loop {
            if let Some((_, size_bytes)) = Record::first(&self.buffer[self.at..]) {
                self.size_bytes = size_bytes;
                return Ok(true);
            }
            if self.left.is_empty() {
                self.size_bytes = 0;
                let whole = self.at == self.buffer.len();
                return if whole { Ok(false) } else { Err(io::ErrorKind::InvalidData.into()) };
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        let buffer = self.buffer.to_mut();
        buffer.drain(..self.at);
        self.at = 0;
        let count = READ_SIZE_BYTES.min(self.left.end - self.left.start);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.left.start))?;
        if (&mut *file).take(count).read_to_end(buffer)? as u64 != count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left.start += count;
        Ok(())
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Ord for Run<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.record().compare(&self.record())
    }
}

impl PartialOrd for Run<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Run<'_> {}

/// Gives `each` every record of `left` with the one of the same key in `right`, which has no key twice.
pub(super) fn join(
    mut left: Reader<'_>,
    mut right: Reader<'_>,
    mut each: impl FnMut(Record<'_>, Option<Record<'_>>) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    right.next()?;
    while let Some(one) = left.next()? {
        while right.current().is_some_and(|other| order::compare(other.key, one.key).is_lt()) {
            right.next()?;
        }
        each(one, right.current().filter(|other| other.key == one.key))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
