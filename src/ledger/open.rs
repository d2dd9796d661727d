//! Opening a ledger: the file or server is what it should be, and its tables are ours.

use std::{path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqlSafeStr as _,
    SqliteConnection,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    query,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Ledger, LedgerError, Place, Pool, error::Patience};
use crate::model::limits::{LEDGER_CONNECTIONS_MAX, LEDGER_WAIT_S};

/// Where it is noted which changes of the tables were made.
const NOTED_IN: &str = "reprov_migrations";
/// Every change of the tables, in order. What was released is never changed again.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("migrations/1.sql")),
    (2, "conditions", include_str!("migrations/2.sql")),
    (3, "newest", include_str!("migrations/3.sql")),
];
/// The newest of them.
const KNOWN: i64 = 3;
/// How long a server that is not there is asked for when a ledger is opened.
const OPEN_WAIT_S: u64 = 3;

/// What the database says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// No table of ours, and none of others.
    Nothing,
    /// Tables of others only.
    Others,
    /// Ours, of this schema.
    Schema(i64),
}

impl Ledger {
    /// Opens the ledger at `place`, makes it if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    /// [`LedgerError`], [`LedgerError::Newer`] if a later release made it.
    pub async fn open(place: &Place) -> Result<Self, LedgerError> {
        Self::opened(place, None, true).await
    }

    /// Opens the ledger at `place` if it is there.
    ///
    /// # Errors
    /// As [`Ledger::open`], and [`LedgerError::Absent`].
    pub async fn open_existing(place: &Place) -> Result<Self, LedgerError> {
        Self::opened(place, None, false).await
    }

    /// Opens the ledger at `place`; if that is a file, the one at `instead`, which is moved there later.
    pub(super) async fn opened(
        place: &Place,
        instead: Option<&Path>,
        make: bool,
    ) -> Result<Self, LedgerError> {
        let mut patience = Patience::new(match place {
            Place::File(_) => LEDGER_WAIT_S,
            Place::Postgres(_) => OPEN_WAIT_S,
        });
        let pool = loop {
            let tried = match place {
                Place::File(path) => sqlite(place, instead.unwrap_or(path), make).await,
                Place::Postgres(url) => postgres(place, url.as_str(), make).await,
            };
            match tried {
                Ok(pool) => break pool,
                Err(Unopened::Database(error)) => patience.after(place, &error).await?,
                Err(Unopened::Ledger(error)) => return Err(error),
            }
        };
        Ok(Self { place: place.clone(), pool })
    }
}

/// Why it is not open.
enum Unopened {
    Database(sqlx::Error),
    Ledger(LedgerError),
}

impl From<sqlx::Error> for Unopened {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

async fn sqlite(place: &Place, path: &Path, make: bool) -> Result<Pool, Unopened> {
    if !make && !path.exists() {
        return Err(Unopened::Ledger(LedgerError::Absent(place.clone())));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(make)
        // A row that was answered for is on the disk: power may fail.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(LEDGER_WAIT_S))
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let found = sqlite_schema(&mut connection).await?;
    if found == Found::Others {
        return Err(Unopened::Ledger(LedgerError::Foreign(place.clone())));
    }
    if make {
        // Only now: it is written into the file, which might have been somebody else's.
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await?;
    }
    if outdated(place, &found, make)? {
        // Two processes may find no table at once: the second waits here, and finds that all is done.
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        migrate(place, &mut *tx).await?;
        tx.commit().await?;
    }
    connection.close().await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(LEDGER_CONNECTIONS_MAX)
        .acquire_timeout(Duration::from_secs(LEDGER_WAIT_S));
    Ok(Pool::Sqlite(pool.connect_lazy_with(options)))
}

async fn postgres(place: &Place, url: &str, make: bool) -> Result<Pool, Unopened> {
    let options: PgConnectOptions = url.parse()?;
    let options = options
        .application_name("reprov")
        .options([("lock_timeout", format!("{LEDGER_WAIT_S}s"))])
        .disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    let found = postgres_schema(&mut connection).await?;
    if outdated(place, &found, make)? {
        // The migrator holds a lock of its own.
        migrate(place, &mut connection).await?;
    }
    connection.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(LEDGER_CONNECTIONS_MAX)
        .acquire_timeout(Duration::from_secs(LEDGER_WAIT_S));
    Ok(Pool::Postgres(pool.connect_lazy_with(options)))
}

/// Whether there is something to do before it can be used.
fn outdated(place: &Place, found: &Found, make: bool) -> Result<bool, Unopened> {
    match found {
        Found::Schema(found) if *found > KNOWN => {
            Err(Unopened::Ledger(LedgerError::Newer { place: place.clone(), found: *found, known: KNOWN }))
        }
        Found::Schema(found) => Ok(*found < KNOWN),
        Found::Nothing | Found::Others if make => Ok(true),
        Found::Nothing | Found::Others => Err(Unopened::Ledger(LedgerError::Absent(place.clone()))),
    }
}

const SCHEMA: &str = "SELECT MAX(version) FROM reprov_migrations";

async fn sqlite_schema(connection: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
    let tables = query("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1000");
    let tables = tables.fetch_all(&mut *connection).await?;
    let names = tables.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    if names.iter().any(|name| name == NOTED_IN) {
        let version: Option<i64> = query(SCHEMA).fetch_one(connection).await?.try_get(0)?;
        return Ok(version.map_or(Found::Nothing, Found::Schema));
    }
    Ok(if names.is_empty() { Found::Nothing } else { Found::Others })
}

async fn postgres_schema(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let there = query("SELECT to_regclass($1) IS NOT NULL").bind(NOTED_IN);
    if !there.fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(Found::Others); // A database may be shared: our tables have a name of their own.
    }
    let version: Option<i64> = query(SCHEMA).fetch_one(connection).await?.try_get(0)?;
    Ok(version.map_or(Found::Nothing, Found::Schema))
}

/// The one word of the migrations that SQLite has another name for.
fn dialect(place: &Place, sql: &str) -> String {
    match place {
        Place::File(_) => sql.replace("strpos(", "instr("),
        Place::Postgres(_) => sql.to_owned(),
    }
}

async fn migrate<C: Migrate>(place: &Place, connection: &mut C) -> Result<(), Unopened> {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            AssertSqlSafe(dialect(place, sql)).into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(NOTED_IN);
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Unopened::Database(error),
        MigrateError::VersionMissing(found) => {
            Unopened::Ledger(LedgerError::Newer { place: place.clone(), found, known: KNOWN })
        }
        other => Unopened::Ledger(LedgerError::Other { place: place.clone(), why: other.to_string() }),
    })
}
