// The properties of a PUBLISH come through as they were sent; a question gets its answer by response topic and correlation.

import { expect, run } from "./scenario.mjs";

const SENT = {
    payloadFormatIndicator: true,
    contentType: "text/plain",
    responseTopic: "answers/here",
    correlationData: Buffer.from([...Array(64).keys()]),
    userProperties: { b: ["2", "again"], a: "1", unicode: "Grüße" },
};

await run(async (broker) => {
    const subscriber = await (await broker.connect("properties-subscriber")).subscribe("questions/#", 2);
    const publisher = await (await broker.connect("properties-publisher")).subscribe("answers/#", 1);
    for (const qos of [0, 1, 2]) {
        await publisher.publish("questions/x", "?", qos, { properties: SENT });
        const { properties } = await subscriber.message("the question");
        for (const name of Object.keys(SENT)) expect(plain(properties[name]), plain(SENT[name]), `${name}, QoS ${qos}`);
        const { responseTopic, correlationData } = properties;
        await subscriber.publish(responseTopic, "!", qos, { properties: { correlationData } });
        const answer = await publisher.message("the answer");
        expect(answer.properties.correlationData, SENT.correlationData, "what the answer is to");
    }
});

// MQTT.js makes objects without a prototype.
function plain(value) {
    return value && Object.getPrototypeOf(value) === null ? { ...value } : value;
}
