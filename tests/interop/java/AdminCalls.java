// Apache Kafka's admin client, driven for the interop tests.
//
// Prints one line per answer, in an order that does not depend on maps; the Rust side compares.

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

public final class AdminCalls {
    private AdminCalls() {}

    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", args[1]);
        try (Admin admin = Admin.create(settings)) {
            switch (args[0]) {
                case "topics" -> {
                    cluster(admin);
                    create(admin);
                    describe(admin);
                    partitions(admin);
                    delete(admin);
                }
                case "configs" -> configs(admin);
                case "offsets" -> {
                    offsets(admin, "filled");
                    deleteRecords(admin, "filled");
                    offsets(admin, "filled");
                    offsets(admin, "empty");
                    logDirs(admin);
                }
                default -> throw new IllegalArgumentException(args[0]);
            }
        }
    }

    private static void say(String name, Object value) {
        System.out.println(name + ": " + value);
    }

    private interface Telling<T> {
        String of(T value) throws Exception;
    }

    private static <T> void tell(String name, KafkaFuture<T> future, Telling<T> telling) throws Exception {
        try {
            say(name, telling.of(future.get()));
        } catch (ExecutionException e) {
            say(name, e.getCause().getClass().getSimpleName());
        }
    }

    private static void cluster(Admin admin) throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        say("cluster id", cluster.clusterId().get());
        say("nodes", cluster.nodes().get().size() + " controller " + cluster.controller().get().id());
        say("rack", cluster.nodes().get().iterator().next().rack());
        say("operations", cluster.authorizedOperations().get());
    }

    private static void create(Admin admin) throws Exception {
        List<NewTopic> topics = List.of(
                new NewTopic("three", 3, (short) 1).configs(Map.of("retention.ms", "60000")),
                new NewTopic("defaults", Optional.empty(), Optional.empty()),
                new NewTopic("placed", Map.of(0, List.of(1), 1, List.of(1))),
                new NewTopic("misplaced", Map.of(0, List.of(7))),
                new NewTopic("no good", 1, (short) 1),
                new NewTopic("none", 0, (short) 1),
                new NewTopic("lonely", 1, (short) 3),
                new NewTopic("odd", 1, (short) 1).configs(Map.of("retention.sm", "1")),
                new NewTopic("wrong", 1, (short) 1).configs(Map.of("retention.ms", "soon")));
        CreateTopicsResult result = admin.createTopics(topics, new CreateTopicsOptions().validateOnly(true));
        for (NewTopic topic : topics) {
            tell("validate " + topic.name(), result.values().get(topic.name()), nothing -> "fine");
        }
        say("topics after validation", admin.listTopics().names().get().size());
        result = admin.createTopics(topics);
        for (NewTopic topic : topics) {
            String name = topic.name();
            CreateTopicsResult made = result;
            tell("create " + name, result.values().get(name), nothing -> "partitions "
                    + made.numPartitions(name).get() + " replicas " + made.replicationFactor(name).get()
                    + " id " + (made.topicId(name).get().equals(Uuid.ZERO_UUID) ? "none" : "given")
                    + " retention.ms " + made.config(name).get().get("retention.ms").value());
        }
        tell("create three again", admin.createTopics(topics.subList(0, 1)).all(), nothing -> "made twice");
        say("topics", new ArrayList<>(new TreeMap<>(admin.listTopics().namesToListings().get()).keySet()));
    }

    private static void describe(Admin admin) throws Exception {
        List<String> names = List.of("three", "placed", "unknown");
        Map<String, KafkaFuture<TopicDescription>> all = admin.describeTopics(names).topicNameValues();
        for (String name : names) {
            tell("describe " + name, all.get(name), AdminCalls::description);
        }
        Uuid id = all.get("three").get().topicId();
        List<Uuid> ids = List.of(id, Uuid.ONE_UUID);
        Map<Uuid, KafkaFuture<TopicDescription>> byId =
                admin.describeTopics(TopicCollection.ofTopicIds(ids)).topicIdValues();
        tell("describe by id", byId.get(id), AdminCalls::description);
        tell("describe by unknown id", byId.get(Uuid.ONE_UUID), AdminCalls::description);
    }

    private static String description(TopicDescription topic) {
        StringBuilder text = new StringBuilder(topic.name() + (topic.isInternal() ? " internal" : ""));
        for (TopicPartitionInfo partition : topic.partitions()) {
            text.append(" ").append(partition.partition()).append("@").append(partition.leader().id());
            text.append("/").append(partition.replicas().size()).append("/").append(partition.isr().size());
        }
        return text.toString();
    }

    private static void partitions(Admin admin) throws Exception {
        for (int count : new int[] {5, 5, 2}) {
            tell("grow three to " + count, admin.createPartitions(Map.of("three", NewPartitions.increaseTo(count))).all(),
                    nothing -> "done");
        }
        tell("grow unknown", admin.createPartitions(Map.of("unknown", NewPartitions.increaseTo(5))).all(),
                nothing -> "done");
        tell("grow placed", admin.createPartitions(
                Map.of("placed", NewPartitions.increaseTo(3, List.of(List.of(1))))).all(), nothing -> "done");
        tell("grow placed on a stranger", admin.createPartitions(
                Map.of("placed", NewPartitions.increaseTo(4, List.of(List.of(9))))).all(), nothing -> "done");
        tell("three now", admin.describeTopics(List.of("three")).topicNameValues().get("three"),
                topic -> topic.partitions().size() + " partitions");
    }

    private static void delete(Admin admin) throws Exception {
        Uuid id = admin.describeTopics(List.of("defaults")).topicNameValues().get("defaults").get().topicId();
        tell("delete three", admin.deleteTopics(List.of("three")).all(), nothing -> "done");
        tell("delete three again", admin.deleteTopics(List.of("three")).all(), nothing -> "done");
        tell("delete by id", admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all(), nothing -> "done");
        tell("delete by id again", admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all(),
                nothing -> "done");
        tell("create three anew", admin.createTopics(List.of(new NewTopic("three", 1, (short) 1))).all(),
                nothing -> "done");
        say("topics left", new ArrayList<>(new TreeMap<>(admin.listTopics().namesToListings().get()).keySet()));
    }

    private static void configs(Admin admin) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "filled");
        ConfigResource unknown = new ConfigResource(ConfigResource.Type.TOPIC, "unknown");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        Map<ConfigResource, KafkaFuture<Config>> all =
                admin.describeConfigs(List.of(topic, unknown, broker)).values();
        tell("unknown topic", all.get(unknown), config -> "described");
        Config config = all.get(topic).get();
        for (String name : List.of("segment.bytes", "retention.ms", "cleanup.policy", "min.insync.replicas")) {
            say("topic " + name, entry(config.get(name)));
        }
        boolean whole = config.entries().stream().allMatch(entry -> entry.value() != null);
        say("topic keys", (config.entries().size() >= 25 ? "many" : config.entries().size()) + ", values "
                + (whole ? "all" : "missing"));
        config = all.get(broker).get();
        for (String name : List.of("num.partitions", "log.segment.bytes", "auto.create.topics.enable")) {
            say("broker " + name, entry(config.get(name)));
        }
        AlterConfigOp op = new AlterConfigOp(new ConfigEntry("retention.ms", "1"), AlterConfigOp.OpType.SET);
        tell("alter", admin.incrementalAlterConfigs(Map.of(topic, List.of(op))).all(), nothing -> "done");
    }

    private static String entry(ConfigEntry entry) {
        return entry.value() + " from " + entry.source() + " type " + entry.type()
                + (entry.isReadOnly() ? " read-only" : "") + (entry.isSensitive() ? " sensitive" : "");
    }

    private static void offsets(Admin admin, String topic) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        Map<String, OffsetSpec> specs = new TreeMap<>(Map.of(
                "earliest", OffsetSpec.earliest(),
                "latest", OffsetSpec.latest(),
                "max timestamp", OffsetSpec.maxTimestamp(),
                "earliest local", OffsetSpec.earliestLocal(),
                "latest tiered", OffsetSpec.latestTiered(),
                "at 25", OffsetSpec.forTimestamp(1_700_000_000_025L),
                "at the end of time", OffsetSpec.forTimestamp(4_000_000_000_000L)));
        for (Map.Entry<String, OffsetSpec> spec : specs.entrySet()) {
            KafkaFuture<ListOffsetsResultInfo> found =
                    admin.listOffsets(Map.of(partition, spec.getValue())).partitionResult(partition);
            tell(topic + " " + spec.getKey(), found, info -> info.offset() + " timestamp " + info.timestamp()
                    + " epoch " + info.leaderEpoch().map(String::valueOf).orElse("none"));
        }
        // The admin client asks again until its time is over.
        TopicPartition unknown = new TopicPartition(topic, 99);
        ListOffsetsOptions brief = new ListOffsetsOptions(IsolationLevel.READ_UNCOMMITTED).timeoutMs(2_000);
        tell(topic + " no such partition",
                admin.listOffsets(Map.of(unknown, OffsetSpec.latest()), brief).partitionResult(unknown),
                info -> "found");
    }

    private static void deleteRecords(Admin admin, String topic) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        for (long before : new long[] {30, 10, 1_000_000, -1}) {
            tell("delete before " + before,
                    admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before)))
                            .lowWatermarks().get(partition),
                    deleted -> "low watermark " + deleted.lowWatermark());
        }
    }

    private static void logDirs(Admin admin) throws Exception {
        Map<String, LogDirDescription> dirs = admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
        for (LogDirDescription dir : dirs.values()) {
            say("log dir", dir.error() == null ? "sound" : dir.error().getClass().getSimpleName());
            say("space", dir.totalBytes().isPresent() && dir.usableBytes().getAsLong() > 0 ? "told" : "not told");
            Map<String, String> replicas = new TreeMap<>();
            for (Map.Entry<TopicPartition, ReplicaInfo> replica : dir.replicaInfos().entrySet()) {
                ReplicaInfo info = replica.getValue();
                replicas.put(replica.getKey().toString(), (info.size() > 0 ? "bytes" : "empty") + " lag "
                        + info.offsetLag() + (info.isFuture() ? " future" : ""));
            }
            say("replicas", replicas);
        }
    }
}
