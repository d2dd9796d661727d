//! `docs/causes`: a page for each cause.

use std::{collections::BTreeMap, fs, path::Path};

/// Set, the pages are written instead of compared.
const WRITE: &str = "REPROV_WRITE_CAUSES";

#[test]
fn every_cause_has_its_page_in_docs() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/causes");
    let pages = reprov::report::causes::pages();
    if std::env::var_os(WRITE).is_some() {
        let _ = fs::remove_dir_all(&directory); // It may not be there yet.
        fs::create_dir_all(&directory).unwrap();
        for (name, page) in &pages {
            fs::write(directory.join(name), page).unwrap();
        }
    }
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    };
    let found: BTreeMap<_, _> = fs::read_dir(&directory).unwrap().map(file).collect();
    for (name, page) in &pages {
        assert_eq!(found.get(name), Some(page), "docs/causes/{name} is out of date; `make causes` writes it");
    }
    assert_eq!(found.len(), pages.len(), "a page of no cause; `make causes` removes it");
}
