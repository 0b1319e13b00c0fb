// The page: a server's models beside a place to work with one of them.
import "./style/fonts.css";
import "./style/page.css";
import "./style/workbench.css";
import "./style/inside.css";
import { openCalls } from "./api/calls";
import { failureOf } from "./api/failure";
import { ModelState, type Model } from "./generated/protos/seqstream/v1/model_pb";
import { currentLanguage } from "./strings/say";
import { Access } from "./view/access";
import { el } from "./view/dom";
import { header } from "./view/header";
import { facts } from "./view/model_facts";
import { ModelList, reference, summary } from "./view/model_list";
import { notice } from "./view/notice";
import { Workbench } from "./view/workbench";

class Page {
  private readonly access = new Access(() => void this.refresh());
  private readonly calls = openCalls(() => this.access.current());
  private readonly models = new ModelList((model) => this.choose(model));
  private readonly workbench = new Workbench(this.calls);
  private readonly title = el("h2", { id: "model" });
  private readonly subtitle = el("p", { class: "quiet" });
  private readonly about = el("div", { class: "facts-of-model" });
  private readonly said = el("div");
  private readonly body = el("main", {}, this.said, el("div", { class: "title" }, this.title, this.subtitle), this.workbench.element, this.about);
  private chosen: Model | undefined;

  open(): void {
    document.documentElement.lang = currentLanguage();
    this.body.hidden = true;
    document.body.replaceChildren(header(this.access), this.models.element, this.body, this.access.element);
    document.addEventListener("languagechange", () => this.chosen && this.about.replaceChildren(...facts(this.chosen)));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void this.refresh());
    void this.refresh();
  }

  // Asks anew what is served; what is chosen stays chosen.
  private async refresh(): Promise<void> {
    try {
      const { models } = await this.calls.models.listModels({});
      this.said.replaceChildren();
      this.models.show(models);
      this.body.hidden = false;
      const again = models.find((model) => this.chosen && reference(model) === reference(this.chosen));
      if (again) this.models.mark(again);
      else if (models[0]) this.choose(models.find(({ state }) => state === ModelState.READY) ?? models[0]);
    } catch (error) {
      this.body.hidden = false;
      this.said.replaceChildren(notice(failureOf(error)));
    }
  }

  private choose(model: Model): void {
    this.chosen = model;
    this.models.mark(model);
    this.title.textContent = reference(model);
    this.subtitle.textContent = summary(model);
    this.workbench.element.hidden = model.error !== "";
    this.workbench.adapt(model);
    this.about.replaceChildren(...facts(model));
    this.workbench.focus();
  }
}

new Page().open();
