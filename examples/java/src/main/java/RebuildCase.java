// SPDX-License-Identifier: Apache-2.0
// RebuildCase [CASE-ID [PROPERTY=VALUE...]]: the state of each case, or of this one, from its events alone.

import com.google.gson.Gson;
import java.time.*;
import java.util.*;
import mailcase.v1.CaseRecordOuterClass.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class RebuildCase {
    Map<String, Object> fields = new TreeMap<>();
    TreeSet<String> followers = new TreeSet<>();
    long version, messages;

    void apply(CaseRecord record) {
        if (record.getVersion() != version + 1) return; // a repeat, or the beginning of the case is past retention
        String time = Instant.EPOCH.plusNanos(record.getTimeUnixUs() * 1000).toString();
        version = record.getVersion();
        fields.putAll(Map.of("id", record.getCaseId(), "number", record.getNumber(), "version", version, "changed_at", time));
        for (Fact fact : record.getFactsList()) {
            CaseOpened opened = fact.getCaseOpened(); // empty where the fact is another
            switch (fact.getBodyCase()) {
                case CASE_OPENED -> fields.putAll(Map.of("created_at", time, "state", word(opened.getState()), "queue_id",
                    opened.getQueueId(), "team_id", opened.getTeamId(), "assignee_id", "", "follower_ids", followers));
                case MESSAGE_ADDED -> fields.put("messages", ++messages);
                case ASSIGNED -> fields.putAll(
                    Map.of("assignee_id", fact.getAssigned().getUserId(), "team_id", fact.getAssigned().getTeamId()));
                case QUEUE_CHANGED -> fields.put("queue_id", fact.getQueueChanged().getToQueueId());
                case STATE_CHANGED -> fields.put("state", word(fact.getStateChanged().getTo()));
                case FOLLOWED -> follow(fact.getFollowed().getUserId(), fact.getFollowed().getFollowing());
                default -> { } // changes none of these fields, or is a fact of a later contract
            }
        }
    }

    boolean follow(String user, boolean following) { return following ? followers.add(user) : followers.remove(user); }
    static String word(CaseState state) { return state.name().replace("CASE_STATE_", "").toLowerCase(); }

    public static void main(String[] arguments) throws Exception {
        List<String> given = Arrays.asList(arguments);
        Properties settings = PrintEvents.settings(given.subList(Math.min(1, given.size()), given.size()));
        Map<String, RebuildCase> cases = new LinkedHashMap<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            // No group is joined: every partition is read from its oldest record to what is its end now.
            var all = consumer.partitionsFor(PrintEvents.TOPIC).stream()
                .map(partition -> new TopicPartition(partition.topic(), partition.partition())).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            var ends = consumer.endOffsets(all);
            while (all.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition)))
                for (var record : consumer.poll(Duration.ofSeconds(1)))
                    if (given.isEmpty() || given.get(0).equals(record.key()))
                        cases.computeIfAbsent(record.key(), key -> new RebuildCase()).apply(CaseRecord.parseFrom(record.value()));
        }
        cases.values().forEach(one -> System.out.println(new Gson().toJson(one.fields)));
    }
}
