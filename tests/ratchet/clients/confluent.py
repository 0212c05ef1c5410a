"""librdkafka through confluent-kafka: one line per answer, the same against any broker.

Called with the broker's address. A line is `name: outcome`; the Rust side compares.
"""

import sys
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

PATIENCE = 30
BOOTSTRAP = sys.argv[1]
FIRST_TIME = int(time.time()) * 1000 - 3_600_000


def say(name, outcome):
    print(f"{name}: {outcome}", flush=True)


def tell(name, future, telling=lambda result: "done"):
    """The outcome of a future: what it tells, or the name of its error."""
    try:
        say(name, telling(future.result(PATIENCE)))
    except KafkaException as error:
        say(name, f"error {error.args[0].name()}")


def topics(admin):
    wishes = [
        NewTopic("c-one", 1, 1),
        NewTopic("c-three", 3, 1, config={"retention.ms": "86400000"}),
        NewTopic("c-defaults"),
        NewTopic("c no good", 1, 1),
        NewTopic("c-far", 1, 5),
        NewTopic("c-odd", 1, 1, config={"retention.sm": "1"}),
        NewTopic("c-wrong", 1, 1, config={"retention.ms": "soon"}),
    ]
    for name, future in admin.create_topics(wishes, validate_only=True).items():
        tell(f"validate {name}", future)
    for name, future in admin.create_topics(wishes).items():
        tell(f"create {name}", future)
    for name, future in admin.create_topics(wishes[:1]).items():
        tell(f"create {name} again", future)
    wait_for(lambda: {"c-one", "c-three", "c-defaults"} <= set(admin.list_topics(timeout=PATIENCE).topics))
    seen = admin.list_topics(timeout=PATIENCE)
    mine = sorted(name for name in seen.topics if name.startswith("c-"))
    say("topics", [(name, len(seen.topics[name].partitions)) for name in mine])
    say("brokers", sorted(seen.brokers))
    names = TopicCollection(["c-three", "c-unknown"])
    for name, future in admin.describe_topics(names, include_authorized_operations=True).items():
        tell(f"describe {name}", future, lambda topic: (
            len(topic.partitions), topic.is_internal, [node.id for node in topic.partitions[0].isr],
            sorted(operation.name for operation in topic.authorized_operations)))
    for title, count in (("grow", 5), ("grow again", 5), ("shrink", 2)):
        for name, future in admin.create_partitions([NewPartitions("c-three", count)]).items():
            tell(f"{title} {name} to {count}", future)
    for name, future in admin.create_partitions([NewPartitions("c-unknown", 2)]).items():
        tell(f"grow {name}", future)
    tell("cluster", admin.describe_cluster(include_authorized_operations=True), lambda cluster: (
        [node.id for node in cluster.nodes], cluster.controller.id,
        sorted(operation.name for operation in cluster.authorized_operations)))


