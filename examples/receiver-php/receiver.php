<?php
// A shop that takes webhooks, in PHP 8 with PDO and nothing else. It verifies signature and time, remembers ids, orders the
// events of a payment by their sequence, and has the id and the effect of an event in one transaction of SQLite. Copy it and
// put your own database in its place.
//
//   WEBHOOK_SECRET=whsec_… STATE=shop.db php -S 127.0.0.1:8000 receiver.php
//
// WEBHOOK_SECRET may hold several secrets, separated by spaces, during a rotation. php -S is for trying; in a real shop this
// is a script behind your web server.

declare(strict_types=1);
ini_set('display_errors', 'stderr');

const TOLERANCE = 5 * 60; // seconds, either way
const MAX_BODY = 256 * 1024; // bytes; a batch has no more
const KNOWN = [
    'payment.created', 'payment.partially_paid', 'payment.detected', 'payment.confirmed', 'payment.overpaid', 'payment.late',
    'payment.expired', 'payment.canceled', 'payment.reorged', 'payment.misdirected',
];

class Refused extends Exception
{
}

// key_of is the key of the Standard Webhooks scheme: what the base64 after whsec_ says, or all bytes of a secret of your own.
// Anything else is refused: under a key that came out empty everybody can sign.
function key_of(string $secret): string
{
    $encoded = str_starts_with($secret, 'whsec_') ? substr($secret, strlen('whsec_')) : null;
    $key = $encoded === null ? $secret : base64_decode($encoded, true);
    if ($key === false || strlen($key) < 24 || ($encoded !== null && base64_encode($key) !== $encoded)) {
        throw new Exception('WEBHOOK_SECRET holds no secret of the gateway');
    }
    return $key;
}

// verify returns the events of a request, or throws. $body is the raw bytes as they came.
function verify(array $keys, string $id, string $timestamp, string $signatures, string $body): array
{
    // A header that is given twice arrives joined by commas; who reads another one than we do would believe something else.
    if (!preg_match('/\A[1-9][0-9]{0,11}\z/', $timestamp) || !preg_match('/\A[A-Za-z0-9_-]{1,255}\z/', $id) || str_contains($signatures, ', ')) {
        throw new Refused('a webhook header is missing, malformed or given twice');
    }
    $fits = false;
    foreach ($keys as $key) {
        $want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
        foreach (explode(' ', $signatures) as $given) {
            $fits = hash_equals($want, $given) || $fits; // in constant time
        }
    }
    if (!$fits) {
        throw new Refused('no signature fits');
    }
    if (abs(time() - (int) $timestamp) > TOLERANCE) {
        throw new Refused('too old, or of the future');
    }
    $message = json_decode($body, true, 64, JSON_THROW_ON_ERROR);
    if (is_array($message) && ($message['type'] ?? null) === 'batch' && str_starts_with($id, 'bat_')) {
        return check($message['events'] ?? null);
    }
    $events = check([$message]);
    if ($events[0]['id'] !== $id) {
        throw new Refused('webhook-id is not the id of the body');
    }
    return $events;
}

// check returns the events, or throws for what is signed but has not the form of events.
function check(mixed $events): array
{
    $text = fn (mixed $v): bool => is_string($v) && $v !== '' && strlen($v) <= 255;
    if (!is_array($events) || !array_is_list($events) || $events === [] || count($events) > 100) {
        throw new JsonException('no list of events');
    }
    foreach ($events as $event) {
        if (!is_array($event) || !$text($event['id'] ?? null) || !$text($event['type'] ?? null) || $event['type'] === 'batch' || !is_array($event['data'] ?? null)) {
            throw new JsonException('no event');
        }
        $payment = $event['data']['payment'] ?? null;
        if ($payment === null) {
            continue;
        }
        $order = is_array($payment) ? $payment['order_id'] ?? null : null;
        if (!is_array($payment) || !$text($payment['id'] ?? null) || !$text($payment['status'] ?? null) || !is_int($payment['sequence'] ?? null) || $payment['sequence'] < 1 || !($order === null || is_string($order))) {
            throw new JsonException('no payment');
        }
    }
    return $events;
}

function open_shop(string $path): PDO
{
    $db = new PDO("sqlite:$path", null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 5]);
    $db->exec('CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, at INTEGER NOT NULL)');
    $db->exec('CREATE TABLE IF NOT EXISTS orders (payment TEXT PRIMARY KEY, id TEXT NOT NULL, sequence INTEGER NOT NULL, status TEXT NOT NULL)');
    $db->exec('CREATE TABLE IF NOT EXISTS attention (event TEXT PRIMARY KEY, type TEXT NOT NULL, payment TEXT NOT NULL, "order" TEXT, todo TEXT NOT NULL)');
    return $db;
}

