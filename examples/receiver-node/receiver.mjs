// A shop that takes webhooks, in Node.js 18.3 or newer and nothing else. It verifies signature and time, remembers ids, orders
// the events of a payment by their sequence, and answers 2xx only when what it did is on disk.
//
//   WEBHOOK_SECRET=whsec_… PORT=8000 STATE=shop.log node receiver.mjs
//
// WEBHOOK_SECRET may hold several secrets, separated by spaces, during a rotation. The state is a file to which lines are
// appended; in a real shop it is your database, with the event's id under a unique key in the transaction that moves the order.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { appendFileSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { createServer } from 'node:http';

const TOLERANCE = 5 * 60; // seconds, either way
const MAX_BODY = 256 * 1024; // bytes; a batch has no more
const KNOWN = new Set([
  'payment.created', 'payment.partially_paid', 'payment.detected', 'payment.confirmed', 'payment.overpaid', 'payment.late',
  'payment.expired', 'payment.canceled', 'payment.reorged', 'payment.misdirected',
]);

const secrets = (process.env.WEBHOOK_SECRET ?? '').split(/\s+/).filter(Boolean).map(keyOf);
if (secrets.length === 0) throw new Error('WEBHOOK_SECRET is needed');

const closed = new Set(['expired', 'canceled']);
const orders = new Map(); // payment id → { order, sequence, status }
const attention = []; // what a person has to look at: { event, type, payment, order, todo }
const seen = new Set(); // ids of the events that were handled
const stateFile = process.env.STATE ?? 'shop.log';
if (existsSync(stateFile)) {
  const state = readFileSync(stateFile);
  const whole = state.subarray(0, state.lastIndexOf('\n') + 1); // the power may have failed within a line, which was not answered
  truncateSync(stateFile, whole.length);
  for (const line of whole.toString('utf8').split('\n').filter(Boolean)) apply(JSON.parse(line));
}
const journal = openSync(stateFile, 'a');

// keyOf is the key of the Standard Webhooks scheme: what the base64 after whsec_ says, or all bytes of a secret of your own.
// Anything else is refused: under a key that came out empty everybody can sign.
function keyOf(secret) {
  const encoded = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : null;
  const key = encoded === null ? Buffer.from(secret, 'utf8') : Buffer.from(encoded, 'base64');
  if (key.length < 24 || (encoded !== null && key.toString('base64') !== encoded)) throw new Error('WEBHOOK_SECRET holds no secret of the gateway');
  return key;
}

class Refused extends Error {}

