// npm nodemailer with a pool of 10, building MIME from text and HTML: `node nodemailer_pool.mjs FOLDER PORT N SIZE`.
// FOLDER has node_modules/nodemailer. Prints `SECONDS CPU_SECONDS` of the sending alone, as `tests.bench.pool` does.
import { createRequire } from "node:module";

const [folder, port, count, size] = process.argv.slice(2);
const nodemailer = createRequire(`${folder}/package.json`)("nodemailer");
const CONNECTIONS = 10;

const line = "A line of an ordinary newsletter, seventy-odd characters long, no more.";
const lines = Math.floor(Number(size) / 2 / (line.length + 2));
const text = `${line}\n`.repeat(lines);
const html = `<p>${line}</p>\n`.repeat(Math.floor((lines * (line.length + 1)) / (line.length + 8)));

const transport = nodemailer.createTransport({
  host: "127.0.0.1", port: Number(port), secure: false, ignoreTLS: true, name: "bench",
  pool: true, maxConnections: CONNECTIONS, maxMessages: Infinity,
});

let next = 0;
async function send() {
  while (next < Number(count)) {
    const number = next++;
    await transport.sendMail({
      from: "Kedai <hello@mail.example.com>", to: `p${number}@example.com`, subject: `p${number}, your shoes are waiting`,
      text: `Hello p${number},\n${text}`, html: `<p>Hello p${number},</p>\n${html}`,
    });
  }
}

const before = process.cpuUsage(), start = performance.now();
await Promise.all(Array.from({ length: CONNECTIONS }, send));
const seconds = (performance.now() - start) / 1000, used = process.cpuUsage(before);
transport.close();
console.log(`${seconds.toFixed(6)} ${((used.user + used.system) / 1e6).toFixed(6)}`);
