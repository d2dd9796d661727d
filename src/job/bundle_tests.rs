//! The parts; whole bundles are judged in `tests/it/bundles.rs`.

use super::*;

#[test]
fn whole_digests_are_digests_and_the_rest_are_files() {
    let hex = "0123456789abcdef".repeat(4);
    assert_eq!(Subject::parse(&format!("sha256:{hex}")), Subject::Digest("sha256", hex.clone()));
    assert_eq!(
        Subject::parse(&format!("sha512:{hex}{hex}")),
        Subject::Digest("sha512", format!("{hex}{hex}"))
    );
    for text in [
        &hex,
        &format!("sha256:{}", hex.to_uppercase()),
        &format!("sha256:{hex}0"),
        "sha256:",
        "a.txt",
        "sha1:00",
    ] {
        assert_eq!(Subject::parse(text), Subject::File(text.into()), "{text}");
    }
}

#[test]
fn hex_there_and_back() {
    assert_eq!(hex_of(&of_hex("00ff7a10")), "00ff7a10");
}

#[test]
fn a_large_file_is_hashed_and_not_held() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(SUBJECT_HELD_SIZE_BYTES_MAX + 1).unwrap();
    let known = Known::read(&Subject::File(file.path().to_owned())).unwrap();
    assert!(matches!(known.held, Held::File(_)));
    file.as_file().set_len(3).unwrap();
    let known = Known::read(&Subject::File(file.path().to_owned())).unwrap();
    assert!(matches!(&known.held, Held::Bytes(bytes) if bytes == &[0; 3]));
    assert_eq!(known.digests["sha256"], Digest::of(&[0; 3]).hex());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let error = Known::read(&Subject::File(dir.path().to_owned())).err().unwrap();
    assert!(chain(&error).ends_with("it is a directory"), "{}", chain(&error));
    let error = Known::read(&Subject::File("/dev/zero".into())).err().unwrap();
    assert!(chain(&error).ends_with("it is no regular file"), "{}", chain(&error));
}
