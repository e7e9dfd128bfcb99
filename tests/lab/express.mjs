// A proxy in front of the twin that express-rate-limit guards: node express.mjs OPTIONS, which express.py writes.
import http from "node:http";

import express from "express";
import { rateLimit } from "express-rate-limit";

const options = JSON.parse(process.argv[2]);
const path = new RegExp(options.path);
const agent = new http.Agent({ keepAlive: true });

const limiter = rateLimit({
  limit: options.limit,
  windowMs: options.windowMs,
  standardHeaders: options.fields,
  legacyHeaders: false,
  keyGenerator: (request) => request.get("authorization") ?? "",
  skip: (request) => request.method !== options.method || !path.test(request.path),
});

function pass(request, response) {
  const { method, headers, originalUrl } = request;
  const asked = http.request(options.twin + originalUrl, { method, headers, agent }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    // A stream of events may stay silent after its head.
    response.flushHeaders();
    answer.pipe(response);
  });
  asked.on("error", (error) => response.destroy(error));
  response.on("close", () => asked.destroy());
  request.pipe(asked);
}

const app = express().disable("x-powered-by").use(limiter, pass);
// Longer than any client keeps an idle connection in its pool.
http.createServer({ keepAliveTimeout: 120_000 }, app).listen({ fd: options.listener });
