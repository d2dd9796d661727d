use proptest::prelude::*;

use super::*;
use crate::layer::fake::Heap;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn sorted(pairs: &Pairs, run_size_bytes: usize) -> Records {
    let scratch = Heap { run_size_bytes };
    let mut sorter = Sorter::new(&scratch);
    for (key, value) in pairs {
        sorter.push(key, value).unwrap();
    }
    sorter.finish().unwrap()
}

fn all(mut reader: Reader<'_>) -> Pairs {
    let mut pairs = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.ordinal, pairs.len());
        pairs.push((record.key.to_vec(), record.value.to_vec()));
    }
    assert!(reader.next().unwrap().is_none() && reader.current().is_none());
    pairs
}

fn pairs() -> impl Strategy<Value = Pairs> {
    let text = |longest: usize| prop::collection::vec(prop::sample::select(&b"ab/.-"[..]), 0..longest);
    prop::collection::vec((text(6), text(9)), 0..60)
}

proptest! {
    #[test]
    fn any_run_size_gives_one_order(pairs in pairs(), run_size_bytes in 0_usize..400) {
        let mut expected = pairs.clone();
        expected.sort_by(|a, b| order::compare(&a.0, &b.0).then_with(|| order::compare(&a.1, &b.1)));
        let records = sorted(&pairs, run_size_bytes);
        prop_assert_eq!(records.count(), pairs.len());
        prop_assert_eq!(all(records.read().unwrap()), &expected[..]);
        let flags: Vec<bool> = (0..expected.len()).map(|at| at % 3 == 1).collect();
        let some: Pairs = expected.into_iter().skip(1).step_by(3).collect();
        prop_assert_eq!(all(records.read().unwrap().only(Some(&flags))), some);
    }

    #[test]
    fn joins_what_has_one_key(left in pairs(), right in pairs(), run_size_bytes in 0_usize..400) {
        let mut right = right;
        right.sort();
        right.dedup_by(|a, b| a.0 == b.0);
        let (one, other) = (sorted(&left, run_size_bytes), sorted(&right, run_size_bytes));
        let mut count = 0;
        join(one.read().unwrap(), other.read().unwrap(), |record, found| {
            let expected = right.iter().find(|(key, _)| key == record.key).map(|(_, value)| &value[..]);
            assert_eq!(found.map(|found| found.value), expected);
            count += 1;
            Ok(())
        }).unwrap();
        prop_assert_eq!(count, left.len());
    }
}

#[test]
fn memory_holds_one_run_however_many_records() {
    let pairs = |count: u64| -> Pairs {
        let path = |number: u64| format!("usr/lib/file-{:06}", number * 7919 % count).into_bytes();
        (0..count).map(|number| (path(number), vec![7; 100])).collect()
    };
    assert!(sorted(&pairs(50), 64 << 10).held_bytes() < 7000);
    let many = sorted(&pairs(20_000), 64 << 10);
    assert_eq!(many.held_bytes(), 0);
    let mut reader = many.read().unwrap();
    reader.next().unwrap();
    let runs = reader.runs.len();
    assert!((30..50).contains(&runs), "{runs} runs of 64 KiB");
    assert!(reader.runs.iter().all(|run| run.buffer.len() <= 64 << 10));
}

#[test]
fn what_comes_in_order_is_one_run() {
    let pairs: Pairs =
        (0..1000_u32).map(|number| (format!("{number:05}").into_bytes(), vec![0; 50])).collect();
    let records = sorted(&pairs, 4096);
    assert!(matches!(&records.place, Place::File(_, runs) if runs.len() == 1));
    assert_eq!(all(records.read().unwrap()), pairs);
}

#[test]
fn a_record_may_be_longer_than_a_run() {
    let pairs: Pairs = vec![(b"b".to_vec(), vec![1; 300_000]), (b"a".to_vec(), vec![2; 200_000])];
    let records = sorted(&pairs, 1000);
    assert_eq!(all(records.read().unwrap()), [pairs[1].clone(), pairs[0].clone()]);
}

#[test]
fn a_file_that_fails_or_lies_is_an_error() {
    #[derive(Debug)]
    struct None;
    impl Scratch for None {
        fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn run_size_bytes(&self) -> usize {
            10
        }
    }
    let mut sorter = Sorter::new(&None);
    sorter.push(b"a", b"").unwrap();
    assert!(matches!(sorter.push(b"b", b""), Err(LayerError::Sort(_))));
    for end in [40, 41, 5] {
        let file: Box<dyn ReadWriteSeek> = Box::new(io::Cursor::new(vec![1; 40]));
        let run = Range { start: 0, end };
        let records = Records { place: Place::File(Mutex::new(file), vec![run]), count: 1 };
        assert!(matches!(records.read(), Err(LayerError::Sort(_))));
    }
}
