// Runs a Node.js handler: the runtime side of the Lambda Runtime API, for Node.js 18 and later, without dependencies.
// Handlers may be async, use a callback, or stream (awslambda.streamifyResponse), in CommonJS or ES modules.
// https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html, https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
import { AsyncLocalStorage } from "node:async_hooks";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import util from "node:util";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const current = new AsyncLocalStorage();
const streaming = Symbol("unkai.streaming");
const PRELUDE_END = Buffer.alloc(8);

class Fault extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

function call(method, pathname, headers = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, agent, method, path: `/2018-06-01/runtime/${pathname}`, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

// --- logs: one console call is one event; a carriage return joins its lines, a line feed ends it

function log(level, args) {
  const text = util.format(...args).replace(/\r?\n/g, "\r");
  const id = current.getStore()?.awsRequestId ?? lastRequestId ?? "undefined";
  let line = `${new Date().toISOString()}\t${id}\t${level}\t${text}\n`;
  if (process.env.AWS_LAMBDA_LOG_FORMAT === "JSON") {
    const message = args.length === 1 && typeof args[0] !== "string" ? args[0] : util.format(...args);
    line = JSON.stringify({ timestamp: new Date().toISOString(), level, requestId: id, message }) + "\n";
  }
  fs.writeSync(1, line);
}
let lastRequestId;
for (const [name, level] of [["log", "INFO"], ["info", "INFO"], ["debug", "DEBUG"], ["trace", "TRACE"], ["warn", "WARN"], ["error", "ERROR"]])
  console[name] = (...args) => log(level, args);

// --- errors

function described(error) {
  if (error instanceof Error)
    return { errorType: error.name || "Error", errorMessage: error.message ?? "", trace: (error.stack ?? "").split("\n") };
  return { errorType: typeof error, errorMessage: error === undefined ? "undefined" : String(error), trace: [] };
}

function logError(title, error) {
  const value = described(error);
  const details = { ...value, ...(error instanceof Error && error.code ? { code: error.code } : {}), stack: value.trace };
  delete details.trace;
  log("ERROR", [title, "\t", JSON.stringify(details)]);
}

async function postError(pathname, error) {
  const value = described(error);
  const headers = { "Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": value.errorType.replace(/[^\x20-\x7e]/g, "?") };
  await call("POST", pathname, headers, JSON.stringify(value));
}

for (const [event, type] of [["uncaughtException", "Runtime.UncaughtException"], ["unhandledRejection", "Runtime.UnhandledPromiseRejection"]])
  process.on(event, async (reason) => {
    const error = event === "uncaughtException" ? reason : Object.assign(new Fault(type, String(reason?.message ?? reason)), { reason });
    logError(event === "uncaughtException" ? "Uncaught Exception" : "Unhandled Promise Rejection", error);
    try {
      agent.destroy(); // the loop's own request may hold the only connection
      const once = new http.Agent();
      const value = described(error);
      const target = lastRequestId ? `invocation/${lastRequestId}/error` : "init/error";
      await new Promise((resolve) => {
        const headers = { "Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": value.errorType };
        const request = http.request({ host, port, agent: once, method: "POST", path: `/2018-06-01/runtime/${target}`, headers }, resolve);
        request.on("error", resolve);
        request.end(JSON.stringify(value));
      });
    } finally {
      process.exit(event === "uncaughtException" ? 129 : 128);
    }
  });

// --- response streaming: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[streaming] = true;
    return handler;
  },
  HttpResponseStream: {
    from(stream, metadata) {
      stream.setContentType("application/vnd.awslambda.http-integration-response");
      stream._prelude = Buffer.concat([Buffer.from(JSON.stringify(metadata)), PRELUDE_END]);
      return stream;
    },
  },
};

function responseStream(id) {
  const headers = {
    "Content-Type": "application/octet-stream",
    "Lambda-Runtime-Function-Response-Mode": "streaming",
    "Transfer-Encoding": "chunked",
    Trailer: ["Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"],
  };
  let finished;
  const done = new Promise((resolve) => (finished = resolve));
  const request = http.request({ host, port, agent, method: "POST", path: `/2018-06-01/runtime/invocation/${id}/response`, headers }, (response) => {
    response.resume();
    response.on("end", finished);
  });
  request.on("error", finished);
  request.setContentType = (type) => request.setHeader("Content-Type", type);
  const { write, end } = request;
  const opened = (data) => {
    const prelude = request._prelude;
    request._prelude = undefined;
    if (prelude) write.call(request, prelude);
    return typeof data === "string" || Buffer.isBuffer(data) || data instanceof Uint8Array || data == null || typeof data === "function"
      ? data
      : JSON.stringify(data);
  };
  request.write = (data, ...rest) => write.call(request, opened(data), ...rest);
  request.end = (data, ...rest) => end.call(request, opened(data), ...rest);
  return { request, done };
}

