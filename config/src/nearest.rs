//! The nearest known name for a name that is not known.

/// Finds the candidate that looks most like `name`, if any is near enough to be meant: a third
/// of the letters may differ. Case, `_` and `-` count as nothing, since people mix them with dots.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(name);
    let limit = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn plain(name: &str) -> Vec<char> {
    name.chars()
        .map(|c| {
            if c == '_' || c == '-' {
                '.'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Edits (insert, delete, replace, swap of neighbours) between two words: the restricted
/// Damerau–Levenshtein distance, by three rows of its table.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut best = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_people_mistype() {
        const KNOWN: [&str; 4] = [
            "log.retention.ms",
            "log.retention.bytes",
            "min.insync.replicas",
            "id",
        ];
        let cases = "
            log.retention.m      | log.retention.ms
            log.retenton.ms      | log.retention.ms
            log_retention_ms     | log.retention.ms
            LOG.RETENTION.BYTES  | log.retention.bytes
            log.retention.byets  | log.retention.bytes
            min.isr              | none
            di                   | id
            zookeeper.connect    | none";
        for case in cases.lines().skip(1) {
            let (name, expected) = case.split_once('|').unwrap();
            let expected = Some(expected.trim()).filter(|name| *name != "none");
            assert_eq!(nearest(name.trim(), KNOWN), expected, "{name}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("bytes"), &letters("byets")), 1);
        assert_eq!(distance(&letters(""), &letters("abc")), 3);
        assert_eq!(distance(&letters("abc"), &letters("abc")), 0);
    }
}
