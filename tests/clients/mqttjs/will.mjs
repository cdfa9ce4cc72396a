// The will: sent when a client vanishes, not sent when it says goodbye; with 5.0 also delayed.

import { expect, run } from "./scenario.mjs";

const will = (payload, options = {}) => ({ will: { topic: "will", payload: Buffer.from(payload), qos: 1, ...options } });

await run(async (broker) => {
    const watcher = await (await broker.connect("will-watcher")).subscribe("will", 2);
    await (await broker.connect("polite", will("unwanted"))).disconnect();
    // By the same client identifier, so that the broker has dealt with the DISCONNECT before.
    await (await broker.connect("polite")).publish("will", "after goodbye");
    expect(await watcher.payloads(1), ["after goodbye"], "after a DISCONNECT");

    for (const qos of [0, 1, 2]) {
        (await broker.connect(`vanishing-${qos}`, will(`gone ${qos}`, { qos }))).vanish();
        const message = await watcher.message("the will");
        expect([message.payload.toString(), message.qos], [`gone ${qos}`, qos], "the will");
    }
    (await broker.connect("retained", will("kept", { retain: true }))).vanish();
    expect(await watcher.payloads(1), ["kept"], "the will that is retained");
    const late = await (await (await broker.connect("late")).subscribe("will", 1)).message("the retained will");
    expect([late.payload.toString(), late.retain], ["kept", true], "the will that is retained");

    if (!broker.isV5) return;
    const started = performance.now();
    const delayed = (name, s) => broker.connect(name, { lasting: true, ...will(name, { properties: { willDelayInterval: s } }) });
    const returning = await delayed("returns", 1);
    const stayingAway = await delayed("stays-away", 2);
    returning.vanish();
    stayingAway.vanish();
    const back = await broker.connect("returns", { lasting: true });
    expect(back.sessionPresent, true, "whether the session is there");
    await back.publish("will", "before any will");
    expect(await watcher.payloads(2), ["before any will", "stays-away"], "the wills with a delay");
    expect(performance.now() - started >= 1900, true, "whether a delay of 2 s was kept");
});
