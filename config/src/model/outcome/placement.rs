//! Where the replicas of a topic can be: every kind of placement that is as even over the racks as
//! they allow (S0-06), with the share of partitions that have it.

use super::{Replicas, Seat};

/// A rack of a cluster's brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rack {
    pub site: usize,
    pub brokers: u32,
}

/// One kind of placement.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    pub replicas: Replicas,
    /// Of the topic's partitions.
    pub share: f64,
}

/// All kinds. Racks of one site are alike, so that a kind is told by what each site has. There must
/// be a broker for each replica.
pub fn placements(racks: &[Rack], replicas: u32) -> Vec<Placement> {
    let mut level = 0;
    let held = |level: u32| racks.iter().map(|it| it.brokers.min(level)).sum::<u32>();
    while level < replicas && held(level + 1) <= replicas {
        level += 1;
    }
    let rest = replicas.saturating_sub(held(level));
    let sites = racks.iter().map(|rack| rack.site + 1).max().unwrap_or(0);
    // Racks that take one more, by site.
    let open: Vec<Vec<usize>> = (0..sites)
        .map(|site| {
            let here = racks.iter().enumerate();
            let here = here.filter(|(_, rack)| rack.site == site && rack.brokers > level);
            here.map(|(place, _)| place).collect()
        })
        .collect();
    let mut ways = Vec::new();
    choose(&open, rest, &mut Vec::new(), &mut ways);
    let all: f64 = ways.iter().map(|(_, weight)| weight).sum();
    let made = ways.into_iter().map(|(taken, weight)| {
        let extra: Vec<usize> = open
            .iter()
            .zip(&taken)
            .flat_map(|(open, &taken)| open[..taken as usize].iter().copied())
            .collect();
        let seats = racks.iter().enumerate().flat_map(|(place, rack)| {
            let more = u32::from(extra.contains(&place));
            let count = rack.brokers.min(level) + more;
            let seat = Seat {
                site: rack.site,
                rack: place,
            };
            std::iter::repeat_n(seat, count as usize)
        });
        Placement {
            replicas: Replicas::new(seats.collect()),
            share: weight / all,
        }
    });
    made.collect()
}

/// How many each site takes of the rest, and in how many ways.
fn choose(open: &[Vec<usize>], rest: u32, taken: &mut Vec<u32>, ways: &mut Vec<(Vec<u32>, f64)>) {
    let Some(here) = open.get(taken.len()) else {
        if rest == 0 {
            let weight = open.iter().zip(&*taken);
            let weight = weight.map(|(open, &taken)| combinations(open.len() as u32, taken));
            ways.push((taken.clone(), weight.product()));
        }
        return;
    };
    for count in (0..=rest.min(here.len() as u32)).rev() {
        taken.push(count);
        choose(open, rest - count, taken, ways);
        taken.pop();
    }
}

fn combinations(all: u32, chosen: u32) -> f64 {
    (0..chosen)
        .map(|it| f64::from(all - it) / f64::from(it + 1))
        .product()
}