def configs(admin):
    topic = ConfigResource(ConfigResource.Type.TOPIC, "c-three")
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    unknown = ConfigResource(ConfigResource.Type.TOPIC, "c-unknown")

    def describe(name, resource, keys):
        for future in admin.describe_configs([resource]).values():
            tell(name, future, lambda found: [
                (key, found[key].value, found[key].source, found[key].is_read_only, found[key].is_default)
                for key in keys])

    keys = ["retention.ms", "cleanup.policy", "segment.bytes"]
    describe("configs of c-three", topic, keys)
    describe("configs of the broker", broker, ["log.retention.hours", "num.partitions", "auto.create.topics.enable"])
    describe("configs of c-unknown", unknown, keys)

    def alter(name, resource, key, operation, value):
        entry = ConfigEntry(key, value, incremental_operation=operation)
        changed = ConfigResource(resource.restype, resource.name, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([changed]).values():
            tell(name, future)

    alter("set retention", topic, "retention.ms", AlterConfigOpType.SET, "7200000")
    alter("append a policy", topic, "cleanup.policy", AlterConfigOpType.APPEND, "compact")
    alter("set nonsense", topic, "retention.sm", AlterConfigOpType.SET, "1")
    alter("set no number", topic, "retention.ms", AlterConfigOpType.SET, "soon")
    alter("append to no list", topic, "retention.ms", AlterConfigOpType.APPEND, "1")
    alter("set of c-unknown", unknown, "retention.ms", AlterConfigOpType.SET, "1")

    def policy():
        found = list(admin.describe_configs([topic]).values())[0].result(PATIENCE)
        return "compact" in found["cleanup.policy"].value

    wait_for(policy)
    describe("configs of c-three now", topic, keys)
    alter("take the policy back", topic, "cleanup.policy", AlterConfigOpType.DELETE, None)


def produce():
    outcomes = []

    def delivered(error, message):
        outcomes.append(error.name() if error else (message.partition(), message.offset()))

    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": codec, "linger.ms": 50})
        for number in range(20):
            producer.produce("c-one", f"{codec}-{number} " + "x" * 50, f"key-{number}", 0,
                             on_delivery=delivered, timestamp=FIRST_TIME + number, headers={"codec": codec})
        producer.flush(PATIENCE)
        say(f"produce {codec}", (outcomes[0], outcomes[-1], len(outcomes)))
        outcomes.clear()
    for name, settings in (
        ("idempotent", {"enable.idempotence": True}),
        ("acks 1", {"acks": 1}),
        ("acks 0", {"acks": 0}),
    ):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, **settings})
        for number in range(10):
            producer.produce("c-one", f"{name} {number}", partition=0, on_delivery=delivered)
        producer.flush(PATIENCE)
        said = outcomes if name != "acks 0" else [len(outcomes)]
        say(f"produce {name}", said)
        outcomes.clear()
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "message.timeout.ms": 5000})
    for name, topic, partition in (("no such partition", "c-one", 7), ("a name that is none", "c no good", 0)):
        try:
            producer.produce(topic, "lost", partition=partition, on_delivery=delivered)
            producer.flush(PATIENCE)
            say(f"produce to {name}", outcomes)
        except KafkaException as error:
            say(f"produce to {name}", f"error {error.args[0].name()}")
        outcomes.clear()


def consume(admin):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "c-readers", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "enable.partition.eof": False})
    part = TopicPartition("c-one", 0)
    say("watermarks", consumer.get_watermark_offsets(part, PATIENCE))
    for name, at in (("first", FIRST_TIME), ("fifth", FIRST_TIME + 4), ("future", FIRST_TIME + 10**9)):
        found = consumer.offsets_for_times([TopicPartition("c-one", 0, at)], PATIENCE)
        say(f"offset of the {name} time", found[0].offset)
    consumer.assign([TopicPartition("c-one", 0, OFFSET_BEGINNING)])
    read = take(consumer, 130)
    say("read", (len(read), [(message.offset(), message.key(), message.value()[:12], message.headers()) for message in read[::20]]))
    consumer.seek(TopicPartition("c-one", 0, 42))
    say("read after a seek", [message.offset() for message in take(consumer, 2)])
    say("committed before", [found.offset for found in patiently(lambda: consumer.committed([part], PATIENCE))])
    kept = consumer.commit(offsets=[TopicPartition("c-one", 0, 50, "note")], asynchronous=False)
    say("commit", [(found.offset, found.error) for found in kept])
    say("committed", [(found.offset, found.metadata) for found in consumer.committed([part], PATIENCE)])
    try:
        kept = consumer.commit(offsets=[TopicPartition("c-unknown", 0, 50)], asynchronous=False)
        say("commit for no topic", [found.error.name() for found in kept])
    except KafkaException as error:
        say("commit for no topic", f"error {error.args[0].name()}")
    consumer.close()
    for protocol, assignor in (("eager", "range"), ("cooperative", "cooperative-sticky")):
        group(admin, protocol, assignor)


def group(admin, name, assignor):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"c-{name}", "auto.offset.reset": "earliest",
                         "partition.assignment.strategy": assignor, "session.timeout.ms": 10000})
    consumer.subscribe(["c-one", "c-three"])
    read = take(consumer, 130)
    say(f"{name} group read", len(read))
    say(f"{name} assignment", sorted((part.topic, part.partition) for part in consumer.assignment()))
    for found, future in admin.describe_consumer_groups([f"c-{name}"], include_authorized_operations=True).items():
        tell(f"describe {found}", future, lambda told: (
            told.state.name, told.partition_assignor, told.is_simple_consumer_group, told.type.name,
            [(member.client_id, member.host, sorted((part.topic, part.partition) for part in member.assignment.topic_partitions))
             for member in told.members], sorted(operation.name for operation in told.authorized_operations)))
    for found, future in admin.delete_consumer_groups([f"c-{name}"]).items():
        tell(f"delete {found} in use", future)
    consumer.commit(asynchronous=False)
    consumer.close()
    say(f"{name} offsets", offsets(admin, f"c-{name}"))


