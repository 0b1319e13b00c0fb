// The services as this page calls them: gRPC-Web to its own origin. Knows nothing about what is shown.
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GenerationService } from "../generated/protos/seqstream/v1/generation_pb";
import { InspectionService } from "../generated/protos/seqstream/v1/inspection_pb";
import { ModelService } from "../generated/protos/seqstream/v1/model_pb";

/** Who calls. Either may be empty: then it is not sent. */
export interface Caller {
  readonly token: string;
  readonly tenant: string;
}

export interface Calls {
  readonly generation: Client<typeof GenerationService>;
  readonly models: Client<typeof ModelService>;
  readonly inspection: Client<typeof InspectionService>;
}

/** Returns the services; `caller` is asked anew at every call. */
export function openCalls(caller: () => Caller): Calls {
  const identify: Interceptor = (next) => (request) => {
    const { token, tenant } = caller();
    if (token) request.header.set("authorization", `Bearer ${token}`);
    if (tenant) request.header.set("x-tenant", tenant);
    return next(request);
  };
  const baseUrl = new URL(".", location.href).origin;
  const transport = createGrpcWebTransport({ baseUrl, interceptors: [identify] });
  return {
    generation: createClient(GenerationService, transport),
    models: createClient(ModelService, transport),
    inspection: createClient(InspectionService, transport),
  };
}
