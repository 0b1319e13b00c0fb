// The tokens of a generation as they come: text in which every token can be told, the less likely the warmer its ground.
import type { Token } from "../api/progress";
import { sayAttribute } from "../strings/say";
import { el } from "./dom";

// One token in 256 is as unlikely as colours tell.
const MOST_BITS = 8;

export class Output {
  readonly element = el("div", { class: "output", tabindex: 0, role: "group" });
  private tokens: Token[] = [];
  private pending: HTMLElement[] = [];
  private frame = 0;
  private chosen = -1;
  private readonly onChoose: (token: Token | undefined, byKey: boolean) => void;

  /** onChoose: called with the token that the reader points at. */
  constructor(onChoose: (token: Token | undefined, byKey: boolean) => void) {
    this.onChoose = onChoose;
    sayAttribute(this.element, "aria-label", "output");
    this.element.addEventListener("pointerover", (event) => this.point(event));
    this.element.addEventListener("click", (event) => this.point(event));
    this.element.addEventListener("keydown", (event) => this.move(event));
    this.element.addEventListener("focus", () => this.arrive());
  }

  /** The text so far. */
  get text(): string {
    return this.tokens.map(({ text }) => text).join("") + (this.element.querySelector(".tail")?.textContent ?? "");
  }

  get all(): readonly Token[] {
    return this.tokens;
  }

  clear(): void {
    this.tokens = [];
    this.pending = [];
    this.chosen = -1;
    this.element.replaceChildren();
    this.onChoose(undefined, false);
  }

  /** Adds tokens; they are seen with the next picture of the screen. */
  add(tokens: readonly Token[]): void {
    for (const token of tokens) {
      this.pending.push(element(token, this.tokens.length));
      this.tokens.push(token);
    }
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  /** Adds text that no token brought: what was held back to the end. */
  addText(text: string): void {
    this.flush();
    this.element.append(el("span", { class: "tail" }, text));
  }

  /** Shows at once what was added. */
  flush(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.element.append(...this.pending);
    this.pending = [];
  }

  // Who comes by key is told of a token at once; a pointer tells by itself which is meant.
  private arrive(): void {
    if (this.element.matches(":focus-visible")) this.choose(Math.max(this.chosen, 0), true);
  }

  private point(event: Event): void {
    const place = event.target instanceof HTMLElement ? event.target.dataset["place"] : undefined;
    if (place !== undefined) this.choose(Number(place), false);
  }

  private move(event: KeyboardEvent): void {
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: this.chosen - 1,
      ArrowRight: this.chosen + 1,
      Home: 0,
      End: this.tokens.length - 1,
    };
    const place = steps[event.key];
    if (place === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.choose(Math.min(Math.max(place, 0), this.tokens.length - 1), true);
  }

  private choose(place: number, byKey: boolean): void {
    const token = this.tokens[place];
    if (!token || (place === this.chosen && !byKey)) return;
    this.element.querySelector(".token.chosen")?.classList.remove("chosen");
    const element = this.element.querySelector<HTMLElement>(`[data-place="${place}"]`);
    element?.classList.add("chosen");
    if (byKey) element?.scrollIntoView({ block: "nearest" });
    this.chosen = place;
    this.onChoose(token, byKey);
  }
}

/** Returns how surprising a token is, from 0 (certain) to 1: its information in bits, of at most MOST_BITS. */
function surprise(logprob: number): number {
  return Math.min(-logprob / Math.LN2 / MOST_BITS, 1);
}

function element(token: Token, place: number): HTMLElement {
  const made = el("span", { class: "token", "data-place": place }, token.text);
  if (token.text === "") made.classList.add("partial");
  if (token.text.includes("\n")) made.classList.add("breaks");
  if (!Number.isNaN(token.logprob)) made.style.setProperty("--surprise", String(surprise(token.logprob)));
  return made;
}
