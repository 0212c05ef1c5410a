"""librdkafka for the matrix of the mirror's tests: writes what a plan says.

Called as: matrix.py BOOTSTRAP PLAN. A line of the plan is told in Matrix.java.
"""

import itertools
import sys
import time

from confluent_kafka import Producer

MEBIBYTE = 1 << 20
PATIENCE = 60


def value(part, number):
    if part == "-":
        return None
    size = {".": 0, "1": 1, "M": MEBIBYTE}[part]
    period = bytes((number + at * 7) % 256 for at in range(256))
    return (period * (size // 256 + 1))[:size]


def headers(part, number):
    mark = str(number).encode()
    return {
        "0": [],
        "1": [("h", mark)],
        "m": [(f"h{n}", mark) for n in range(8)],
        "d": [("d", mark), ("d", None), ("d", mark)],
    }[part]


def delivered(error, message):
    assert error is None, error


def write(producer, words):
    first, topic, partition, _, transaction, batches, *tokens = words
    if transaction != "none":
        producer.begin_transaction()
    for number, token in enumerate(tokens, int(first)):
        key, content, head = token.split("/")
        producer.produce(
            topic,
            partition=int(partition),
            key={"-": None, ".": b""}.get(key, key.encode()),
            value=value(content, number),
            headers=headers(head, number),
            on_delivery=delivered,
        )
        if batches == "one":
            assert producer.flush(PATIENCE) == 0, "not delivered"
    # No flush here: it sends what the broker's thread has seen so far, which may be half a batch.
    end = time.monotonic() + PATIENCE
    while len(producer) > 0:
        assert time.monotonic() < end, "not delivered"
        producer.poll(0.1)
    if transaction == "commit":
        producer.commit_transaction(PATIENCE)
    elif transaction == "abort":
        producer.abort_transaction(PATIENCE)
    return len(tokens)


def producer(bootstrap, codec, transactional):
    # A batch goes when it is full, or flushed, never before.
    settings = {
        "bootstrap.servers": bootstrap,
        "compression.type": codec,
        "linger.ms": 30_000,
        "batch.num.messages": 1000,
        "batch.size": 16 << 20,
        "message.max.bytes": 16 << 20,
    }
    if transactional:
        settings["transactional.id"] = f"matrix-librdkafka-{codec}"
    made = Producer(settings)
    if transactional:
        made.init_transactions(PATIENCE)
    return made


def kind(words):
    return words[3], words[4] != "none"


bootstrap, plan = sys.argv[1:]
with open(plan) as lines:
    all_words = sorted((line.split() for line in lines), key=kind)
written = 0
for (codec, transactional), some in itertools.groupby(all_words, key=kind):
    writer = producer(bootstrap, codec, transactional)
    written += sum(write(writer, words) for words in some)
print("written:", written)
