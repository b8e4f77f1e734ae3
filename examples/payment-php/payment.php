<?php
// Creates a payment for an order and prints its id, its address and its checkout page. PHP 8 with its curl extension.
//
//   API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… php payment.php order-7 devnet native 0.002

declare(strict_types=1);

// create_payment asks for a payment of an order. The order is the Idempotency-Key: however often this is asked, and whatever
// answers were lost, it is one payment.
function create_payment(string $order, string $chain, string $asset, string $amount): array
{
    for ($attempt = 1; ; $attempt++) {
        $later = null;
        $curl = curl_init(getenv('API_URL') . '/api/v1/payments');
        curl_setopt_array($curl, [
            CURLOPT_POSTFIELDS => json_encode(['chain' => $chain, 'asset' => $asset, 'amount_decimal' => $amount, 'order_id' => $order]),
            CURLOPT_HTTPHEADER => ['Authorization: Bearer ' . getenv('API_KEY'), 'Content-Type: application/json', "Idempotency-Key: $order"],
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 30,
            CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$later): int {
                if (stripos($line, 'Retry-After:') === 0) {
                    $later = (int) substr($line, strlen('Retry-After:'));
                }
                return strlen($line);
            },
        ]);
        $answer = curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($status === 201) {
            return json_decode($answer, true, 64, JSON_THROW_ON_ERROR);
        }
        $fault = 'no answer: ' . curl_error($curl);
        if ($answer !== false) {
            // Every error is such a document. Decide by the code; the words are for people.
            $problem = json_decode($answer, true, 64, JSON_THROW_ON_ERROR);
            $fault = $problem['code'] . ': ' . ($problem['detail'] ?? '') . ' ' . json_encode($problem['errors'] ?? []);
        }
        $again = $answer === false || $later !== null || $status >= 500; // otherwise it would fail again
        if (!$again || $attempt === 4) {
            throw new RuntimeException($fault);
        }
        sleep($later ?? 1);
    }
}

if ($argc !== 5) {
    fwrite(STDERR, "usage: payment.php ORDER CHAIN ASSET AMOUNT\n");
    exit(2);
}
try {
    $payment = create_payment($argv[1], $argv[2], $argv[3], $argv[4]);
} catch (RuntimeException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
echo $payment['id'], ' ', $payment['address'], ' ', $payment['checkout_url'], "\n";
