// What a generation took: how fast, how long, why it ended, and with which seed it can be had again.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { FinishReason, type Finished, type Started } from "../generated/protos/seqstream/v1/generation_pb";
import { say, written, type Key } from "../strings/say";
import { duration } from "./amount";
import { button, el, visible } from "./dom";

const REASONS: Readonly<Record<FinishReason, Key>> = {
  [FinishReason.UNSPECIFIED]: "reason.unspecified",
  [FinishReason.END_OF_SEQUENCE]: "reason.end_of_sequence",
  [FinishReason.STOP_STRING]: "reason.stop_string",
  [FinishReason.STOP_TOKEN]: "reason.stop_token",
  [FinishReason.MAX_TOKENS]: "reason.max_tokens",
  [FinishReason.CONTEXT_FULL]: "reason.context_full",
  [FinishReason.DEADLINE]: "reason.deadline",
};

const ORDER: readonly Key[] = [
  "figures.tokens",
  "figures.pace",
  "figures.first",
  "figures.reason",
  "figures.continued",
  "figures.prompt",
  "figures.prefill",
  "figures.queue",
  "figures.seed",
];

export class Figures {
  readonly element = el("dl", { class: "figures" });
  private begun = 0;
  private first = 0;
  private last = 0;
  private tokens = 0;
  private frame = 0;
  private readonly entries = new Map<Key, HTMLElement>();
  private readonly onSeed: (seed: bigint) => void;

  /** onSeed: called when the reader wants this seed again. */
  constructor(onSeed: (seed: bigint) => void) {
    this.onSeed = onSeed;
  }

  /** The request goes out now. */
  begin(): void {
    cancelAnimationFrame(this.frame);
    this.begun = performance.now();
    this.first = this.last = this.tokens = this.frame = 0;
    this.entries.clear();
    this.element.replaceChildren();
  }

  started({ promptTokens, seed }: Started): void {
    this.set("figures.prompt", written(promptTokens));
    const again = say(button({ class: "quiet" }, () => this.onSeed(seed)), "figures.repeat");
    this.set("figures.seed", String(seed), again);
  }

  /** So many tokens have come now. */
  count(tokens: number): void {
    this.last = performance.now();
    this.first ||= this.last;
    this.tokens += tokens;
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** The stream was taken up again, for the so manieth time. */
  continued(times: number): void {
    this.set("figures.continued", written(times));
  }

  finished({ reason, match, timings }: Finished): void {
    this.draw();
    this.set("figures.reason", say(el("span"), REASONS[reason]), matched(match));
    if (timings?.prefill) this.set("figures.prefill", duration(durationMs(timings.prefill)));
    if (timings?.queue) this.set("figures.queue", duration(durationMs(timings.queue)));
  }

  stopped(): void {
    this.draw();
    this.set("figures.reason", say(el("span"), "reason.cancelled"));
  }

  // At most once a picture of the screen, however fast tokens come.
  private draw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.tokens === 0) return;
    this.set("figures.tokens", written(this.tokens));
    this.set("figures.first", duration(this.first - this.begun));
    // From the first token to the last there are one fewer.
    const seconds = (this.last - this.first) / 1000;
    if (this.tokens > 1 && seconds > 0) this.set("figures.pace", written((this.tokens - 1) / seconds, 3));
  }

  private set(key: Key, ...content: (Node | string | undefined)[]): void {
    let entry = this.entries.get(key);
    if (!entry) {
      entry = el("dd");
      this.entries.set(key, entry);
      const made = el("div", { "data-order": ORDER.indexOf(key) }, say(el("dt"), key), entry);
      const later = [...this.element.children].find((other) => order(other) > order(made));
      this.element.insertBefore(made, later ?? null);
    }
    entry.replaceChildren(...content.filter((each) => each !== undefined));
  }
}

function order(entry: Element): number {
  return Number(entry.getAttribute("data-order"));
}

function matched(match: Finished["match"]): Node | undefined {
  if (match.case === undefined) return undefined;
  return el("code", {}, match.case === "stopString" ? visible(match.value) : `#${match.value}`);
}
