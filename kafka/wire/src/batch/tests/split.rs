//! Cutting a row of batches, whole, cut short and damaged.

use super::*;

fn concat(batches: &[(BatchParams, Vec<Record>)]) -> (Bytes, Vec<Bytes>) {
    let parts: Vec<_> = batches
        .iter()
        .map(|(params, records)| build(params, records))
        .collect();
    (parts.concat().into(), parts)
}

fn split_all(records: &Bytes) -> (Vec<Bytes>, usize, Option<BatchError>) {
    let mut batches = split_batches(records);
    let mut found = vec![];
    let mut failure = None;
    for batch in &mut batches {
        match batch {
            Ok(view) => found.push(view.into_bytes()),
            Err(error) => failure = Some(error),
        }
    }
    (found, batches.remaining(), failure)
}

#[test]
fn split_batches_of_nothing() {
    assert_eq!(split_all(&Bytes::new()), (vec![], 0, None));
}

#[test]
fn split_batches_names_an_impossible_length() {
    let good = build(&BatchParams::default(), &[]);
    for length in [-1, 48] {
        let mut bad = good.to_vec();
        bad[8..12].copy_from_slice(&i32::to_be_bytes(length));
        let both = Bytes::from([good.as_ref(), &bad[..]].concat());
        let expected = Some(BatchError::InvalidLength(length));
        assert_eq!(
            split_all(&both),
            (vec![good.clone()], bad.len(), expected.clone())
        );
        // Known from the length alone, before the magic has arrived.
        let early = both.slice(..good.len() + 12);
        assert_eq!(split_all(&early), (vec![good.clone()], 12, expected));
    }
}

proptest! {
    #[test]
    fn split_batches_gives_whole_batches_and_tells_the_rest(
        batches in prop::collection::vec(any_batch(true), 0..4),
        cut: prop::sample::Index,
    ) {
        let (all, parts) = concat(&batches);
        prop_assert_eq!(split_all(&all), (parts.clone(), 0, None));
        let cut = all.slice(..cut.index(all.len() + 1));
        let mut end = 0;
        let whole: Vec<_> = parts
            .iter()
            .take_while(|part| {
                end += part.len();
                end <= cut.len()
            })
            .cloned()
            .collect();
        let rest = cut.len() - whole.iter().map(Bytes::len).sum::<usize>();
        prop_assert_eq!(split_all(&cut), (whole, rest, None));
    }

    #[test]
    fn split_batches_shares_the_memory(batch in any_batch(false)) {
        let (all, _) = concat(&[batch]);
        let view = split_batches(&all).next().unwrap().unwrap();
        prop_assert_eq!(view.bytes().as_ptr(), all.as_ptr());
        if view.header().compression().unwrap() == Compression::None {
            for record in records(&view).unwrap() {
                let bytes = record.value.unwrap_or_default();
                prop_assert!(bytes.is_empty() || all.as_ptr_range().contains(&bytes.as_ptr()));
            }
        }
    }
}
