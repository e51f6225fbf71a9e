#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rebuild_case.py [CASE-ID [PROPERTY=VALUE...]]: the state of each case, or of this one, from its events alone."""
import json
import os
import sys
from datetime import datetime, timedelta

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from mailcase.v1.case_record_pb2 import CaseRecord, CaseState

TOPIC = os.environ.get("MAILCASE_KAFKA_PREFIX", "") + "mailcase.case.events.v1"
STATES = {number: name.removeprefix("CASE_STATE_").lower() for name, number in CaseState.items()}


def apply(case, record):
    if record.version != case.get("version", 0) + 1:
        return  # a repeat, or the beginning of the case is past retention
    time = (datetime(1970, 1, 1) + timedelta(microseconds=record.time_unix_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    case.update(id=record.case_id, number=record.number, version=record.version, changed_at=time)
    for fact in record.facts:
        kind = fact.WhichOneof("body")  # None: a fact of a later contract
        body = getattr(fact, kind) if kind else None
        if kind == "case_opened":
            case.update(created_at=time, state=STATES.get(body.state), queue_id=body.queue_id, team_id=body.team_id,
                        assignee_id="", messages=0, follower_ids=[])
        elif kind == "message_added":
            case["messages"] += 1
        elif kind == "assigned":
            case.update(assignee_id=body.user_id, team_id=body.team_id)
        elif kind == "queue_changed":
            case["queue_id"] = body.to_queue_id
        elif kind == "state_changed":
            case["state"] = STATES.get(body.to)
        elif kind == "followed":
            others = set(case["follower_ids"]) - {body.user_id}
            case["follower_ids"] = sorted(others | {body.user_id} if body.following else others)


def main(wanted=None, *properties):
    # No group is joined: every partition is read from its oldest record to what is its end now.
    consumer = Consumer({"bootstrap.servers": os.environ.get("MAILCASE_KAFKA_BROKERS", "127.0.0.1:9092"), "group.id": "unused",
                         "enable.auto.commit": False, "enable.partition.eof": True, **dict(p.split("=", 1) for p in properties)})
    waiting = set(consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions)
    consumer.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING) for partition in waiting])
    cases = {}
    while waiting:
        message = consumer.poll(10)
        if message and message.error() and message.error().code() == KafkaError._PARTITION_EOF:
            waiting.discard(message.partition())
        elif not message or message.error():
            raise KafkaException(message and message.error())
        elif wanted in (None, message.key().decode()):
            apply(cases.setdefault(message.key(), {}), CaseRecord.FromString(message.value()))
    print(*map(json.dumps, cases.values()), sep="\n")


main(*sys.argv[1:])
