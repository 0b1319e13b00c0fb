// A failed call as it is shown: the server's own words, and the google.rpc details that came with them.
import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../generated/google/rpc/error_details_pb";
import { ProtocolError } from "./progress";

/** A field that is wrong. description: what it is and what is allowed. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

export interface Failure {
  /** The name of the gRPC status, such as "INVALID_ARGUMENT". */
  readonly status: string;
  readonly message: string;
  readonly violations: readonly Violation[];
  /** In capitals, such as "QUEUE_FULL"; empty where the server gave none. */
  readonly reason: string;
  /** What the server's log calls the request; empty where the server was not reached. */
  readonly requestId: string;
  /** Milliseconds after which to come back, if the server tells. */
  readonly retryAfter: number | undefined;
  /** Whether the server is gone, and the same request may go on elsewhere. */
  readonly isLost: boolean;
}

// What a proxy, or the browser, makes of a stream whose server is gone. The server's own errors carry details.
const CUT: readonly Code[] = [Code.Internal, Code.Unknown, Code.Canceled, Code.DataLoss];

export function failureOf(thrown: unknown): Failure {
  const error = ConnectError.from(thrown);
  const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    status: statusName(error.code),
    message: error.rawMessage,
    violations: violations.map(({ field, description }) => ({ field, description })),
    reason: error.findDetails(ErrorInfoSchema)[0]?.reason ?? "",
    requestId: error.findDetails(RequestInfoSchema)[0]?.requestId ?? "",
    retryAfter: delay && durationMs(delay),
    isLost: !(thrown instanceof ProtocolError) && isLost(error),
  };
}

function isLost({ code, details }: ConnectError): boolean {
  return code === Code.Unavailable || (CUT.includes(code) && details.length === 0);
}

/** A failure that is found before anything is sent. */
export function invalid(violations: readonly Violation[]): Failure {
  const message = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  const nothing = { reason: "", requestId: "", retryAfter: undefined, isLost: false };
  return { status: statusName(Code.InvalidArgument), message, violations, ...nothing };
}

// Connect's one word to gRPC's: "InvalidArgument" to "INVALID_ARGUMENT", and its American "Canceled" to "CANCELLED".
function statusName(code: Code): string {
  if (code === Code.Canceled) return "CANCELLED";
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
