//! A broker that comes with another data directory than before: told, because what it had is gone and
//! only a person can know whether the old disk will be back (rule 23).

use isthmus_broker_core::metadata::MetadataImage;
use isthmus_wire::Uuid;

/// To be called where a registration was accepted; `before` is the metadata without it.
pub(crate) fn tell(before: &MetadataImage, broker_id: i32, directories: &[Uuid]) {
    let Some((was, lost)) = replaced(before, broker_id, directories) else {
        return;
    };
    let now = directories.first().copied().unwrap_or(Uuid::ZERO);
    tracing::warn!(
        event = "replaced_disk", broker_id, directory = %now, %was, replicas = lost,
        "its replicas are lost and are fetched anew from others; a partition that had no other one in \
         sync has no leader until the old disk is back, or until an unclean election gives up what was \
         on it"
    );
}

/// The directory before, and how many replicas were in it.
fn replaced(before: &MetadataImage, broker_id: i32, directories: &[Uuid]) -> Option<(Uuid, usize)> {
    let partitions = before.topics().flat_map(|topic| &topic.partitions);
    let mut elsewhere = partitions.filter_map(|partition| {
        let at = partition.replicas.iter().position(|it| *it == broker_id)?;
        let known = *partition.directories.get(at)?;
        (known != Uuid::ZERO && !directories.contains(&known)).then_some(known)
    });
    let was = elsewhere.next().filter(|_| !directories.is_empty())?;
    Some((was, elsewhere.count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_broker_core::metadata::{MetadataDelta, MetadataRecord};
    use isthmus_wire::messages::{PartitionRecord, TopicRecord};

    #[test]
    fn replicas_in_another_directory_are_counted() {
        let (old, new) = (Uuid([1; 16]), Uuid([2; 16]));
        let topic_id = Uuid([7; 16]);
        let topic = TopicRecord {
            name: "t".to_owned(),
            topic_id,
        };
        let partition = |partition_id, replicas: [i32; 2]| PartitionRecord {
            partition_id,
            topic_id,
            replicas: replicas.to_vec(),
            directories: replicas
                .map(|id| if id == 3 { old } else { Uuid::ZERO })
                .to_vec(),
            ..PartitionRecord::default()
        };
        let records: [MetadataRecord; 4] = [
            topic.into(),
            partition(0, [1, 3]).into(),
            partition(1, [3, 2]).into(),
            partition(2, [1, 2]).into(),
        ];
        let mut image = MetadataImage::default();
        for (offset, record) in (0..).zip(&records) {
            image.apply(offset, record, &mut MetadataDelta::default());
        }
        assert_eq!(replaced(&image, 3, &[new]), Some((old, 2)));
        assert_eq!(replaced(&image, 3, &[old]), None, "its own");
        assert_eq!(replaced(&image, 3, &[]), None, "it does not say");
        assert_eq!(replaced(&image, 1, &[new]), None, "never said where it was");
        assert_eq!(replaced(&image, 4, &[new]), None, "a new broker");
    }
}
