// The official SDK against a running server: as somebody who may submit whole workflows, and as somebody who may not.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Comfy } from "@comfyorg/sdk";

const { GRAPH_FILE, PICTURE_FILE, RAW_KEY, PLAIN_KEY } = process.env as Record<string, string>;
const client = new Comfy({ apiKey: RAW_KEY });
const other = new Comfy({ apiKey: PLAIN_KEY });

function graph(seed: number, steps = 2): any {
  const made = JSON.parse(readFileSync(GRAPH_FILE, "utf8")).graph;
  Object.assign(made["3"].inputs, { seed, steps });
  Object.assign(made["5"].inputs, { width: 64, height: 64 });
  return made;
}

const inverted = (): any => ({
  "1": { class_type: "LoadImage", inputs: { image: "to be set" } },
  "2": { class_type: "ImageInvert", inputs: { image: ["1", 0] } },
  "3": { class_type: "SaveImage", inputs: { images: ["2", 0], filename_prefix: "inverted" } },
});

async function refusal(work: Promise<unknown>): Promise<any> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  assert.fail("it should have been refused");
}

test("run and download, whole and in part", async () => {
  const job = await client.run(client.workflows.fromJson(graph(1)));
  assert.equal(job.status, "succeeded");
  const [output] = job.getOutputs("9");
  const whole = await output.toBytes();
  assert.equal(whole.length, output.sizeBytes);
  assert.deepEqual([...whole.slice(1, 4)], [0x50, 0x4e, 0x47]);
  assert.deepEqual(await output.toBytes({ range: [4, 19] }), whole.slice(4, 20));
});

test("events tell the whole story", async () => {
  const job = await client.submit(client.workflows.fromJson(graph(2, 30)));
  const kinds: string[] = [];
  let status = "";
  for await (const event of job.events()) {
    kinds.push(event.kind);
    if ("status" in event) status = event.status as string;
  }
  assert.equal(status, "succeeded");
  assert.ok(kinds.includes("progress"), kinds.join());
});

test("uploads are shared and reach the workflow", async () => {
  const bytes = new Uint8Array(readFileSync(PICTURE_FILE));
  const asset = client.assets.fromBytes(bytes, { filename: "one.png", contentType: "image/png" });
  const workflow = client.workflows.fromJson(inverted());
  workflow.setInput("1", "image", asset);
  const job = await client.run(workflow);
  assert.equal(job.outputs.length, 1);
  const twin = client.assets.fromBytes(bytes, { filename: "two.png", contentType: "image/png" });
  await twin.commit();
  assert.equal(twin.createdNew, false);
  await twin.delete();
});

test("an idempotency key is used once", async () => {
  const options = { idempotencyKey: "from-node" };
  const job = await client.submit(client.workflows.fromJson(graph(3)), options);
  const error = await refusal(client.submit(client.workflows.fromJson(graph(3)), options));
  assert.equal(error.code, "idempotency_key_reuse");
  await job.wait();
});

test("cancel", async () => {
  const job = await client.submit(client.workflows.fromJson(graph(4, 2000)));
  await job.cancel();
  await job.wait();
  assert.equal(job.status, "canceled");
});

test("errors are typed", async () => {
  const wrong = graph(5);
  wrong["9"].class_type = "SaveNothing";
  assert.equal((await refusal(client.submit(client.workflows.fromJson(wrong)))).code, "invalid_workflow");
  const forbidden = await refusal(other.submit(other.workflows.fromJson(graph(6))));
  assert.deepEqual([forbidden.constructor.name, forbidden.httpStatus], ["Forbidden", 403]);
  const nobody = new Comfy({ apiKey: "csk_wrong_wrong" });
  assert.equal((await refusal(nobody.submit(nobody.workflows.fromJson(graph(7))))).code, "unauthorized");
});
