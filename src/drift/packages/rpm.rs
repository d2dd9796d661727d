//! rpm: a database with a header for each package.

use std::collections::BTreeMap;

use bstr::BString;

use super::{Database, Pair, Said};
use crate::drift::{
    rpm::{Header, without_install_times},
    sqlite::{self, Value},
};

pub(super) fn read((a, b): Pair<'_>) -> Option<Database> {
    Some(Database { packages: [packages(a)?, packages(b)?], same_rest: true })
}

fn packages(database: &[u8]) -> Option<BTreeMap<BString, Said>> {
    let database = sqlite::Database::of(database)?;
    let mut packages = BTreeMap::new();
    for (_, record) in &database.tables.get(&BString::from("Packages"))?.rows {
        let values = sqlite::values(record)?;
        let Some(Value::Blob(blob)) = values.get(1) else { return None };
        let header = Header::of(blob)?;
        let files =
            header.files().unwrap_or_default().into_iter().map(|(path, sum)| (path, sum.to_vec())).collect();
        let said = Said { version: header.version()?, whole: without_install_times(blob)?, files };
        packages.insert(header.name()?, said);
    }
    Some(packages)
}
