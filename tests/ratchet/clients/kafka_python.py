"""kafka-python, a client of its own in pure Python: one line per answer.

Called with the broker's address. A line is `name: outcome`; the Rust side compares.
"""

import logging
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

logging.disable(logging.CRITICAL)
BOOTSTRAP = sys.argv[1]
FIRST_TIME = int(time.time()) * 1000 - 3_600_000


def say(name, outcome):
    print(f"{name}: {outcome}", flush=True)


def tell(name, call, telling=lambda result: "done"):
    try:
        say(name, telling(call()))
    except KafkaError as error:
        say(name, f"error {type(error).__name__}")


def main():
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    tell("create", lambda: admin.create_topics([NewTopic(name="p-one", num_partitions=2, replication_factor=1)]))
    tell("create again", lambda: admin.create_topics([NewTopic(name="p-one", num_partitions=2, replication_factor=1)]))
    tell("create far", lambda: admin.create_topics([NewTopic(name="p-far", num_partitions=1, replication_factor=3)]))
    tell("topics", admin.list_topics, lambda names: sorted(name for name in names if name.startswith("p-")))
    for acks in (0, 1, "all"):
        other = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks=acks, enable_idempotence=acks == "all")
        sent = [other.send("p-one", f"{acks} {n}".encode(), key=b"k", partition=0, timestamp_ms=FIRST_TIME + n) for n in range(5)]
        other.flush(30)
        found = [future.get(30).offset for future in sent]
        say(f"produce acks {acks}", found if acks else len(found))
        other.close()
    other = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type="gzip", linger_ms=50)
    sent = [other.send("p-one", b"z" * 100, partition=1) for _ in range(5)]
    other.flush(30)
    say("produce gzip", [future.get(30).offset for future in sent])
    other.close()
    consumer = KafkaConsumer("p-one", bootstrap_servers=BOOTSTRAP, group_id="p-readers", auto_offset_reset="earliest",
                             enable_auto_commit=False, consumer_timeout_ms=20000)
    read = []
    for message in consumer:
        read.append((message.partition, message.offset, message.key, message.value[:10]))
        if len(read) == 20:
            break
    say("read", sorted(read)[:20])
    say("assignment", sorted(consumer.assignment()))
    part = TopicPartition("p-one", 0)
    tell("commit", lambda: consumer.commit({part: OffsetAndMetadata(7, "note", -1)}))
    tell("committed", lambda: consumer.committed(part))
    tell("beginning", lambda: consumer.beginning_offsets([part]))
    tell("end", lambda: consumer.end_offsets([part]), lambda found: found[part])
    tell("offset of a time", lambda: consumer.offsets_for_times({part: FIRST_TIME + 3}), lambda found: found[part].offset)
    consumer.close()
    tell("delete", lambda: admin.delete_topics(["p-one"]))
    tell("delete again", lambda: admin.delete_topics(["p-unknown"]))
    admin.close()


main()
