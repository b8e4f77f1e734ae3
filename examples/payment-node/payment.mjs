// Creates a payment for an order and prints its id, its address and its checkout page. Node.js 18 or newer and nothing else.
//
//   API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… node payment.mjs order-7 devnet native 0.002

// createPayment returns the payment of an order: the one that can be paid now, or the one that was. An attempt to pay has one
// Idempotency-Key: however often it is asked for, and whatever answers were lost, it is one payment. When that payment
// expired or was canceled, the next attempt has the next key.
async function createPayment(order, chain, asset, amount) {
  const body = JSON.stringify({ chain, asset, amount_decimal: amount, order_id: order });
  for (let attempt = 1; attempt <= 100; attempt++) {
    let { answer, replayed } = await call('POST', '/api/v1/payments', { 'Idempotency-Key': `${order}:${attempt}` }, body);
    if (answer.code === 'order_id_taken') [answer, replayed] = [{ id: answer.payment_id }, true]; // made more than a day ago
    // A replayed answer shows the payment as it was made. What has become of it?
    const payment = replayed ? (await call('GET', `/api/v1/payments/${answer.id}`)).answer : answer;
    if (payment.status !== 'expired' && payment.status !== 'canceled') return payment;
  }
  throw new Error(`order ${order} has had 100 payments that nobody paid`);
}

// call asks again after no answer, after a 5xx and after any answer with Retry-After; others would be the same again.
async function call(method, path, headers = {}, body = undefined) {
  for (let tries = 1; ; tries++) {
    let wait = 1; // seconds
    let fault;
    try {
      const res = await fetch(API_URL + path, {
        method,
        headers: { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/json', ...headers },
        body,
        signal: AbortSignal.timeout(30_000),
      });
      const text = await res.text();
      if (res.ok) return { answer: JSON.parse(text), replayed: res.headers.get('Idempotency-Replayed') === 'true' };
      fault = new Error(`${method} ${API_URL + path} answered ${res.status}: ${text.slice(0, 500)}`);
      if (res.headers.get('Content-Type')?.startsWith('application/problem+json')) {
        // Every error of the gateway is such a document. Decide by the code; the words are for people.
        const problem = JSON.parse(text);
        if (problem.code === 'order_id_taken') return { answer: problem, replayed: false };
        fault = new Error(`${problem.code}: ${problem.detail} ${JSON.stringify(problem.errors ?? [])}`);
      }
      const later = res.headers.get('Retry-After');
      if (later) wait = Number(later);
      else if (res.status < 500) wait = -1; // it would fail again
    } catch (err) {
      fault = new Error(`no answer from ${API_URL} (API_URL): ${err.cause?.message ?? err.message}`);
    }
    if (wait < 0 || tries === 4) throw fault;
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

const { API_URL, API_KEY } = process.env;
if (process.argv.length !== 6 || !API_URL || !API_KEY) {
  console.error('usage: API_URL=… API_KEY=… payment.mjs ORDER CHAIN ASSET AMOUNT');
  process.exit(2);
}
try {
  const payment = await createPayment(...process.argv.slice(2));
  console.log(payment.id, payment.address, payment.checkout_url);
} catch (err) {
  console.error(err.message);
  process.exit(1);
}
