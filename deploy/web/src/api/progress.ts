// How far one sample has come, over however many streams: what is new in an event, and what another server would need to
// go on from here. Knows nothing about calls.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Finished,
  type GenerateRequestSchema,
  type GenerateResponse,
  type Started,
  type TokenLogprob,
  DraftOptionsSchema,
} from "../generated/protos/seqstream/v1/generation_pb";

/** A request, of which nothing needs to be set. */
export type Request = Extract<MessageInitShape<typeof GenerateRequestSchema>, { $typeName?: never }>;

/** What is continued, as a request has it. */
export type PromptField =
  | { readonly case: "text"; readonly value: string }
  | { readonly case: "messages"; readonly value: { readonly messages: { readonly role: string; readonly content: string }[] } };

/** A token that could have been drawn. logprob: natural logarithm of its probability. */
export interface Candidate {
  readonly id: number;
  readonly text: string;
  readonly logprob: number;
}

/** A token that was drawn. text: what it added to the text; it may lag. logprob: NaN where it was not reported. */
export interface Token extends Candidate {
  readonly alternatives: readonly Candidate[];
}

/** What an event brought: text by itself is what was held back when the sample ended. */
export type News =
  | { readonly kind: "started"; readonly started: Started }
  | { readonly kind: "tokens"; readonly tokens: readonly Token[] }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "finished"; readonly finished: Finished };

/** The server did what the protocol does not allow. */
export class ProtocolError extends Error {}

export class Progress {
  private readonly tokenIds: number[] = [];
  private started: Started | undefined;
  private hasTail = false;
  private readonly request: Request;
  isDone = false;

  constructor(request: Request) {
    this.request = request;
  }

  get length(): number {
    return this.tokenIds.length;
  }

  /** Returns the request for what has not come yet. */
  remaining(): Request {
    if (!this.started) return this.request;
    return {
      ...this.request,
      model: this.started.model,
      seed: this.started.seed,
      // Another server may have another default.
      drafts: this.started.drafts ?? create(DraftOptionsSchema),
      resumeTokenIds: [...this.tokenIds],
    };
  }

  /** Notes an event. Returns what it brings, unless that has come before. Throws where the server broke the protocol. */
  take({ event }: GenerateResponse): News | undefined {
    switch (event.case) {
      case "started":
        if (this.started) return undefined;
        this.started = event.value;
        return { kind: "started", started: event.value };
      case "delta": {
        const { tokenIds, text, logprobs, position } = event.value;
        if (tokenIds.length === 0) {
          if (this.hasTail) return undefined;
          this.hasTail = true;
          return { kind: "text", text };
        }
        if (position !== this.tokenIds.length) {
          throw new ProtocolError(`token ${this.tokenIds.length} expected, ${position} received`);
        }
        this.tokenIds.push(...tokenIds);
        const last = tokenIds.length - 1;
        // Of several tokens in one message the last has the text: where it is cut is not told.
        const tokens = tokenIds.map((id, place) => tokenOf(id, place === last ? text : "", logprobs[place]));
        return { kind: "tokens", tokens };
      }
      case "finished":
        this.isDone = true;
        return { kind: "finished", finished: event.value };
      default:
        return undefined;
    }
  }
}

function tokenOf(id: number, text: string, told: TokenLogprob | undefined): Token {
  const alternatives = told?.alternatives ?? [];
  return {
    id,
    text,
    logprob: told?.logprob ?? NaN,
    alternatives: alternatives.map(({ tokenId, text, logprob }) => ({ id: tokenId, text, logprob })),
  };
}
