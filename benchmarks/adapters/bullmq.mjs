// BullMQ on Node: Queue.add and Queue.addBulk, and its Worker. It answers the commands of driver.py.

import { openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// Its packages stand in a folder of their own, named by NODE_PATH, which modules of this kind do not look at.
const require = createRequire(process.env.NODE_PATH + '/');
const { Queue, Worker } = require('bullmq');

// https://docs.bullmq.io: auto-pipelining is ioredis's own; maxRetriesPerRequest null is asked for by workers.
const connection = {
  host: process.env.BENCH_HOST,
  port: Number(process.env.BENCH_PORT),
  enableAutoPipelining: true,
  maxRetriesPerRequest: null,
};
const AT_ONCE = 50;
const BULK = 1000;

function work() {
  let latencies;
  // https://docs.bullmq.io/guide/workers/concurrency: one process, a hundred at once.
  new Worker('bench', async (job) => {
    if (job.data.sent) {
      const now = process.hrtime.bigint();
      latencies ??= openSync(process.env.BENCH_LATENCIES, 'a', 0o600);
      writeSync(latencies, `${now - BigInt(job.data.sent)}\n`);
    }
    return { ok: true };
  }, { connection, concurrency: 100 });
}

function payload(size, sent = 0) {
  const bare = JSON.stringify({ sent, text: '' }).length;
  return { sent, text: 'x'.repeat(size - bare) };
}

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function submit(queue, { how, count, size = 200 }) {
  const payloads = Array.from({ length: count }, () => payload(size));
  const began = process.hrtime.bigint();
  if (how === 'one') {
    for (const each of payloads) await queue.add('noop', each);
  } else if (how === 'bulk') {
    for (let at = 0; at < count; at += BULK) {
      await queue.addBulk(payloads.slice(at, at + BULK).map((data) => ({ name: 'noop', data })));
    }
  } else {
    let next = 0;
    const some = async () => { while (next < count) await queue.add('noop', payloads[next++]); };
    await Promise.all(Array.from({ length: AT_ONCE }, some));
  }
  return { seconds: Number(process.hrtime.bigint() - began) / 1e9 };
}

async function latency(queue, { count, gap }) {
  for (let i = 0; i < count; i++) {
    // As a number it would lose its last digits after 104 days of uptime.
    await queue.add('noop', payload(200, String(process.hrtime.bigint())));
    await sleep(gap);
  }
  return { done: true };
}

async function left(queue) {
  return { left: await queue.getJobCountByTypes('waiting', 'active', 'prioritized', 'delayed') };
}

async function other(queue, { method }) {
  await (method === 'hold' ? queue.pause() : queue.resume());
  return { answer: null };
}

async function serve() {
  const queue = new Queue('bench', { connection });
  await queue.waitUntilReady();
  const duties = { submit, latency, left, other };
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: duty, ...rest } = JSON.parse(line);
    console.log(JSON.stringify(await duties[duty](queue, rest)));
  }
  process.exit(0);
}

if (process.argv[2] === 'work') work();
else await serve();
