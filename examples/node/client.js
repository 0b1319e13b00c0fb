// A complete client in Node, made from the .proto file alone: streams text, tells errors, survives its server.
//
//     npm install && node client.js localhost:50051 gru "class Queue:"
//     SEQSTREAM_TLS_CA=ca.pem SEQSTREAM_TOKEN_FILE=token node client.js ...
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const definition = loader.loadSync("protos/seqstream/v1/generation.proto", {
  includeDirs: [fileURLToPath(new URL("../../", import.meta.url))],
  keepCase: true, longs: String, enums: String, oneofs: true, defaults: true,
});
const { GenerationService } = grpc.loadPackageDefinition(definition).seqstream.v1;
const [address = "localhost:50051", model = "gru", text = "The ", most = "100"] = process.argv.slice(2);
const { SEQSTREAM_TLS_CA: authority, SEQSTREAM_TOKEN_FILE: file, SEQSTREAM_TOKEN: token } = process.env;
let credentials = authority ? grpc.credentials.createSsl(readFileSync(authority)) : grpc.credentials.createInsecure();
if (file || token) {
  // Read at every call, for tokens that are replaced. Without TLS this throws: a token does not travel in the clear.
  credentials = credentials.compose(grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${file ? readFileSync(file, "utf8").trim() : token}`);
    done(null, metadata);
  }));
}
const service = new GenerationService(address, credentials);
const request = {
  model, text, sampling: { temperature: 0.8 }, stop: { max_new_tokens: Number(most) }, resume_token_ids: [],
};
let attempts = 0, hasTail = false; // hasTail: whether the text behind the last token has come

// Prints what an event brings, and keeps what another server would need to go on from here.
function take({ started, delta, finished }) {
  if (started) Object.assign(request, { model: started.model, seed: started.seed });
  if (delta && !(hasTail && delta.token_ids.length === 0)) {
    process.stdout.write(delta.text);
    request.resume_token_ids.push(...delta.token_ids);
    [hasTail, attempts] = [delta.token_ids.length === 0, 0];
  }
  if (finished) console.error(`\n${finished.usage.generated_tokens} tokens, ${finished.reason}, seed ${request.seed}`);
}

// Whether the server is gone. A proxy in between just cuts the stream; errors of the server itself carry details.
const isLost = ({ code, metadata }) => code === grpc.status.UNAVAILABLE || (
  [grpc.status.INTERNAL, grpc.status.UNKNOWN].includes(code) && !metadata.get("grpc-status-details-bin").length);

for (let call, done = false; !done;) {
  try {
    process.once("SIGINT", () => call.cancel());
    call = service.Generate(request, { deadline: Date.now() + 60_000 });
    for await (const event of call) take(event);
    done = true;
  } catch (error) {
    process.exitCode = (done = !isLost(error) || ++attempts > 5) ? 1 : 0;
    if (done) console.error(`${grpc.status[error.code]}: ${error.details}`);
    else await sleep(100 * 2 ** attempts);
  }
}
service.close();