// verify returns the events of a request, or throws. body is the raw bytes as they came.
function verify(headers, body) {
  const [id, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => {
    const values = headers[`webhook-${name}`] ?? [];
    if (values.length !== 1) throw new Refused('a webhook header is missing, or given twice'); // who reads another one would believe something else
    return values[0];
  });
  if (!/^[1-9][0-9]{0,11}$/.test(timestamp) || !/^[A-Za-z0-9_-]{1,255}$/.test(id)) throw new Refused('malformed header');
  const offered = signatures.split(' ').filter((s) => s.startsWith('v1,')).map((s) => Buffer.from(s.slice(3), 'utf8'));
  let fits = false;
  for (const key of secrets) {
    const want = Buffer.from(createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64'), 'utf8');
    for (const given of offered) {
      if (given.length === want.length && timingSafeEqual(given, want)) fits = true;
    }
  }
  if (!fits) throw new Refused('no signature fits');
  if (Math.abs(Math.floor(Date.now() / 1000) - Number(timestamp)) > TOLERANCE) throw new Refused('too old, or of the future');
  const message = JSON.parse(body.toString('utf8'));
  if (message?.type === 'batch' && id.startsWith('bat_')) return check(message.events);
  const events = check([message]);
  if (message.id !== id) throw new Refused('webhook-id is not the id of the body');
  return events;
}

// check returns the events, or throws for what is signed but has not the form of events.
function check(events) {
  const isText = (v) => typeof v === 'string' && v.length > 0 && v.length <= 255;
  const isObject = (v) => typeof v === 'object' && v !== null && !Array.isArray(v);
  if (!Array.isArray(events) || events.length === 0 || events.length > 100) throw new Error('no list of events');
  for (const event of events) {
    if (!isObject(event) || !isText(event.id) || !isText(event.type) || event.type === 'batch' || !isObject(event.data)) throw new Error('no event');
    const payment = event.data.payment ?? null;
    if (payment === null) continue;
    const order = payment.order_id ?? null;
    if (!isObject(payment) || !isText(payment.id) || !isText(payment.status) || !(order === null || typeof order === 'string')) throw new Error('no payment');
    if (!Number.isSafeInteger(payment.sequence) || payment.sequence < 1) throw new Error('no sequence');
  }
  return events;
}

// apply has the effect of an event, once: the newest sequence of a payment wins, and unknown types pass. Amounts are strings
// of base units: use BigInt, never Number.
function apply(event) {
  if (seen.has(event.id)) return;
  seen.add(event.id);
  const payment = event.data?.payment;
  if (!KNOWN.has(event.type) || !payment) return;
  const todo = todoOf(event.type, payment);
  if (todo) attention.push({ event: event.id, type: event.type, payment: payment.id, order: payment.order_id ?? null, todo });
  if (!payment.order_id) return;
  if (orders.get(payment.id)?.sequence >= payment.sequence) return;
  // Money of a payment that has given its order up ships nothing by itself.
  const status = payment.order_current === false && !closed.has(payment.status) ? 'given up' : payment.status;
  orders.set(payment.id, { order: payment.order_id, sequence: payment.sequence, status });
}

// todoOf says what a person has to do about an event, or nothing. docs/after-payment.md has the reasons.
function todoOf(type, payment) {
  const before = orders.get(payment.id);
  const twice = [...orders].some(([id, o]) => id !== payment.id && o.order === payment.order_id && o.status === 'confirmed');
  switch (type) {
    case 'payment.confirmed': return twice || payment.order_current === false ? 'the order was given up or paid before: refund, or ship by hand' : '';
    case 'payment.overpaid': return 'refund what is more than the amount';
    case 'payment.late': return !closed.has(payment.status) ? '' : 'came too late: ship all the same, or refund';
    case 'payment.expired':
    case 'payment.canceled': return payment.amount_received !== '0' ? 'paid in part: refund' : '';
    case 'payment.misdirected': return 'another coin or another chain: refund, or agree with the payer';
    case 'payment.reorged': return before?.status === 'confirmed' && before.sequence < payment.sequence ? 'was paid and is not: stop shipping' : '';
    default: return '';
  }
}

// handle writes an event down before it has its effect, so that a crash in between loses nothing.
function handle(event) {
  if (seen.has(event.id)) return;
  const { size } = fstatSync(journal);
  try {
    appendFileSync(journal, JSON.stringify(event) + '\n');
    fsyncSync(journal);
  } catch (err) {
    ftruncateSync(journal, size); // half a line must not be continued by the next
    throw err;
  }
  apply(event);
}

const server = createServer((req, res) => {
  const answer = (status, text, type = 'text/plain') => res.writeHead(status, { 'Content-Type': type }).end(text);
  if (req.method === 'GET' && req.url === '/orders') {
    return answer(200, JSON.stringify(Object.fromEntries([...orders].map(([id, o]) => [id, o.status]).sort())), 'application/json');
  }
  if (req.method === 'GET' && req.url === '/attention') return answer(200, JSON.stringify(attention), 'application/json');
  if (req.method !== 'POST' || req.url !== '/hooks') return answer(404, 'not here');
  const chunks = [];
  let size = 0;
  req.on('data', (chunk) => {
    size += chunk.length;
    if (size > MAX_BODY) {
      answer(413, 'too large');
      req.destroy();
    } else {
      chunks.push(chunk);
    }
  });
  req.on('end', () => {
    let events;
    try {
      events = verify(req.headersDistinct, Buffer.concat(chunks));
    } catch (err) {
      return answer(err instanceof Refused ? 401 : 400, err instanceof Refused ? err.message : 'malformed');
    }
    try {
      events.forEach(handle);
    } catch (err) {
      console.error(err);
      return answer(503, 'try again later'); // and the gateway does
    }
    answer(200, 'ok');
  });
});
server.requestTimeout = 10_000;
server.listen(Number(process.env.PORT ?? 8000), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
