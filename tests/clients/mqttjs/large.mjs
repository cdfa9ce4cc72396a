// Payloads of 8 MB, and small messages that follow them: not with QoS 0, which a broker may drop behind so much.

import { createHash, randomBytes } from "node:crypto";
import { expect, run } from "./scenario.mjs";

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

await run(async (broker) => {
    const payload = randomBytes(8_000_000);
    const subscriber = await (await broker.connect("large")).subscribe("large/#", 2);
    const publisher = await broker.connect("large-publisher");
    for (const qos of [0, 1, 2]) {
        await publisher.publish("large/payload", payload, qos);
        await publisher.publish("large/small", `after ${qos}`, Math.max(qos, 1));
        const message = await subscriber.message(`8 MB with QoS ${qos}`);
        expect(digest(message.payload), digest(payload), `8 MB with QoS ${qos}`);
        expect(await subscriber.payloads(1), [`after ${qos}`], "what was sent next");
    }
});
