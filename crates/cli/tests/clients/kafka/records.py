"""Makes topics, writes records, and reads what was written.

    records.py ADDRESS[,ADDRESS...] topic NAME PARTITIONS COPIES
    records.py ADDRESS[,ADDRESS...] write NAME FROM TO
    records.py ADDRESS[,ADDRESS...] read NAME
    records.py ADDRESS[,ADDRESS...] brokers [NAME]

The last says how many brokers there are, or which ones have a topic.
"""
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

addresses, what, *words = sys.argv[1:]
common = {"bootstrap.servers": addresses}
deadline = time.monotonic() + 120
failures = []


def has_time():
    return time.monotonic() < deadline


if what == "topic":
    name, partitions, copies = words
    topic = NewTopic(name, num_partitions=int(partitions), replication_factor=int(copies))
    admin = AdminClient(common)
    admin.create_topics([topic])[name].result(timeout=60)
    print("made", name)
elif what == "write":
    name, *numbers = words
    producer = Producer({**common, "acks": "all", "linger.ms": 5, "delivery.timeout.ms": 110_000})
    numbers = range(*map(int, numbers))
    for number in numbers:
        producer.produce(
            name,
            key=str(number),
            value=f"record {number}",
            on_delivery=lambda error, _: error and failures.append(error),
        )
    left = producer.flush(120)
    print("wrote", len(numbers) - left - len(failures), *failures[:3])
elif what == "read":
    consumer = Consumer({**common, "group.id": "nobody", "enable.auto.commit": False})
    partitions = consumer.list_topics(words[0], timeout=60).topics[words[0]].partitions
    ends = {}
    for partition in partitions:
        place = TopicPartition(words[0], partition)
        ends[partition] = consumer.get_watermark_offsets(place, timeout=60)[1]
    consumer.assign([TopicPartition(words[0], partition, 0) for partition in partitions])
    found = []
    while len(found) < sum(ends.values()) and has_time():
        for record in consumer.consume(500, timeout=1):
            if not record.error():
                found.append((int(record.key()), record.value().decode()))
    consumer.close()
    right = {number for number, text in found if text == f"record {number}"}
    print("read", len(right), "of", sum(ends.values()))
else:
    admin = AdminClient(common)
    metadata = admin.list_topics(timeout=60)
    if words:
        partitions = metadata.topics[words[0]].partitions.values()
        print(*sorted({broker for partition in partitions for broker in partition.replicas}))
    else:
        print(*sorted(metadata.brokers))
