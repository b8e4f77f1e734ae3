// Creates a payment for an order and prints its id, its address and its checkout page. Node.js 18 or newer and nothing else.
//
//   API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… node payment.mjs order-7 devnet native 0.002

// createPayment asks for a payment of an order. The order is the Idempotency-Key: however often this is asked, and whatever
// answers were lost, it is one payment.
async function createPayment(order, chain, asset, amount) {
  const body = JSON.stringify({ chain, asset, amount_decimal: amount, order_id: order });
  for (let attempt = 1; ; attempt++) {
    let wait = 1; // seconds
    let fault;
    try {
      const res = await fetch(process.env.API_URL + '/api/v1/payments', {
        method: 'POST',
        headers: { Authorization: `Bearer ${process.env.API_KEY}`, 'Content-Type': 'application/json', 'Idempotency-Key': order },
        body,
        signal: AbortSignal.timeout(30_000),
      });
      const answer = await res.json();
      if (res.status === 201) return answer;
      // Every error is such a document. Decide by the code; the words are for people.
      fault = new Error(`${answer.code}: ${answer.detail} ${JSON.stringify(answer.errors ?? [])}`);
      const later = res.headers.get('Retry-After');
      if (later) wait = Number(later);
      else if (res.status < 500) wait = -1; // it would fail again
    } catch (err) {
      fault = err; // no answer
    }
    if (wait < 0 || attempt === 4) throw fault;
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

if (process.argv.length !== 6) {
  console.error('usage: payment.mjs ORDER CHAIN ASSET AMOUNT');
  process.exit(2);
}
try {
  const payment = await createPayment(...process.argv.slice(2));
  console.log(payment.id, payment.address, payment.checkout_url);
} catch (err) {
  console.error(err.message);
  process.exit(1);
}