async function runStreaming(handler, event, context, id) {
  const { request, done } = responseStream(id);
  try {
    await handler(event, request, context);
    if (!request.writableEnded) request.end();
  } catch (error) {
    logError("Invoke Error", error);
    const value = described(error);
    if (!request.headersSent) {
      request.destroy();
      return postError(`invocation/${id}/error`, error);
    }
    request.addTrailers({
      "Lambda-Runtime-Function-Error-Type": value.errorType,
      "Lambda-Runtime-Function-Error-Body": Buffer.from(JSON.stringify(value)).toString("base64"),
    });
    request.end();
  }
  await done;
}

// --- the handler: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html#nodejs-handler-naming

async function loadHandler(root, name) {
  const base = path.basename(name);
  const dot = base.indexOf(".");
  if (dot < 1 || dot === base.length - 1 || name.includes("..")) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  const folder = name.slice(0, name.length - base.length);
  const file = path.resolve(root, folder, base.slice(0, dot));
  let module;
  try {
    module = await loadModule(file);
  } catch (error) {
    if (error instanceof SyntaxError) throw Object.assign(new Fault("Runtime.UserCodeSyntaxError", `${error}`), { stack: error.stack });
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") throw new Fault("Runtime.ImportModuleError", `Error: ${error.message}`);
    throw error;
  }
  let found = module;
  for (const part of base.slice(dot + 1).split(".")) found = found?.[part] ?? found?.default?.[part];
  if (found === undefined) throw new Fault("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof found !== "function") throw new Fault("Runtime.HandlerNotFound", `${name} is not a function`);
  return found;
}

async function loadModule(file) {
  const require = createRequire(file);
  for (const extension of ["", ".js", ".mjs", ".cjs"]) {
    const candidate = file + extension;
    if (!fs.existsSync(candidate) || fs.statSync(candidate).isDirectory()) continue;
    if (extension === ".mjs" || (extension !== ".cjs" && isModulePackage(candidate))) return import(pathToFileURL(candidate).href);
    return require(candidate);
  }
  const name = path.basename(file);
  throw Object.assign(new Error(`Cannot find module '${name}'\nRequire stack:\n- /var/runtime/index.mjs`), { code: "MODULE_NOT_FOUND" });
}

function isModulePackage(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest, "utf8")).type === "module";
    if (folder === path.dirname(folder)) return false;
  }
}

function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const json = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: json("lambda-runtime-client-context"),
    identity: json("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
  };
}

// A handler answers by its promise, by the callback, or by context.done and its kin; the first one counts.
function runBuffered(handler, event, context) {
  return new Promise((resolve, reject) => {
    let empty = false;
    const settle = (error, value) => {
      const act = () => (error !== undefined && error !== null ? reject(error) : resolve(value));
      if (context.callbackWaitsForEmptyEventLoop && !empty) {
        empty = true;
        process.once("beforeExit", act);
      } else act();
    };
    context.done = settle;
    context.succeed = (value) => settle(null, value);
    context.fail = (error) => settle(error ?? "handled");
    const result = handler(event, context, settle);
    if (result && typeof result.then === "function") result.then(resolve, reject);
    else if (handler.length < 3 && !empty) resolve(result === undefined ? null : result);
  });
}

async function serve(handler) {
  const { headers, body } = await call("GET", "invocation/next");
  const id = (lastRequestId = headers["lambda-runtime-aws-request-id"]);
  if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  else delete process.env._X_AMZN_TRACE_ID;
  const context = contextOf(headers);
  await current.run(context, async () => {
    try {
      const event = JSON.parse(body.toString("utf8"));
      if (handler[streaming]) return await runStreaming(handler, event, context, id);
      const result = await runBuffered(handler, event, context);
      await call("POST", `invocation/${id}/response`, { "Content-Type": "application/json" }, JSON.stringify(result === undefined ? null : result) ?? "null");
    } catch (error) {
      logError("Invoke Error", error);
      await postError(`invocation/${id}/error`, error);
    }
  });
  setImmediate(serve, handler);
}

try {
  const handler = await loadHandler(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  serve(handler);
} catch (error) {
  logError("Uncaught Exception", error);
  await postError("init/error", error);
  process.exit(1);
}
