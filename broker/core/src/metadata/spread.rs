//! Whether the replicas of a partition must be spread over the racks, and whether they are
//! (`rack.placement`, requirements S0-06 and S4-01).
//!
//! | `rack.placement` | Replicas stand |
//! |---|---|
//! | `any` | where whoever creates or moves them says, as in Kafka |
//! | `spread` | in all racks as evenly as can be: no rack has two more of them than another, so that a factor of r meets min(r, racks) racks |
//!
//! A topic's own value comes before the cluster's, which comes before that of the active controller's file.
//! Racks are those of all registered brokers, also of those that are away: a rack that is lost is one
//! still, until its brokers are unregistered. What was placed before is left alone.

use super::{ConfigResource, MetadataImage};
use crate::config::ConfigValues;
use std::collections::BTreeMap;
use std::fmt;

/// Ours.
pub const RACK_PLACEMENT: &str = "rack.placement";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RackPlacement {
    #[default]
    Any,
    Spread,
}

impl RackPlacement {
    pub fn from_word(word: &str) -> Option<Self> {
        match word.trim() {
            "any" => Some(Self::Any),
            "spread" => Some(Self::Spread),
            _ => None,
        }
    }

    /// Of a topic with these values of its own; `given` counts where neither it nor the cluster says.
    pub fn of_topic(image: &MetadataImage, own: Option<&ConfigValues>, given: Self) -> Self {
        let value = own.and_then(|own| own.get(RACK_PLACEMENT));
        let own = value.and_then(|word| Self::from_word(word));
        own.unwrap_or_else(|| Self::of_cluster(image, given))
    }

    /// Where no topic says otherwise.
    pub fn of_cluster(image: &MetadataImage, given: Self) -> Self {
        let values = image.config(&ConfigResource::broker(""));
        let word = values.and_then(|values| values.get(RACK_PLACEMENT));
        word.and_then(|word| Self::from_word(word)).unwrap_or(given)
    }
}

/// Why replicas are not spread, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSpread {
    WithoutRack {
        broker: i32,
    },
    Uneven {
        replicas: Vec<i32>,
        /// Replicas and brokers of each rack.
        racks: BTreeMap<String, (usize, usize)>,
    },
}

impl fmt::Display for NotSpread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutRack { broker } => write!(
                f,
                "{RACK_PLACEMENT}=spread cannot be met: broker {broker} has no rack. Set node.rack (Kafka's \
                 broker.rack) there first, or give topics {RACK_PLACEMENT}=any."
            ),
            Self::Uneven { replicas, racks } => {
                let ids: Vec<String> = replicas.iter().map(i32::to_string).collect();
                let told: Vec<String> = racks.iter().map(rack_in_words).collect();
                write!(
                    f,
                    "{RACK_PLACEMENT}=spread is not met by replicas {}: {}. No rack may have two more of \
                     them than another. {}, or give the topic {RACK_PLACEMENT}=any.",
                    ids.join(","),
                    told.join(", "),
                    remedy(racks)
                )
            }
        }
    }
}

fn rack_in_words((rack, (replicas, brokers)): (&String, &(usize, usize))) -> String {
    format!("rack {rack} has {replicas} of them on {brokers} broker(s)")
}

/// Other brokers help where the rack with fewest has some left; else there are too few.
fn remedy(racks: &BTreeMap<String, (usize, usize)>) -> String {
    let fewest = racks.iter().min_by_key(|(_, (replicas, _))| *replicas);
    match fewest {
        Some((rack, (replicas, brokers))) if replicas == brokers => {
            format!("Add brokers in rack {rack}, ask for fewer replicas")
        }
        Some((rack, _)) => format!("Take brokers of rack {rack} in place of others"),
        None => "Start brokers".to_owned(),
    }
}

/// The rack of each registered broker.
pub struct Racks(BTreeMap<i32, String>);

impl Racks {
    /// An error names a broker without one.
    pub fn new(
        brokers: impl IntoIterator<Item = (i32, Option<String>)>,
    ) -> Result<Self, NotSpread> {
        let racks = brokers.into_iter().map(|(broker, rack)| match rack {
            Some(rack) => Ok((broker, rack)),
            None => Err(NotSpread::WithoutRack { broker }),
        });
        racks.collect::<Result<_, _>>().map(Self)
    }

    pub fn of(image: &MetadataImage) -> Result<Self, NotSpread> {
        Self::new(image.brokers().map(|it| (it.id, it.rack.clone())))
    }

    /// Whether no rack has two more of these replicas than another.
    pub fn check(&self, replicas: &[i32]) -> Result<(), NotSpread> {
        let mut racks: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (id, rack) in &self.0 {
            let (here, brokers) = racks.entry(rack.clone()).or_default();
            *here += usize::from(replicas.contains(id));
            *brokers += 1;
        }
        let counts = racks.values().map(|(here, _)| *here);
        let (most, least) = (counts.clone().max(), counts.min());
        if most.unwrap_or(0) <= least.unwrap_or(0) + 1 {
            return Ok(());
        }
        Err(NotSpread::Uneven {
            replicas: replicas.to_vec(),
            racks,
        })
    }
}

/// Whether all of these assignments are spread, where they must be.
pub fn check_spread<'a>(
    image: &MetadataImage,
    placement: RackPlacement,
    assignments: impl IntoIterator<Item = &'a [i32]>,
) -> Result<(), NotSpread> {
    match placement {
        RackPlacement::Any => Ok(()),
        RackPlacement::Spread => {
            let racks = Racks::of(image)?;
            assignments.into_iter().try_for_each(|it| racks.check(it))
        }
    }
}

