use std::io::{BufReader, Cursor};

use super::*;
use crate::layer::{
    Reading,
    fake::{FakeLayer, Heap},
};

#[test]
fn pieces_of_any_length_come_to_the_same() {
    let layer = |changed: &[usize]| {
        let mut layer = FakeLayer::default().dir("./").dir("d/").pax(&[("mtime", b"1.5")]);
        for number in 0..60 {
            let path = format!("d/{number:03}");
            let mut content = vec![b'x'; (number * 97) % 1700];
            if changed.contains(&number) {
                content.push(b'y');
            }
            layer = match number % 12 {
                1 => layer.symlink(&path, "../000"),
                2 => layer.file(&format!("./{path}"), &content),
                3 => layer.file(&path, &content).owner(7),
                4 => layer.hardlink(&path, "d/000"),
                5 => layer.file(&path, &content).pax(&[("SCHILY.xattr.user.a", b"1")]),
                6 => layer.file(&path, &content).put(257, b"ustar  \0").put(265, b"root"),
                7 if changed.contains(&number) => layer,
                _ => layer.file(&path, &content),
            };
        }
        layer
    };
    let tars = [layer(&[]).tar(), layer(&[0, 7, 19, 26, 30, 31, 59]).tar()];
    let seen = |capacity: usize| {
        let archives = tars.each_ref().map(|tar| {
            let read = BufReader::with_capacity(capacity, Cursor::new(tar));
            Archive::new(read, Reading::Lenient)
        });
        let compared = compare(0, archives, &Room::new(&Heap::default())).ok().flatten().unwrap();
        assert_eq!(compared.changes.len(), 7);
        format!("{:?} {:?}", compared.changes, compared.shapes)
    };
    let whole = seen(1 << 20);
    for capacity in [1, 511, 512, 513, 1024, 1500, 4096, 10_000] {
        assert!(seen(capacity) == whole, "{capacity}");
    }
}
