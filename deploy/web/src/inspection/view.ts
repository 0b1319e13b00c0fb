// One way of looking into a model: it asks the server when there is something to look at and somebody who looks.
import { failureOf } from "../api/failure";
import { say, type Key } from "../strings/say";
import { el } from "../view/dom";
import { notice } from "../view/notice";
import type { Subject } from "./subject";

export abstract class View {
  readonly element: HTMLDetailsElement;
  protected readonly controls = el("div", { class: "controls" });
  protected readonly picture = el("div", { class: "picture" });
  private readonly said = el("div");
  private subject: Subject | undefined;
  private calling: AbortController | undefined;

  constructor(title: Key, why: Key) {
    const words = say(el("p", { class: "quiet" }), why);
    this.element = el("details", { class: "view" }, say(el("summary"), title), words, this.controls, this.said, this.picture);
    this.element.open = true;
    this.element.addEventListener("toggle", () => this.update());
    document.addEventListener("languagechange", () => this.update());
  }

  /** Looks at `subject`; at nothing if the model has nothing of this kind to see. */
  look(subject: Subject | undefined): void {
    this.calling?.abort();
    const shown = subject && this.adapt(subject) ? subject : undefined;
    this.element.hidden = shown === undefined;
    this.subject = shown;
    this.picture.replaceChildren();
    this.said.replaceChildren();
    this.update();
  }

  /** Returns whether there is anything to see, and prepares the controls for it. */
  protected abstract adapt(subject: Subject): boolean;

  /** Asks the server for what the controls say, and draws it. */
  protected abstract draw(subject: Subject, signal: AbortSignal): Promise<void>;

  /** Draws what the controls say now. */
  protected update(): void {
    this.calling?.abort();
    if (!this.subject || !this.element.open) return;
    this.calling = new AbortController();
    void this.attempt(this.subject, this.calling.signal);
  }

  private async attempt(subject: Subject, signal: AbortSignal): Promise<void> {
    this.element.setAttribute("aria-busy", "true");
    try {
      await this.draw(subject, signal);
      if (!signal.aborted) this.said.replaceChildren();
    } catch (error) {
      if (signal.aborted) return;
      this.picture.replaceChildren();
      this.said.replaceChildren(notice(failureOf(error)));
    } finally {
      if (!signal.aborted) this.element.removeAttribute("aria-busy");
    }
  }
}
