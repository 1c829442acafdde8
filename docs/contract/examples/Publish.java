// Publishes one event with the Java client, kafka-clients 2.8 or later:
//   java -cp "KAFKA/libs/*" Publish.java [USERNAME]
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Publish {
    public static void main(String[] arguments) throws Exception {
        String username = arguments.length > 0 ? arguments[0] : "you";
        String brokers = System.getenv().getOrDefault("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092");
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "acks", "all");
        // A real program builds this with its JSON library: a name may hold quotes.
        String event = """
            {"event_id": "java-%1$s", "username": "%1$s", "post_id": 98, "interaction_type": "like"}
            """.formatted(username);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            var message = new ProducerRecord<>("interactions", username, event);
            header(message, "content-type", "application/json");
            header(message, "schema-version", "1");
            header(message, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            producer.send(message).get();
        }
    }

    private static void header(ProducerRecord<String, String> message, String name, String value) {
        message.headers().add(name, value.getBytes(StandardCharsets.UTF_8));
    }
}
