// What every scenario of the JavaScript client starts with: arguments, a client whose messages wait to be asked for, bounded
// waits.
//
// A scenario is a program: `SCENARIO.mjs HOST PORT VERSION`, VERSION being 3.1.1 or 5. It ends with exit code 0, or with 1 and
// a sentence that says what was due and what came instead.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";

export const WAIT_MS = 30_000;

export function expect(came, due, what) {
    assert.deepEqual(came, due, `${what}: ${JSON.stringify(due)} was due, ${JSON.stringify(came)} came`);
}

/** The promise, or an error that says what was waited for. */
export async function within(promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what} did not come in ${WAIT_MS} ms`)), WAIT_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** An MQTT.js client. Its messages wait in order until they are asked for. */
class Client {
    #waiting = [];
    #incoming = [];

    constructor(js) {
        this.js = js;
        js.on("message", (topic, payload, packet) => {
            // The packet's own topic is empty where an alias stands for it.
            const message = { ...packet, topic, payload };
            const waiting = this.#waiting.shift();
            if (waiting) waiting(message);
            else this.#incoming.push(message);
        });
        js.on("disconnect", (packet) => (this.reason = packet.reasonCode));
    }

    /** Subscribes and waits for the SUBACK; `options` are those of MQTT.js. */
    async subscribe(filter, qos = 0, options = {}) {
        const granted = await within(this.js.subscribeAsync(filter, { qos, ...options }), `the SUBACK for ${filter}`);
        expect(granted[0].qos, qos, `the QoS granted for ${filter}`);
        return this;
    }

    async unsubscribe(filter) {
        await within(this.js.unsubscribeAsync(filter), `the UNSUBACK for ${filter}`);
    }

    /** Publishes and waits until the broker has acknowledged. */
    async publish(topic, payload, qos = 1, options = {}) {
        await within(this.js.publishAsync(topic, payload, { qos, ...options }), `the acknowledgement for ${topic}`);
    }

    message(what = "a message") {
        const message = this.#incoming.shift();
        if (message) return message;
        return within(new Promise((resolve) => this.#waiting.push(resolve)), what);
    }

    /** The payloads of the next messages, as text. */
    async payloads(count) {
        const payloads = [];
        while (payloads.length < count) {
            const message = await this.message(`message ${payloads.length + 1} of ${count}`);
            payloads.push(message.payload.toString());
        }
        return payloads;
    }

    /** Waits for the end of the connection, from the broker's side. */
    async closed() {
        if (this.js.connected) await within(once(this.js, "close"), "the end of the connection");
    }

    /** Ends the connection with a DISCONNECT. */
    async disconnect() {
        await within(this.js.endAsync(), "the end of the connection");
    }

    /** Ends the connection without a DISCONNECT, as a client that loses its power or its network. */
    vanish() {
        this.js.stream.destroy();
        this.js.end(true);
    }
}

export class Broker {
    #clients = [];

    constructor(host, port, version) {
        Object.assign(this, { host, port, isV5: version === "5" });
    }

    /** Connects and waits for the CONNACK, which must accept. `lasting`: the session outlives the connection. */
    async connect(clientId, { lasting = false, properties = {}, ...options } = {}) {
        if (this.isV5 && lasting) properties = { sessionExpiryInterval: 1000, ...properties };
        const js = mqtt.connect({
            host: this.host,
            port: this.port,
            clientId,
            clean: !lasting,
            protocolVersion: this.isV5 ? 5 : 4,
            reconnectPeriod: 0,
            ...(this.isV5 ? { properties } : {}),
            ...options,
        });
        this.#clients.push(js);
        const client = new Client(js);
        js.on("error", (error) => (client.error = error));
        const [connack] = await within(Promise.race([once(js, "connect"), refused(js)]), `the CONNACK for ${clientId}`);
        client.sessionPresent = connack.sessionPresent;
        client.connack = connack.properties ?? {};
        return client;
    }

    end() {
        for (const js of this.#clients) js.end(true);
    }
}

async function refused(js) {
    await once(js, "close");
    throw new Error("the connection was closed before it was accepted");
}

/** Runs the scenario with the broker of the command line. */
export async function run(scenario) {
    const [, program, host, port, version] = process.argv;
    const broker = new Broker(host, Number(port), version);
    try {
        await scenario(broker);
    } catch (error) {
        console.error(error);
        console.error(`${program}, MQTT ${version}: ${error.message}`);
        process.exit(1);
    }
    broker.end();
    process.exit(0);
}
