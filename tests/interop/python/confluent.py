"""confluent-kafka: writes one record with the given settings of librdkafka and reads it back.

Called as: confluent.py BOOTSTRAP TOPIC KEY=VALUE...
Prints `read: VALUE`, or `refused: REASON` when it may not come in.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer

bootstrap, topic, *settings = sys.argv[1:]
common = dict(setting.split("=", 1) for setting in settings)
common["bootstrap.servers"] = bootstrap

refused = []
failed = []


def on_error(error):
    if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
        refused.append(error.str())


def on_delivery(error, message):
    if error:
        failed.append(error)


producer = Producer({**common, "error_cb": on_error, "log_level": 0})
producer.produce(topic, f"to {topic}", on_delivery=on_delivery)
end = time.monotonic() + 60
while len(producer) > 0 and not refused and time.monotonic() < end:
    producer.poll(0.1)
if refused:
    print("refused:", refused[0])
    # Gone before the interpreter ends: a callback into one that is ending takes the process with it.
    producer.purge()
    producer.flush(10)
    del producer
    sys.exit()
assert len(producer) == 0 and not failed, f"not delivered: {len(producer)}, {failed}"

consumer = Consumer({**common, "group.id": topic, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
message = None
while message is None or message.error() is not None:
    assert time.monotonic() < end, "nothing was read within a minute"
    message = consumer.poll(1)
print("read:", message.value().decode())
consumer.close()
