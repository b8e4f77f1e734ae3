<?php
// Creates a payment for an order and prints its id, its address and its checkout page. PHP 8 with its curl extension.
//
//   API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… php payment.php order-7 devnet native 0.002

declare(strict_types=1);

// create_payment returns the payment of an order: the one that can be paid now, or the one that was. An attempt to pay has
// one Idempotency-Key: however often it is asked for, and whatever answers were lost, it is one payment. When that payment
// expired or was canceled, the next attempt has the next key.
function create_payment(string $order, string $chain, string $asset, string $amount): array
{
    $body = json_encode(['chain' => $chain, 'asset' => $asset, 'amount_decimal' => $amount, 'order_id' => $order], JSON_THROW_ON_ERROR);
    for ($attempt = 1; $attempt <= 100; $attempt++) {
        [$payment, $replayed] = call('POST', '/api/v1/payments', ["Idempotency-Key: $order:$attempt"], $body);
        if (($payment['code'] ?? '') === 'order_id_taken') { // made more than a day ago
            [$payment, $replayed] = [['id' => $payment['payment_id']], true];
        }
        if ($replayed) { // it shows the payment as it was made. What has become of it?
            [$payment] = call('GET', '/api/v1/payments/' . $payment['id']);
        }
        if ($payment['status'] !== 'expired' && $payment['status'] !== 'canceled') {
            return $payment;
        }
    }
    throw new RuntimeException("order $order has had 100 payments that nobody paid");
}

// call asks again after no answer, after a 5xx and after any answer with Retry-After; others would be the same again.
function call(string $method, string $path, array $headers = [], ?string $body = null): array
{
    $url = getenv('API_URL') . $path;
    for ($tries = 1; ; $tries++) {
        $got = []; // headers of the answer
        $curl = curl_init($url);
        curl_setopt_array($curl, [
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTPHEADER => ['Authorization: Bearer ' . getenv('API_KEY'), 'Content-Type: application/json', ...$headers],
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 30,
            CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$got): int {
                [$name, $value] = array_pad(explode(':', $line, 2), 2, '');
                $got[strtolower($name)] = trim($value);
                return strlen($line);
            },
        ] + ($body === null ? [] : [CURLOPT_POSTFIELDS => $body]));
        $answer = curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($answer !== false && $status >= 200 && $status < 300) {
            return [json_decode($answer, true, 64, JSON_THROW_ON_ERROR), ($got['idempotency-replayed'] ?? '') === 'true'];
        }
        $fault = "$method $url answered $status";
        if ($answer === false) {
            $fault = 'no answer from ' . getenv('API_URL') . ' (API_URL): ' . curl_error($curl);
        } elseif (str_starts_with($got['content-type'] ?? '', 'application/problem+json')) {
            // Every error of the gateway is such a document. Decide by the code; the words are for people.
            $problem = json_decode($answer, true, 64, JSON_THROW_ON_ERROR);
            if ($problem['code'] === 'order_id_taken') {
                return [$problem, false];
            }
            $fault = $problem['code'] . ': ' . ($problem['detail'] ?? '') . ' ' . json_encode($problem['errors'] ?? []);
        }
        $again = $answer === false || isset($got['retry-after']) || $status >= 500; // otherwise it would fail again
        if (!$again || $tries === 4) {
            throw new RuntimeException($fault);
        }
        sleep((int) ($got['retry-after'] ?? 1));
    }
}

if ($argc !== 5 || !getenv('API_URL') || !getenv('API_KEY')) {
    fwrite(STDERR, "usage: API_URL=… API_KEY=… payment.php ORDER CHAIN ASSET AMOUNT\n");
    exit(2);
}
try {
    $payment = create_payment($argv[1], $argv[2], $argv[3], $argv[4]);
} catch (RuntimeException | JsonException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
echo $payment['id'], ' ', $payment['address'], ' ', $payment['checkout_url'], "\n";
