// A client in the browser: streams text over gRPC-Web, tells errors, stops when asked, survives its server.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { FinishReason, GenerationService } from "./generated/protos/seqstream/v1/generation_pb.js";

const ATTEMPTS = 20;

// A proxy in between just cuts the stream of a server that is gone; errors of the server itself carry details.
function isLost(error) {
  const { code, details } = ConnectError.from(error);
  return code === Code.Unavailable || (details.length === 0 && [Code.Internal, Code.Unknown, Code.DataLoss].includes(code));
}

/** Yields the text of a generation, piece by piece; returns its end: {tokens, reason, seed}. Throws ConnectError. */
export async function* generate(server, fields, signal) {
  const service = createClient(GenerationService, createGrpcWebTransport({ baseUrl: server }));
  const request = { ...fields, resumeTokenIds: [] };
  let hasTail = false; // whether the text behind the last token has come
  for (let attempts = 0; ; ) {
    try {
      for await (const { event } of service.generate(request, { signal })) {
        if (event.case === "started") Object.assign(request, { model: event.value.model, seed: event.value.seed });
        if (event.case === "finished") {
          const { reason, usage } = event.value;
          return { tokens: usage.generatedTokens, reason: FinishReason[reason], seed: request.seed };
        }
        if (event.case !== "delta" || (hasTail && event.value.tokenIds.length === 0)) continue;
        hasTail = event.value.tokenIds.length === 0;
        request.resumeTokenIds.push(...event.value.tokenIds);
        attempts = 0;
        yield event.value.text;
      }
    } catch (error) {
      if (signal.aborted || !isLost(error) || ++attempts > ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** attempts, 2000)));
    }
  }
}

const form = document.forms[0];
const [output, status] = [document.querySelector("pre"), document.querySelector("[role=status]")];
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { server, model, text } = Object.fromEntries(new FormData(form));
  const controller = new AbortController();
  form.elements.stop.onclick = () => controller.abort();
  output.textContent = text;
  try {
    const prompt = { case: "text", value: text };
    const request = { model, prompt, sampling: { temperature: 0.8 }, stop: { maxNewTokens: 100 } };
    const stream = generate(server, request, controller.signal);
    let next;
    while (!(next = await stream.next()).done) output.append(next.value);
    status.textContent = `${next.value.tokens} tokens, ${next.value.reason}, seed ${next.value.seed}`;
  } catch (error) {
    status.textContent = ConnectError.from(error).message;
  }
});
