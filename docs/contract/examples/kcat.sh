#!/bin/sh
# Publishes one event with kcat: sh kcat.sh [USERNAME]. The key stands before the bar, the value behind it.
username=${1:-you}
echo "$username|{\"event_id\": \"kcat-$username\", \"username\": \"$username\", \"post_id\": 98, \"interaction_type\": \"like\"}" |
  kcat -b "${KAFKA_BOOTSTRAP_SERVERS:-127.0.0.1:9092}" -P -t interactions -K '|' -X acks=all \
    -H content-type=application/json -H schema-version=1 \
    -H traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
