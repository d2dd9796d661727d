//! Whether rows are those that were written: each against the one before it, its own digest and its columns.

use std::fmt;

use super::{Entry, Row};
use crate::model::{Digest, path::printable};

/// A row as a database has it: nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRow {
    /// Its number.
    pub number: i64,
    /// What it says of the row before it.
    pub previous: String,
    /// What it says is its digest.
    pub digest: String,
    /// The entry, as JSON.
    pub body: String,
    /// What stands beside the entry for queries.
    pub columns: Columns,
}

/// What is taken from an entry, for queries. An absent text is an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The image's digest.
    pub image: String,
    /// What was done.
    pub kind: String,
    /// What came of it.
    pub outcome: String,
    /// When, seconds since 1970.
    pub at_s: i64,
    /// The group.
    pub group: String,
    /// Who is told.
    pub owner: String,
    /// All that decides whether it must be done again.
    pub conditions: String,
}

impl From<&Entry> for Columns {
    fn from(entry: &Entry) -> Self {
        Self {
            repository: entry.repository.clone(),
            tag: entry.tag.clone().unwrap_or_default(),
            image: entry.digest.map(|digest| digest.to_string()).unwrap_or_default(),
            kind: entry.kind.name().to_owned(),
            outcome: entry.outcome.clone(),
            at_s: entry.at_s,
            group: entry.group.clone().unwrap_or_default(),
            owner: entry.owner.clone().unwrap_or_default(),
            conditions: entry.conditions.map(|digest| digest.to_string()).unwrap_or_default(),
        }
    }
}

impl Columns {
    /// The first column that is not as in `other`.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        let pairs = [
            ("repository", &self.repository, &other.repository),
            ("tag", &self.tag, &other.tag),
            ("image", &self.image, &other.image),
            ("kind", &self.kind, &other.kind),
            ("outcome", &self.outcome, &other.outcome),
            ("group", &self.group, &other.group),
            ("owner", &self.owner, &other.owner),
            ("conditions", &self.conditions, &other.conditions),
        ];
        let text = pairs.into_iter().find(|(_, a, b)| a != b).map(|(name, ..)| name);
        text.or((self.at_s != other.at_s).then_some("time"))
    }
}

impl TryFrom<RawRow> for Row {
    type Error = String;

    /// Reads a row; its digest must be that of its bytes.
    fn try_from(raw: RawRow) -> Result<Self, String> {
        let number = u64::try_from(raw.number).map_err(|_| "its number is negative".to_owned())?;
        let previous: Digest =
            raw.previous.parse().map_err(|_| "the digest of the row before it is none".to_owned())?;
        let digest = Self::digest_of(number, &previous, raw.body.as_bytes());
        if digest.to_string() != raw.digest {
            return Err("its digest is another".to_owned());
        }
        let entry = serde_json::from_str(&raw.body).map_err(|error| format!("its entry: {error}"))?;
        Ok(Self { number, previous, digest, entry })
    }
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Rows are not there.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Number, bytes, or digest are not those that were written.
    Changed {
        /// Its number.
        number: u64,
    },
    /// It was written after another row than the one that stands before it.
    Follows {
        /// Its number.
        number: u64,
        /// The digest it names.
        previous: String,
        /// The digest of the row that is there.
        expected: Digest,
    },
    /// What stands beside the entry for queries is not what the entry says.
    Column {
        /// Its number.
        number: u64,
        /// Which.
        name: &'static str,
    },
    /// It is chained as it should be, and yet no entry.
    Entry {
        /// Its number.
        number: u64,
        /// Why not.
        why: String,
    },
    /// A head that was noted elsewhere is not there.
    Truncated {
        /// The number noted.
        noted: u64,
        /// The last number there is.
        last: u64,
    },
    /// The row of a head that was noted elsewhere is another.
    Rewritten {
        /// The number noted.
        number: u64,
        /// The digest noted.
        noted: Digest,
        /// The digest that is there.
        found: Digest,
    },
    /// The list of newest entries is not what follows from the entries.
    Latest {
        /// Of which repository.
        repository: String,
    },
}

