"""The will: sent when a client vanishes, not sent when it says goodbye; with 5.0 also delayed and on demand."""

import time

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from scenario import expect, properties, run


def will(payload, **options):
    return {"topic": "will", "payload": payload, "qos": 1, **options}


def goodbye_sends_none(broker, watcher):
    broker.connect("will-polite", will=will("unwanted")).disconnect()
    # By the same client identifier, so that the broker has dealt with the DISCONNECT before.
    broker.connect("will-polite").publish("will", "after goodbye")
    expect(watcher.payloads(1), ["after goodbye"], "after a DISCONNECT")


def vanishing_sends_it(broker, watcher):
    for qos in (0, 1, 2):
        broker.connect(f"will-vanishing-{qos}", will=will(f"gone {qos}", qos=qos)).vanish()
        message = watcher.message("the will")
        expect((message.payload.decode(), message.qos), (f"gone {qos}", qos), "the will")
    broker.connect("will-retained", will=will("kept", retain=True)).vanish()
    expect(watcher.payloads(1), ["kept"], "the will that is retained")
    late = broker.connect("will-late").subscribe("will", 1).message("the retained will")
    expect((late.payload, late.retain), (b"kept", True), "the will that is retained")


def takeover_sends_it(broker, watcher):
    broker.connect("will-taken", will=will("taken over"))
    broker.connect("will-taken")
    expect(watcher.payloads(1), ["taken over"], "the will of a connection that was taken over")


def delayed(broker, watcher):
    def doomed(client_id, delay_s):
        delay = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=delay_s)
        return broker.connect(client_id, lasting=True, will=will(client_id, properties=delay))

    # Long enough to return meanwhile, however busy the machine is.
    returning, staying_away = doomed("returns", 4), doomed("stays-away", 5)
    started = time.monotonic()
    returning.vanish()
    staying_away.vanish()
    back = broker.connect("returns", lasting=True)
    expect(back.session_present, True, "whether the session is there")
    back.publish("will", "before any will")
    expect(watcher.payloads(2), ["before any will", "stays-away"], "the wills with a delay")
    waited = time.monotonic() - started
    expect(waited >= 4.9, True, f"whether a delay of 5 s was kept ({waited:.2f} s)")

    # A session that ends before the delay takes its will with it.
    ending = properties(PacketTypes.CONNECT, SessionExpiryInterval=1)
    delay = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1000)
    broker.connect("short", lasting=True, connect_properties=ending, will=will("short", properties=delay)).vanish()
    expect(watcher.payloads(1), ["short"], "the will at the end of the session")


def on_demand(broker, watcher):
    with_will = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
    broker.connect("will-wanted", will=will("wanted")).disconnect(reasoncode=with_will)
    expect(watcher.payloads(1), ["wanted"], "after a DISCONNECT with will message")


def scenario(broker):
    watcher = broker.connect("will-watcher").subscribe("will", 2)
    goodbye_sends_none(broker, watcher)
    vanishing_sends_it(broker, watcher)
    takeover_sends_it(broker, watcher)
    if broker.is_v5:
        delayed(broker, watcher)
        on_demand(broker, watcher)


run(scenario)
