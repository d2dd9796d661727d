//! Headers of packages as rpm's database keeps them (rpm's "Package format": a header without its magic number).

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use crate::model::limits::RPM_HEADER_ENTRIES_MAX;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const INSTALL_TIME: u32 = 1008;
const ARCHITECTURE: u32 = 1022;
const DIGESTS: u32 = 1035;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;
const INSTALL_TID: u32 = 1128;
/// Most files of one package that are looked at.
const FILES_MAX: usize = 200_000;

/// A header.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// By tag: type, number of values, and where in the store they begin.
    entries: BTreeMap<u32, (u32, usize, usize)>,
    store: &'a [u8],
    store_at: usize,
}

impl<'a> Header<'a> {
    /// Reads the index of `blob`.
    pub(super) fn of(blob: &'a [u8]) -> Option<Self> {
        let count = number(blob, 0).filter(|count| *count <= RPM_HEADER_ENTRIES_MAX)?;
        let size = usize::try_from(number(blob, 4)?).ok()?;
        let store_at = usize::try_from(count).ok()?.checked_mul(16)?.checked_add(8)?;
        let store = blob.get(store_at..).filter(|store| store.len() == size)?;
        let mut entries = BTreeMap::new();
        for entry in blob[8..store_at].chunks_exact(16) {
            let offset = i32::from_be_bytes(entry[8..12].try_into().ok()?);
            // What marks a region points behind itself; it holds no value that is asked for.
            let Ok(offset) = usize::try_from(offset) else { continue };
            entries.insert(number(entry, 0)?, (number(entry, 4)?, offset, usize::try_from(number(entry, 12)?).ok()?));
        }
        Some(Self { entries, store, store_at })
    }

    fn texts(&self, tag: u32) -> Option<Vec<&'a [u8]>> {
        let (kind, offset, count) = *self.entries.get(&tag)?;
        let mut rest = self.store.get(offset..).filter(|_| matches!(kind, 6 | 8 | 9) && count <= FILES_MAX)?;
        let mut texts = Vec::new();
        for _ in 0..count {
            let (text, behind) = rest.split_once_str("\0")?;
            texts.push(text);
            rest = behind;
        }
        Some(texts)
    }

    fn text(&self, tag: u32) -> Option<&'a [u8]> {
        self.texts(tag)?.first().copied()
    }

    fn numbers(&self, tag: u32) -> Option<Vec<u32>> {
        let (kind, offset, count) = *self.entries.get(&tag)?;
        let values = self.store.get(offset..).filter(|_| kind == 4 && count <= FILES_MAX)?;
        (0..count).map(|index| number(values, index.checked_mul(4)?)).collect()
    }

    /// Name and architecture.
    pub(super) fn name(&self) -> Option<BString> {
        let architecture = self.text(ARCHITECTURE).unwrap_or_default();
        Some([self.text(NAME)?, b".", architecture].concat().into())
    }

    /// Epoch, version and release.
    pub(super) fn version(&self) -> Option<BString> {
        let epoch = self.numbers(EPOCH).and_then(|epochs| epochs.first().copied());
        let epoch = epoch.map_or_else(String::new, |epoch| format!("{epoch}:"));
        Some([epoch.as_bytes(), self.text(VERSION)?, b"-", self.text(RELEASE)?].concat().into())
    }

    /// Paths of its files, with what it says of each one's content; nothing for directories and links.
    pub(super) fn files(&self) -> Option<BTreeMap<BString, &'a [u8]>> {
        let (names, directories) = (self.texts(BASE_NAMES)?, self.texts(DIRECTORY_NAMES)?);
        let (indexes, digests) = (self.numbers(DIRECTORY_INDEXES)?, self.texts(DIGESTS)?);
        let file = |(at, name): (usize, &&[u8])| {
            let directory = directories.get(usize::try_from(*indexes.get(at)?).ok()?)?;
            let path = [directory, *name].concat();
            Some((path.strip_prefix(b"/").unwrap_or(&path).into(), *digests.get(at)?))
        };
        names.iter().enumerate().map(file).collect()
    }

    /// When it was installed, by both tags that say it.
    pub(super) fn install_times(&self) -> Vec<u32> {
        [INSTALL_TIME, INSTALL_TID].iter().filter_map(|tag| self.numbers(*tag)).flatten().collect()
    }
}

/// A header with the times of its installation zeroed.
pub(super) fn without_install_times(blob: &[u8]) -> Option<Vec<u8>> {
    let header = Header::of(blob)?;
    let mut out = blob.to_vec();
    for tag in [INSTALL_TIME, INSTALL_TID] {
        if let Some((4, offset, count)) = header.entries.get(&tag) {
            let start = header.store_at.checked_add(*offset)?;
            out.get_mut(start..start.checked_add(count.checked_mul(4)?)?)?.fill(0);
        }
    }
    Some(out)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
