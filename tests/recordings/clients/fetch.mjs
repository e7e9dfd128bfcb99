// Sends the requests of a JSON list on stdin with fetch; prints a list of [status, body].
let text = "";
for await (const part of process.stdin) text += part;
const answers = [];
for (const { method, url, headers, body } of JSON.parse(text)) {
  const answer = await fetch(url, { method, headers, body: body || undefined });
  answers.push([answer.status, await answer.text()]);
}
console.log(JSON.stringify(answers));
