// Members of a consumer group, as Apache Kafka's own client makes them, for the churn test.
//
// Arguments: bootstrap, group, topic, assignor class, number of members, then settings. Each member
// polls, and commits what it has read by a synchronous commit. Printed are, one per line:
//   assigned <generation> <member id> <partitions with commas>
//   committed <partition> <offset>

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public final class Member {
    private static final Duration POLL = Duration.ofMillis(100);

    private Member() {}

    public static void main(String[] args) {
        for (int number = 0; number < Integer.parseInt(args[4]); number++) {
            Map<String, Object> settings = new HashMap<>();
            settings.put("bootstrap.servers", args[0]);
            settings.put("group.id", args[1]);
            settings.put("partition.assignment.strategy", args[3]);
            settings.put("auto.offset.reset", "earliest");
            settings.put("enable.auto.commit", "false");
            for (int at = 5; at < args.length; at++) {
                String[] pair = args[at].split("=", 2);
                settings.put(pair[0], pair[1].replace("%d", Integer.toString(number)));
            }
            new Thread(() -> run(args[2], settings)).start();
        }
    }

    private static void run(String topic, Map<String, Object> settings) {
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            consumer.subscribe(List.of(topic));
            int told = -1;
            while (true) {
                Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    var partition = new TopicPartition(record.topic(), record.partition());
                    read.put(partition, new OffsetAndMetadata(record.offset() + 1));
                }
                var member = consumer.groupMetadata();
                if (member.generationId() != told && member.generationId() > 0) {
                    told = member.generationId();
                    say("assigned " + told + " " + member.memberId() + " " + numbers(consumer.assignment()));
                }
                commit(consumer, read);
            }
        }
    }

    private static void commit(
            KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, OffsetAndMetadata> read) {
        if (read.isEmpty()) {
            return;
        }
        try {
            consumer.commitSync(read);
            read.forEach((partition, offset) ->
                    say("committed " + partition.partition() + " " + offset.offset()));
        } catch (CommitFailedException | RebalanceInProgressException | RetriableException refused) {
            // Another generation goes on from the last commit.
        }
    }

    private static String numbers(Set<TopicPartition> partitions) {
        var numbers = new TreeSet<Integer>();
        partitions.forEach(partition -> numbers.add(partition.partition()));
        return numbers.toString().replaceAll("[\\[\\] ]", "");
    }

    private static void say(String line) {
        synchronized (System.out) {
            System.out.println(line);
        }
    }
}
