//! The ledger, in SQLite and in PostgreSQL: one suite for both.

mod chain;
mod cli;
mod edges;
mod older;
mod places;
mod registries;

use std::{collections::BTreeMap, future::Future};

use reprov::{
    entry::{Entry, Kind},
    ledger::{Ledger, Place},
    model::Digest,
};
use sqlx::{Connection as _, PgConnection, SqliteConnection, raw_sql};
use tempfile::TempDir;

use crate::support::Postgres;

/// A place for a ledger, and what ends with it.
pub(crate) struct Somewhere {
    pub(crate) place: Place,
    _dir: TempDir,
}

impl Somewhere {
    pub(crate) fn sqlite() -> Self {
        let dir = tempfile::Builder::new().prefix("reprov-it-").tempdir_in("/var/tmp").unwrap();
        Self { place: Place::File(dir.path().join("ledger.sqlite")), _dir: dir }
    }

    pub(crate) fn postgres(server: &Postgres) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { place: server.database().parse().unwrap(), _dir: dir }
    }

    /// One of each.
    pub(crate) fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres(Postgres::shared())]
    }

    /// As it stands on a command line.
    pub(crate) fn written(&self) -> String {
        written(&self.place)
    }

    /// Runs SQL behind the ledger's back.
    pub(crate) async fn meddle(&self, sql: &'static str) {
        match &self.place {
            Place::File(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Place::Postgres(url) => {
                let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
                raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}

pub(crate) fn written(place: &Place) -> String {
    match place {
        Place::File(path) => path.to_str().unwrap().to_owned(),
        Place::Postgres(url) => url.to_string(),
    }
}

/// Runs a test that waits.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Runs `test` with an empty ledger of each kind.
pub(crate) fn each<F: Future<Output = ()>>(test: impl Fn(Ledger) -> F) {
    for somewhere in Somewhere::both() {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            test(ledger.clone()).await;
            ledger.close().await;
        });
    }
}

pub(crate) fn entry(kind: Kind, outcome: &str, tag: &str, image: &str, at_s: i64) -> Entry {
    Entry {
        at_s,
        kind,
        repository: "registry.example.org/app".to_owned(),
        tag: Some(tag.to_owned()).filter(|tag| !tag.is_empty()),
        digest: Some(Digest::of(image.as_bytes())),
        outcome: outcome.to_owned(),
        evidence: None,
        by: "https://ci.example.org/reprov@v1".to_owned(),
        tool: "reprov 0.1.0".to_owned(),
        signer: None,
        policy: None,
        conditions: None,
        group: Some("web".to_owned()),
        owner: None,
        codes: BTreeMap::new(),
        waived: Vec::new(),
        from: None,
        before: None,
        took_ms: None,
        report: None,
        error: None,
    }
}

/// Adds `count` entries.
pub(crate) async fn filled(ledger: &Ledger, count: i64) {
    let entries: Vec<_> = (0..count)
        .map(|index| entry(Kind::Rebuilt, "reproduced", "1", &format!("image {index}"), index))
        .collect();
    ledger.append_all(&entries).await.unwrap();
}
