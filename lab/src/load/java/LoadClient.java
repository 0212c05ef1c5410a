// The lab's load client on Kafka's own Java library: the cross-check of the one on librdkafka.
//
// It is started by `isthmus lab load … --client java`, which gives it the ledger's first line. It
// writes the same ledger: docs/formats/lab-ledger.md. The generator thread only ever puts records
// into a bounded queue; the thread behind it may block in send(), as Java's producer does when its
// buffer is full.

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class LoadClient {
    private static final int PENDING_MAX = 100_000;
    private static final int QUEUE_FULL = -184;
    private static final String TAG = "isthmus.load/1";

    private static volatile boolean stopped;
    private static long monotonicToBoot;

    private LoadClient() {}

    /** Options are pairs NAME VALUE; what begins with "set." goes to the library. */
    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < args.length; at += 2) {
            options.put(args[at], args[at + 1]);
        }
        monotonicToBoot = Long.parseLong(options.get("monotonic-to-boot-us"));
        CountDownLatch done = new CountDownLatch(1);
        Thread hook = new Thread(() -> {
            stopped = true;
            await(done);
        });
        Runtime.getRuntime().addShutdownHook(hook);
        try {
            switch (args[0]) {
                case "produce" -> new Producing(options).run();
                case "consume" -> consume(options);
                default -> throw new IllegalArgumentException(args[0]);
            }
        } finally {
            done.countDown();
        }
    }

    private static void await(CountDownLatch done) {
        try {
            done.await(20, TimeUnit.SECONDS);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    /** Microseconds of CLOCK_BOOTTIME; nanoTime() is CLOCK_MONOTONIC here. */
    private static long now() {
        return System.nanoTime() / 1_000 + monotonicToBoot;
    }

    private static Map<String, Object> settings(Map<String, String> options) {
        Map<String, Object> settings = new HashMap<>();
        options.forEach((name, value) -> {
            if (name.startsWith("set.")) {
                settings.put(name.substring(4), value);
            }
        });
        return settings;
    }

    /** Rows, written by whoever holds the lock; what was flushed outlives the process. */
    private static final class Ledger implements AutoCloseable {
        private final OutputStream out;
        private long rows;

        Ledger(Map<String, String> options) throws IOException {
            Path path = Path.of(options.get("ledger"));
            out = new BufferedOutputStream(
                    Files.newOutputStream(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE), 1 << 18);
            String began = "\"began_us\":";
            String header = options.get("header").replace(began + options.get("began-us"), began + now());
            out.write((header + "\n").getBytes(StandardCharsets.UTF_8));
            out.flush();
        }

        synchronized void row(String row) {
            try {
                out.write((row + "\n").getBytes(StandardCharsets.UTF_8));
                rows++;
            } catch (IOException cause) {
                // A client whose ledger cannot be written must not go on unseen.
                cause.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }

        synchronized void flush() {
            try {
                out.flush();
            } catch (IOException cause) {
                cause.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }

        @Override
        public synchronized void close() throws IOException {
            out.write(("e," + rows + "," + now() + "\n").getBytes(StandardCharsets.UTF_8));
            out.close();
        }
    }

    private record Offered(long sequence, long intended, long sent) {}

    private static final class Producing {
        private final Map<String, String> options;
        private Ledger ledger;
        private final String topic;
        private final long start;
        private final long rate;
        private final long first;
        private final long records;
        private final long keys;
        private final int bytes;
        private final BlockingQueue<Offered> queue = new ArrayBlockingQueue<>(PENDING_MAX);
        private final AtomicLong open = new AtomicLong();
        private volatile long next;
        private volatile long marked;
        private volatile boolean generated;

        Producing(Map<String, String> options) {
            this.options = options;
            topic = options.get("topic");
            start = Long.parseLong(options.get("start-us"));
            rate = Long.parseLong(options.get("rate"));
            first = Long.parseLong(options.get("first"));
            records = Long.parseLong(options.get("records"));
            keys = Long.parseLong(options.get("keys"));
            bytes = Integer.parseInt(options.get("bytes"));
            next = first;
            marked = first;
        }

        void run() throws Exception {
            try (KafkaProducer<byte[], byte[]> producer =
                    new KafkaProducer<>(settings(options), new ByteArraySerializer(), new ByteArraySerializer())) {
                ledger = new Ledger(options);
                System.out.println("ready load client=" + options.get("name") + " kind=producer");
                Thread sender = new Thread(() -> send(producer), "sender");
                Thread generator = new Thread(this::generate, "generator");
                sender.start();
                generator.start();
                while (generator.isAlive() || sender.isAlive() || (!stopped && open.get() > 0)) {
                    mark();
                    ledger.flush();
                    Thread.sleep(10);
                }
                producer.close(Duration.ofSeconds(stopped ? 5 : 120));
            }
            for (Offered left = queue.poll(); left != null; left = queue.poll()) {
                done(left, "refused", QUEUE_FULL, -1, -1);
            }
            ledger.row("w," + next);
            ledger.close();
        }

        private long intended(long sequence) {
            return start + sequence * 1_000_000 / rate;
        }

        private void mark() {
            long ahead = Math.max(1, rate / 10);
            long due = Math.max(next, Math.max(0, (now() - start) * rate / 1_000_000));
            long below = Math.min(due + ahead, records);
            if (marked < Math.min(due + ahead / 2, records)) {
                ledger.row("w," + below);
                ledger.flush();
                marked = below;
            }
        }

        private void generate() {
            while (!stopped && next < records) {
                long wait = intended(next) - now();
                if (wait > 0 || next >= marked) {
                    LockSupport.parkNanos(Math.max(50, Math.min(wait, 1_000)) * 1_000);
                    continue;
                }
                Offered offered = new Offered(next, intended(next), now());
                if (!queue.offer(offered)) {
                    done(offered, "refused", QUEUE_FULL, -1, -1);
                }
                next++;
            }
            generated = true;
        }

        private void send(KafkaProducer<byte[], byte[]> producer) {
            while (!stopped && !(generated && queue.isEmpty())) {
                Offered offered;
                try {
                    offered = queue.poll(10, TimeUnit.MILLISECONDS);
                } catch (InterruptedException end) {
                    return;
                }
                if (offered != null) {
                    open.incrementAndGet();
                    byte[] key = ("k" + offered.sequence() % keys).getBytes(StandardCharsets.UTF_8);
                    send(producer, offered, new ProducerRecord<>(topic, key, value(offered)));
                }
            }
        }

        private void send(
                KafkaProducer<byte[], byte[]> producer, Offered offered, ProducerRecord<byte[], byte[]> record) {
            try {
                producer.send(record, (metadata, error) -> {
                    answered(offered, metadata, error);
                    open.decrementAndGet();
                });
            } catch (KafkaException error) {
                answered(offered, null, error);
                open.decrementAndGet();
            }
        }

        private void answered(Offered offered, RecordMetadata metadata, Exception error) {
            if (error == null) {
                done(offered, "acked", 0, metadata.partition(), metadata.offset());
            } else if (error instanceof TimeoutException) {
                done(offered, "expired", 0, -1, -1);
            } else if (error instanceof ApiException && Errors.forException(error).code() > 0) {
                done(offered, "refused", Errors.forException(error).code(), -1, -1);
            } else {
                done(offered, "unknown", 0, -1, -1);
            }
        }

        private void done(Offered it, String outcome, int code, int partition, long offset) {
            String key = "k" + it.sequence() % keys;
            ledger.row("i," + it.sequence() + "," + key + "," + it.intended() + "," + it.sent() + "," + outcome
                    + "," + code + "," + now() + "," + partition + "," + offset);
        }

        private byte[] value(Offered it) {
            StringBuilder value = new StringBuilder(bytes);
            value.append(TAG).append(',').append(options.get("drill")).append(',').append(options.get("name"));
            value.append(',').append(it.sequence()).append(',').append(it.intended()).append(',');
            long state = it.sequence();
            while (value.length() < bytes) {
                state = state * 6_364_136_223_846_793_005L + 1_442_695_040_888_963_407L;
                value.append((char) ('A' + (state >>> 33) % 26));
            }
            return value.toString().getBytes(StandardCharsets.UTF_8);
        }
    }

    private static void consume(Map<String, String> options) throws Exception {
        Map<String, Object> settings = settings(options);
        String prefix = TAG + "," + options.get("drill") + ",";
        try (KafkaConsumer<byte[], byte[]> consumer =
                        new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
                Ledger ledger = new Ledger(options)) {
            consumer.subscribe(List.of(options.get("topics").split(",")));
            System.out.println("ready load client=" + options.get("name") + " kind=consumer");
            while (!stopped) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(20))) {
                    ledger.row(read(prefix, record));
                }
                ledger.flush();
            }
        }
    }

    private static String read(String prefix, ConsumerRecord<byte[], byte[]> record) {
        String place = record.topic() + "," + record.partition() + "," + record.offset() + ",";
        String value = record.value() == null ? "" : new String(record.value(), StandardCharsets.UTF_8);
        if (!value.startsWith(prefix)) {
            return "n," + place + now();
        }
        String[] id = value.substring(prefix.length()).split(",", 3);
        return "r," + place + id[0] + "," + id[1] + "," + now();
    }
}
