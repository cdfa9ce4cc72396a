// Topic aliases both ways: MQTT.js assigns its own, and understands the broker's.

import { expect, run } from "./scenario.mjs";

const MESSAGES = 60;

await run(async (broker) => {
    const properties = { topicAliasMaximum: 5 };
    const subscriber = await (await broker.connect("aliases-subscriber", { properties })).subscribe("alias/#", 1);
    const publisher = await broker.connect("aliases-publisher", { autoAssignTopicAlias: true, autoUseTopicAlias: true });
    const due = [];
    for (let n = 0; n < MESSAGES; n++) {
        // More topics than aliases, so that some are set anew.
        const topic = `alias/${n % 8}/${"long".repeat(20)}`;
        due.push(topic);
        await publisher.publish(topic, `${n}`);
    }
    const came = [];
    for (let n = 0; n < MESSAGES; n++) came.push((await subscriber.message()).topic);
    expect(came, due, "the topics");
});
