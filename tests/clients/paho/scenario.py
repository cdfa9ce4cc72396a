"""What every scenario of the Python client starts with: arguments, a client whose callbacks are events, bounded waits.

A scenario is a program: `SCENARIO.py HOST PORT VERSION`, VERSION being 3.1.1 or 5. It ends with exit code 0, or with 1 and
a sentence that says what was due and what came instead.
"""

import os
import queue
import sys
import traceback
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

WAIT_S = 30


class Wrong(Exception):
    """The broker did something else than it must."""


def expect(came, due, what):
    if came != due:
        raise Wrong(f"{what}: {due!r} was due, {came!r} came")


@dataclass
class Broker:
    host: str
    port: int
    version: str

    @property
    def is_v5(self):
        return self.version == "5"

    def connect(self, client_id, **options):
        return Client(self, client_id, **options).start()


def properties(packet_type, **values):
    """Properties of a packet: properties(PacketTypes.PUBLISH, ResponseTopic="a")."""
    made = Properties(packet_type)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    """A paho client with its network loop in a thread. Everything that it is told goes into queues."""

    def __init__(self, broker, client_id, lasting=False, will=None, connect_properties=None, manual_ack=False):
        """`lasting`: the session outlives the connection; with 5.0 for 1,000 s unless the properties say otherwise.
        `will`: the arguments of paho's will_set."""
        self.broker = broker
        self.lasting = lasting
        self.connect_properties = connect_properties
        self.session_present = None
        self.connack_properties = None
        self.connected = queue.Queue()
        self.disconnected = queue.Queue()
        self.subscribed = queue.Queue()
        self.incoming = queue.Queue()
        options = {}
        if not broker.is_v5:
            options["clean_session"] = not lasting
        elif lasting and connect_properties is None:
            self.connect_properties = properties(PacketTypes.CONNECT, SessionExpiryInterval=1000)
        self.paho = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=mqtt.MQTTv5 if broker.is_v5 else mqtt.MQTTv311,
            manual_ack=manual_ack,
            reconnect_on_failure=False,
            **options,
        )
        if will:
            self.paho.will_set(**will)
        self.paho.on_connect = lambda _client, _data, flags, reason, props: self.connected.put((flags, reason, props))
        self.paho.on_disconnect = lambda _client, _data, _flags, reason, _props: self.disconnected.put(reason)
        self.paho.on_subscribe = lambda _client, _data, _id, reasons, _props: self.subscribed.put(reasons)
        self.paho.on_unsubscribe = lambda _client, _data, _id, reasons, _props: self.subscribed.put(reasons)
        self.paho.on_message = lambda _client, _data, message: self.incoming.put(message)

    def start(self):
        """Connects and waits for the CONNACK, which must accept."""
        arguments = {}
        if self.broker.is_v5:
            arguments = {"clean_start": not self.lasting, "properties": self.connect_properties}
        self.paho.connect(self.broker.host, self.broker.port, keepalive=60, **arguments)
        self.paho.loop_start()
        flags, reason, self.connack_properties = self._next(self.connected, "a CONNACK")
        if reason.is_failure:
            raise Wrong(f"the connection is refused: {reason}")
        self.session_present = flags.session_present
        return self

    def subscribe(self, topic_filter, qos=0, refused=False, subscription_properties=None, **options):
        """Subscribes and waits for the SUBACK; `options` are paho's SubscribeOptions of 5.0."""
        if self.broker.is_v5:
            self.paho.subscribe(topic_filter, options=SubscribeOptions(qos=qos, **options), properties=subscription_properties)
        else:
            self.paho.subscribe(topic_filter, qos)
        (reason,) = self._next(self.subscribed, f"the SUBACK for {topic_filter}")
        expect(reason.is_failure, refused, f"whether {topic_filter} is refused ({reason})")
        return self

    def unsubscribe(self, topic_filter):
        self.paho.unsubscribe(topic_filter)
        self._next(self.subscribed, f"the UNSUBACK for {topic_filter}")

    def publish(self, topic, payload=None, qos=1, retain=False, wait=True, **values):
        """Publishes and waits until the broker has acknowledged; `values` are PUBLISH properties of 5.0."""
        props = properties(PacketTypes.PUBLISH, **values) if values else None
        published = self.paho.publish(topic, payload, qos, retain, properties=props)
        if wait:
            published.wait_for_publish(WAIT_S)
            if not published.is_published():
                raise Wrong(f"the publication to {topic} with QoS {qos} was not completed in {WAIT_S} s")
        return published

    def message(self, what="a message"):
        """The next message."""
        return self._next(self.incoming, what)

    def payloads(self, count):
        """The payloads of the next messages, as text."""
        return [self.message(f"message {n + 1} of {count}").payload.decode() for n in range(count)]

    def disconnect(self, **arguments):
        """Ends the connection with a DISCONNECT."""
        self.paho.disconnect(**arguments)
        self._next(self.disconnected, "the end of the connection")
        self.paho.loop_stop()

    def vanish(self):
        """Ends the connection without a DISCONNECT, as a client that loses its power or its network."""
        self.paho.loop_stop()
        self.paho.socket().close()

    def _next(self, events, what):
        try:
            return events.get(timeout=WAIT_S)
        except queue.Empty:
            raise Wrong(f"{what} did not come in {WAIT_S} s") from None


def run(scenario):
    """Runs the scenario with the broker of the command line."""
    _, host, port, version = sys.argv
    try:
        scenario(Broker(host, int(port), version))
    except Exception as error:
        traceback.print_exc()
        print(f"{sys.argv[0]}, MQTT {version}: {error}", file=sys.stderr, flush=True)
        # At once: threads of a scenario that failed must not keep the program.
        os._exit(1)
    os._exit(0)
