// Where a reader works: prompt and parameters in, tokens out, and a look inside at what became of them.
import type { Calls } from "../api/calls";
import { failureOf, invalid, type Failure, type Violation } from "../api/failure";
import { generate, type Event } from "../api/generation";
import type { PromptField, Request } from "../api/progress";
import { Activations } from "../inspection/activations";
import { Attention } from "../inspection/attention";
import type { Model } from "../generated/protos/seqstream/v1/model_pb";
import { say, words, type Key, type Values } from "../strings/say";
import { Alternatives } from "./alternatives";
import { button, el } from "./dom";
import { Figures } from "./figures";
import { reference } from "./model_list";
import { notice } from "./notice";
import { Output } from "./output";
import { Parameters } from "./parameters";
import { Prompt } from "./prompt";

const ALTERNATIVES = 5;
// What InspectionService takes at most, prompt and tokens together.
const MOST_INSPECTED = 512;

export class Workbench {
  readonly element: HTMLElement;
  private readonly prompt = new Prompt();
  private readonly parameters = new Parameters();
  private readonly alternatives = new Alternatives();
  private readonly output = new Output((token, byKey) => this.alternatives.show(token, byKey));
  private readonly figures = new Figures((seed) => this.parameters.setSeed(seed));
  private readonly attention: Attention;
  private readonly activations: Activations;
  private readonly status = el("p", { class: "spoken", role: "status" });
  private readonly said = el("div");
  private readonly inside = el("section", { class: "inside" });
  private readonly runner = button({ class: "primary" }, () => void this.run());
  private readonly stopper = button({ disabled: true }, () => this.stop());
  private readonly answerer = say(button({ class: "quiet", hidden: true }, () => this.takeAnswer()), "output.continue");
  private readonly copier = say(button({ class: "quiet", hidden: true }, () => void this.copy()), "output.copy");
  private readonly calls: Calls;
  private model: Model | undefined;
  private running: AbortController | undefined;
  private promptTokens = 0;

  constructor(calls: Calls) {
    this.calls = calls;
    this.attention = new Attention(calls);
    this.activations = new Activations(calls);
    this.runner.append(say(el("span"), "run"), el("kbd", {}, isApple() ? "⌘ ↵" : "Ctrl ↵"));
    this.stopper.append(say(el("span"), "stop"), el("kbd", {}, "Esc"));
    const actions = el("div", { class: "actions" }, this.runner, this.stopper);
    const result = el("div", { class: "result" }, this.said, legend(), this.output.element, this.figures.element);
    result.append(el("div", { class: "actions" }, this.answerer, this.copier));
    this.element = el(
      "div",
      { class: "workbench" },
      el("div", { class: "ask" }, this.prompt.element, actions),
      el("div", { class: "beside" }, this.parameters.element, this.alternatives.element),
      result,
      this.inside,
      this.status,
    );
    document.addEventListener("keydown", (event) => this.press(event));
  }

  adapt(model: Model): void {
    this.stop();
    this.model = model;
    this.prompt.adapt(model);
    this.alternatives.adapt(model);
    this.clear();
    this.element.dataset["state"] = "idle";
    this.inside.replaceChildren();
    if (!model.inspection && !model.error) this.inside.append(unseen(model));
  }

  focus(): void {
    this.prompt.focus();
  }