def offsets(admin, name):
    asked = [ConsumerGroupTopicPartitions(name)]
    for future in admin.list_consumer_group_offsets(asked).values():
        return sorted((part.topic, part.partition, part.offset) for part in future.result(PATIENCE).topic_partitions)


def groups(admin):
    listed = admin.list_consumer_groups().result(PATIENCE)
    mine = [(found.group_id, found.is_simple_consumer_group, found.state.name, found.type.name)
            for found in listed.valid if found.group_id.startswith("c-")]
    say("groups", (sorted(mine), listed.errors))
    for found, future in admin.describe_consumer_groups(["c-nowhere"]).items():
        tell(f"describe {found}", future, lambda told: (told.state.name, told.members))
    moved = [ConsumerGroupTopicPartitions("c-eager", [TopicPartition("c-one", 0, 5)])]
    for future in admin.alter_consumer_group_offsets(moved).values():
        tell("move offsets", future, lambda told: [(part.offset, part.error) for part in told.topic_partitions])
    say("moved offsets", offsets(admin, "c-eager"))
    for name in ("c-eager", "c-nowhere"):
        for future in admin.delete_consumer_groups([name]).values():
            tell(f"delete {name}", future)


def records(admin):
    part = TopicPartition("c-one", 0)
    for name, spec in (("earliest", OffsetSpec.earliest()), ("latest", OffsetSpec.latest()),
                       ("a time", OffsetSpec.for_timestamp(FIRST_TIME + 3))):
        for future in admin.list_offsets({part: spec}).values():
            tell(f"offset of {name}", future, lambda found: (found.offset, found.leader_epoch))
    for offset in (10, 5, 10**6):
        for future in admin.delete_records([TopicPartition("c-one", 0, offset)]).values():
            tell(f"delete records before {offset}", future, lambda found: found.low_watermark)
    for future in admin.list_offsets({part: OffsetSpec.earliest()}).values():
        tell("offset of earliest now", future, lambda found: found.offset)
    for name, unknown in (("topic", TopicPartition("c-unknown", 0)), ("partition", TopicPartition("c-one", 9))):
        for future in admin.delete_records([TopicPartition(unknown.topic, unknown.partition, 1)]).values():
            tell(f"delete records of no such {name}", future)


def security(admin):
    any_right = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    tell("rights", admin.describe_acls(any_right), len)
    right = AclBinding(ResourceType.TOPIC, "c-one", ResourcePatternType.LITERAL, "User:carol", "*", AclOperation.READ, AclPermissionType.ALLOW)
    for future in admin.create_acls([right]).values():
        tell("give a right", future)
    for user, future in admin.describe_user_scram_credentials(["c-nobody"]).items():
        tell(f"password of {user}", future)
    secret = UserScramCredentialUpsertion("c-carol", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"secret", b"salt")
    for user, future in admin.alter_user_scram_credentials([secret]).items():
        tell(f"password for {user}", future)


def delete(admin):
    for name, future in admin.delete_topics(["c-three", "c-unknown"]).items():
        tell(f"delete {name}", future)


def take(consumer, count):
    read = []
    end = time.monotonic() + PATIENCE
    while len(read) < count and time.monotonic() < end:
        message = consumer.poll(0.5)
        if message is not None and message.error():
            read.append(message)
            say("read an error", message.error().name())
        elif message is not None:
            read.append(message)
    return read


def patiently(call):
    """Asks again while a new cluster has no coordinator yet."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].name() not in ("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS") or time.monotonic() > end:
                raise


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"


def main():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    topics(admin)
    configs(admin)
    produce()
    consume(admin)
    groups(admin)
    records(admin)
    security(admin)
    delete(admin)


main()
