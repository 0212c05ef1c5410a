// Apache Kafka's producer and consumer, driven for the interop tests.
//
// Prints one line per answer; the Rust side compares. A record is told as kcat tells it with
// -f '%p %o %T %k %s %h\n', so that both can be compared by a digest over the same text.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Records {
    private static final long FIRST_TIMESTAMP = 1_700_000_000_000L;
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private Records() {}

    public static void main(String[] args) throws Exception {
        String bootstrap = args[1];
        switch (args[0]) {
            case "produce" -> produce(bootstrap, args[2], Integer.parseInt(args[3]), settings(args, 4));
            case "consume" -> {
                for (int at = 2; at < args.length; at++) {
                    consume(bootstrap, args[at]);
                }
            }
            case "positions" -> positions(bootstrap, args[2]);
            case "refusals" -> refusals(bootstrap);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void say(String name, Object value) {
        System.out.println(name + ": " + value);
    }

    private static Map<String, Object> settings(String[] args, int from) {
        Map<String, Object> settings = new HashMap<>();
        for (int at = from; at < args.length; at++) {
            String[] pair = args[at].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        return settings;
    }

    // Records that a reader can foresee: number n has timestamp n ms after the first.
    private static void produce(String bootstrap, String topic, int count, Map<String, Object> settings)
            throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(bootstrap, settings)) {
            for (int n = 0; n < count; n++) {
                ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                        topic, null, FIRST_TIMESTAMP + n, bytes("key-" + n), bytes(value(n)));
                record.headers().add("number", bytes(Integer.toString(n)));
                record.headers().add("sign", bytes("é✓"));
                sent.add(producer.send(record));
            }
        }
        long confirmed = 0;
        for (Future<RecordMetadata> one : sent) {
            RecordMetadata metadata = one.get();
            confirmed += metadata.topic().equals(topic) ? 1 : 0;
        }
        say("confirmed", confirmed);
    }

    private static String value(int n) {
        return "value " + n + " " + "abcdefgh".repeat(n % 97);
    }

    private static void consume(String bootstrap, String topic) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, Map.of())) {
            for (TopicPartition partition : partitions(consumer, topic)) {
                long end = consumer.endOffsets(List.of(partition)).get(partition);
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                long count = 0;
                long digest = 0xcbf29ce484222325L;
                while (consumer.position(partition, PATIENCE) < end) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(PATIENCE)) {
                        count++;
                        digest = digest(digest, line(record));
                    }
                }
                say(partition.toString(), count + " " + Long.toHexString(digest));
            }
        }
    }

    // FNV-1a.
    private static long digest(long digest, String line) {
        for (byte b : bytes(line)) {
            digest = (digest ^ (b & 0xff)) * 0x100000001b3L;
        }
        return digest;
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(header.key() + "=" + text(header.value()));
        }
        return record.partition() + " " + record.offset() + " " + record.timestamp() + " " + text(record.key())
                + " " + text(record.value()) + " " + String.join(",", headers) + "\n";
    }

    // Where a consumer can place itself in a topic of one partition that `produce` has filled.
    private static void positions(String bootstrap, String topic) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, Map.of("max.poll.records", "1"))) {
            TopicPartition partition = partitions(consumer, topic).get(0);
            List<TopicPartition> all = List.of(partition);
            long begin = consumer.beginningOffsets(all).get(partition);
            long end = consumer.endOffsets(all).get(partition);
            say("range", begin + " to " + end);
            for (PartitionInfo info : consumer.partitionsFor(topic)) {
                say("partition info", info.partition() + " leader " + info.leader().id() + " replicas "
                        + info.replicas().length + " in sync " + info.inSyncReplicas().length);
            }
            consumer.assign(all);
            for (long offset : new long[] {begin, end / 2, end - 1}) {
                consumer.seek(partition, offset);
                say("seek " + offset, next(consumer));
            }
            consumer.seekToEnd(all);
            say("end", consumer.position(partition) + " then "
                    + consumer.poll(Duration.ofMillis(200)).count() + " records");
            for (long offset : new long[] {end + 1, end + 1000}) {
                consumer.seek(partition, offset);
                say("seek beyond " + (offset - end), next(consumer));
            }
            for (long after : new long[] {-5, 0, 10, end - 1, end, 100_000}) {
                OffsetAndTimestamp found =
                        consumer.offsetsForTimes(Map.of(partition, FIRST_TIMESTAMP + after)).get(partition);
                say("time " + after, found == null
                        ? "none"
                        : found.offset() + " at " + (found.timestamp() - FIRST_TIMESTAMP) + " epoch "
                                + found.leaderEpoch().orElse(-1));
            }
        }
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, Map.of())) {
            consumer.assign(partitions(consumer, topic));
            say("without a position", next(consumer));
        }
    }

    private static String next(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(PATIENCE)) {
                return record.offset() + " " + text(record.key());
            }
            return "nothing";
        } catch (OffsetOutOfRangeException | NoOffsetForPartitionException e) {
            return e.getClass().getSimpleName();
        }
    }

    // What a producer is told when its record cannot be taken. The topics are made by the test.
    private static void refusals(String bootstrap) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer(bootstrap, Map.of())) {
            say("too large", send(producer, new ProducerRecord<>("small", bytes("k"), new byte[4000])));
            say("fits", send(producer, new ProducerRecord<>("small", bytes("k"), new byte[100])));
            say("no key", send(producer, new ProducerRecord<>("compacted", null, bytes("v"))));
            say("key", send(producer, new ProducerRecord<>("compacted", bytes("k"), bytes("v"))));
            say("tombstone", send(producer, new ProducerRecord<>("compacted", bytes("k"), null)));
            long late = System.currentTimeMillis() + Duration.ofDays(30).toMillis();
            say("future", send(producer, new ProducerRecord<>("small", 0, late, bytes("k"), bytes("v"))));
            say("bad name", send(producer, new ProducerRecord<>("no good", bytes("k"), bytes("v"))));
        }
        Map<String, Object> transactional = Map.of("transactional.id", "t", "max.block.ms", "10000");
        try (KafkaProducer<byte[], byte[]> producer = producer(bootstrap, transactional)) {
            producer.initTransactions();
            say("transactions", "begun");
        } catch (RuntimeException e) {
            say("transactions", e.getMessage());
        }
    }

    private static String send(KafkaProducer<byte[], byte[]> producer, ProducerRecord<byte[], byte[]> record)
            throws InterruptedException {
        try {
            return "offset " + producer.send(record).get().offset();
        } catch (ExecutionException e) {
            return e.getCause().getClass().getSimpleName();
        }
    }

    private static List<TopicPartition> partitions(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (PartitionInfo info : consumer.partitionsFor(topic)) {
            partitions.add(new TopicPartition(topic, info.partition()));
        }
        partitions.sort((a, b) -> Integer.compare(a.partition(), b.partition()));
        return partitions;
    }

    private static KafkaProducer<byte[], byte[]> producer(String bootstrap, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    // Without a group: partitions are assigned, positions set by hand.
    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", bootstrap);
        settings.put("auto.offset.reset", "none");
        settings.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "" : new String(bytes, StandardCharsets.UTF_8);
    }
}