  private press(event: KeyboardEvent): void {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void this.run();
    } else if (event.key === "Escape") this.stop();
  }

  private stop(): void {
    this.running?.abort();
  }

  private async run(): Promise<void> {
    if (!this.model || this.running) return;
    const { request, violations } = this.parameters.read();
    this.clear();
    if (violations.length > 0) return this.fail(invalid(violations));
    const prompt = this.prompt.read();
    const output = { logprobs: true, topLogprobs: ALTERNATIVES, maxTokensPerMessage: 1 };
    this.running = new AbortController();
    this.toggle("running");
    this.tell("status.running");
    try {
      await this.take({ ...request, model: reference(this.model), prompt, output }, this.running.signal);
      this.look(prompt);
    } catch (error) {
      if (this.running.signal.aborted) this.cancelled(prompt);
      else this.fail(failureOf(error));
    } finally {
      this.output.flush();
      this.running = undefined;
      this.toggle("idle");
    }
  }

  private async take(request: Request, signal: AbortSignal): Promise<void> {
    let losses = 0;
    this.figures.begin();
    for await (const event of generate(this.calls, request, signal)) {
      if (event.kind === "lost") this.lose(event, ++losses);
      else if (event.kind === "tokens") {
        if (this.said.firstChild) this.said.replaceChildren();
        this.output.add(event.tokens);
        this.figures.count(event.tokens.length);
        if (losses > 0) this.figures.continued(losses);
      } else this.note(event);
    }
  }

  private note(event: Exclude<Event, { kind: "lost" | "tokens" }>): void {
    if (event.kind === "text") return this.output.addText(event.text);
    if (event.kind === "started") {
      this.promptTokens = event.started.promptTokens;
      return this.figures.started(event.started);
    }
    this.figures.finished(event.finished);
    this.tell("status.done", { tokens: this.output.all.length });
  }

  private lose({ tokens }: Extract<Event, { kind: "lost" }>, times: number): void {
    const values = { tokens, times };
    this.said.replaceChildren(el("div", { class: "notice calm" }, say(el("p"), "status.lost", values)));
    this.tell("status.lost", values);
  }

  private cancelled(prompt: PromptField): void {
    this.said.replaceChildren();
    this.figures.stopped();
    this.tell("status.stopped", { tokens: this.output.all.length });
    this.look(prompt);
  }

  private fail(failure: Failure): void {
    this.said.replaceChildren(notice(failure));
    this.complain(failure.violations);
  }

  private complain(violations: readonly Violation[]): void {
    const first = this.parameters.show(violations);
    if (first) first.focus();
    else if (violations.length > 0) this.prompt.focus();
  }

  private look(prompt: PromptField): void {
    const { model } = this;
    const tokenIds = this.output.all.map(({ id }) => id);
    if (!model?.inspection || tokenIds.length === 0) return;
    const hasSource = model.sourceVocabularySize !== undefined;
    const before = hasSource ? 0 : this.promptTokens;
    const room = Math.max(MOST_INSPECTED - before, 0);
    const shown = tokenIds.slice(0, room);
    const lengths = { source: hasSource ? this.promptTokens : 0, read: before + shown.length };
    const subject = { model: reference(model), inspection: model.inspection, prompt, tokenIds: shown, ...lengths };
    this.inside.replaceChildren(this.attention.element, this.activations.element);
    if (tokenIds.length > room) this.inside.prepend(say(el("p", { class: "quiet" }), "inside.cut", { tokens: room }));
    this.attention.look(subject);
    this.activations.look(subject);
  }

  private clear(): void {
    this.attention.look(undefined);
    this.activations.look(undefined);
    this.output.clear();
    this.figures.begin();
    this.said.replaceChildren();
    this.parameters.show([]);
    if (this.model?.inspection) this.inside.replaceChildren();
  }

  private toggle(state: "running" | "idle"): void {
    const isRunning = state === "running";
    this.element.dataset["state"] = state;
    this.stopper.disabled = !isRunning;
    this.runner.disabled = isRunning;
    const hasText = !isRunning && this.output.all.length > 0;
    // Browsers have no clipboard for pages over plain HTTP of another machine.
    this.copier.hidden = !(hasText && "clipboard" in navigator);
    this.answerer.hidden = !(hasText && this.prompt.talks);
  }

  private tell(key: Key, values: Values = {}): void {
    this.status.textContent = words(key, values);
  }

  private takeAnswer(): void {
    this.prompt.answer(this.output.text);
    this.answerer.hidden = true;
  }

  private async copy(): Promise<void> {
    await navigator.clipboard.writeText(this.output.text);
    this.tell("status.copied");
  }
}

// From what is sure to what is not.
function legend(): HTMLElement {
  const steps = [0, 0.25, 0.5, 0.75, 1].map((surprise) => {
    const step = el("span", { class: "token" });
    step.style.setProperty("--surprise", String(surprise));
    return step;
  });
  const scale = el("span", { class: "scale", "aria-hidden": "true" }, ...steps);
  return el("p", { class: "legend" }, say(el("span"), "legend.likely"), scale, say(el("span"), "legend.unlikely"));
}

function unseen(model: Model): HTMLElement {
  const command = `python -m export RUN --name ${model.name} --with-attention`;
  return el("p", { class: "quiet" }, say(el("span"), "inside.none"), " ", el("code", {}, command));
}

function isApple(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.userAgent);
}