/// Whether an operator may set these values of one broker, or of all.
pub(super) fn check_placement(
    image: &MetadataImage,
    for_all_brokers: bool,
    after: &ConfigValues,
) -> Result<(), String> {
    let Some(word) = after.get(RACK_PLACEMENT) else {
        return Ok(());
    };
    if !for_all_brokers {
        return Err(format!(
            "{RACK_PLACEMENT} is one value of the whole cluster: set it for all brokers, not for one"
        ));
    }
    match RackPlacement::from_word(word) {
        Some(RackPlacement::Spread) => Racks::of(image)
            .map(drop)
            .map_err(|error| error.to_string()),
        Some(RackPlacement::Any) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataDelta;
    use isthmus_wire::messages::{ConfigRecord, RegisterBrokerRecord};

    /// Brokers 1, 2 … in these racks, `-` for none.
    fn image(racks: &str) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (broker_id, rack) in (1..).zip(racks.split(' ')) {
            let record = RegisterBrokerRecord {
                broker_id,
                rack: (rack != "-").then(|| rack.to_owned()),
                ..RegisterBrokerRecord::default()
            };
            let offset = image.offset + 1;
            image.apply(offset, &record.into(), &mut MetadataDelta::default());
        }
        image
    }

    /// Racks of brokers 1, 2 …; replicas; whether they are spread.
    const ROWS: &str = "
a b c     | 1,2,3     | yes
a b c     | 1         | yes
a b c     | 2,3       | yes
a a b     | 1,2       | no
a a b b   | 1,3       | yes
a a b b   | 1,2       | no
a a b b   | 1,2,3     | yes
a a b b c | 1,2,3     | no
a a b b c | 1,3,5     | yes
a a b b c | 1,2,3,5   | yes
a b b b   | 1,2,3     | yes
a b b b   | 1,2,3,4   | no
a a a     | 1,2,3     | yes
a b -     | 1,2       | no
- - -     | 1,2       | no
";

    #[test]
    fn spread_is_when_no_rack_has_two_more_than_another() {
        for row in ROWS.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let replicas: Vec<i32> = cells[1].split(',').map(|it| it.parse().unwrap()).collect();
            let check = |placement| check_spread(&image(cells[0]), placement, [&replicas[..]]);
            assert_eq!(
                check(RackPlacement::Spread).is_ok(),
                cells[2] == "yes",
                "{row}"
            );
            assert_eq!(check(RackPlacement::Any), Ok(()), "{row}");
        }
    }

    #[test]
    fn refusals_name_the_racks_and_the_remedy() {
        let told = |racks: &str, replicas: &[i32]| {
            let verdict = check_spread(&image(racks), RackPlacement::Spread, [replicas]);
            verdict.unwrap_err().to_string()
        };
        assert_eq!(
            told("a a b c", &[1, 2, 3]),
            "rack.placement=spread is not met by replicas 1,2,3: rack a has 2 of them on 2 broker(s), rack b \
             has 1 of them on 1 broker(s), rack c has 0 of them on 1 broker(s). No rack may have two more of \
             them than another. Take brokers of rack c in place of others, or give the topic \
             rack.placement=any."
        );
        let full = told("a b b b", &[1, 2, 3, 4]);
        assert!(
            full.contains("Add brokers in rack a, ask for fewer replicas, or"),
            "{full}"
        );
        let none = told("a - b", &[1, 3]);
        assert!(
            none.contains("broker 2 has no rack. Set node.rack"),
            "{none}"
        );
    }

    #[test]
    fn it_is_set_for_all_brokers_once_all_have_a_rack() {
        let of = |word: &str| ConfigValues::from([(RACK_PLACEMENT.to_owned(), word.to_owned())]);
        let check =
            |racks: &str, for_all, word: &str| check_placement(&image(racks), for_all, &of(word));
        assert_eq!(check("a b", true, "spread"), Ok(()));
        assert_eq!(check("a -", true, "any"), Ok(()));
        let refused = check("a -", true, "spread").unwrap_err();
        assert!(refused.contains("broker 2 has no rack"), "{refused}");
        let refused = check("a b", false, "spread").unwrap_err();
        assert!(refused.contains("for all brokers"), "{refused}");
        assert_eq!(
            check_placement(&image("a -"), false, &ConfigValues::new()),
            Ok(())
        );
    }

    #[test]
    fn a_topic_comes_before_the_cluster_and_that_before_the_file() {
        use RackPlacement::{Any, Spread};
        let mut image = MetadataImage::default();
        let own = |word: &str| ConfigValues::from([(RACK_PLACEMENT.to_owned(), word.to_owned())]);
        assert_eq!(RackPlacement::of_topic(&image, None, Spread), Spread);
        assert_eq!(
            RackPlacement::of_topic(&image, Some(&own("any")), Spread),
            Any
        );
        let all = ConfigResource::broker("");
        let record = ConfigRecord {
            resource_type: all.kind,
            resource_name: all.name,
            name: RACK_PLACEMENT.to_owned(),
            value: Some("spread".to_owned()),
        };
        image.apply(0, &record.into(), &mut MetadataDelta::default());
        assert_eq!(RackPlacement::of_cluster(&image, Any), Spread);
        assert_eq!(RackPlacement::of_topic(&image, Some(&own("any")), Any), Any);
    }
}
