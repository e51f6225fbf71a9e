// SPDX-License-Identifier: Apache-2.0
// PrintEvents [PROPERTY=VALUE...]: every case event from the oldest on, then what comes, one JSON object a line. It is a
// group of its own, so that several of them share the work and a restart goes on where the last one stopped.

import com.google.protobuf.util.JsonFormat;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import mailcase.v1.CaseRecordOuterClass.CaseRecord;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.serialization.*;

public class PrintEvents {
    static final String TOPIC = System.getenv().getOrDefault("MAILCASE_KAFKA_PREFIX", "") + "mailcase.case.events.v1";

    static Properties settings(List<String> properties) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", System.getenv().getOrDefault("MAILCASE_KAFKA_BROKERS", "127.0.0.1:9092"));
        settings.put("group.id", "example.print-events.java");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        for (String property : properties)
            settings.put(property.split("=", 2)[0], property.split("=", 2)[1]);
        return settings;
    }

    static String header(ConsumerRecord<?, ?> record, String name) {
        return new String(record.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
    }

    public static void main(String[] arguments) throws Exception {
        JsonFormat.Printer json = JsonFormat.printer().omittingInsignificantWhitespace();
        Properties settings = settings(Arrays.asList(arguments));
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    // Of a later contract there may be other types: skip them.
                    if (header(record, "ce_type").equals("mailcase.case.record.v1"))
                        System.out.printf("{\"ce_id\": \"%s\", \"ce_time\": \"%s\", \"data\": %s}%n", header(record, "ce_id"),
                            header(record, "ce_time"), json.print(CaseRecord.parseFrom(record.value())));
                }
                System.out.flush();
                consumer.commitSync(); // only now: what was not printed comes again
            }
        }
    }
}
