#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""print_events.py [PROPERTY=VALUE...]: every case event from the oldest on, then what comes, one JSON object a line.

It is a group of its own, so that several of them share the work and a restart goes on where the last one stopped.
"""
import json
import os
import sys

from confluent_kafka import Consumer
from google.protobuf.json_format import MessageToDict

from mailcase.v1.case_record_pb2 import CaseRecord

TOPIC = os.environ.get("MAILCASE_KAFKA_PREFIX", "") + "mailcase.case.events.v1"


def main():
    consumer = Consumer({
        "bootstrap.servers": os.environ.get("MAILCASE_KAFKA_BROKERS", "127.0.0.1:9092"),
        "group.id": "example.print-events.python",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **dict(argument.split("=", 1) for argument in sys.argv[1:]),
    })
    consumer.subscribe([TOPIC])
    try:
        while True:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                print(message.error(), file=sys.stderr)
                continue
            headers = {name: value.decode() for name, value in message.headers()}
            # Of a later contract there may be other types: skip them.
            if headers["ce_type"] == "mailcase.case.record.v1":
                data = MessageToDict(CaseRecord.FromString(message.value()))
                print(json.dumps({"ce_id": headers["ce_id"], "ce_time": headers["ce_time"], "data": data}), flush=True)
            consumer.commit(message, asynchronous=True)  # only now: what was not printed comes again
    except KeyboardInterrupt:
        consumer.close()  # its partitions go to the others at once


main()
