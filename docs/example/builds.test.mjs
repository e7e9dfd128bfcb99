// Tests of a client against recordings and the twin of Touchstone. It needs the command `touchstone` on the PATH.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, test } from "node:test";

// --- the client: replace it by yours ---------------------------------------------------------------------------------

class Builds {
  constructor(url, key, sleep = seconds => new Promise(done => setTimeout(done, seconds * 1000))) {
    Object.assign(this, { url, sleep, headers: { Authorization: `Bearer ${key}` } });
  }

  // Starts a build; after a 429, waits as long as the response says.
  async start(version) {
    for (;;) {
      const answer = await fetch(`${this.url}/templates/${version}/build`, { method: "POST", headers: this.headers });
      if (answer.status !== 429) return (await answer.json()).status;
      await this.sleep(Number(answer.headers.get("Retry-After")));
    }
  }

  async cancel(version) {
    const answer = await fetch(`${this.url}/templates/${version}/build`, { method: "DELETE", headers: this.headers });
    if (answer.status !== 202 && answer.status !== 404) throw new Error(`cancel: unexpected status ${answer.status}`);
    return answer.status === 202;
  }
}

// --- servers of Touchstone -------------------------------------------------------------------------------------------

const KEY = "sk_live_test_primary";
const servers = [];
after(() => servers.forEach(server => server.kill("SIGINT")));

// Runs a command of Touchstone; resolves to the URL that it prints.
async function run(...words) {
  const server = spawn("touchstone", words, { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(server);
  for await (const line of createInterface({ input: server.stdout })) {
    const found = line.match(/http:\S+/);
    if (found) {
      server.stdout.resume();
      return found[0];
    }
  }
  throw new Error(`touchstone ${words.join(" ")} ended early`);
}

async function publish(url, name, ...steps) {
  const body = { api_version: "orgo.ai/v1", template: { name, version: "1.0.0" }, build: { run: steps } };
  const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/templates`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 201);
  return `default/${name}/1.0.0`;
}

// --- tests -----------------------------------------------------------------------------------------------------------

test("client waits after a 429", async () => {
  const pauses = [];
  const builds = new Builds(await run("replay", "--serve", "0", "rate-limit"), KEY, async s => pauses.push(s));
  assert.equal(await builds.start("default/touchstone-recorded-rate-limit/1.0.0"), "building");
  assert.deepEqual(pauses, [1]);
});

test("client waits until the twin has room for its build", async () => {
  const url = await run("serve", "--port", "0", "--capacity", "1");
  const [first, second] = [await publish(url, "first", "sleep 60"), await publish(url, "second", "echo hi")];
  const builds = new Builds(url, KEY, () => builds.cancel(first));
  assert.deepEqual([await builds.start(first), await builds.start(second)], ["building", "building"]);
});

test("client notices a wrong status of a cancel", async () => {
  const url = await run("serve", "--port", "0", "--control");
  const builds = new Builds(url, KEY), version = await publish(url, "mine", "sleep 60");
  await builds.start(version);
  const faults = new URL("/__touchstone/faults", url);
  await fetch(faults, { method: "PUT", body: JSON.stringify(["cancel-answers-200"]) });
  await assert.rejects(builds.cancel(version), /unexpected status 200/);
});
