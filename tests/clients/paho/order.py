"""The order of a topic's messages, each QoS by itself, from one publisher to subscribers on every shard."""

from scenario import WAIT_S, expect, run

MESSAGES = 600
TOPICS = 3


def scenario(broker):
    subscribers = [broker.connect(f"order-{n}").subscribe("order/#", 2) for n in range(6)]
    publisher = broker.connect("order-publisher")
    in_flight = []
    for n in range(MESSAGES):
        in_flight.append(publisher.publish(f"order/{n % TOPICS}", f"{n}", qos=n // TOPICS % 3, wait=False))
        # Above its own limit of 20 in flight this client may change the order itself.
        if len(in_flight) == 15 or n == MESSAGES - 1:
            for published in in_flight:
                published.wait_for_publish(WAIT_S)
            in_flight.clear()
    publisher.publish("order/end", "end", 2)
    for subscriber in subscribers:
        came = {}
        for _ in range(MESSAGES + 1):
            message = subscriber.message()
            came.setdefault((message.topic, message.qos), []).append(message.payload.decode())
        for topic in range(TOPICS):
            for qos in (0, 1, 2):
                due = [f"{n}" for n in range(MESSAGES) if n % TOPICS == topic and n // TOPICS % 3 == qos]
                expect(came[f"order/{topic}", qos], due, f"topic {topic}, QoS {qos}")


run(scenario)
