// Every QoS published to every QoS subscribed: the message comes with the lower of the two, once, and whole.

import { expect, run } from "./scenario.mjs";

await run(async (broker) => {
    const publisher = await broker.connect("qos-publisher");
    const payloads = [Buffer.alloc(0), Buffer.from("Grüße"), Buffer.from([...Array(256).keys()])];
    for (const granted of [0, 1, 2]) {
        const subscriber = await (await broker.connect(`qos-subscriber-${granted}`)).subscribe("qos/+", granted);
        for (const sent of [0, 1, 2]) {
            for (const payload of payloads) {
                const what = `${payload.length} bytes, published with QoS ${sent} to a subscription of QoS ${granted}`;
                await publisher.publish(`qos/${sent}`, payload, sent);
                const message = await subscriber.message(what);
                expect([message.topic, message.payload], [`qos/${sent}`, payload], what);
                expect([message.qos, message.retain, message.dup], [Math.min(sent, granted), false, false], what);
            }
        }
        await publisher.publish("qos/end", "", 2);
        expect((await subscriber.message()).topic, "qos/end", "nothing comes twice");
        await subscriber.unsubscribe("qos/+");
        await publisher.publish("qos/0", "unwanted", 2);
        await subscriber.subscribe("end", 2);
        await publisher.publish("end", "", 2);
        expect((await subscriber.message()).topic, "end", "nothing comes after an unsubscription");
    }
});
