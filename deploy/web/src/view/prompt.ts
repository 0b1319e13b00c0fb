// What is continued: a text, or for models that talk a conversation.
import type { PromptField } from "../api/progress";
import type { Model } from "../generated/protos/seqstream/v1/model_pb";
import { say } from "../strings/say";
import { el } from "./dom";
import { Turns } from "./turns";

export class Prompt {
  readonly element = el("div", { class: "prompt" });
  private readonly text = el("textarea", { id: "text", rows: 3, spellcheck: "false", autocapitalize: "off" });
  private readonly label = el("label", { for: "text" });
  private readonly turns = new Turns();
  private readonly kept = new Map<string, string>();
  private model: Model | undefined;

  /** Asks for what this model takes. What was written for it before is there again. */
  adapt(model: Model): void {
    if (this.model?.name !== model.name) {
      if (this.model) this.kept.set(this.model.name, this.text.value);
      this.text.value = this.kept.get(model.name) ?? "";
    }
    this.model = model;
    say(this.label, model.sourceVocabularySize === undefined ? "prompt.text" : "prompt.source");
    this.element.replaceChildren(...(model.chat ? [this.turns.element] : [this.label, this.text]));
  }

  focus(): void {
    (this.model?.chat ? this.turns.last : this.text).focus();
  }

  /** Returns the prompt as a request has it. */
  read(): PromptField {
    if (this.model?.chat) return { case: "messages", value: { messages: this.turns.read() } };
    return { case: "text", value: this.text.value };
  }

  /** Whether an answer can be taken into the prompt as the assistant's turn. */
  get talks(): boolean {
    return this.model?.chat ?? false;
  }

  /** Puts the answer, and room for what the reader says next, behind the conversation. */
  answer(text: string): void {
    this.turns.add("assistant", text);
    this.turns.add("user", "").focus();
  }
}
