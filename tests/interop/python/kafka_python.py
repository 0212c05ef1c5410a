"""kafka-python: writes one record with the given settings of librdkafka and reads it back.

Called as: kafka_python.py BOOTSTRAP TOPIC KEY=VALUE...
Prints `read: VALUE`, or `refused: REASON` when it may not come in.
"""

import logging
import os
import sys

from kafka import KafkaConsumer, KafkaProducer

NAMES = {
    "security.protocol": "security_protocol",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
}


class Refusals(logging.Handler):
    """The client goes on trying for half a minute; its log has the reason at once."""

    def emit(self, record):
        if "SaslAuthenticationFailed" in record.getMessage():
            print("refused:", record.getMessage(), flush=True)
            os._exit(0)


logging.getLogger("kafka").addHandler(Refusals(logging.ERROR))

bootstrap, topic, *settings = sys.argv[1:]
pairs = (setting.split("=", 1) for setting in settings)
common = {NAMES[key]: value for key, value in pairs}
common["bootstrap_servers"] = bootstrap

producer = KafkaProducer(**common)
producer.send(topic, f"to {topic}".encode()).get(60)
producer.close()

consumer = KafkaConsumer(
    topic, group_id=topic, auto_offset_reset="earliest", consumer_timeout_ms=60_000, **common
)
for message in consumer:
    print("read:", message.value.decode())
    break
consumer.close()
