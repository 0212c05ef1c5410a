// Apache Kafka's producer and consumer for the matrix of the mirror's tests: writes what a plan says,
// and reads topics to their end as a digest of each partition.
//
// A line of the plan is one transaction, or none:
//   FIRST TOPIC PARTITION CODEC none|commit|abort one|all KEY/VALUE/HEADERS...
// FIRST is the number of its first record; `one` makes each record a batch, `all` one batch of all.
// KEY: - null, . empty, else itself. VALUE: - null, . empty, 1 a byte, M a mebibyte.
// HEADERS: 0 none, 1 one, m many, d the same name again and again.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.CRC32C;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Matrix {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final int MEBIBYTE = 1 << 20;

    private Matrix() {}

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "write" -> write(args[1], Files.readAllLines(Path.of(args[2])));
            case "read" -> read(args[1], List.of(args).subList(2, args.length));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    // One producer after the other: each has a buffer for the largest batch.
    private static void write(String bootstrap, List<String> lines) throws Exception {
        Map<String, List<String[]>> byProducer = new TreeMap<>();
        for (String line : lines) {
            String[] words = line.split(" ");
            String kind = words[3] + " " + !words[4].equals("none");
            byProducer.computeIfAbsent(kind, any -> new ArrayList<>()).add(words);
        }
        long written = 0;
        for (Map.Entry<String, List<String[]>> some : byProducer.entrySet()) {
            String[] kind = some.getKey().split(" ");
            boolean transactional = Boolean.parseBoolean(kind[1]);
            try (KafkaProducer<byte[], byte[]> producer = producer(bootstrap, kind[0], transactional)) {
                if (transactional) {
                    producer.initTransactions();
                }
                for (String[] words : some.getValue()) {
                    written += line(producer, words);
                }
            }
        }
        System.out.println("written: " + written);
    }

    private static long line(KafkaProducer<byte[], byte[]> producer, String[] words) throws Exception {
        boolean transactional = !words[4].equals("none");
        if (transactional) {
            producer.beginTransaction();
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int at = 6; at < words.length; at++) {
            int number = Integer.parseInt(words[0]) + at - 6;
            sent.add(producer.send(record(words[1], Integer.parseInt(words[2]), number, words[at].split("/"))));
            if (words[5].equals("one")) {
                producer.flush();
            }
        }
        producer.flush();
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
        switch (words[4]) {
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> {}
        }
        return sent.size();
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, int partition, int number, String[] parts) {
        byte[] key = switch (parts[0]) {
            case "-" -> null;
            case "." -> new byte[0];
            default -> bytes(parts[0]);
        };
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, key, value(parts[1], number));
        byte[] mark = bytes(Integer.toString(number));
        switch (parts[2]) {
            case "1" -> record.headers().add("h", mark);
            case "m" -> {
                for (int n = 0; n < 8; n++) {
                    record.headers().add("h" + n, mark);
                }
            }
            case "d" -> record.headers().add("d", mark).add("d", null).add("d", mark);
            default -> {}
        }
        return record;
    }

    private static byte[] value(String part, int number) {
        byte[] value = switch (part) {
            case "-" -> null;
            case "." -> new byte[0];
            case "1" -> new byte[1];
            default -> new byte[MEBIBYTE];
        };
        for (int at = 0; value != null && at < value.length; at++) {
            value[at] = (byte) (number + at * 7);
        }
        return value;
    }

    // A batch goes when it is flushed, never before: what it will come to compressed is guessed from the
    // batches before it, and those of one small record compress to several times their size.
    private static KafkaProducer<byte[], byte[]> producer(String bootstrap, String codec, boolean transactional) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec);
        settings.put("linger.ms", "60000");
        settings.put("batch.size", Integer.toString(32 << 20));
        settings.put("buffer.memory", Integer.toString(64 << 20));
        settings.put("max.request.size", Integer.toString(16 << 20));
        if (transactional) {
            settings.put("transactional.id", "matrix-java-" + codec);
        }
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    // TOPIC-N: COUNT DIGEST, of what is committed.
    private static void read(String bootstrap, List<String> topics) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "200");
        settings.put("fetch.max.bytes", Integer.toString(16 << 20));
        settings.put("max.partition.fetch.bytes", Integer.toString(4 << 20));
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Map<TopicPartition, Digest> digests =
                    new TreeMap<>(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
            for (String topic : topics) {
                for (PartitionInfo info : consumer.partitionsFor(topic)) {
                    digests.put(new TopicPartition(topic, info.partition()), new Digest());
                }
            }
            consumer.assign(digests.keySet());
            consumer.seekToBeginning(digests.keySet());
            Map<TopicPartition, Long> left = new HashMap<>(consumer.endOffsets(digests.keySet()));
            while (!left.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    digests.get(new TopicPartition(record.topic(), record.partition())).add(record);
                }
                left.entrySet().removeIf(it -> consumer.position(it.getKey(), PATIENCE) >= it.getValue());
            }
            digests.forEach((partition, digest) -> System.out.println(partition + ": " + digest));
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    // Of all that a mirror keeps, in the order of the partition.
    private static final class Digest {
        private final CRC32 first = new CRC32();
        private final CRC32C second = new CRC32C();
        private long count;

        void add(ConsumerRecord<byte[], byte[]> record) {
            count++;
            number(record.timestamp());
            some(record.key());
            some(record.value());
            for (Header header : record.headers()) {
                some(bytes(header.key()));
                some(header.value());
            }
            number(-2);
        }

        private void some(byte[] bytes) {
            number(bytes == null ? -1 : bytes.length);
            if (bytes != null) {
                first.update(bytes);
                second.update(bytes);
            }
        }

        private void number(long number) {
            byte[] bytes = ByteBuffer.allocate(8).putLong(number).array();
            first.update(bytes);
            second.update(bytes);
        }

        @Override
        public String toString() {
            return String.format("%d %08x%08x", count, first.getValue(), second.getValue());
        }
    }
}
