// Reads one JSON object a line and answers with one, by the official libraries: {"verify":{secret, headers, body}} with
// {"standardwebhooks":bool,"svix":bool}, and {"sign":{secret, id, timestamp, body}} with {"standardwebhooks":"v1,…","svix":"v1,…"}.
// Bodies are base64, timestamps Unix seconds.
import { createInterface } from 'node:readline';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

const libraries = { standardwebhooks: Standard, svix: Svix };

for await (const line of createInterface({ input: process.stdin })) {
  const { verify, sign } = JSON.parse(line);
  const answer = {};
  for (const [name, Library] of Object.entries(libraries)) {
    if (sign) {
      answer[name] = new Library(sign.secret).sign(sign.id, new Date(sign.timestamp * 1000), Buffer.from(sign.body, 'base64').toString('utf8'));
      continue;
    }
    try {
      new Library(verify.secret).verify(Buffer.from(verify.body, 'base64').toString('utf8'), verify.headers);
      answer[name] = true;
    } catch {
      answer[name] = false;
    }
  }
  console.log(JSON.stringify(answer));
}