impl Fault {
    /// Its code, for `explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "row-missing",
            Self::Changed { .. } | Self::Entry { .. } => "row-changed",
            Self::Follows { .. } => "row-reordered",
            Self::Column { .. } | Self::Latest { .. } => "column-changed",
            Self::Truncated { .. } => "ledger-truncated",
            Self::Rewritten { .. } => "ledger-rewritten",
        }
    }

    /// The row it is about, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Missing { from: number, .. }
            | Self::Changed { number }
            | Self::Follows { number, .. }
            | Self::Column { number, .. }
            | Self::Entry { number, .. }
            | Self::Truncated { noted: number, .. }
            | Self::Rewritten { number, .. } => Some(*number),
            Self::Latest { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { from, to } if from == to => write!(out, "row {from} is missing"),
            Self::Missing { from, to } => write!(out, "rows {from} to {to} are missing"),
            Self::Changed { number } => {
                write!(
                    out,
                    "row {number} is not as it was written: its bytes or its number have another digest"
                )
            }
            Self::Follows { number, previous, expected } => write!(
                out,
                "row {number} was written after {}, but the row before it is {expected}",
                printable(previous)
            ),
            Self::Column { number, name } => {
                write!(out, "row {number}: the column of its {name} is not what the entry says")
            }
            Self::Entry { number, why } => write!(out, "row {number} is no entry: {why}"),
            Self::Truncated { noted, last } => {
                write!(out, "row {noted} was there and is not any more: the last one is {last}")
            }
            Self::Rewritten { number, noted, found } => {
                write!(out, "row {number} was {noted} and is {found}: it was written anew")
            }
            Self::Latest { repository } => {
                write!(out, "the newest entries of `{}` are not those that are listed", printable(repository))
            }
        }
    }
}

/// A walk along the chain.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Number of the last row, 0 before the first.
    pub number: u64,
    /// Its digest; of no bytes before the first.
    pub digest: Digest,
    noted: Option<(u64, Digest)>,
}

impl Chain {
    /// Before the first row; `noted` is a head that was written down elsewhere.
    #[must_use]
    pub fn new(noted: Option<(u64, Digest)>) -> Self {
        Self { number: 0, digest: Digest::of(b""), noted }
    }

    /// Takes the next row, by number, and says what is wrong with it.
    pub fn take(&mut self, row: &RawRow) -> Vec<Fault> {
        let mut faults = Vec::new();
        let number = u64::try_from(row.number).unwrap_or_default();
        let gap = number > self.number + 1;
        if gap {
            faults.push(Fault::Missing { from: self.number + 1, to: number - 1 });
        }
        let previous: Option<Digest> = row.previous.parse().ok();
        let digest = previous.map(|previous| Row::digest_of(number, &previous, row.body.as_bytes()));
        let whole = number > 0 && digest.is_some_and(|digest| digest.to_string() == row.digest);
        if !whole {
            faults.push(Fault::Changed { number });
        }
        if !gap && previous != Some(self.digest) {
            faults.push(Fault::Follows { number, previous: row.previous.clone(), expected: self.digest });
        }
        match serde_json::from_str::<Entry>(&row.body) {
            Ok(entry) => {
                if let Some(name) = row.columns.differs(&Columns::from(&entry)) {
                    faults.push(Fault::Column { number, name });
                }
            }
            Err(error) if whole => faults.push(Fault::Entry { number, why: error.to_string() }),
            Err(_) => {} // Said already: it is not as it was written.
        }
        // What the next row names is what was written here: one fault must not make one of every row that follows.
        let written: Option<Digest> = row.digest.parse().ok();
        self.digest = written.or(digest).unwrap_or(self.digest);
        self.number = number.max(self.number);
        if let Some((noted, expected)) = self.noted
            && noted == number
            && (!whole || self.digest != expected)
        {
            let found = digest.unwrap_or(self.digest);
            faults.push(Fault::Rewritten { number, noted: expected, found });
        }
        faults
    }

    /// What is wrong with the end.
    #[must_use]
    pub fn end(&self) -> Option<Fault> {
        let (noted, _) = self.noted?;
        (noted > self.number).then_some(Fault::Truncated { noted, last: self.number })
    }
}