// todo_of says what a person has to do about an event, or nothing. docs/after-payment.md has the reasons.
function todo_of(PDO $db, string $type, array $payment): string
{
    $is = function (string $sql, mixed ...$values) use ($db): bool {
        $found = $db->prepare($sql);
        $found->execute($values);
        return $found->fetchColumn() !== false;
    };
    $closed = $payment['status'] === 'expired' || $payment['status'] === 'canceled';
    return match ($type) {
        'payment.confirmed' => ($payment['order_current'] ?? true) === false || $is("SELECT 1 FROM orders WHERE id = ? AND payment <> ? AND status = 'confirmed'", $payment['order_id'] ?? '', $payment['id'])
            ? 'the order was given up or paid before: refund, or ship by hand' : '',
        'payment.overpaid' => 'refund what is more than the amount',
        'payment.late' => $closed ? 'came too late: ship all the same, or refund' : '',
        'payment.expired', 'payment.canceled' => ($payment['amount_received'] ?? '0') !== '0' ? 'paid in part: refund' : '',
        'payment.misdirected' => 'another coin or another chain: refund, or agree with the payer',
        'payment.reorged' => $is("SELECT 1 FROM orders WHERE payment = ? AND status = 'confirmed' AND sequence < ?", $payment['id'], $payment['sequence'])
            ? 'was paid and is not: stop shipping' : '',
        default => '',
    };
}

// handle has the effect of each event once: the newest sequence of a payment wins, and unknown types pass. Amounts are strings
// of base units: use GMP or bcmath, never int or float.
function handle(PDO $db, array $events): void
{
    $db->exec('BEGIN IMMEDIATE'); // one transaction: all of it, or nothing
    try {
        foreach ($events as $event) {
            $seen = $db->prepare('INSERT INTO events VALUES (?, ?) ON CONFLICT DO NOTHING');
            $seen->execute([$event['id'], time()]);
            $payment = $event['data']['payment'] ?? null;
            if ($seen->rowCount() === 0 || !in_array($event['type'], KNOWN, true) || $payment === null) {
                continue;
            }
            if (($todo = todo_of($db, $event['type'], $payment)) !== '') {
                $db->prepare('INSERT INTO attention VALUES (?, ?, ?, ?, ?)')->execute([$event['id'], $event['type'], $payment['id'], $payment['order_id'] ?? null, $todo]);
            }
            if (!isset($payment['order_id']) || $payment['order_id'] === '') {
                continue;
            }
            // Money of a payment that has given its order up ships nothing by itself.
            $givenUp = ($payment['order_current'] ?? true) === false && !in_array($payment['status'], ['expired', 'canceled'], true);
            $db->prepare(
                'INSERT INTO orders VALUES (?, ?, ?, ?) ON CONFLICT (payment) DO UPDATE SET sequence = excluded.sequence, ' .
                'status = excluded.status WHERE excluded.sequence > orders.sequence'
            )->execute([$payment['id'], $payment['order_id'], $payment['sequence'], $givenUp ? 'given up' : $payment['status']]);
        }
        $db->exec('COMMIT');
    } catch (Throwable $e) {
        $db->exec('ROLLBACK');
        throw $e;
    }
}

function answer(int $status, string $text, string $type = 'text/plain'): void
{
    http_response_code($status);
    header("Content-Type: $type");
    echo $text;
}

function main(): void
{
    $keys = array_map('key_of', preg_split('/\s+/', getenv('WEBHOOK_SECRET') ?: '', -1, PREG_SPLIT_NO_EMPTY));
    if ($keys === []) {
        throw new Exception('WEBHOOK_SECRET is needed');
    }
    $route = $_SERVER['REQUEST_METHOD'] . ' ' . $_SERVER['REQUEST_URI'];
    if (!in_array($route, ['POST /hooks', 'GET /orders', 'GET /attention'], true)) {
        answer(404, 'not here');
        return;
    }
    $db = open_shop(getenv('STATE') ?: 'shop.db');
    if ($route === 'GET /orders') {
        $all = $db->query('SELECT payment, status FROM orders')->fetchAll(PDO::FETCH_KEY_PAIR);
        answer(200, json_encode((object) $all), 'application/json');
        return;
    }
    if ($route === 'GET /attention') {
        answer(200, json_encode($db->query('SELECT * FROM attention ORDER BY event')->fetchAll(PDO::FETCH_ASSOC)), 'application/json');
        return;
    }
    $body = file_get_contents('php://input', false, null, 0, MAX_BODY + 1);
    if ($body === false || strlen($body) > MAX_BODY) {
        answer(413, 'too large');
        return;
    }
    try {
        $events = verify($keys, $_SERVER['HTTP_WEBHOOK_ID'] ?? '', $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '', $body);
    } catch (Refused $e) {
        answer(401, $e->getMessage());
        return;
    } catch (JsonException $e) {
        answer(400, 'malformed');
        return;
    }
    handle($db, $events);
    answer(200, 'ok');
}

try {
    main();
} catch (Throwable $e) {
    error_log((string) $e);
    answer(503, 'try again later'); // and the gateway does
}
