use super::fake::Fake;
use crate::source::{Checkout, SourceError, Wanted};

fn wanted(fake: &Fake) -> Wanted {
    let checkout = fake.open().unwrap();
    Wanted { uri: None, commit: checkout.commit(), tree: checkout.tree(), subdir: "sub".to_owned() }
}

#[test]
fn finds_the_commit_where_told() {
    let fake = Fake::with(&[("sub/a", "1")]);
    let wanted = wanted(&fake);
    fake.file("sub/a", "2");
    fake.commit();
    fake.file("sub/a", "uncommitted");
    for source in [fake.source(), fake.url(), format!("{}/sub", fake.source())] {
        let found = Checkout::find(&wanted, Some(&source), &fake.options()).unwrap();
        assert_eq!((found.commit(), found.subdir()), (wanted.commit.clone(), "sub"));
        assert_eq!(found.read("a", 10).unwrap().unwrap(), b"1");
    }
}

#[test]
fn finds_the_commit_at_its_uri() {
    let fake = Fake::with(&[("sub/a", "1")]);
    let wanted = Wanted { uri: Some(format!("git+{}", fake.url())), ..wanted(&fake) };
    let found = Checkout::find(&wanted, None, &fake.options()).unwrap();
    assert_eq!(found.uri(), wanted.uri.as_deref());
}

#[test]
fn other_files_are_refused() {
    let fake = Fake::with(&[("sub/a", "1")]);
    let wanted = wanted(&fake);
    let other = Fake::with(&[("sub/a", "2")]);
    let refused = Checkout::find(&wanted, Some(&other.source()), &fake.options()).unwrap_err();
    assert!(
        matches!(&refused, SourceError::TreeDiffers { expected, .. } if *expected == wanted.tree),
        "{refused}"
    );
    let lie = Wanted { tree: "0".repeat(40), ..wanted.clone() };
    let refused = Checkout::find(&lie, Some(&fake.source()), &fake.options()).unwrap_err();
    assert!(
        matches!(&refused, SourceError::TreeDiffers { actual, .. } if *actual == wanted.tree),
        "{refused}"
    );
    let refused = Checkout::find(&wanted, None, &fake.options()).unwrap_err();
    assert!(matches!(refused, SourceError::Nowhere { .. }) && refused.unavailable(), "{refused}");
}
